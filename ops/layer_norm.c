/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation over the last axes, from `axis` on.
 *
 *     LayerNormalization       y = (x - mean) / sqrt(var + epsilon) * scale + b                          (Ba et al., 2016)
 *     RMSNormalization         y = x / sqrt(mean x^2 + epsilon) * scale                           (Zhang, Sennrich, 2019)
 *     SkipLayerNormalization, SkipSimplifiedLayerNormalization   the same of input + skip + bias over the last axis
 *
 * Sources: ONNX LayerNormalization-17, RMSNormalization-23; the contrib operators of ONNX Runtime. Scale and b broadcast
 * to x. They all stand for norn.Normalize (ops/norm.h), with scale and b inside where they do not vary from row to row.
 * Statistics are computed in float (double for double), whatever stash_type says of the type of the outputs Mean and
 * InvStdDev. */
#include "ops/norm.h"
#include "ops/rows.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t axis;
    float epsilon;
    norn_dtype stash_type;
} layer_attrs;

/* Which input is what; -1: there is none. */
typedef struct {
    int scale, b, skip, bias; /* inputs */
    int mean, inv, sum;       /* outputs */
    bool centered;
} form;
static const form layer = {1, 2, -1, -1, 1, 2, -1, true}, rms = {1, -1, -1, -1, -1, -1, -1, false},
                  skip_layer = {2, 3, 1, 4, 1, 2, 3, true}, skip_rms = {2, -1, 1, 3, 1, 2, 3, false};

static const form *form_of(const norn_op *op) {
    bool skip = !strncmp(op->name, "Skip", 4);
    return strstr(op->name, "Layer") && !strstr(op->name, "Simplified") ? (skip ? &skip_layer : &layer)
                                                                        : (skip ? &skip_rms : &rms);
}
static bool has(const norn_node *node, int i) {
    return i >= 0 && i < node->n_in && node->in[i];
}
static bool wants(const norn_node *node, int k) {
    return k >= 0 && k < node->n_out && node->out[k];
}

/* ---- Shapes. */
static norn_status infer(norni_infer *c) {
    const form *f = form_of(c->node->op);
    const layer_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    int axis = 0;
    if (f->skip < 0 && !norni_dtype_is_float(a->stash_type))
        return norni_fail(NORN_ARG, "stash_type is %s (wanted a floating-point type)",
                          norni_dtype_name(a->stash_type));
    if (x->rank >= 0)
        NORNI_TRY(norni_axis(f->skip < 0 ? a->axis : -1, x->rank, &axis));
    for (int i = 1; i < c->node->n_in && x->rank >= 0; i++) {
        if (!norni_in_has(c, i) || norni_in_type(c, i)->rank < 0)
            continue;
        norni_type y = *x;
        const norni_type *v = norni_in_type(c, i);
        bool wider = v->rank > x->rank;
        for (int k = 0; k < v->rank && !wider; k++) {
            norni_dim d = x->dims[x->rank - v->rank + k];
            wider = d >= 0 && v->dims[k] >= 0 && v->dims[k] != 1 && d == 1;
        }
        if (wider)
            return norni_fail(NORN_SHAPE, "'%s' does not broadcast to the shape of the input",
                              norni_op_input(c->node->op, i)->name);
        NORNI_TRY(norni_broadcast(c->g, &y, v));
    }
    norn_dtype y_type = c->out[0].dtype;
    c->out[0] = *x;
    c->out[0].dtype = y_type;
    for (int k = 1; k < c->node->n_out; k++) {
        c->out[k] = *x;
        if (k == f->sum)
            continue;
        c->out[k].dtype = f->skip < 0 ? a->stash_type : NORN_F32;
        for (int i = axis; i < x->rank; i++)
            c->out[k].dims[i] = 1;
        if (wants(c->node, k) && c->out[k].dtype != NORN_F32 && c->out[k].dtype != NORN_BF16)
            return norni_fail(NORN_ARG, "stash_type is %s (wanted float or bfloat16 for output '%s')",
                              norni_dtype_name(a->stash_type), norni_op_output(c->node->op, k)->name);
    }
    return NORN_OK;
}

/* ---- Host reference. */
/* Element `flat` of a shape, of v that broadcasts to it. */
static double broadcast_get(const norn_tensor *v, int rank, const int64_t *dims, int64_t flat) {
    int64_t at = 0, step = 1;
    for (int k = rank - 1, i = v->rank - 1; i >= 0; k--, i--) {
        if (v->dims[i] != 1)
            at += flat % dims[k] * step;
        step *= v->dims[i];
        flat /= dims[k];
    }
    return norni_get_double(v->dtype, norni_tensor_data(v), at);
}
static void put(const norni_eval *e, int k, int64_t i, double v) {
    if (wants(e->node, k))
        norni_set_double(e->out[k]->dtype, norni_tensor_data(e->out[k]), i, v);
}

static norn_status eval(norni_eval *e) {
    const form *f = form_of(e->node->op);
    const layer_attrs *a = e->attrs;
    const norn_tensor *x = e->in[0];
    int axis;
    NORNI_TRY(norni_axis(f->skip < 0 ? a->axis : -1, x->rank, &axis));
    int64_t r = norni_elems(x->rank - axis, x->dims + axis), rows = norni_elems(axis, x->dims);
    double *row = norni_alloc_array((size_t)r + 1, sizeof *row);
    if (!row)
        return norni_nomem();
    for (int64_t q = 0; q < rows; q++) {
        double m = 0, v = 0;
        for (int64_t i = 0; i < r; i++) {
            int64_t at = q * r + i;
            row[i] = norni_get_double(x->dtype, norni_tensor_data(x), at);
            if (has(e->node, f->skip))
                row[i] += broadcast_get(e->in[f->skip], x->rank, x->dims, at);
            if (has(e->node, f->bias))
                row[i] += broadcast_get(e->in[f->bias], x->rank, x->dims, at);
            put(e, f->sum, at, row[i]);
            m += f->centered ? row[i] / (double)r : 0;
        }
        for (int64_t i = 0; i < r; i++)
            v += (row[i] - m) * (row[i] - m) / (double)r;
        double inv = 1 / sqrt(v + (double)a->epsilon);
        for (int64_t i = 0; i < r; i++) {
            int64_t at = q * r + i;
            double y = (row[i] - m) * inv * broadcast_get(e->in[f->scale], x->rank, x->dims, at);
            put(e, 0, at, y + (has(e->node, f->b) ? broadcast_get(e->in[f->b], x->rank, x->dims, at) : 0));
        }
        put(e, f->mean, q, r ? m : (double)NAN);
        put(e, f->inv, q, r ? inv : (double)NAN);
    }
    norni_free(row);
    return NORN_OK;
}

/* ---- By norn.Normalize. */
/* v in the shape of a row; NULL where it varies from row to row, or where that is not known. */
static norn_value *for_rows(norn_graph *g, norn_value *v, const norni_type *x, int axis) {
    int rank = x->rank - axis;
    const norni_type *t = &v->type;
    if (t->rank < 0)
        return NULL;
    int lead = t->rank - rank;
    bool same = lead == 0, row_static = true;
    for (int i = 0; i < rank; i++) {
        same &= lead == 0 && t->dims[i] == x->dims[axis + i];
        row_static &= x->dims[axis + i] >= 0;
    }
    for (int i = 0; i < lead; i++)
        if (t->dims[i] != 1)
            return NULL;
    if (same)
        return v;
    if (!row_static)
        return NULL;
    norn_value *shape = norni_i64_const(g, rank, x->dims + axis);
    if (lead > 0) {
        int64_t axes[NORN_MAX_RANK];
        for (int i = 0; i < lead; i++)
            axes[i] = i;
        v = NORNI_OP2(g, v, norni_i64_const(g, lead, axes), "Squeeze");
    }
    return NORNI_OP2(g, v, shape, "Expand");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const form *f = form_of(node->op);
    const layer_attrs *a = node->attrs;
    norn_value *x = node->in[0], *scale = node->in[f->scale], *b = has(node, f->b) ? node->in[f->b] : NULL;
    int axis;
    if (x->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "%s: the rank is not known", node->op->name);
    NORNI_TRY(norni_axis(f->skip < 0 ? a->axis : -1, x->type.rank, &axis));
    if (has(node, f->skip))
        x = NORNI_OP2(g, x, node->in[f->skip], "Add");
    if (has(node, f->bias))
        x = NORNI_OP2(g, x, node->in[f->bias], "Add");
    if (!x)
        return norn_graph_status(g);
    if (norni_dtype_bits(scale->type.dtype) > norni_dtype_bits(x->type.dtype)) /* RMSNormalization only */
        x = norni_cast(g, x, scale->type.dtype);
    if (wants(node, f->sum))
        out[f->sum] = has(node, f->skip) || has(node, f->bias) ? x : NORNI_OP1(g, x, "Identity");
    norn_value *row_scale = scale->type.dtype == x->type.dtype ? for_rows(g, scale, &x->type, axis) : NULL,
               *row_b = row_scale && b ? for_rows(g, b, &x->type, axis) : NULL;
    NORNI_TRY(norn_graph_status(g));
    norn_value *in[] = {x, row_scale ? row_scale : NORNI_NONE, row_b ? row_b : NORNI_NONE};
    unsigned wanted = 1u | (unsigned)wants(node, f->mean) << 1 | (unsigned)wants(node, f->inv) << 2;
    norn_node *n = norni_opf_node(g, wanted, 3, in, "norn.Normalize<axis=%d, centered=%d, epsilon=%.9g>",
                                  axis, f->centered, (double)a->epsilon);
    if (!n)
        return norn_graph_status(g);
    norn_value *y = n->out[0];
    if (!row_scale)
        y = NORNI_OP2(g, norni_cast(g, y, scale->type.dtype), scale, "Mul");
    if (b && !row_b)
        y = NORNI_OP2(g, y, b, "Add");
    out[0] = y;
    for (int k = 0; k < 2; k++) {
        int at = k ? f->inv : f->mean;
        if (wants(node, at))
            out[at] = norni_cast(g, n->out[1 + k], node->out[at]->type.dtype);
    }
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 7.0 * (double)norni_type_elems(&node->in[0]->type);
}

#define STATS (NORNI_T(NORN_F32) | NORNI_T(NORN_BF16))
static const norni_attr table[] = {NORNI_A_INT(layer_attrs, axis, -1),
                                   NORNI_A_FLOAT(layer_attrs, epsilon, 1e-5f),
                                   NORNI_A(layer_attrs, stash_type, DTYPE, .def_int = NORN_F32), NORNI_A_END};
static const norni_attr skip_table[] = {NORNI_A_FLOAT(layer_attrs, epsilon, 1e-12f), NORNI_A_END};

#define LAYER(id, space, since, text, ins, outs, rows, ...)                                                  \
    const norn_op norni_op_##id = {.domain = space,                                                          \
                                   .name = #id,                                                              \
                                   .versions = (const int[]){since, 0},                                      \
                                   .doc = text,                                                              \
                                   .inputs = ins,                                                            \
                                   .outputs = outs,                                                          \
                                   .attrs_bytes = sizeof(layer_attrs),                                       \
                                   .attrs = rows,                                                            \
                                   .infer = infer,                                                           \
                                   .expand = expand,                                                         \
                                   .eval = eval,                                                             \
                                   .cost = cost,                                                             \
                                   .cases = (const char *const[]){__VA_ARGS__, NULL}}

LAYER(LayerNormalization, "", 17,
      "x minus its mean over the last axes, divided by the standard deviation, times scale, plus b",
      PARAMS({"X", 0, NORNI_FLOATS, 'T'}, {"Scale", 0, NORNI_FLOATS, 'T'},
             {"B", NORNI_OPT, NORNI_FLOATS, 'T'}),
      PARAMS({"Y", 0, NORNI_FLOATS, 'T'}, {"Mean", NORNI_OPT, STATS, 0}, {"InvStdDev", NORNI_OPT, STATS, 0}),
      table, "LayerNormalization(float[3,17], float[17], float[17])",
      "LayerNormalization<axis=1, epsilon=0.1>(float[2,3,5], float[3,5], float[3,5]) => 3",
      "LayerNormalization<axis=0>(float[2,3], float[2,3])",
      "LayerNormalization<axis=-2>(float[4,3,5], float[5], float[3,1])",
      "LayerNormalization(float[2,3,8], float[3,1], float[2,1,8])",
      "LayerNormalization(float[2,3,8], float[1,1,8], float[])",
      "LayerNormalization<stash_type=16>(float[3,8], float[8]) => 3",
      "LayerNormalization(float[0,4], float[4], float[4])",
      "LayerNormalization(float[40,300], float[300], float[300])");

LAYER(RMSNormalization, "", 23, "x divided by its root mean square over the last axes, times scale",
      PARAMS({"X", 0, NORNI_FLOATS, 'T'}, {"scale", 0, NORNI_FLOATS, 'V'}),
      PARAMS({"Y", 0, NORNI_FLOATS, 'V'}), table, "RMSNormalization(float[3,17], float[17])",
      "RMSNormalization<axis=1, epsilon=0.1>(float[2,3,5], float[3,5])",
      "RMSNormalization<axis=0>(float[2,3], float[1])", "RMSNormalization(bfloat16[2,3,8], float16[8])",
      "RMSNormalization<stash_type=11>(float[2,3,8], float[2,1,8])",
      "RMSNormalization(float[40,300], float[300])");

LAYER(SkipLayerNormalization, "com.microsoft", 1,
      "LayerNormalization of input + skip + bias over the last axis",
      PARAMS({"input", 0, NORNI_FLOATS, 'T'}, {"skip", 0, NORNI_FLOATS, 'T'}, {"gamma", 0, NORNI_FLOATS, 'T'},
             {"beta", NORNI_OPT, NORNI_FLOATS, 'T'}, {"bias", NORNI_OPT, NORNI_FLOATS, 'T'}),
      PARAMS({"output", 0, NORNI_FLOATS, 'T'}, {"mean", NORNI_OPT, NORNI_T(NORN_F32), 0},
             {"inv_std_var", NORNI_OPT, NORNI_T(NORN_F32), 0},
             {"input_skip_bias_sum", NORNI_OPT, NORNI_FLOATS, 'T'}),
      skip_table,
      "com.microsoft.SkipLayerNormalization(float[2,3,17], float[2,3,17], float[17], float[17], float[17])",
      "com.microsoft.SkipLayerNormalization<epsilon=0.1>(float[2,3,8], float[3,8], float[8]) => 4");

LAYER(SkipSimplifiedLayerNormalization, "com.microsoft", 1,
      "RMSNormalization of input + skip + bias over the last axis",
      PARAMS({"input", 0, NORNI_FLOATS, 'T'}, {"skip", 0, NORNI_FLOATS, 'T'}, {"gamma", 0, NORNI_FLOATS, 'T'},
             {"bias", NORNI_OPT, NORNI_FLOATS, 'T'}),
      PARAMS({"output", 0, NORNI_FLOATS, 'T'}, {"mean", NORNI_OPT, NORNI_T(NORN_F32), 0},
             {"inv_std_var", NORNI_OPT, NORNI_T(NORN_F32), 0},
             {"input_skip_bias_sum", NORNI_OPT, NORNI_FLOATS, 'T'}),
      skip_table,
      "com.microsoft.SkipSimplifiedLayerNormalization(float[2,3,17], float[2,3,17], float[17], float[17])",
      "com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.1>(float[2,3,8], float[3,8], float[8]) => 4");
