/* SPDX-License-Identifier: Apache-2.0 */
/* Lists in descriptors (ops/op.h) with the end that they need. */
#ifndef NORNI_ROWS_H
#define NORNI_ROWS_H
#include "ops/op.h"

#define PARAMS(...)                                                                                          \
    (const norni_param[]) {                                                                                  \
        __VA_ARGS__, {                                                                                       \
            0                                                                                                \
        }                                                                                                    \
    }
#define CASES(...)                                                                                           \
    .cases = (const char *const[]) {                                                                         \
        __VA_ARGS__, NULL                                                                                    \
    }
#define VERSIONS(...)                                                                                        \
    .versions = (const int[]) {                                                                              \
        __VA_ARGS__, 0                                                                                       \
    }

#endif
