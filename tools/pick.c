/* SPDX-License-Identifier: Apache-2.0 */
#include "pick.h"
#include "output.h"
#include <stdio.h>

int pick_devices(const char *spec, bool several, picked *out) {
    norn_devices *list;
    norn_status s = norn_devices_list(&list);
    out->n = 0;
    if (s == NORN_OK)
        s = norn_devices_pick(list, spec, MAX_PICKED, out->index, &out->n);
    int code = s == NORN_OK ? 0 : fail(s);
    if (!code && out->n > 1 && !several)
        code =
            usage_error("--device %s: names %zu devices (wanted one)", spec ? spec : "(NORN_DEVICE)", out->n);
    norn_devices_free(list);
    return code;
}

norn_status open_picked(const picked *p, size_t i, norn_session **out) {
    char spec[24];
    snprintf(spec, sizeof spec, "%zu", p->index[i]);
    return norn_session_open(spec, out);
}

const char *session_device(const norn_session *s) {
    return norn_device_name(norn_context_device(norn_session_context(s, 0)));
}
