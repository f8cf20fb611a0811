/* SPDX-License-Identifier: Apache-2.0 */
/* Pad: elements added before and after along axes: a constant, the edge element, the input mirrored at its edge
 * elements, or the input repeated. Negative pads take elements away, first of all. Sources: ONNX Pad-25; numpy.pad for
 * pads beyond the size of the input, which mirror or repeat it again. */
#include "ops/copy.h"
#include "ops/rows.h"
#include <string.h>

enum { CONSTANT, EDGE, REFLECT, WRAP };
static const char *const modes[] = {"constant", "edge", "reflect", "wrap", NULL};
typedef struct {
    int mode;
    norni_ints pads; /* before opset 11 */
    float value;
} pad_attrs;
static const norni_attr table[] = {NORNI_A_ENUM(pad_attrs, mode, modes, CONSTANT),
                                   NORNI_A(pad_attrs, pads, INTS, .flags = NORNI_ATTR_OLD),
                                   NORNI_A(pad_attrs, value, FLOAT, .flags = NORNI_ATTR_OLD), NORNI_A_END};
static const norni_moved moved[] = {{"pads", 1, 11, NORN_I64}, {"value", 2, 11, NORN_UNDEFINED}, {0}};

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}

/* Pads of every axis, as sizes (which may be negative numbers). *known false: not known yet. */
typedef struct {
    norni_dim before[NORN_MAX_RANK], after[NORN_MAX_RANK];
} pads;

static norn_status read_pads(norn_node *node, int rank, pads *p, bool *known) {
    int64_t axes[NORN_MAX_RANK];
    int n, n_axes = rank, at;
    bool seen[NORN_MAX_RANK] = {0};
    const norni_type *given = &node->in[1]->type;
    memset(p, 0, sizeof *p);
    *known = false;
    if (given->rank > 1 || (has(node, 3) && node->in[3]->type.rank > 1))
        return norni_fail(NORN_SHAPE, "%s has rank %d (wanted 1)", given->rank > 1 ? "pads" : "axes",
                          given->rank > 1 ? given->rank : node->in[3]->type.rank);
    const norni_dim *d = norni_value_known(node->in[1], &n);
    if (has(node, 3)) {
        if (!norni_value_ints(node->in[3], axes, NORN_MAX_RANK, &n_axes)) {
            if (norni_is_const(node->in[3]))
                return norni_fail(NORN_SHAPE, "more than %d axes", NORN_MAX_RANK);
            return NORN_OK;
        }
    }
    if (!d && given->rank == 1 && given->dims[0] > NORNI_MAX_KNOWN) {
        return norni_fail(NORN_SHAPE, "pads has %lld elements (wanted %d, two an axis)",
                          (long long)given->dims[0], 2 * n_axes);
    }
    if (!d)
        return NORN_OK;
    if (n != 2 * n_axes)
        return norni_fail(NORN_SHAPE, "pads has %d elements (wanted %d, two an axis)", n, 2 * n_axes);
    for (int i = 0; i < n_axes; i++) {
        NORNI_TRY(norni_prefix(norni_axis(has(node, 3) ? axes[i] : i, rank, &at), "axes"));
        if (seen[at])
            return norni_fail(NORN_SHAPE, "axis %d stands twice", at);
        seen[at] = true;
        p->before[at] = d[i];
        p->after[at] = d[i + n_axes];
    }
    *known = true;
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *v = norni_in_type(c, 2);
    pads p;
    bool known;
    if (v && v->rank >= 0 && norni_type_static(v) && norni_type_elems(v) != 1)
        return norni_fail(NORN_SHAPE, "constant_value has %lld elements (wanted one)",
                          (long long)norni_type_elems(v));
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(read_pads(c->node, x->rank, &p, &known));
    c->out[0].rank = x->rank;
    for (int i = 0; i < x->rank; i++) {
        int64_t b, a;
        bool numbers = norni_dim_number(c->g, p.before[i], &b) && norni_dim_number(c->g, p.after[i], &a);
        norni_dim d = norni_dim_add(c->g, norni_dim_add(c->g, x->dims[i], p.before[i]), p.after[i]);
        c->out[0].dims[i] = known ? d : norni_dim_fresh(c->g);
        if (!known || !numbers || x->dims[i] < 0)
            continue;
        int64_t left = x->dims[i] + (b < 0 ? b : 0) + (a < 0 ? a : 0), most = (int64_t)1 << 48;
        if (b < -most || a < -most || b > most || a > most)
            return norni_fail(NORN_SHAPE, "pads %lld and %lld of axis %d are out of range", (long long)b,
                              (long long)a, i);
        if (left < 0)
            return norni_fail(NORN_SHAPE,
                              "pads %lld and %lld take more than there is along axis %d of size %lld",
                              (long long)b, (long long)a, i, (long long)x->dims[i]);
        if (left == 0 && (b > 0 || a > 0) && ((const pad_attrs *)c->attrs)->mode != CONSTANT)
            return norni_fail(NORN_SHAPE, "axis %d has no elements to pad with (mode %s)", i,
                              modes[((const pad_attrs *)c->attrs)->mode]);
    }
    return NORN_OK;
}

/* One axis in numbers: what is left of the input (n elements from `skip` on) stands at `begin` in the output. */
typedef struct {
    int64_t n, skip, begin, n_out, stride;
} axis;

static int read_axes(norn_node *node, axis *a) {
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    pads p;
    bool known;
    int64_t strides[NORN_MAX_RANK], before, after;
    if (read_pads(node, x->rank, &p, &known) != NORN_OK || !known)
        return -1;
    norni_strides(x->rank, x->dims, strides);
    for (int i = 0; i < x->rank; i++) {
        norni_dim_number(node->graph, p.before[i], &before);
        norni_dim_number(node->graph, p.after[i], &after);
        a[i] = (axis){.skip = before < 0 ? -before : 0,
                      .begin = before > 0 ? before : 0,
                      .n_out = y->dims[i],
                      .stride = strides[i]};
        a[i].n = x->dims[i] - a[i].skip + (after < 0 ? after : 0);
    }
    return x->rank;
}

/* The place in the input, of n elements, that place i of the padded axis shows; -1: none. As in pad.cl. */
static int64_t place(int mode, int64_t i, int64_t n) {
    int64_t p = 2 * (n - 1);
    if (i >= 0 && i < n)
        return i;
    switch (mode) {
    case EDGE:
        return i < 0 ? 0 : n - 1;
    case REFLECT:
        if (p == 0)
            return 0;
        i = (i % p + p) % p;
        return i < n ? i : p - i;
    case WRAP:
        return (i % n + n) % n;
    default:
        return -1;
    }
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *y = e->out[0];
    int mode = ((const pad_attrs *)e->attrs)->mode, rank;
    size_t size = (size_t)norni_dtype_bits(x->dtype) / 8;
    const char *from = norni_tensor_data(x);
    char *to = norni_tensor_data(y), zero[8] = {0};
    const char *fill = e->n_in > 2 && e->in[2] ? norni_tensor_data(e->in[2]) : zero;
    axis a[NORN_MAX_RANK];
    int64_t n = norni_tensor_elems(y);
    if ((rank = read_axes((norn_node *)e->node, a)) < 0)
        return norni_fail(NORN_SHAPE, "the pads are not known");
    for (int64_t i = 0; i < n; i++) {
        int64_t r = i, at = 0;
        bool inside = true;
        for (int k = rank - 1; k >= 0; k--) {
            int64_t p = place(mode, r % a[k].n_out - a[k].begin, a[k].n);
            r /= a[k].n_out;
            inside &= p >= 0;
            at += (a[k].skip + p) * a[k].stride;
        }
        memcpy(to + (size_t)i * size, inside ? from + (size_t)at * size : fill, size);
    }
    return NORN_OK;
}

/* ---- Device. */
static bool untouched(const axis *a) {
    return a->n == a->n_out && a->skip == 0;
}

static const char *is_view(const norni_fit *f) {
    axis a[NORN_MAX_RANK];
    norn_node *node = (norn_node *)f->node;
    int rank = read_axes(node, a);
    for (int i = 0; i < rank; i++)
        if (!untouched(&a[i]) || a[i].n != node->in[0]->type.dims[i])
            return "elements are added or taken away";
    return rank < 0 ? "the pads are not known" : NULL;
}

/* Neighbouring axes joined where the inner one is left as it is, and what is added to the outer one is constant or
 * nothing. */
static int join(axis *a, int rank, int mode) {
    int r = 0;
    for (int i = 0; i < rank; i++) {
        if (r && untouched(&a[i]) && a[r - 1].stride == a[i].n * a[i].stride &&
            (mode == CONSTANT || untouched(&a[r - 1]))) {
            int64_t n = a[i].n;
            a[r - 1] = (axis){a[r - 1].n * n, a[r - 1].skip * n, a[r - 1].begin * n, a[r - 1].n_out * n,
                              a[i].stride};
        } else
            a[r++] = a[i];
    }
    if (!r)
        a[r++] = (axis){1, 0, 0, 1, 1};
    return r;
}

static norn_status emit(norni_emit *e) {
    norn_node *node = (norn_node *)e->node;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    int mode = ((const pad_attrs *)node->attrs)->mode, rank;
    axis a[NORN_MAX_RANK + 1];
    int64_t x0 = 0, rows = 1;
    bool value = has(node, 2) && mode == CONSTANT;
    if (norni_type_elems(y) == 0)
        return e->status;
    if ((rank = read_axes(node, a)) < 0)
        return norni_fail(NORN_SHAPE, "the pads are not known");
    rank = join(a, rank, mode);
    if (a[rank - 1].stride != 1) /* the innermost axis has size 1: the rows are along one more */
        a[rank++] = (axis){1, 0, 0, 1, 1};
    for (int i = 0; i < rank; i++)
        x0 += a[i].skip * a[i].stride;
    for (int i = 0; i + 1 < rank; i++)
        rows *= a[i].n_out;
    const axis *last = &a[rank - 1];
    norni_row_split split = norni_split_rows(e, rows, last->n_out, x->dtype);
    norni_step *s = norni_emit_move(e, "pad.cl", "pad_rows", x->dtype);
    if (mode != CONSTANT)
        norni_step_define(e, s, "MODE", mode);
    if (value)
        norni_step_define(e, s, "VALUE", 1);
    norni_step_define(e, s, "W", split.width);
    /* The input of a pad with nothing in it is an empty buffer; nothing is read from it. */
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_buffer(e, s, norni_emit_in(e, value ? 2 : 0), NORNI_READ);
    norni_step_i64(e, s, rows);
    norni_step_i64(e, s, split.rows_each);
    norni_step_i64(e, s, split.chunks);
    norni_step_i64(e, s, split.chunk);
    norni_step_i64(e, s, last->n_out);
    norni_step_i64(e, s, last->n);
    norni_step_i64(e, s, last->begin);
    norni_step_i64(e, s, x0);
    for (int i = 0; i < 7; i++) {
        int k = i - (8 - rank);
        axis one = {1, 0, 0, 1, 0};
        const axis *d = k >= 0 ? &a[k] : &one;
        norni_step_i64(e, s, d->n_out);
        norni_step_i64(e, s, d->begin);
        norni_step_i64(e, s, d->n);
        norni_step_i64(e, s, d->stride);
    }
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static const norni_impl impls[] = {
    {.name = "view", .fits = is_view, .alias = 1}, {.name = "rows", .emit = emit}, {0}};

/* ---- Gradient. A constant is padded around: the inverse pads, and the rest of dy is the constant's. The other modes
 * show elements again: along each axis they are a Gather, and its gradient adds up. */
static norn_value *sum(norn_graph *g, norn_value *x) {
    return NORNI_OP1(g, x, "ReduceSum<keepdims=0>");
}

static void grad_constant(norni_grad *c) {
    norn_graph *g = c->g;
    norn_node *node = c->node;
    int64_t v[2 * NORN_MAX_RANK];
    int n;
    norn_value *back;
    if (norni_value_ints(node->in[1], v, 2 * NORN_MAX_RANK, &n)) {
        for (int i = 0; i < n; i++)
            v[i] = -v[i];
        back = norni_i64_const(g, n, v);
    } else
        back = NORNI_OP1(g, node->in[1], "Neg");
    norn_value *in[] = {c->dy[0], back, NORNI_NONE, has(node, 3) ? node->in[3] : NORNI_NONE};
    norn_value *dx = norni_opf(g, 4, in, "Pad");
    c->dx[0] = dx;
    if (has(node, 2) && c->want[2])
        c->dx[2] = NORNI_OP2(g, NORNI_OP2(g, sum(g, c->dy[0]), sum(g, dx), "Sub"),
                             norni_shape_value(g, node->in[2]), "Reshape<allowzero=1>");
}

static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_node *node = c->node;
    int mode = ((const pad_attrs *)node->attrs)->mode;
    norn_value *dx = c->dy[0];
    axis a[NORN_MAX_RANK];
    if (mode == CONSTANT) {
        grad_constant(c);
        return;
    }
    int rank = node->in[0]->type.rank < 0 ? -1 : read_axes(node, a);
    if (rank < 0)
        norni_graph_failed(g, norni_fail(NORN_SHAPE, "the pads are not known"));
    for (int i = 0; i < rank && dx; i++) {
        int64_t d = node->in[0]->type.dims[i];
        if (d >= 0 && untouched(&a[i]) && a[i].n == d)
            continue;
        if (d < 0) {
            pads p;
            bool known;
            read_pads(node, rank, &p, &known);
            if (p.before[i] == 0 && p.after[i] == 0)
                continue;
            norni_graph_failed(
                g, norni_fail(NORN_SHAPE, "the size of axis %d is not known; bind the sizes first", i));
            return;
        }
        int64_t *places = norni_alloc_array((size_t)a[i].n_out, sizeof *places);
        if (!places) {
            norni_graph_failed(g, norni_nomem());
            return;
        }
        for (int64_t k = 0; k < a[i].n_out; k++)
            places[k] = a[i].skip + place(mode, k - a[i].begin, a[i].n);
        norn_value *from = a[i].n_out <= INT32_MAX ? norni_i64_const(g, (int)a[i].n_out, places) : NULL;
        norni_free(places);
        dx = NORNI_OP3(g, dx, from, norni_i64_const(g, 1, &d), "norn.GatherGrad<axis=%d>", i);
    }
    c->dx[0] = dx;
}

/* axes are new in opset 18, and wrap in 19. */
static norn_status lower(norni_adapt *a) {
    norn_node *node = a->node;
    int rank = node->in[0]->type.rank;
    pads p;
    bool known;
    int64_t v[2 * NORN_MAX_RANK];
    if (a->version < 19 && ((const pad_attrs *)node->attrs)->mode == WRAP)
        return norni_fail(NORN_UNSUPPORTED, "mode wrap is new in opset 19");
    if (a->version >= 18 || !has(node, 3))
        return NORN_OK;
    if (rank < 0)
        return norni_fail(NORN_UNSUPPORTED,
                          "input 'axes' is new in opset 18, and the rank of the data is not known");
    NORNI_TRY(read_pads(node, rank, &p, &known));
    for (int i = 0; i < rank; i++)
        known &=
            norni_dim_number(a->g, p.before[i], &v[i]) && norni_dim_number(a->g, p.after[i], &v[rank + i]);
    if (!known)
        return norni_fail(NORN_UNSUPPORTED, "input 'axes' is new in opset 18, and the pads are computed");
    node->in[1] = norni_i64_const(a->g, 2 * rank, v);
    node->in[3] = NULL;
    return norn_graph_status(a->g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

const norn_op norni_op_Pad = {
    .domain = "",
    .name = "Pad",
    .versions = (const int[]){2, 11, 13, 18, 19, 21, 23, 24, 25, 0},
    .doc = "elements added around the input: constant, its edges, mirrored or repeated",
    .inputs = PARAMS({"data", 0, NORNI_ALL, 'T'}, {"pads", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                     {"constant_value", NORNI_OPT, NORNI_ALL, 'T'},
                     {"axes", NORNI_OPT | NORNI_NODIFF | NORNI_HOST | NORNI_SINCE(18), NORNI_INDEX, 0}),
    .outputs = PARAMS({"output", 0, NORNI_ALL, 'T'}),
    .attrs_bytes = sizeof(pad_attrs),
    .attrs = table,
    .moved = moved,
    .lower = lower,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .moves = true,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "Pad(float[2,3,5], int64[6]{0,1,2,0,0,3})", "Pad(int4[3,5], int64[4]{1,0,0,2}, int4[]{-3})",
            "Pad<mode=\"edge\">(float8e4m3fn[3,5], int64[4]{1,0,0,2})",
            "Pad(float[3,4], int64[4]{1,0,0,2}, float[])", "Pad(float[3,40], int64[4]{1,-2,-1,17}, float[1])",
            "Pad(float[2,3,4], int64[4]{2,1,0,1}, _, int64[2]{-1,0})",
            "Pad<mode=\"edge\">(float[2,3,5], int64[6]{0,2,1,0,0,3})",
            "Pad<mode=\"reflect\">(float[2,4,5], int64[6]{0,3,2,0,1,9})",
            "Pad<mode=\"wrap\">(float[3,4], int64[4]{1,5,0,2})",
            "Pad<mode=\"reflect\">(float[5,6], int64[4]{-1,2,1,-2})",
            "Pad<mode=\"edge\">(float[4,1], int64[4]{0,2,-2,2})", "Pad(float[3], int64[2]{0,0})",
            "Pad(float[], int64[0]{})", "Pad(float[2,0], int64[4]{0,1,0,2})",
            "Pad(int64[2,3], int64[4]{1,1,1,1})", "Pad(bool[2,3], int64[4]{1,0,0,1}, bool[]{1})",
            "Pad(uint8[2,2,3,3,2], int64[10]{0,1,1,0,0,0,0,1,2,0})",
            "Pad<mode=\"reflect\">(float16[1,2,6,7], int64[8]{0,0,2,3,0,0,1,2})", NULL},
};
