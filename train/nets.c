/* SPDX-License-Identifier: Apache-2.0 */
/* Networks by name, with fresh weights. Initial values as PyTorch's layers have them: convolution and linear weights and
 * biases uniform in +-1/sqrt(fan-in) (kaiming_uniform with a = sqrt 5); in ResNet convolutions are normal with variance
 * 2/fan-out (He et al., "Delving deep into rectifiers", 2015, as torchvision does); normalisation scale 1, shift 0. */
#include "base/philox.h"
#include "ops/ir.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    norn_graph *g;
    norni_philox_stream random;
    int64_t c, h, w, classes; /* shape of the value that is built on */
} net;

static double uniform(net *n) {
    return ((double)(norni_philox_u32(&n->random) >> 8) + 0.5) / (1 << 24);
}

static double normal(net *n) { /* Box and Muller, 1958 */
    double u = uniform(n), v = uniform(n);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

typedef enum { FILL_UNIFORM, FILL_NORMAL, FILL_CONSTANT } fill;

static norn_value *parameter(net *n, const char *layer, const char *what, int rank, const int64_t *dims,
                             fill how, double a) {
    char name[128];
    norn_tensor *t;
    if (n->g->status != NORN_OK)
        return NULL;
    snprintf(name, sizeof name, "%s.%s", layer, what);
    norn_status s = norni_tensor_host(NORN_F32, rank, dims, &t);
    if (s != NORN_OK)
        return norni_graph_failed(n->g, norni_prefix(s, "%s", name));
    for (int64_t i = 0, count = norni_tensor_elems(t); i < count; i++)
        norni_set_double(NORN_F32, norni_tensor_data(t), i,
                         how == FILL_UNIFORM  ? a * (2 * uniform(n) - 1)
                         : how == FILL_NORMAL ? a * normal(n)
                                              : a);
    return norni_value_const(n->g, name, t);
}

static norn_value *linear(net *n, norn_value *x, const char *name, int64_t in, int64_t out) {
    double a = 1 / sqrt((double)in);
    norn_value *w = parameter(n, name, "weight", 2, (int64_t[]){out, in}, FILL_UNIFORM, a);
    norn_value *b = parameter(n, name, "bias", 1, &out, FILL_UNIFORM, a);
    return norn_linear(n->g, x, w, b);
}

static norn_value *conv(net *n, norn_value *x, const char *name, int64_t out, int k, int stride, bool plain) {
    int pad = k / 2;
    const int64_t dims[] = {out, n->c, k, k};
    double a = plain ? 1 / sqrt((double)(n->c * k * k)) : sqrt(2.0 / (double)(out * k * k));
    norn_value *w = parameter(n, name, "weight", 4, dims, plain ? FILL_UNIFORM : FILL_NORMAL, a);
    norn_value *b = plain ? parameter(n, name, "bias", 1, &out, FILL_UNIFORM, a) : NULL;
    n->c = out;
    n->h = (n->h + 2 * pad - k) / stride + 1;
    n->w = (n->w + 2 * pad - k) / stride + 1;
    char attributes[128];
    snprintf(attributes, sizeof attributes, "kernel_shape=[%d,%d], pads=[%d,%d,%d,%d], strides=[%d,%d]", k, k,
             pad, pad, pad, pad, stride, stride);
    return norn_conv(n->g, x, w, b, attributes);
}

static norn_value *batch_norm(net *n, norn_value *x, const char *name) {
    norn_value *in[] = {x, parameter(n, name, "weight", 1, &n->c, FILL_CONSTANT, 1),
                        parameter(n, name, "bias", 1, &n->c, FILL_CONSTANT, 0),
                        parameter(n, name, "running_mean", 1, &n->c, FILL_CONSTANT, 0),
                        parameter(n, name, "running_var", 1, &n->c, FILL_CONSTANT, 1)};
    return norni_opf(n->g, 5, in, "BatchNormalization");
}

static norn_value *pool(net *n, norn_value *x) {
    n->h /= 2;
    n->w /= 2;
    return norn_max_pool(n->g, x, "kernel_shape=[2,2], strides=[2,2]");
}

/* ---- The networks. */
static norn_value *mlp(net *n, norn_value *x) {
    int64_t in = n->c * n->h * n->w;
    x = norn_flatten(n->g, x);
    x = norn_relu(n->g, linear(n, x, "fc1", in, 256));
    x = norn_relu(n->g, linear(n, x, "fc2", 256, 128));
    return linear(n, x, "fc3", 128, n->classes);
}

/* LeNet-5's plan with today's parts: padded 5x5 convolutions, ReLU, max pooling. */
static norn_value *lenet(net *n, norn_value *x) {
    x = pool(n, norn_relu(n->g, conv(n, x, "conv1", 16, 5, 1, true)));
    x = pool(n, norn_relu(n->g, conv(n, x, "conv2", 32, 5, 1, true)));
    int64_t in = n->c * n->h * n->w;
    x = norn_relu(n->g, linear(n, norn_flatten(n->g, x), "fc1", in, 120));
    x = norn_relu(n->g, linear(n, x, "fc2", 120, 84));
    return linear(n, x, "fc3", 84, n->classes);
}

static norn_value *basic_block(net *n, norn_value *x, const char *name, int64_t out, int stride) {
    char layer[64];
    int64_t c = n->c, h = n->h, w = n->w;
    norn_value *shortcut = x;
    snprintf(layer, sizeof layer, "%s.conv1", name);
    norn_value *y = conv(n, x, layer, out, 3, stride, false);
    snprintf(layer, sizeof layer, "%s.bn1", name);
    y = norn_relu(n->g, batch_norm(n, y, layer));
    snprintf(layer, sizeof layer, "%s.conv2", name);
    y = conv(n, y, layer, out, 3, 1, false);
    snprintf(layer, sizeof layer, "%s.bn2", name);
    y = batch_norm(n, y, layer);
    if (stride != 1 || c != out) {
        net branch = *n;
        branch.c = c;
        branch.h = h;
        branch.w = w;
        snprintf(layer, sizeof layer, "%s.downsample.0", name);
        shortcut = conv(&branch, x, layer, out, 1, stride, false);
        snprintf(layer, sizeof layer, "%s.downsample.1", name);
        shortcut = batch_norm(&branch, shortcut, layer);
        n->random = branch.random;
    }
    return norn_relu(n->g, norn_add(n->g, y, shortcut));
}

/* He et al., "Deep residual learning for image recognition", 2015; pictures below 64 pixels get the 3x3 stem without
 * pooling that the paper uses for CIFAR. */
static norn_value *resnet18(net *n, norn_value *x) {
    bool small = n->h < 64 || n->w < 64;
    x = norn_relu(n->g, batch_norm(n, conv(n, x, "conv1", 64, small ? 3 : 7, small ? 1 : 2, false), "bn1"));
    if (!small) {
        x = norn_max_pool(n->g, x, "kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]");
        n->h = (n->h - 1) / 2 + 1;
        n->w = (n->w - 1) / 2 + 1;
    }
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < 2; block++) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, block);
            x = basic_block(n, x, name, (int64_t)64 << stage, stage && !block ? 2 : 1);
        }
    return linear(n, norn_flatten(n->g, norn_global_average_pool(n->g, x)), "fc", 512, n->classes);
}

static const struct {
    const char *name, *doc;
    norn_value *(*build)(net *, norn_value *);
    int least; /* smallest picture */
    bool any_shape;
} nets[] = {
    {"lenet", "two convolutions and three dense layers, for small pictures", lenet, 4, false},
    {"mlp", "two hidden layers of 256 and 128 units, for any data", mlp, 1, true},
    {"resnet18", "ResNet-18; with a 3x3 stem for pictures below 64 pixels", resnet18, 8, false},
};

size_t norn_builtin_count(void) {
    return sizeof nets / sizeof *nets;
}
const char *norn_builtin_name(size_t i) {
    return i < norn_builtin_count() ? nets[i].name : NULL;
}
const char *norn_builtin_doc(size_t i) {
    return i < norn_builtin_count() ? nets[i].doc : NULL;
}

static norn_status build(size_t k, int rank, const int64_t *dims, int64_t classes, uint64_t seed,
                         norn_graph *g) {
    net n = {.g = g, .c = 1, .h = 1, .w = 1, .classes = classes};
    char shape[128];
    if (classes < 1 || norni_elems(rank, dims) < 1 || rank > NORN_MAX_RANK - 1)
        return norni_fail(NORN_SHAPE, "%s: samples %s, %lld outputs (wanted sizes above 0)", nets[k].name,
                          norni_shape_text(rank, dims, shape), (long long)classes);
    if (!nets[k].any_shape && rank != 2 && rank != 3)
        return norni_fail(NORN_SHAPE, "%s: samples have shape %s (wanted [H,W] or [C,H,W])", nets[k].name,
                          norni_shape_text(rank, dims, shape));
    norni_type in = {.dtype = NORN_F32, .rank = rank + 1};
    in.dims[0] = norni_dim_named(g, "N");
    memcpy(in.dims + 1, dims, (size_t)rank * sizeof *dims);
    if (!nets[k].any_shape && rank == 2) {
        in.rank = 4;
        in.dims[1] = 1;
        memcpy(in.dims + 2, dims, 2 * sizeof *dims);
    }
    for (int i = 1; i < in.rank; i++) /* any shape: all of it counts as width */
        if (nets[k].any_shape || i >= 3)
            n.w *= in.dims[i];
    if (!nets[k].any_shape) {
        n.c = in.dims[1];
        n.h = in.dims[2];
        if (n.h < nets[k].least || n.w < nets[k].least)
            return norni_fail(NORN_SHAPE, "%s: pictures of %lld x %lld (wanted at least %d x %d)",
                              nets[k].name, (long long)n.h, (long long)n.w, nets[k].least, nets[k].least);
    }
    norni_philox_begin(&n.random, seed, 0, NORNI_STREAM_INIT);
    norn_value *x = norni_value_input(g, "x", &in);
    return norn_graph_output(g, "scores", nets[k].build(&n, x));
}

norn_status norn_model_builtin(const char *name, int rank, const int64_t *dims, int64_t classes,
                               uint64_t seed, norn_model **out) {
    size_t k = 0;
    norn_graph *g;
    *out = NULL;
    while (k < norn_builtin_count() && strcmp(nets[k].name, name))
        k++;
    if (k == norn_builtin_count()) {
        norni_str names = {0};
        for (size_t i = 0; i < norn_builtin_count(); i++)
            norni_str_addf(&names, "%s%s", i ? ", " : "", nets[i].name);
        norn_status s =
            norni_fail(NORN_ARG, "no network is called '%s' (there are: %s)", name, names.s ? names.s : "");
        norni_str_free(&names);
        return s;
    }
    NORNI_TRY(norn_graph_new(name, &g));
    norn_status s = build(k, rank, dims, classes, seed, g);
    if (s == NORN_OK)
        return norn_model_new(g, out);
    norn_graph_free(g);
    return s;
}
