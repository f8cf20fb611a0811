/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory of tensors that are made again and again, as a run's results are: the memory of one that was freed serves the
 * next. Fresh memory costs more than filling it: the system clears it, page by page, when it is touched first. */
#ifndef NORNI_RECYCLE_H
#define NORNI_RECYCLE_H
#include "base/tensor.h"

typedef struct norni_recycler norni_recycler;
/* Keeps at most `keep` blocks. NULL: no memory. */
norni_recycler *norni_recycler_new(size_t keep);
/* Tensors from it may live on; their memory then goes when they do. NULL is fine. */
void norni_recycler_free(norni_recycler *r);
/* A host tensor of undefined content. It may be freed by any thread. */
norn_status norni_recycler_tensor(norni_recycler *r, norn_dtype dtype, int rank, const int64_t *dims,
                                  norn_tensor **out);

#endif
