/* SPDX-License-Identifier: Apache-2.0 */
/* Consecutive small steps that are one launch of one work-item. On CPUs a launch takes longer than what a small step does, since
 * threads are woken for each. */
#ifndef NORNI_SERIES_H
#define NORNI_SERIES_H
#include "backend/buffer.h"
#include "backend/program.h"
#include "graph/plan.h"

/* A device need take 1024 bytes of arguments. */
enum { NORNI_SERIES_BUFFERS = 56 };

/* Finds the series of a plan whose memory is laid out. */
norn_status norni_series_find(norn_plan *p);
/* The series that step i is a part of; NULL: none. */
const norni_series *norni_series_of(const norn_plan *p, size_t i);

/* A run is over so soon that waiting for it need not sleep. */
bool norni_plan_quick(const norn_plan *p);

/* Whether two steps launch kernels of one program. */
bool norni_same_program(const norni_step *a, const norni_step *b);
/* The different buffers that the steps from `first` to before `end` read and write, in order; -1: there are more than `most`. */
int norni_series_buffers(const norn_plan *p, int first, int end, int most, norni_ref *out);

/* The program: all kernels of the steps as functions, each program's names with a prefix of its own, and one kernel. */
norn_status norni_series_text(const norn_plan *p, const norni_series *s, char **out);
extern const char norni_series_kernel[];

/* On a device; bufs: by buffer of norni_series_buffers. */
typedef struct norni_loaded_series norni_loaded_series;
norn_status norni_series_load(norn_context *ctx, const norn_plan *p, const norni_series *s,
                              norni_program *program, norn_buffer *const *bufs, norni_loaded_series **out);
norn_status norni_series_launch(const norni_loaded_series *l, uint64_t run);
norni_launch norni_series_range(void);
void norni_series_free(norni_loaded_series *l);

#endif
