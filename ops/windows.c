/* SPDX-License-Identifier: Apache-2.0 */
/* HannWindow, HammingWindow, BlackmanWindow: w[n] = a - b cos(2 pi n / N) + c cos(4 pi n / N), N the size, or one less
 * when not periodic. MelWeightMatrix: triangles that are even on the mel scale, mel(f) = 2595 log10(1 + f / 700), as
 * columns over the bins of a onesided Fourier transform. Source: ONNX HannWindow-17, MelWeightMatrix-17. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t periodic;
    norn_dtype output_datatype;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, periodic, 1, .lo = 0, .hi = 1),
                                   NORNI_A(attrs, output_datatype, DTYPE, .def_int = NORN_F32), NORNI_A_END};
static const norni_attr mel_table[] = {NORNI_A(attrs, output_datatype, DTYPE, .def_int = NORN_F32),
                                       NORNI_A_END};

static norn_status infer_dtype(const norni_infer *c, norn_dtype *out) {
    *out = ((const attrs *)c->attrs)->output_datatype;
    if (!(NORNI_NUMBERS & NORNI_T(*out)))
        return norni_fail(NORN_DTYPE, "attribute 'output_datatype' is %s (wanted a number type)",
                          norni_dtype_name(*out));
    return NORN_OK;
}

static norn_status infer_scalars(const norni_infer *c) {
    for (int i = 0; i < c->node->n_in; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t->rank > 1 || (t->rank == 1 && t->dims[0] >= 0 && t->dims[0] != 1))
            return norni_fail(NORN_SHAPE, "%s has rank %d (wanted a scalar)",
                              norni_op_input(c->node->op, i)->name, t->rank);
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    int n;
    const norni_dim *d = norni_value_known(c->node->in[0], &n);
    NORNI_TRY(infer_scalars(c));
    c->out[0].rank = 1;
    c->out[0].dims[0] = d && n == 1 ? *d : norni_dim_fresh(c->g);
    return infer_dtype(c, &c->out[0].dtype);
}

static void factors(const norn_op *op, double f[3]) {
    static const double hann[] = {0.5, 0.5, 0}, hamming[] = {25.0 / 46, 21.0 / 46, 0},
                        blackman[] = {0.42, 0.5, 0.08};
    memcpy(f,
           !strcmp(op->name, "HannWindow")      ? hann
           : !strcmp(op->name, "HammingWindow") ? hamming
                                                : blackman,
           sizeof hann);
}

static void set_number(norn_tensor *t, int64_t i, double v) {
    if (norni_dtype_is_float(t->dtype))
        norni_set_double(t->dtype, norni_tensor_data(t), i, v);
    else
        norni_set_int(t->dtype, norni_tensor_data(t), i, isfinite(v) ? (int64_t)v : 0);
}

static norn_status eval(norni_eval *e) {
    double f[3];
    int64_t n = norni_tensor_elems(e->out[0]), size = ((const attrs *)e->attrs)->periodic ? n : n - 1;
    factors(e->node->op, f);
    for (int64_t i = 0; i < n; i++) {
        double angle = 6.28318530717958647692 * (double)i / (double)size;
        set_number(e->out[0], i, f[0] - f[1] * cos(angle) + f[2] * cos(2 * angle));
    }
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    double f[3];
    const attrs *a = node->attrs;
    norn_dtype t = a->output_datatype == NORN_F64 ? NORN_F64 : NORN_F32;
    factors(node->op, f);
    norn_value *n = NORNI_OP1(g, norni_cast(g, node->in[0], NORN_I64), "Squeeze");
    norn_value *i = norni_counted(g, n);
    norn_value *size =
        norni_cast(g, a->periodic ? n : NORNI_OP2(g, n, norni_scalar_const(g, NORN_I64, 1), "Sub"), t);
    static const char *const names[] = {"i", "n", "turn", "a", "b", "c"};
    norn_value *vars[] = {norni_cast(g, i, t),
                          size,
                          norni_scalar_const(g, t, 6.28318530717958647692),
                          norni_scalar_const(g, t, f[0]),
                          norni_scalar_const(g, t, f[1]),
                          norni_scalar_const(g, t, f[2])};
    norn_value *y = norni_formula(g, "a - b * cos(i / n * turn) + c * cos(i / n * turn * 2)", 6, names, vars);
    out[0] = norni_cast(g, y, a->output_datatype);
    return norn_graph_status(g);
}

#define WINDOW(OP, DOC)                                                                                      \
    const norn_op norni_op_##OP = {                                                                          \
        .domain = "",                                                                                        \
        .name = #OP,                                                                                         \
        .versions = (const int[]){17, 0},                                                                    \
        .doc = DOC,                                                                                          \
        .inputs = (const norni_param[]){{"size", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0}, {0}},           \
        .outputs = (const norni_param[]){{"output", 0, NORNI_NUMBERS, 0}, {0}},                              \
        .attrs_bytes = sizeof(attrs),                                                                        \
        .attrs = table,                                                                                      \
        .infer = infer,                                                                                      \
        .grad = norni_no_gradient,                                                                           \
        .expand = expand,                                                                                    \
        .eval = eval,                                                                                        \
        .cases = (const char *const[]){#OP "(int64[]{17})", #OP "<periodic=0>(int32[]{400})",                \
                                       #OP "<output_datatype=11>(int64[1]{1000})",                           \
                                       #OP "<output_datatype=10, periodic=0>(int64[]{9})",                   \
                                       #OP "<output_datatype=16>(int64[]{1})", #OP "(int64[]{0})",           \
                                       #OP "<output_datatype=6>(int64[]{10})", NULL},                        \
    }
WINDOW(HannWindow, "a Hann window: 0.5 - 0.5 cos(2 pi n / N)");
WINDOW(HammingWindow, "a Hamming window: 25/46 - 21/46 cos(2 pi n / N)");
WINDOW(BlackmanWindow, "a Blackman window: 0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)");

/* ---- MelWeightMatrix. */
enum { BINS, LENGTH, RATE, LOWER, UPPER };

static norn_status infer_mel(norni_infer *c) {
    int n;
    norni_type *y = &c->out[0];
    NORNI_TRY(infer_scalars(c));
    const norni_dim *bins = norni_value_known(c->node->in[BINS], &n),
                    *length = norni_value_known(c->node->in[LENGTH], &n);
    y->rank = 2;
    y->dims[0] = length ? norni_dim_add(c->g, norni_dim_div(c->g, *length, 2), 1) : norni_dim_fresh(c->g);
    y->dims[1] = bins ? *bins : norni_dim_fresh(c->g);
    return infer_dtype(c, &y->dtype);
}

static double number(const norni_eval *e, int i) {
    return norni_get_double(e->in[i]->dtype, norni_tensor_data(e->in[i]), 0);
}

static norn_status eval_mel(norni_eval *e) {
    norn_tensor *y = e->out[0];
    double length = number(e, LENGTH), rate = number(e, RATE), low = number(e, LOWER),
           high = number(e, UPPER);
    int64_t rows = y->dims[0], bins = y->dims[1];
    if (!(rate > 0) || !(low > -700) || !(high > -700))
        return norni_fail(NORN_ARG,
                          "sample rate %g, edges %g and %g (wanted a positive rate, and frequencies)", rate,
                          low, high);
    double from = 2595 * log1p(low / 700) / log(10), to = 2595 * log1p(high / 700) / log(10),
           step = (to - from) / (double)(bins + 2);
    int64_t at[3];
    for (int64_t b = 0; b < bins; b++) {
        for (int k = 0; k < 3; k++) { /* the bins of a triangle's left end, top and right end */
            double hertz = 700 * expm1(((double)(b + k) * step + from) / 2595 * log(10));
            at[k] = (int64_t)floor((length + 1) * hertz / rate);
            if (at[k] < 0 || at[k] >= rows)
                return norni_fail(NORN_ARG, "a band reaches to %g Hz, bin %lld (wanted 0 to %lld)", hertz,
                                  (long long)at[k], (long long)rows - 1);
        }
        if (at[1] == at[0])
            set_number(y, at[1] * bins + b, 1);
        for (int64_t j = at[0]; at[1] != at[0] && j <= at[1]; j++)
            set_number(y, j * bins + b, (double)(j - at[0]) / (double)(at[1] - at[0]));
        for (int64_t j = at[1]; j < at[2]; j++)
            set_number(y, j * bins + b, (double)(at[2] - j) / (double)(at[2] - at[1]));
    }
    return NORN_OK;
}

#define MEL_SIZE NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0
#define MEL_EDGE NORNI_NODIFF | NORNI_HOST, NORNI_FLOATS, 0
const norn_op norni_op_MelWeightMatrix = {
    .domain = "",
    .name = "MelWeightMatrix",
    .versions = (const int[]){17, 0},
    .doc = "weights that sum the bins of a spectrum into bands of the mel scale",
    .inputs = (const norni_param[]){{"num_mel_bins", MEL_SIZE},
                                    {"dft_length", MEL_SIZE},
                                    {"sample_rate", MEL_SIZE},
                                    {"lower_edge_hertz", MEL_EDGE},
                                    {"upper_edge_hertz", MEL_EDGE},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_NUMBERS, 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = mel_table,
    .infer = infer_mel,
    .grad = norni_no_gradient,
    .eval = eval_mel,
    .on_host = true,
    .cases =
        (const char *const[]){
            "MelWeightMatrix(int64[]{8}, int64[]{16}, int64[]{8192}, float[]{0}, float[]{4096})",
            "MelWeightMatrix<output_datatype=11>(int32[]{80}, int32[]{400}, int64[1]{16000}, "
            "double[]{20}, double[]{8000})",
            "MelWeightMatrix(int64[]{128}, int64[]{2048}, int64[]{22050}, float[]{0}, float[]{11025})",
            "MelWeightMatrix(int64[]{0}, int64[]{16}, int64[]{8192}, float[]{0}, float[]{4096})", NULL},
};
