/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation of each sample over a channel (InstanceNormalization; Ulyanov et al., 2016) or over groups of channels
 * (GroupNormalization; Wu, He, 2018) of x [N, C, ...], with a scale and a bias [C].
 *
 *     y = (x - mean) / sqrt(var + epsilon) * scale + bias
 *
 * Sources: ONNX InstanceNormalization-22, GroupNormalization-21. Before opset 21 the latter had a scale and a bias for each
 * group. Statistics are computed in float (double for double), whatever stash_type says. */
#include "ops/norm.h"
#include "ops/rows.h"
#include <string.h>

typedef struct {
    int64_t num_groups;
    float epsilon;
    norn_dtype stash_type;
    norni_ints consumed_inputs; /* before opset 6: says nothing about the result */
} group_attrs;
enum { X, SCALE, BIAS };

static norni_norm_attrs attrs_of(const norn_node *node) {
    const group_attrs *a = node->attrs;
    return (norni_norm_attrs){1, *node->op->name == 'G' ? a->num_groups : 0, 1, a->epsilon};
}

static norn_status infer(norni_infer *c) {
    norni_norm_attrs a = attrs_of(c->node);
    const norni_type *x = norni_in_type(c, X);
    if (*c->node->op->name == 'G' && !norni_dtype_is_float(((const group_attrs *)c->attrs)->stash_type))
        return norni_fail(NORN_ARG, "stash_type is %s (wanted a floating-point type)",
                          norni_dtype_name(((const group_attrs *)c->attrs)->stash_type));
    NORNI_TRY(norni_norm_check(&a, x));
    for (int i = SCALE; i <= BIAS; i++) {
        const norni_type *v = norni_in_type(c, i);
        const char *name = norni_op_input(c->node->op, i)->name;
        if (v->rank < 0)
            continue;
        if (v->rank != 1)
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted 1)", name, v->rank);
        if (x->rank >= 0 && v->dims[0] >= 0 && x->dims[1] >= 0 && v->dims[0] != x->dims[1])
            return norni_fail(NORN_SHAPE, "'%s' has %lld elements (wanted %lld, one a channel)", name,
                              (long long)v->dims[0], (long long)x->dims[1]);
    }
    c->out[0] = *x;
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    norni_norm_attrs a = attrs_of(e->node);
    return norni_norm_eval(&a, e->in[X], e->in[SCALE], e->in[BIAS], e->out[0], NULL, NULL);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norni_norm_attrs a = attrs_of(node);
    out[0] = norni_opf(g, 3, node->in, "norn.Normalize<groups=%lld, epsilon=%.9g>", (long long)a.groups,
                       (double)a.epsilon);
    return norn_graph_status(g);
}

/* Before opset 21: each element of v [groups] for C / groups channels. */
static norn_value *repeat(norn_graph *g, norn_value *v, int64_t groups, int64_t each) {
    norn_value *column = NORNI_OP2(g, v, norni_i64_const(g, 2, (int64_t[]){groups, 1}), "Reshape");
    norn_value *wide = NORNI_OP2(g, column, norni_i64_const(g, 2, (int64_t[]){groups, each}), "Expand");
    return NORNI_OP2(g, wide, norni_i64_const(g, 1, (int64_t[]){groups * each}), "Reshape");
}

static norn_status raise(norni_adapt *a) {
    const group_attrs *at = a->node->attrs;
    norn_value **in = a->node->in;
    if (a->version >= 21 || a->node->n_in != 3 || !in[X] || !in[SCALE] || !in[BIAS])
        return NORN_OK;
    if (in[X]->type.rank < 2 || in[X]->type.dims[1] < 0)
        return norni_fail(NORN_UNSUPPORTED, "the number of channels is not known (wanted: it is)");
    if (at->num_groups < 1 || in[X]->type.dims[1] % at->num_groups)
        return norni_fail(NORN_SHAPE, "%lld channels are not divisible into %lld groups",
                          (long long)in[X]->type.dims[1], (long long)at->num_groups);
    for (int i = SCALE; i <= BIAS; i++) {
        if (in[i]->type.rank != 1 || in[i]->type.dims[0] != at->num_groups)
            return norni_fail(NORN_SHAPE, "'%s' does not have %lld elements, one a group (opset 18)",
                              norni_op_input(a->node->op, i)->name, (long long)at->num_groups);
        in[i] = repeat(a->g, in[i], at->num_groups, in[X]->type.dims[1] / at->num_groups);
    }
    return a->g->status;
}

/* A group's channels get one scale and bias, those of the channels come behind. */
static norn_status lower(norni_adapt *a) {
    const group_attrs *at = a->node->attrs;
    norn_value *x = a->node->in[X];
    if (a->version >= 21)
        return NORN_OK;
    if (x->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known");
    norni_type vector = {.dtype = x->type.dtype, .rank = 1, .dims = {at->num_groups}};
    norn_value *one = norni_fill_const(a->g, &vector, 1), *zero = norni_fill_const(a->g, &vector, 0);
    norn_value *v = norni_norm_view(a->g, &(norni_norm_attrs){1, at->num_groups, 1, 0}, x, x->type.dtype);
    v = NORNI_OP3(a->g, v, one, zero, "InstanceNormalization<epsilon=%.9g>", (double)at->epsilon);
    v = norni_norm_unview(a->g, &(norni_norm_attrs){1, at->num_groups, 1, 0}, v, x);
    v = NORNI_OP2(a->g, v, norni_along_channels(a->g, a->node->in[SCALE], x->type.rank), "Mul");
    a->out[0] = NORNI_OP2(a->g, v, norni_along_channels(a->g, a->node->in[BIAS], x->type.rank), "Add");
    a->replaced = true;
    return norn_graph_status(a->g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 7.0 * (double)norni_type_elems(&node->in[X]->type);
}

static const norni_attr instance_table[] = {
    NORNI_A_FLOAT(group_attrs, epsilon, 1e-5f),
    NORNI_A(group_attrs, consumed_inputs, INTS, .flags = NORNI_ATTR_OLD, .since = 6), NORNI_A_END};
static const norni_attr group_table[] = {
    NORNI_A_INT(group_attrs, num_groups, 1, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX),
    NORNI_A_FLOAT(group_attrs, epsilon, 1e-5f),
    NORNI_A(group_attrs, stash_type, DTYPE, .def_int = NORN_F32, .since = 21), NORNI_A_END};

const norn_op norni_op_InstanceNormalization = {
    .domain = "",
    .name = "InstanceNormalization",
    .versions = (const int[]){1, 6, 22, 0},
    .doc =
        "each channel of each sample minus its mean, divided by its standard deviation, times scale, plus B",
    .inputs =
        PARAMS({"input", 0, NORNI_FLOATS, 'T'}, {"scale", 0, NORNI_FLOATS, 'T'}, {"B", 0, NORNI_FLOATS, 'T'}),
    .outputs = PARAMS({"output", 0, NORNI_FLOATS, 'T'}),
    .attrs_bytes = sizeof(group_attrs),
    .attrs = instance_table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cost = cost,
    .cases = (const char *const[]){"InstanceNormalization(float[2,3,4,5], float[3], float[3])",
                                   "InstanceNormalization<epsilon=0.1>(float[2,3,37], float[3], float[3])",
                                   "InstanceNormalization(float[1,2,3,4,5], float[2], float[2])",
                                   "InstanceNormalization(float[0,3,4], float[3], float[3])", NULL},
};

const norn_op norni_op_GroupNormalization = {
    .domain = "",
    .name = "GroupNormalization",
    .versions = (const int[]){18, 21, 0},
    .doc = "groups of channels of each sample minus their mean, divided by their standard deviation, times "
           "scale, plus "
           "bias",
    .inputs =
        PARAMS({"X", 0, NORNI_FLOATS, 'T'}, {"scale", 0, NORNI_FLOATS, 'T'}, {"bias", 0, NORNI_FLOATS, 'T'}),
    .outputs = PARAMS({"Y", 0, NORNI_FLOATS, 'T'}),
    .attrs_bytes = sizeof(group_attrs),
    .attrs = group_table,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cost = cost,
    .cases =
        (const char *const[]){
            "GroupNormalization<num_groups=2>(float[2,4,5,3], float[4], float[4])",
            "GroupNormalization<num_groups=3, epsilon=0.1>(float[3,12], float[12], float[12])",
            "GroupNormalization<num_groups=1>(float[1,6,17], float[6], float[6])",
            "GroupNormalization<num_groups=4, stash_type=11>(float[2,4,9], float[4], float[4])", NULL},
};
