/* SPDX-License-Identifier: Apache-2.0 */
/* Named sizes of a model's inputs ("N"), and random numbers for inputs that nobody gives. */
#ifndef NORN_TOOLS_SIZES_H
#define NORN_TOOLS_SIZES_H
#include "options.h"
#include <norn.h>

typedef struct {
    char **names;
    int64_t *values;
    size_t n;
} sizes;

void sizes_free(sizes *s);
/* From "N=8" each. Returns the exit code; an error has been printed. */
int sizes_parse(const text_list *list, sizes *out);
bool sizes_add(sizes *s, const char *name, int64_t value); /* false: out of memory */
int64_t sizes_find(const sizes *s, const char *name);      /* -1: not there */
/* An error when a --dim names a size that no input has. */
int sizes_check(const text_list *list, const norn_graph *g);

/* What stands for size i of a value: "8", "N", "?3". */
void value_size_text(const norn_value *v, int i, char *buf, size_t bytes);
/* Learns the named sizes of an input from the tensor that is fed. */
bool sizes_learn(sizes *s, const norn_value *input, const norn_tensor *t);
/* The graph with all sizes bound: by `s`, and others by 1, which a note says unless `quiet`. */
norn_status sizes_bind(const sizes *s, const norn_graph *g, bool quiet, norn_graph **out);
/* The graph with all sizes bound to those of tensors, one an input. keep: see norn_graph_bind_keep. */
norn_status sizes_bind_fed(const norn_graph *g, norn_tensor *const *fed, size_t n_keep,
                           const char *const *keep, norn_graph **out);
/* "N=8, T=1": what sizes_bind binds; "" for a graph without named sizes. Newly allocated; NULL: out of memory. */
char *sizes_text(const sizes *s, const norn_graph *g);

#define OPT_DIM(type)                                                                                        \
    {                                                                                                        \
        "dim", "N=SIZE", OPT_LIST, offsetof(type, dims),                                                     \
            "a named size of the model's inputs, as N=8; else 1", NULL, 0                                    \
    }

/* Numbers that are the same for the same seed and stream on every machine: floats in [0, 1), integers 0 to 3 (uint8 0 to
 * 255), bool. Sizes of the input that are not known are taken from `s`, else 1, which a note says. */
norn_status random_input(const norn_value *input, sizes *s, uint64_t seed, uint64_t stream,
                         norn_tensor **out);
void random_fill(norn_tensor *t, uint64_t seed, uint64_t stream);

#endif
