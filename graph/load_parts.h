/* SPDX-License-Identifier: Apache-2.0 */
/* Steps in parts (graph/update.c) on a device. */
#ifndef NORNI_LOAD_PARTS_H
#define NORNI_LOAD_PARTS_H
#include "backend/buffer.h"
#include "backend/program.h"
#include "ops/emit.h"

typedef struct norni_loaded_parts norni_loaded_parts;

/* bufs: the buffer of each argument; elem_bytes: of an element of it. */
norn_status norni_parts_load(norn_context *ctx, const norni_step *s, norni_program *program,
                             norn_buffer *const *bufs, const size_t *elem_bytes, norni_loaded_parts **out);
norn_status norni_parts_launch(const norni_loaded_parts *p, const norni_step *s);
void norni_parts_free(norni_loaded_parts *p);

#endif
