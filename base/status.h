/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a code and one thread-local message, built from the inside out.
 * Grammar of a message: "where: what: got (wanted)[; hint]". */
#ifndef NORNI_STATUS_H
#define NORNI_STATUS_H
#include <norn.h>

#define NORNI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Sets the message and returns `code`. */
norn_status norni_fail(norn_status code, const char *fmt, ...) NORNI_PRINTF(2, 3);
/* Puts "prefix: " before the message of a failure; passes NORN_OK through untouched. Returns `code`. */
norn_status norni_prefix(norn_status code, const char *fmt, ...) NORNI_PRINTF(2, 3);
/* The message for an allocation that failed. */
norn_status norni_nomem(void);

/* Returns from the calling function when `expr` is not NORN_OK. */
#define NORNI_TRY(expr)                                                                                      \
    do {                                                                                                     \
        norn_status try_status_ = (expr);                                                                    \
        if (try_status_ != NORN_OK)                                                                          \
            return try_status_;                                                                              \
    } while (0)

#endif
