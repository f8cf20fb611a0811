/* SPDX-License-Identifier: Apache-2.0 */
/* Level 5: modules are functions over builders. A convolution block, a dense block, a network of both; saved as ONNX.
 * Usage: 5_modules [OUT.onnx] */
#include <norn.h>
#include <stdio.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        return 1;                                                                                            \
    }

/* Weights: small numbers from a fixed sequence, so that the example needs no data. */
static norn_value *weight(norn_graph *g, const char *layer, const char *what, int rank, const int64_t *dims) {
    static unsigned state = 1;
    char name[64];
    norn_tensor *t;
    snprintf(name, sizeof name, "%s.%s", layer, what);
    if (norn_tensor_new(NULL, NORN_F32, rank, dims, NULL, &t) != NORN_OK)
        return NULL;
    for (int64_t i = 0; i < norn_tensor_elems(t); i++) {
        state = state * 1664525u + 1013904223u;
        norn_tensor_set(t, i, ((double)(state >> 8) / (1 << 24) - 0.5) / 4);
    }
    norn_value *w = norn_graph_constant(g, name, t);
    norn_tensor_free(t);
    return w;
}

static norn_value *conv_block(norn_graph *g, norn_value *x, const char *name, int64_t in, int64_t out) {
    norn_value *w = weight(g, name, "weight", 4, (int64_t[]){out, in, 3, 3}),
               *b = weight(g, name, "bias", 1, &out);
    return norn_max_pool(g, norn_relu(g, norn_conv(g, x, w, b, "pads=[1,1,1,1]")),
                         "kernel_shape=[2,2], strides=[2,2]");
}

static norn_value *dense(norn_graph *g, norn_value *x, const char *name, int64_t in, int64_t out) {
    return norn_linear(g, x, weight(g, name, "weight", 2, (int64_t[]){out, in}),
                       weight(g, name, "bias", 1, &out));
}

int main(int argc, char **argv) {
    norn_graph *g;
    norn_model *m;
    CHECK(norn_graph_new("digits", &g));
    norn_value *x = norn_graph_input(g, "x", "float[N,1,8,8]");
    norn_value *h = conv_block(g, conv_block(g, x, "conv1", 1, 8), "conv2", 8, 16);
    norn_value *y = norn_softmax(g, dense(g, norn_flatten(g, h), "fc", 64, 10), 1);
    CHECK(norn_graph_output(g, "probabilities", y)); /* the first error of any builder would show here */
    for (size_t i = 0; i < norn_graph_node_count(g); i++) {
        norn_node_info info;
        CHECK(norn_graph_node_at(g, i, &info));
        printf("%-9s %s\n", info.op, info.output_type);
    }
    CHECK(norn_model_new(g, &m));
    CHECK(norn_model_save(m, argc > 1 ? argv[1] : "modules.onnx", NULL));
    norn_model_free(m);
    return 0;
}
