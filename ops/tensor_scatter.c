/* SPDX-License-Identifier: Apache-2.0 */
/* TensorScatter (ONNX TensorScatter-24): past_cache with update written over it along an axis, from write_indices[b] on in
 * sample b; mode circular goes on at the beginning. Position p of the result is update at p - write_indices[b] (circular: modulo
 * the size) where there is such an element, else past_cache. */
#include "ops/op.h"

typedef struct {
    int mode;
    int64_t axis;
} attrs_t;
static const char *const modes[] = {"linear", "circular", NULL};
static const norni_attr table[] = {NORNI_A_ENUM(attrs_t, mode, modes, 0), NORNI_A_INT(attrs_t, axis, -2),
                                   NORNI_A_END};
enum { PAST, UPDATE, AT };

static bool has_at(const norn_node *node) {
    return node->n_in > AT && node->in[AT];
}

#define TYPES (NORNI_ALL & ~(NORNI_T(NORN_U2) | NORNI_T(NORN_I2)))

static norn_status infer(norni_infer *c) {
    const norni_type *p = norni_in_type(c, PAST), *u = norni_in_type(c, UPDATE);
    int axis;
    c->out[0] = *p;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_axis(((const attrs_t *)c->attrs)->axis, p->rank, &axis));
    if (axis == 0)
        return norni_fail(NORN_SHAPE, "axis 0 (wanted an axis behind the batch)");
    if (u->rank != p->rank)
        return norni_fail(NORN_SHAPE, "update has rank %d (wanted %d)", u->rank, p->rank);
    for (int i = 0; i < p->rank; i++)
        if (p->dims[i] >= 0 && u->dims[i] >= 0 &&
            (i == axis ? u->dims[i] > p->dims[i] : u->dims[i] != p->dims[i]))
            return norni_fail(NORN_SHAPE, "update has size %lld in dimension %d (wanted %s%lld)",
                              (long long)u->dims[i], i, i == axis ? "at most " : "", (long long)p->dims[i]);
    if (has_at(c->node) && norni_in_type(c, AT)->rank >= 0 && norni_in_type(c, AT)->rank != 1)
        return norni_fail(NORN_SHAPE, "write_indices has rank %d (wanted 1)", norni_in_type(c, AT)->rank);
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    const attrs_t *a = node->attrs;
    int axis;
    if (i != AT)
        return NORN_OK;
    NORNI_TRY(norni_axis(a->axis, node->in[PAST]->type.rank, &axis));
    int64_t most = node->in[PAST]->type.dims[axis] - node->in[UPDATE]->type.dims[axis];
    for (int64_t k = 0; k < norni_tensor_elems(t); k++) {
        int64_t v = norni_get_int(t->dtype, norni_tensor_data(t), k);
        if (v < 0 || (!a->mode && v > most))
            return norni_fail(NORN_ARG, "write_indices: element %lld is %lld (wanted 0 to %lld)",
                              (long long)k, (long long)v, a->mode ? (long long)INT64_MAX : (long long)most);
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const attrs_t *a = e->attrs;
    const norn_tensor *p = e->in[PAST], *u = e->in[UPDATE];
    int axis;
    NORNI_TRY(norni_axis(a->axis, p->rank, &axis));
    int64_t inner = norni_elems(p->rank - axis - 1, p->dims + axis + 1), n = p->dims[axis], m = u->dims[axis];
    int64_t each = norni_elems(axis - 1, p->dims + 1);
    for (int64_t i = 0; i < norni_tensor_elems(p); i++) {
        int64_t outer = i / inner / n, at = i / inner % n;
        int64_t from =
            has_at(e->node) ? norni_get_int(NORN_I64, norni_tensor_data(e->in[AT]), outer / each) : 0;
        int64_t k = at - from;
        if (a->mode)
            k = (k % n + n) % n;
        bool hit = k >= 0 && k < m;
        norni_scalar_set(p->dtype, norni_tensor_data(e->out[0]), i,
                         norni_scalar_get(p->dtype, norni_tensor_data(hit ? u : p),
                                          hit ? (outer * m + k) * inner + i % inner : i));
    }
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    if (norni_moves_small(node))
        return norni_expand_small(g, node, node->in, out);
    const attrs_t *a = node->attrs;
    norn_value *p = node->in[PAST], *u = node->in[UPDATE];
    int axis, rank = p->type.rank;
    if (rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "TensorScatter: the rank is not known");
    NORNI_TRY(norni_axis(a->axis, rank, &axis));
    if (u->type.dims[axis] == 0) {
        out[0] = NORNI_OP1(g, p, "Identity");
        return norn_graph_status(g);
    }
    norn_value *zero = norni_scalar_const(g, NORN_I64, 0);
    norn_value *scalar = norni_i64_const(g, 0, NULL),
               *n = NORNI_OP2(g, norni_size_value(g, p, axis), scalar, "Reshape"),
               *m = NORNI_OP2(g, norni_size_value(g, u, axis), scalar, "Reshape");
    int64_t shape[NORN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        shape[i] = i == axis ? -1 : 1;
    norn_value *k = NORNI_OP2(g, norni_counted(g, n), norni_i64_const(g, rank, shape), "Reshape");
    for (int i = 0; i < rank; i++)
        shape[i] = i == 0 ? -1 : 1;
    if (has_at(node))
        k = NORNI_OP2(g, k, NORNI_OP2(g, node->in[AT], norni_i64_const(g, rank, shape), "Reshape"), "Sub");
    if (a->mode)
        k = NORNI_OP2(g, k, n, "Mod");
    norn_value *hit =
        NORNI_OP2(g, NORNI_OP2(g, k, zero, "GreaterOrEqual"), NORNI_OP2(g, k, m, "Less"), "And");
    k = NORNI_OP2(g, NORNI_OP3(g, hit, k, zero, "Where"), norni_shape_value(g, p), "Expand");
    out[0] = NORNI_OP3(g, hit, NORNI_OP2(g, u, k, "GatherElements<axis=%d>", axis), p, "Where");
    return norn_graph_status(g);
}

const norn_op norni_op_TensorScatter = {
    .domain = "",
    .name = "TensorScatter",
    .versions = (const int[]){24, 0},
    .doc = "a cache with an update written over part of it",
    .inputs = (const norni_param[]){{"past_cache", 0, TYPES, 'T'},
                                    {"update", 0, TYPES, 'T'},
                                    {"write_indices", NORNI_OPT | NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"present_cache", 0, TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .check = check,
    .expand = expand,
    .eval = eval,
    .moves = true,
    .cases =
        (const char *const[]){
            "TensorScatter(float[2,3,5,4], float[2,3,2,4], int64[2]{1,3})",
            "TensorScatter<mode=\"circular\">(float[2,5,4], float[2,3,4], int64[2]{1,4})",
            "TensorScatter<axis=1>(float[2,5,4], float[2,3,4])",
            "TensorScatter<axis=-1>(int32[2,5,4], int32[2,5,4])",
            "TensorScatter<mode=\"circular\">(float8e4m3fn[2,5,4], float8e4m3fn[2,3,4], int64[2]{1,4})",
            NULL},
};
