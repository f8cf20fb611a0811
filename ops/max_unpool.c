/* SPDX-License-Identifier: Apache-2.0 */
/* MaxUnpool: zeros, but for output[I[j]] = X[j], where the indices I, those of MaxPool, count the elements of the tensor
 * whose size undoes the pooling, (in - 1) * stride + kernel - padding. With a larger output_shape that tensor is its first
 * part; with another output_shape the indices count the elements of the output. Of equal indices the last one holds. It is
 * ScatterElements over flat tensors. Source: ONNX MaxUnpool-22 (9 and 11 say the same). */
#include "ops/pool.h"
#include <string.h>

static const norni_attr table[] = {{.name = "kernel_shape",
                                    .kind = NORNI_ATTR_INTS,
                                    .offset = offsetof(norni_pool_attrs, window.kernel_shape),
                                    .flags = NORNI_ATTR_REQUIRED,
                                    .lo = 1,
                                    .hi = INT32_MAX},
                                   NORNI_WINDOW_INTS(norni_pool_attrs, strides, 1),
                                   NORNI_WINDOW_INTS(norni_pool_attrs, pads, 0),
                                   NORNI_A_END};

/* The sizes that undo the pooling. */
static void undone(norn_graph *g, const norn_node *node, norni_dim *dims) {
    const norni_window_attrs *a = &((const norni_pool_attrs *)node->attrs)->window;
    const norni_type *x = &node->in[0]->type;
    int rank = x->rank - 2;
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    for (int i = 0; i < rank; i++) {
        int64_t s = a->strides.n < 0 ? 1 : a->strides.v[i], k = a->kernel_shape.v[i];
        int64_t pads = a->pads.n < 0 ? 0 : a->pads.v[i] + a->pads.v[rank + i];
        dims[i + 2] = norni_dim_add(g, norni_dim_mul(g, norni_dim_sub(g, x->dims[i + 2], 1), s),
                                    norni_dim_of(g, k - pads));
    }
}

static norn_status infer(norni_infer *c) {
    const norni_pool_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *at = norni_in_type(c, 1);
    norni_type y = c->out[0];
    int rank, n = 0;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    norni_window_attrs window = a->window;
    window.dilations.n = -1;
    NORNI_TRY(norni_window_check(&window, rank));
    if (at->rank >= 0 && at->rank != x->rank)
        return norni_fail(NORN_SHAPE, "I has rank %d (wanted %d, that of X)", at->rank, x->rank);
    for (int i = 0; i < at->rank; i++)
        if (at->dims[i] >= 0 && x->dims[i] >= 0 && at->dims[i] != x->dims[i])
            return norni_fail(NORN_SHAPE, "I has size %lld in dimension %d (wanted %lld, that of X)",
                              (long long)at->dims[i], i, (long long)x->dims[i]);
    y.rank = x->rank;
    undone(c->g, c->node, y.dims);
    for (int i = 2; i < y.rank; i++) {
        int64_t size;
        if (norni_dim_number(c->g, y.dims[i], &size) && size < 0)
            return norni_fail(NORN_SHAPE, "the pads leave size %lld in dimension %d (wanted 0 or more)",
                              (long long)size, i);
    }
    if (norni_in_has(c, 2)) {
        const norni_dim *d = norni_value_known(c->node->in[2], &n);
        if (d && n != x->rank)
            return norni_fail(NORN_SHAPE, "output_shape has %d elements (wanted %d, the rank of X)", n,
                              x->rank);
        for (int i = 0; i < x->rank; i++)
            y.dims[i] = d ? d[i] : norni_dim_fresh(c->g);
    }
    c->out[0] = y;
    return NORN_OK;
}

/* The tensor whose elements the indices count, in an output of sizes y: its sizes into dims. True when y is larger. */
static bool counted(norn_graph *g, const norn_node *node, const norni_dim *y, norni_dim *dims) {
    int rank = node->in[0]->type.rank;
    bool larger = false;
    undone(g, node, dims);
    for (int i = 0; i < rank; i++)
        if (y[i] < dims[i]) {
            memcpy(dims, y, (size_t)rank * sizeof *dims);
            return false;
        } else
            larger |= y[i] > dims[i];
    return larger;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    norni_dim dims[NORN_MAX_RANK], y[NORN_MAX_RANK];
    int n;
    if (i != 1)
        return NORN_OK;
    undone(node->graph, node, y); /* the output's type is perhaps not yet known */
    if (node->n_in > 2 && node->in[2] && !norni_value_ints(node->in[2], y, NORN_MAX_RANK, &n))
        return NORN_OK;
    counted(node->graph, node, y, dims);
    int64_t elems = norni_elems(node->in[0]->type.rank, dims);
    for (int64_t k = 0, all = norni_tensor_elems(t); k < all; k++) {
        int64_t at = norni_get_int(t->dtype, norni_tensor_data(t), k);
        if (at < 0 || at >= elems)
            return norni_fail(NORN_ARG, "I has %lld at %lld (wanted 0 to %lld)", (long long)at, (long long)k,
                              (long long)elems - 1);
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    norni_dim dims[NORN_MAX_RANK];
    counted(e->node->graph, e->node, y->dims, dims);
    memset(norni_tensor_data(y), 0, norni_tensor_bytes(y));
    for (int64_t k = 0, n = norni_tensor_elems(x); k < n; k++) {
        int64_t rest = ((const int64_t *)norni_tensor_data(e->in[1]))[k], at = 0;
        for (int i = y->rank - 1; i >= 0 && rest >= 0; i--) {
            at += rest % dims[i] * y->strides[i];
            rest /= dims[i];
        }
        if (rest == 0)
            norni_set_double(y->dtype, norni_tensor_data(y), at,
                             norni_get_double(x->dtype, norni_tensor_data(x), k));
    }
    return NORN_OK;
}

static norn_value *flat(norn_graph *g, norn_value *v) {
    return NORNI_OP2(g, v, norni_i64_const(g, 1, (const int64_t[]){-1}), "Reshape");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *y = &node->out[0]->type;
    norni_dim dims[NORN_MAX_RANK];
    int64_t pads[2 * NORN_MAX_RANK] = {0};
    if (!norni_type_static(y))
        return norni_fail(NORN_UNSUPPORTED, "the sizes are not known; bind them first");
    if (!norni_type_elems(y) || !norni_type_elems(&node->in[0]->type)) {
        out[0] = norni_zeros(g, y->dtype, norni_i64_const(g, y->rank, y->dims));
        return NORN_OK;
    }
    bool larger = counted(g, node, y->dims, dims);
    int64_t n = norni_elems(y->rank, dims);
    norn_value *zeros = norni_zeros(g, y->dtype, norni_i64_const(g, 1, &n));
    norn_value *r = NORNI_OP3(g, zeros, flat(g, node->in[1]), flat(g, node->in[0]), "ScatterElements");
    r = NORNI_OP2(g, r, norni_i64_const(g, y->rank, dims), "Reshape");
    for (int i = 0; i < y->rank; i++)
        pads[y->rank + i] = y->dims[i] - dims[i];
    out[0] = larger ? NORNI_OP2(g, r, norni_i64_const(g, 2 * y->rank, pads), "Pad") : r;
    return NORN_OK;
}

const norn_op norni_op_MaxUnpool = {
    .domain = "",
    .name = "MaxUnpool",
    .versions = (const int[]){9, 11, 22, 0},
    .doc = "elements put back to where MaxPool found them, among zeros",
    .inputs =
        (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'},
                              {"I", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                              {"output_shape", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                              {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = table,
    .infer = infer,
    .check = check,
    .expand = expand,
    .eval = eval,
    .cases =
        (const char *const[]){
            "MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(float[1,2,2,2], "
            "int64[1,2,2,2]{0,3,9,14,17,18,28,31})",
            "MaxUnpool<kernel_shape=[3], strides=[2], pads=[1,0]>(float[1,1,3], int64[1,1,3]{0,2,5})",
            "MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(float[1,1,2,2], int64[1,1,2,2]{5,7,13,15}, "
            "int64[4]{1,1,5,6})",
            "MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(float[1,1,2,2], int64[1,1,2,2]{0,2,5,8}, "
            "int64[4]{1,1,3,3})",
            "MaxUnpool<kernel_shape=[1], strides=[3], pads=[1,1]>(float[1,1,2], int64[1,1,2]{1,0})",
            "MaxUnpool<kernel_shape=[1,2,1]>(float[1,1,1,1,2], int64[1,1,1,1,2]{0,3})",
            "MaxUnpool<kernel_shape=[2]>(float[0,1,2], int64[0,1,2])", NULL},
};
