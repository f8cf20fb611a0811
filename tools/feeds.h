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
