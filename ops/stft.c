/* SPDX-License-Identifier: Apache-2.0 */
/* STFT: Fourier transforms of frames of a signal, `frame_step` apart, each times a window. Frames are gathered, so that
 * the transform is DFT's. Source: ONNX STFT-17. */
#include "ops/op.h"
#include <math.h>

typedef struct {
    int64_t onesided;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, onesided, 1, .lo = 0, .hi = 1), NORNI_A_END};

enum { SIGNAL, STEP, WINDOW, LENGTH };

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}

/* The scalar of input i as a size; false: not known. */
static bool scalar(const norn_node *node, int i, norni_dim *d) {
    int n;
    const norni_dim *v = has(node, i) ? norni_value_known(node->in[i], &n) : NULL;
    if (!v || n != 1)
        return false;
    *d = *v;
    return true;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, SIGNAL), *w = norni_in_type(c, WINDOW);
    norni_type *y = &c->out[0];
    norni_dim step, length = norni_dim_fresh(c->g), frames = norni_dim_fresh(c->g);
    bool onesided = ((const attrs *)c->attrs)->onesided;
    int64_t number, size;
    if (x->rank >= 0 && (x->rank != 3 || x->dims[2] == 0 || x->dims[2] > 2))
        return norni_fail(NORN_SHAPE,
                          "signal has rank %d%s (wanted 3: batch, time, and 1 or 2 for real or complex)",
                          x->rank, x->rank == 3 ? " and another last size" : "");
    if (w && w->rank >= 0 && w->rank != 1)
        return norni_fail(NORN_SHAPE, "window has rank %d (wanted 1)", w->rank);
    if (has(c->node, LENGTH))
        scalar(c->node, LENGTH, &length);
    else if (w ? w->rank == 1 : x->rank == 3)
        length = w ? w->dims[0] : x->dims[1];
    if (w && w->rank == 1 && w->dims[0] >= 0 && length >= 0 && w->dims[0] != length)
        return norni_fail(NORN_SHAPE, "window has %lld elements (wanted %lld, the frame's length)",
                          (long long)w->dims[0], (long long)length);
    if (norni_dim_number(c->g, length, &number) && number < 1)
        return norni_fail(NORN_SHAPE, "the frame's length is %lld (wanted at least 1)", (long long)number);
    if (scalar(c->node, STEP, &step)) {
        if (norni_dim_number(c->g, step, &number) && number < 1)
            return norni_fail(NORN_ARG, "frame_step is %lld (wanted at least 1)", (long long)number);
        if (x->rank == 3) {
            norni_dim rest = norni_dim_sub(c->g, x->dims[1], length);
            if (norni_dim_number(c->g, rest, &size) && size < 0)
                return norni_fail(NORN_SHAPE, "the signal is %lld shorter than a frame", (long long)-size);
            frames = norni_dim_add(c->g, norni_dim_div(c->g, rest, step), 1);
        }
    }
    *y = (norni_type){.dtype = x->dtype, .rank = 4};
    y->dims[0] = x->rank == 3 ? x->dims[0] : norni_dim_fresh(c->g);
    y->dims[1] = frames;
    y->dims[2] = onesided ? norni_dim_add(c->g, norni_dim_div(c->g, length, 2), 1) : length;
    y->dims[3] = 2;
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[SIGNAL], *y = e->out[0], *w = e->n_in > WINDOW ? e->in[WINDOW] : NULL;
    int64_t step = norni_get_int(e->in[STEP]->dtype, norni_tensor_data(e->in[STEP]), 0);
    int64_t parts = x->dims[2],
            n = e->n_in > LENGTH && e->in[LENGTH]
                    ? norni_get_int(e->in[LENGTH]->dtype, norni_tensor_data(e->in[LENGTH]), 0)
                : w ? w->dims[0]
                    : x->dims[1];
    for (int64_t i = 0, total = y->dims[0] * y->dims[1] * y->dims[2]; i < total; i++) {
        int64_t k = i % y->dims[2],
                from =
                    (i / (y->dims[2] * y->dims[1]) * x->dims[1] + i / y->dims[2] % y->dims[1] * step) * parts;
        double re = 0, im = 0;
        for (int64_t j = 0; j < n; j++) {
            double weight = w ? norni_get_double(w->dtype, norni_tensor_data(w), j) : 1;
            double a = norni_get_double(x->dtype, norni_tensor_data(x), from + j * parts) * weight;
            double b = parts == 2
                           ? norni_get_double(x->dtype, norni_tensor_data(x), from + j * parts + 1) * weight
                           : 0;
            double angle = -6.28318530717958647692 * (double)(j * k % n) / (double)n;
            re += a * cos(angle) - b * sin(angle);
            im += a * sin(angle) + b * cos(angle);
        }
        norni_set_double(y->dtype, norni_tensor_data(y), 2 * i, re);
        norni_set_double(y->dtype, norni_tensor_data(y), 2 * i + 1, im);
    }
    return NORN_OK;
}

/* An integer input as int64[1]. */
static norn_value *as_size(norn_graph *g, norn_value *v) {
    return NORNI_OP2(g, norni_cast(g, v, NORN_I64), norni_i64_const(g, 1, (int64_t[]){1}), "Reshape");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[SIGNAL], *w = has(node, WINDOW) ? node->in[WINDOW] : NULL;
    norn_value *one = norni_i64_const(g, 1, (int64_t[]){1});
    norn_value *size = norni_size_value(g, x, 1), *step = as_size(g, node->in[STEP]);
    norn_value *n = has(node, LENGTH) ? as_size(g, node->in[LENGTH]) : w ? norni_size_value(g, w, 0) : size;
    norn_value *frames = NORNI_OP2(g, NORNI_OP2(g, NORNI_OP2(g, size, n, "Sub"), step, "Div"), one, "Add");
    norn_value *starts = NORNI_OP2(g, norni_counted(g, frames), step, "Mul");
    norn_value *places = NORNI_OP2(g, NORNI_OP2(g, starts, one, "Unsqueeze"), norni_counted(g, n), "Add");
    norn_value *framed = NORNI_OP2(g, x, places, "Gather<axis=1>");
    if (w)
        framed = NORNI_OP2(g, framed, NORNI_OP2(g, w, one, "Unsqueeze"), "Mul");
    bool onesided = ((const attrs *)node->attrs)->onesided, real = x->type.rank == 3 && x->type.dims[2] == 1;
    out[0] = NORNI_OP3(g, framed, NORNI_NONE, norni_scalar_const(g, NORN_I64, 2), "DFT<onesided=%d>",
                       onesided && real);
    if (onesided && !real) {
        norn_value *half =
            NORNI_OP2(g, NORNI_OP2(g, n, norni_i64_const(g, 1, (int64_t[]){2}), "Div"), one, "Add");
        out[0] = norni_opf(g, 4,
                           (norn_value *[]){out[0], norni_i64_const(g, 1, (int64_t[]){0}), half,
                                            norni_i64_const(g, 1, (int64_t[]){2})},
                           "Slice");
    }
    return norn_graph_status(g);
}

const norn_op norni_op_STFT = {
    .domain = "",
    .name = "STFT",
    .versions = (const int[]){17, 0},
    .doc = "discrete Fourier transforms of frames of a signal",
    .inputs = (const norni_param[]){{"signal", 0, NORNI_FLOATS, 'T'},
                                    {"frame_step", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0},
                                    {"window", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {"frame_length", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cases =
        (const char *const[]){"STFT(float[2,60,1], int64[]{5}, float[16])",
                              "STFT<onesided=0>(float[1,33,2], int32[]{7}, float[9], int64[]{9})",
                              "STFT(float[2,31,1], int64[]{4}, _, int32[]{10})",
                              "STFT(float[1,12,1], int64[]{3})", "STFT(float[1,20,2], int64[]{6}, float[5])",
                              "STFT<onesided=0>(float[3,15,1], int64[1]{1}, float[15])", NULL},
};
