/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for norn verify. */
#include "case.h"
#include "output.h"

void certificate_run(norn_session *s, const char *path, case_result *out) {
    norn_certificate c;
    *out = (case_result){.status = CASE_OK};
    norn_status st = norn_certificate_check(s, path, &c);
    if (st == NORN_OK && c.checked) {
        out->max_error = c.max_error;
        return;
    }
    out->status = st == NORN_OK || st == NORN_UNSUPPORTED ? CASE_UNSUPPORTED : CASE_FAIL;
    out->reason = text_copy(st == NORN_OK ? c.note : norn_error());
    if (out->reason)
        clean(out->reason);
}
