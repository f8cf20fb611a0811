/* SPDX-License-Identifier: Apache-2.0 */
/* The text of the kernel files, embedded at build time; NORN_KERNEL_DIR=ops reads them from disk instead. */
#ifndef NORNI_KERNEL_SOURCE_H
#define NORNI_KERNEL_SOURCE_H
#include "base/status.h"

typedef struct {
    const char *name, *text;
} norni_kernel_file;
extern const norni_kernel_file norni_kernel_files[]; /* generated; ended by a NULL name */

/* The full source of a step: the prelude, `before` (may be NULL), then the file (NULL: none). To be freed
 * with norni_free. Errors: NORN_INTERNAL for an unknown file, NORN_IO. */
norn_status norni_kernel_text(const char *before, const char *file, char **out);

#endif
