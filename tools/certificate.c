/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for norn verify. */
#include "case.h"
#include "output.h"
#include <string.h>

void certificate_run(norn_session *s, const char *path, case_result *out) {
    norn_certificate c;
    *out = (case_result){.status = CASE_OK};
    norn_status st = norn_certificate_check(s, path, &c);
    if (st == NORN_OK && c.checked) {
        out->max_error = c.max_error;
        return;
    }
    out->status = st == NORN_OK || st == NORN_UNSUPPORTED ? CASE_UNSUPPORTED : CASE_FAIL;
    const char *why = st == NORN_OK ? c.note : norn_error();
    size_t n = strlen(path); /* the result stands behind the file's name already */
    out->reason = text_copy(!strncmp(why, path, n) && !strncmp(why + n, ": ", 2) ? why + n + 2 : why);
    if (out->reason)
        clean(out->reason);
}
