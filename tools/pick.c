/* SPDX-License-Identifier: Apache-2.0 */
#include "pick.h"
#include "files.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* "all" means several, also where there is but one. */
static bool says_all(const char *spec) {
    for (; spec; spec = strchr(spec, ',') ? strchr(spec, ',') + 1 : NULL) {
        spec += strspn(spec, " ");
        if (!strncasecmp(spec, "all", 3) && strchr(" ,", spec[3])) /* which finds the end, too */
            return true;
    }
    return false;
}

int pick_devices(const char *spec, bool several, picked *out) {
    norn_devices *list;
    norn_status s = norn_devices_list(&list);
    out->n = 0;
    if (s == NORN_OK)
        s = norn_devices_pick(list, spec, MAX_PICKED, out->index, &out->n);
    int code = s == NORN_OK ? 0 : fail(s);
    const char *said = spec && *spec ? spec : getenv("NORN_DEVICE");
    if (!code && !several && (out->n > 1 || says_all(said)))
        code = usage_error("%s%s: names %zu device%s (wanted one; bench and verify take several)",
                           said == spec ? "--device " : "NORN_DEVICE=", said ? said : "", out->n,
                           out->n == 1 ? "" : "s");
    norn_devices_free(list);
    return code;
}

/* Without a cache kernels are compiled anew in every run, which is slow and no error. */
static void check_cache(const norn_device *d) {
    static bool said;
    const char *dir = getenv("NORN_CACHE_DIR"), *on = getenv("NORN_CACHE");
    if (said || !dir || !*dir || (on && !strcmp(on, "0")) || norn_device_kind(d) == NORN_DEVICE_HOST)
        return;
    if (access(dir, R_OK | X_OK) == 0 && is_folder(dir))
        return;
    said = true;
    note("NORN_CACHE_DIR=%s: no folder that can be used: compiled kernels are not kept", dir);
}

norn_status open_picked(const picked *p, size_t i, norn_session **out) {
    char spec[24];
    snprintf(spec, sizeof spec, "%zu", p->index[i]);
    norn_status s = norn_session_open(spec, out);
    if (s == NORN_OK)
        check_cache(norn_context_device(norn_session_context(*out, 0)));
    return s;
}

const char *session_device(const norn_session *s) {
    return norn_device_name(norn_context_device(norn_session_context(s, 0)));
}
