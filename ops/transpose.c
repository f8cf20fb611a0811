/* SPDX-License-Identifier: Apache-2.0 */
/* Transpose: size i of the output is size perm[i] of the input; without perm the axes are reversed.
 * Expand: numpy.broadcast_to, in both directions. Sources: ONNX Transpose-25, Expand-13. */
#include "ops/copy.h"
#include "ops/rows.h"
#include <string.h>

/* ---- Transpose. */
typedef struct {
    norni_ints perm;
} transpose_attrs;
static const norni_attr transpose_table[] = {NORNI_A_INTS(transpose_attrs, perm), NORNI_A_END};

static norn_status permutation(const transpose_attrs *a, int rank, int perm[NORN_MAX_RANK]) {
    bool seen[NORN_MAX_RANK] = {0};
    if (a->perm.n >= 0 && a->perm.n != rank)
        return norni_fail(NORN_SHAPE, "perm has %d entries (wanted %d, the rank of the input)", a->perm.n,
                          rank);
    for (int i = 0; i < rank; i++) {
        int64_t p = a->perm.n < 0 ? rank - 1 - i : a->perm.v[i];
        if (p < 0 || p >= rank || seen[p])
            return norni_fail(NORN_SHAPE, "perm has %lld at %d (wanted each of 0 to %d once)", (long long)p,
                              i, rank - 1);
        seen[p] = true;
        perm[i] = (int)p;
    }
    return NORN_OK;
}

static norn_status infer_transpose(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    int perm[NORN_MAX_RANK];
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(permutation(c->attrs, x->rank, perm));
    c->out[0].rank = x->rank;
    for (int i = 0; i < x->rank; i++)
        c->out[0].dims[i] = x->dims[perm[i]];
    return NORN_OK;
}

static norn_status eval_transpose(norni_eval *e) {
    norn_tensor view = *e->in[0], *packed;
    int perm[NORN_MAX_RANK];
    NORNI_TRY(permutation(e->attrs, view.rank, perm));
    for (int i = 0; i < view.rank; i++) {
        view.dims[i] = e->in[0]->dims[perm[i]];
        view.strides[i] = e->in[0]->strides[perm[i]];
    }
    NORNI_TRY(norni_tensor_pack(&view, &packed));
    memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(packed), norni_tensor_bytes(packed));
    norn_tensor_free(packed);
    return NORN_OK;
}

static norn_status emit_transpose(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    int perm[NORN_MAX_RANK];
    int64_t strides[NORN_MAX_RANK];
    norni_layout from = {.ref = norni_emit_in(e, 0)}, to = {.ref = norni_emit_out(e, 0)};
    NORNI_TRY(permutation(e->node->attrs, x->rank, perm));
    norni_strides(x->rank, x->dims, strides);
    norni_strides(y->rank, y->dims, to.strides);
    for (int i = 0; i < x->rank; i++)
        from.strides[i] = strides[perm[i]];
    return norni_emit_strided_copy(e, x->dtype, y->rank, y->dims, &from, &to);
}

/* Only sizes of 1 change places: the memory stays as it is. */
static const char *is_view(const norni_fit *f) {
    int perm[NORN_MAX_RANK], last = -1;
    const norni_type *x = &f->node->in[0]->type;
    if (permutation(f->node->attrs, x->rank, perm) != NORN_OK)
        return "bad perm";
    for (int i = 0; i < x->rank; i++) {
        if (x->dims[perm[i]] == 1)
            continue;
        if (perm[i] < last)
            return "the elements change places";
        last = perm[i];
    }
    return NULL;
}

static void grad_transpose(norni_grad *c) {
    int perm[NORN_MAX_RANK], inverse[NORN_MAX_RANK], rank = c->node->in[0]->type.rank;
    norn_status s =
        rank < 0 ? norni_fail(NORN_SHAPE, "the rank is not known") : permutation(c->node->attrs, rank, perm);
    if (s != NORN_OK) {
        norni_graph_failed(c->g, s);
        return;
    }
    for (int i = 0; i < rank; i++)
        inverse[perm[i]] = i;
    norni_str text = {0};
    for (int i = 0; i < rank; i++)
        norni_str_addf(&text, "%s%d", i ? "," : "", inverse[i]);
    c->dx[0] = NORNI_OP1(c->g, c->dy[0], "Transpose<perm=[%s]>", text.s ? text.s : "");
    norni_str_free(&text);
}

static void move_cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

static const norni_impl transpose_impls[] = {
    {.name = "view", .fits = is_view, .alias = 1}, {.name = "copy", .emit = emit_transpose}, {0}};

const norn_op norni_op_Transpose = {
    .domain = "",
    .name = "Transpose",
    .versions = (const int[]){1, 13, 21, 23, 24, 25, 0},
    .doc = "axes in another order",
    .inputs = PARAMS({"data", 0, NORNI_ALL, 'T'}),
    .outputs = PARAMS({"transposed", 0, NORNI_ALL, 'T'}),
    .attrs_bytes = sizeof(transpose_attrs),
    .attrs = transpose_table,
    .infer = infer_transpose,
    .grad = grad_transpose,
    .eval = eval_transpose,
    .moves = true,
    .impls = transpose_impls,
    .cost = move_cost,
    .cases =
        (const char *const[]){
            "Transpose(float[3,17])", "Transpose<perm=[0,2,1]>(float[2,33,19])",
            "Transpose<perm=[2,0,1]>(float[2,3,5])", "Transpose<perm=[0,3,1,2]>(float[2,5,7,3])",
            "Transpose<perm=[0,2,3,1]>(float[2,9,20,21])", "Transpose<perm=[1,0,2]>(float[1,4,3])",
            "Transpose<perm=[3,2,1,0]>(uint8[2,3,4,5])", "Transpose(int4[3,5])",
            "Transpose<perm=[2,0,1]>(float8e4m3fn[2,3,5])", "Transpose(uint2[7,3])",
            "Transpose(float4e2m1[3,3])", "Transpose(float[])", "Transpose(float[0,3])", NULL},
};

/* ---- Expand. */
static norn_status infer_expand(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *s = norni_in_type(c, 1);
    int n;
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    if (s->rank > 1)
        return norni_fail(NORN_SHAPE, "shape has rank %d (wanted 1)", s->rank);
    if (!d && x->rank >= 0 && s->rank == 1 && s->dims[0] >= 0 && s->dims[0] <= NORN_MAX_RANK) {
        norni_type *y = &c->out[0]; /* the rank at least is known, and sizes that can only stay */
        y->rank = s->dims[0] > x->rank ? (int)s->dims[0] : x->rank;
        for (int i = 0, k = x->rank - y->rank; i < y->rank; i++, k++)
            y->dims[i] =
                k >= 0 && (x->dims[k] > 1 || i < y->rank - s->dims[0]) ? x->dims[k] : norni_dim_fresh(c->g);
    }
    if (!d || x->rank < 0)
        return NORN_OK;
    norni_type y = {.dtype = c->out[0].dtype, .rank = n};
    if (n > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "shape has %d sizes (norn has at most %d)", n, NORN_MAX_RANK);
    memcpy(y.dims, d, (size_t)n * sizeof *d);
    for (int i = 0; i < n; i++) {
        int64_t v;
        if (norni_dim_number(c->g, d[i], &v) && v < 0)
            return norni_fail(NORN_SHAPE, "shape has %lld at %d (wanted 0 or more)", (long long)v, i);
    }
    NORNI_TRY(norni_broadcast(c->g, &y, x));
    c->out[0] = y;
    return NORN_OK;
}

static void spread_strides(const norni_type *x, const norni_type *y, int64_t *out) {
    int64_t own[NORN_MAX_RANK];
    norni_strides(x->rank, x->dims, own);
    for (int i = 0; i < y->rank; i++) {
        int k = i - (y->rank - x->rank);
        out[i] = k < 0 || x->dims[k] == 1 ? 0 : own[k];
    }
}

static norn_status eval_expand(norni_eval *e) {
    norn_tensor view = *e->in[0], *packed;
    const norni_type *x = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    view.rank = y->rank;
    memcpy(view.dims, y->dims, sizeof view.dims);
    spread_strides(x, y, view.strides);
    NORNI_TRY(norni_tensor_pack(&view, &packed));
    memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(packed), norni_tensor_bytes(packed));
    norn_tensor_free(packed);
    return NORN_OK;
}

static norn_status emit_expand(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    norni_layout from = {.ref = norni_emit_in(e, 0)}, to = {.ref = norni_emit_out(e, 0)};
    spread_strides(x, y, from.strides);
    norni_strides(y->rank, y->dims, to.strides);
    return norni_emit_strided_copy(e, x->dtype, y->rank, y->dims, &from, &to);
}

static void grad_expand(norni_grad *c) {
    c->dx[0] = c->dy[0];
} /* summed by the walk */

static const char *same_elems(const norni_fit *f) {
    return norni_type_elems(&f->node->in[0]->type) == norni_type_elems(&f->node->out[0]->type)
               ? NULL
               : "elements are repeated";
}

static const norni_impl expand_impls[] = {
    {.name = "view", .fits = same_elems, .alias = 1}, {.name = "copy", .emit = emit_expand}, {0}};

const norn_op norni_op_Expand = {
    .domain = "",
    .name = "Expand",
    .versions = (const int[]){8, 13, 0},
    .doc = "the input broadcast against a shape",
    .inputs =
        PARAMS({"input", 0, NORNI_ANY, 'T'}, {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .infer = infer_expand,
    .grad = grad_expand,
    .eval = eval_expand,
    .impls = expand_impls,
    .cost = move_cost,
    .cases =
        (const char *const[]){"Expand(float[3,1], int64[3]{2,1,6})", "Expand(float[3,1], int64[2]{3,4})",
                              "Expand(float[], int64[2]{3,40})", "Expand(float[1,3,1], int64[1]{1})",
                              "Expand(float[2,1], int64[2]{2,0})", "Expand(int64[1,5], int64[2]{3,5})", NULL},
};
