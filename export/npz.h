/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npz: a zip archive of .npy members, stored or deflated. The public part is norn_archive in norn.h.
 *
 * Memory is bounded before it is taken: what a member's .npy header asks for must equal the size that the
 * archive gives for it, and that size must be reachable from the compressed one (base/bytes.h). */
#ifndef NORNI_NPZ_H
#define NORNI_NPZ_H
#include "base/status.h"
#include <stddef.h>

/* An archive over bytes that stay the caller's and alive; `where` begins its messages. */
norn_status norni_archive_open_memory(const void *data, size_t bytes, const char *where, norn_archive **out);
/* Loads `member`, or the only member when it is NULL. */
norn_status norni_npz_load(const char *path, const char *member, norn_tensor **out);

#endif
