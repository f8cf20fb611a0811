/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 4096 };
static _Thread_local char message[MESSAGE_BYTES];

norn_status norni_fail(norn_status code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char text[MESSAGE_BYTES]; /* an argument may be the old message */
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof text);
    return code;
}

norn_status norni_prefix(norn_status code, const char *fmt, ...) {
    if (code == NORN_OK)
        return code;
    char text[MESSAGE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0 && n < MESSAGE_BYTES - 3) {
        size_t room = sizeof text - (size_t)n - 3, old = strlen(message);
        memcpy(text + n, ": ", 2);
        memcpy(text + n + 2, message, old < room ? old : room);
        text[(size_t)n + 2 + (old < room ? old : room)] = 0;
        memcpy(message, text, sizeof text);
    }
    return code;
}

norn_status norni_nomem(void) {
    return norni_fail(NORN_NOMEM, "out of host memory");
}

const char *norn_error(void) {
    return message;
}

const char *norn_status_name(norn_status s) {
    switch (s) {
    case NORN_OK:
        return "ok";
    case NORN_NOMEM:
        return "out of memory";
    case NORN_ARG:
        return "bad argument";
    case NORN_SHAPE:
        return "shape mismatch";
    case NORN_DTYPE:
        return "type mismatch";
    case NORN_UNSUPPORTED:
        return "unsupported";
    case NORN_PARSE:
        return "malformed input";
    case NORN_IO:
        return "input/output";
    case NORN_DEVICE:
        return "device";
    case NORN_BUILD:
        return "kernel build";
    case NORN_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}

int norn_status_exit_code(norn_status s) {
    return s == NORN_OK ? 0 : 1 + (int)s;
}
