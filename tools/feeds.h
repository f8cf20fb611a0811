/* SPDX-License-Identifier: Apache-2.0 */
/* What a model is fed: files that --input names, random numbers for the rest. */
#ifndef NORN_TOOLS_FEEDS_H
#define NORN_TOOLS_FEEDS_H
#include "sizes.h"

typedef struct {
    size_t n;
    norn_feed *v;
    const char **sources; /* the file each came from; NULL: random */
} feeds;

typedef struct {
    const text_list *inputs, *dims; /* NAME=FILE; NAME=SIZE */
    uint64_t seed;
    bool resize; /* pictures may be scaled */
} feed_options;

/* A tensor for every input of the graph. Returns the exit code; an error has been printed. */
int feeds_make(const feed_options *o, const norn_graph *g, feeds *out);
void feeds_free(feeds *f);
/* The same for a model with sequences and optionals (contents_wanted): *m is loaded anew for what its inputs hold. */
int feeds_contents(const feed_options *o, const char *path, norn_model **m, feeds *out);
/* The input that a --input is for, and its file; NULL: none. */
const norn_value *feeds_input_of(const norn_graph *g, const char *spec, const char **file);
int feeds_no_such_input(const norn_graph *g, const char *spec);
/* Floats and integers of other widths become what the input takes. */
norn_status feeds_convert(const norn_value *input, norn_tensor **t);

/* A picture as an input wants it: [N,C,H,W], [N,H,W,C], [C,H,W], [H,W,C], [N,H,W], [H,W] or flat; channels converted,
 * floats v / 255, uint8 as it is. */
int picture_feed(const char *path, const norn_value *input, const sizes *s, bool resize, norn_tensor **out);
bool is_picture(const char *path);

#define OPT_INPUT(type)                                                                                      \
    {                                                                                                        \
        "input", "NAME=FILE", OPT_LIST, offsetof(type, inputs),                                              \
            "an input's content: .npy, .npz:NAME, .pb or .png; what is not given is random", NULL, 0         \
    }

#endif
