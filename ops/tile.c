/* SPDX-License-Identifier: Apache-2.0 */
/* Tile: the input repeated along each axis, as numpy.tile. Source: ONNX Tile-13. */
#include "ops/copy.h"
#include "ops/rows.h"
#include <string.h>

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *r = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    int n, n_x;
    int64_t v;
    if (r->rank > 1)
        return norni_fail(NORN_SHAPE, "repeats has rank %d (wanted 1)", r->rank);
    if (x->rank < 0)
        return NORN_OK;
    if (r->rank == 1 && r->dims[0] >= 0 && r->dims[0] != x->rank)
        return norni_fail(NORN_SHAPE, "repeats has %lld elements (wanted %d, one an axis)",
                          (long long)r->dims[0], x->rank);
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    y->rank = x->rank;
    for (int i = 0; i < x->rank; i++) {
        if (d && norni_dim_number(c->g, d[i], &v) && v < 0)
            return norni_fail(NORN_SHAPE, "repeats has %lld at %d (wanted 0 or more)", (long long)v, i);
        y->dims[i] = d ? norni_dim_mul(c->g, x->dims[i], d[i]) : norni_dim_fresh(c->g);
    }
    const norni_dim *k =
        x->rank == 1 && norni_dtype_is_int(x->dtype) ? norni_value_known(c->node->in[0], &n_x) : NULL;
    if (k && d && y->dims[0] >= 0 && y->dims[0] <= NORNI_MAX_KNOWN) {
        norni_dim *all = norni_set_known(c, 0, (int)y->dims[0]);
        for (int i = 0; all && i < y->dims[0]; i++)
            all[i] = k[i % n_x];
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *y = e->out[0];
    size_t size = (size_t)norni_dtype_bits(x->dtype) / 8;
    int64_t n = norni_tensor_elems(y), strides[NORN_MAX_RANK];
    norni_strides(x->rank, x->dims, strides);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0, rest = i;
        for (int k = x->rank - 1; k >= 0; k--) {
            at += rest % y->dims[k] % x->dims[k] * strides[k];
            rest /= y->dims[k];
        }
        memcpy((char *)norni_tensor_data(y) + (size_t)i * size,
               (char *)norni_tensor_data(x) + (size_t)at * size, size);
    }
    return NORN_OK;
}

/* A copy over [r, d] for each repeated axis, at most three of them at once: the kernel has eight dimensions. */
static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    int rank = x->rank, axis = 0;
    norni_ref from = norni_emit_in(e, 0);
    int64_t now[NORN_MAX_RANK];
    if (norni_type_elems(y) == 0)
        return e->status;
    memcpy(now, x->dims, sizeof now);
    do {
        int64_t dims[NORNI_COPY_RANK], next[NORN_MAX_RANK], xs[NORN_MAX_RANK], ys[NORN_MAX_RANK], total = 1;
        int n = 0, repeated = 0;
        norni_layout a = {.ref = from}, b = {.ref = -1};
        memcpy(next, now, sizeof next);
        for (; axis < rank && repeated < 3; axis++)
            if (y->dims[axis] != x->dims[axis]) {
                next[axis] = y->dims[axis];
                repeated++;
            }
        while (axis < rank && y->dims[axis] == x->dims[axis])
            axis++;
        norni_strides(rank, now, xs);
        norni_strides(rank, next, ys);
        for (int i = 0; i < rank; i++) {
            total *= next[i];
            if (next[i] != now[i]) {
                dims[n] = next[i] / now[i];
                a.strides[n] = 0;
                b.strides[n++] = ys[i] * now[i];
            }
            dims[n] = now[i];
            a.strides[n] = xs[i];
            b.strides[n++] = ys[i];
        }
        b.ref =
            axis == rank ? norni_emit_out(e, 0) : norni_emit_scratch(e, norni_dtype_bytes(x->dtype, total));
        NORNI_TRY(norni_emit_strided_copy(e, x->dtype, n, dims, &a, &b));
        memcpy(now, next, sizeof now);
        from = b.ref;
    } while (axis < rank);
    return e->status;
}

static const char *same_elems(const norni_fit *f) {
    return norni_type_elems(&f->node->in[0]->type) == norni_type_elems(&f->node->out[0]->type)
               ? NULL
               : "elements are repeated";
}

/* dy as [outer, r, d, inner] for each repeated axis, summed over r. Where sizes are not known all axes are taken at
 * once, by a shape that interleaves repeats and sizes. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *dy = c->dy[0];
    const norni_type *t = &x->type, *y = &c->node->out[0]->type;
    int rank = t->rank;
    if (norni_type_static(t) && norni_type_static(y)) {
        int64_t now[NORN_MAX_RANK];
        memcpy(now, y->dims, sizeof now);
        for (int i = 0; i < rank; i++) {
            if (now[i] == t->dims[i] || t->dims[i] == 0)
                continue;
            const int64_t four[] = {norni_elems(i, now), now[i] / t->dims[i], t->dims[i],
                                    norni_elems(rank - i - 1, now + i + 1)};
            dy = NORNI_OP2(g, dy, norni_i64_const(g, 4, four), "Reshape<allowzero=1>");
            dy = NORNI_OP2(g, dy, norni_i64_const(g, 1, (int64_t[]){1}), "ReduceSum<keepdims=0>");
            now[i] = t->dims[i];
        }
        c->dx[0] = NORNI_OP2(g, dy, norni_i64_const(g, rank, t->dims), "Reshape<allowzero=1>");
        return;
    }
    if (rank < 0 || rank > NORN_MAX_RANK / 2) {
        norni_graph_failed(g, norni_fail(NORN_SHAPE, "the sizes are not known; bind the sizes first"));
        return;
    }
    const int64_t pair[] = {-1, 1}, flat[] = {-1};
    int64_t axes[NORN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        axes[i] = 2 * i;
    norn_value *column = norni_i64_const(g, 2, pair);
    norn_value *both = NORNI_OP2(g, NORNI_OP2(g, c->node->in[1], column, "Reshape"),
                                 NORNI_OP2(g, norni_shape_value(g, x), column, "Reshape"), "Concat<axis=1>");
    dy = NORNI_OP2(g, dy, NORNI_OP2(g, both, norni_i64_const(g, 1, flat), "Reshape"), "Reshape<allowzero=1>");
    c->dx[0] = rank ? NORNI_OP2(g, dy, norni_i64_const(g, rank, axes), "ReduceSum<keepdims=0>") : dy;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

static const norni_impl impls[] = {
    {.name = "view", .fits = same_elems, .alias = 1}, {.name = "copies", .emit = emit}, {0}};

const norn_op norni_op_Tile = {
    .domain = "",
    .name = "Tile",
    .versions = (const int[]){6, 13, 0},
    .doc = "the input repeated along its axes",
    .inputs =
        PARAMS({"input", 0, NORNI_ANY, 'T'}, {"repeats", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases = (const char *const[]){"Tile(float[2,3,5], int64[3]{1,2,3})", "Tile(float[3,40], int64[2]{2,2})",
                                   "Tile(float[2,3], int64[2]{1,1})", "Tile(float[], int64[0]{})",
                                   "Tile(float[2,1,2,1,2], int64[5]{2,3,2,2,2})",
                                   "Tile(float[2,3], int64[2]{0,2})", "Tile(int64[3], int64[1]{2})",
                                   "Tile(bool[1,5], int64[2]{7,1})", "Tile(float[0,3], int64[2]{2,2})", NULL},
};
