/* SPDX-License-Identifier: Apache-2.0 */
/* Concat: the inputs one after the other along an axis. Split: the input in parts along an axis, of given
 * sizes or of equal ones (then the last may be smaller). Sources: ONNX Concat-13, Split-18. */
#include "ops/blocked.h"
#include "ops/copy.h"
#include "ops/rows.h"
#include <string.h>

static void no_flops(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

/* Between the part of `whole` that begins at `at` along the axis, and the whole of `part`. */
static norn_status emit_part(norni_emit *e, const norni_type *whole, norni_ref whole_ref, int axis,
                             int64_t at, const norni_type *part, norni_ref part_ref, bool into_whole) {
    norni_layout a = {.ref = whole_ref}, b = {.ref = part_ref};
    norni_strides(whole->rank, whole->dims, a.strides);
    norni_strides(part->rank, part->dims, b.strides);
    a.offset = at * a.strides[axis];
    return norni_emit_strided_copy(e, part->dtype, part->rank, part->dims, into_whole ? &b : &a,
                                   into_whole ? &a : &b);
}

/* The same on the host. */
static void copy_part(const norn_tensor *whole, int axis, int64_t at, const norn_tensor *part,
                      bool into_whole) {
    size_t size = (size_t)norni_dtype_bits(whole->dtype) / 8;
    int64_t inner = norni_elems(whole->rank - axis - 1, whole->dims + axis + 1),
            outer = norni_elems(axis, whole->dims);
    size_t row = (size_t)(part->dims[axis] * inner) * size, step = (size_t)(whole->dims[axis] * inner) * size;
    char *w = (char *)norni_tensor_data(whole) + (size_t)(at * inner) * size, *p = norni_tensor_data(part);
    for (int64_t o = 0; o < outer && row; o++)
        memcpy(into_whole ? w + (size_t)o * step : p + (size_t)o * row,
               into_whole ? p + (size_t)o * row : w + (size_t)o * step, row);
}

/* ---- Concat. */
typedef struct {
    int64_t axis;
} concat_attrs;
static const norni_attr concat_table[] = {NORNI_A(concat_attrs, axis, INT, .flags = NORNI_ATTR_REQUIRED),
                                          NORNI_A_END};

/* The elements of a vector put together from vectors whose elements are known. */
static norn_status known_concat(norni_infer *c) {
    int total = 0, n;
    for (int i = 0; i < c->node->n_in; i++) {
        if (!norni_value_known(c->node->in[i], &n))
            return NORN_OK;
        total += n;
    }
    norni_dim *all = total <= NORNI_MAX_KNOWN ? norni_set_known(c, 0, total) : NULL;
    if (!all)
        return total <= NORNI_MAX_KNOWN ? norni_nomem() : NORN_OK;
    for (int i = 0; i < c->node->n_in; i++) {
        const norni_dim *d = norni_value_known(c->node->in[i], &n);
        if (n)
            memcpy(all, d, (size_t)n * sizeof *d);
        all += n;
    }
    return NORN_OK;
}

static norn_status infer_concat(norni_infer *c) {
    norni_type *y = &c->out[0];
    int axis;
    if (!norni_in_ranked(c, c->node->n_in))
        return NORN_OK;
    norni_type t = *norni_in_type(c, 0);
    NORNI_TRY(norni_axis(((const concat_attrs *)c->attrs)->axis, t.rank, &axis));
    for (int i = 1; i < c->node->n_in; i++) {
        const norni_type *x = norni_in_type(c, i);
        if (x->rank != t.rank)
            return norni_fail(NORN_SHAPE, "input %d has rank %d (wanted %d, as input 0)", i, x->rank, t.rank);
        for (int k = 0; k < t.rank; k++) {
            if (k == axis)
                t.dims[k] = norni_dim_add(c->g, t.dims[k], x->dims[k]);
            else if (t.dims[k] >= 0 && x->dims[k] >= 0 && t.dims[k] != x->dims[k])
                return norni_fail(
                    NORN_SHAPE,
                    "input %d has size %lld in dimension %d (wanted %lld, as the inputs before it)", i,
                    (long long)x->dims[k], k, (long long)t.dims[k]);
            else if (x->dims[k] >= 0 || norni_dim_unknown(c->g, t.dims[k]))
                t.dims[k] = x->dims[k]; /* the more precise of two that must be equal */
        }
    }
    *y = t;
    return t.rank == 1 && norni_dtype_is_int(t.dtype) ? known_concat(c) : NORN_OK;
}

static norn_status eval_concat(norni_eval *e) {
    int axis;
    int64_t at = 0;
    NORNI_TRY(norni_axis(((const concat_attrs *)e->attrs)->axis, e->out[0]->rank, &axis));
    for (int i = 0; i < e->n_in; i++) {
        copy_part(e->out[0], axis, at, e->in[i], true);
        at += e->in[i]->dims[axis];
    }
    return NORN_OK;
}

static norn_status emit_concat(norni_emit *e) {
    const norn_node *n = e->node;
    int axis;
    int64_t at = 0;
    NORNI_TRY(norni_axis(((const concat_attrs *)n->attrs)->axis, n->out[0]->type.rank, &axis));
    for (int i = 0; i < n->n_in; i++) {
        const norni_type *x = &n->in[i]->type;
        NORNI_TRY(
            emit_part(e, &n->out[0]->type, norni_emit_out(e, 0), axis, at, x, norni_emit_in(e, i), true));
        at += x->dims[axis];
    }
    return e->status;
}

/* Each input gets its part of dy: by one Split when all want it, else by Slices. */
static void grad_concat(norni_grad *c) {
    norn_graph *g = c->g;
    norn_node *node = c->node;
    int n = node->n_in, axis, wanted = 0;
    norn_status s = node->in[0]->type.rank < 0 ? norni_fail(NORN_SHAPE, "the rank is not known")
                                               : norni_axis(((const concat_attrs *)node->attrs)->axis,
                                                            node->in[0]->type.rank, &axis);
    norn_value **sizes = norni_arena_array(g->arena, (size_t)n, sizeof *sizes);
    if (s == NORN_OK && !sizes)
        s = norni_nomem();
    if (s != NORN_OK) {
        norni_graph_failed(g, s);
        return;
    }
    for (int i = 0; i < n; i++) {
        wanted += c->want[i];
        sizes[i] = norni_size_value(g, node->in[i], axis);
    }
    if (n > 1 && n <= 32 && wanted == n) {
        norn_value *all = norni_opf(g, n, sizes, "Concat<axis=0>");
        norn_node *split = norni_opf_node(g, n == 32 ? ~0u : (1u << n) - 1, 2,
                                          (norn_value *[]){c->dy[0], all}, "Split<axis=%d>", axis);
        for (int i = 0; split && i < n; i++)
            c->dx[i] = split->out[i];
        return;
    }
    norn_value *at = norni_i64_const(g, 1, (int64_t[]){0}), *along = norni_i64_const(g, 1, (int64_t[]){axis});
    for (int i = 0; i < n; i++) {
        norn_value *end = NORNI_OP2(g, at, sizes[i], "Add");
        if (c->want[i])
            c->dx[i] = norni_opf(g, 4, (norn_value *[]){c->dy[0], at, end, along}, "Slice");
        at = end;
    }
}

static norn_status lower_concat(norni_adapt *a) {
    concat_attrs *at = a->node->attrs;
    norni_lower_axis(a, &at->axis, a->node->out[0]->type.rank);
    return NORN_OK;
}

/* Blocked forms one after the other: along the channels whole blocks, image by image; along axis 0 whole images. */
static norn_status emit_concat_blocked(norni_emit *e) {
    const norni_type *y = &e->node->out[0]->type;
    int axis;
    int64_t block = norni_block_of(y->dtype), pixels = block * norni_elems(y->rank - 2, y->dims + 2), at = 0;
    NORNI_TRY(norni_axis(((const concat_attrs *)e->node->attrs)->axis, y->rank, &axis));
    int64_t whole = norni_channel_blocks(y) * pixels * (axis ? 1 : y->dims[0]);
    for (int i = 0; i < e->node->n_in; i++) {
        const norni_type *x = &e->node->in[i]->type;
        int64_t image = norni_channel_blocks(x) * pixels;
        int64_t dims[] = {axis ? x->dims[0] : 1, axis ? image : image * x->dims[0]};
        norni_layout from = {.ref = norni_emit_in(e, i), .strides = {dims[1], 1}};
        norni_layout to = {.ref = norni_emit_out(e, 0), .offset = at, .strides = {whole, 1}};
        NORNI_TRY(norni_emit_strided_copy(e, x->dtype, 2, dims, &from, &to));
        at += dims[1];
    }
    return e->status;
}

static const char *concat_blocked_fits(const norni_fit *f) {
    const norn_node *n = f->node;
    const norni_type *y = &n->out[0]->type;
    int axis;
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    if (!norni_blockable(y) ||
        norni_axis(((const concat_attrs *)n->attrs)->axis, y->rank, &axis) != NORN_OK || axis > 1)
        return "the axis is neither that of the images nor that of the channels";
    for (int i = 0; i < n->n_in; i++)
        if (!norni_blockable(&n->in[i]->type) ||
            (axis && i < n->n_in - 1 && n->in[i]->type.dims[1] % norni_block_of(y->dtype)))
            return "an input has no whole blocks of channels";
    return NULL;
}

static const norni_impl concat_impls[] = {{.name = "blocks",
                                           .fits = concat_blocked_fits,
                                           .emit = emit_concat_blocked,
                                           .form = NORNI_BLOCKED,
                                           .gain = 1},
                                          {.name = "copies", .emit = emit_concat},
                                          {0}};

const norn_op norni_op_Concat = {
    .domain = "",
    .name = "Concat",
    .versions = (const int[]){4, 11, 13, 0},
    .doc = "the inputs one after the other along an axis",
    .inputs = PARAMS({"inputs", NORNI_VARIADIC, NORNI_ANY, 'T'}),
    .outputs = PARAMS({"concat_result", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(concat_attrs),
    .attrs = concat_table,
    .lower = lower_concat,
    .infer = infer_concat,
    .grad = grad_concat,
    .eval = eval_concat,
    .impls = concat_impls,
    .cost = no_flops,
    .cases =
        (const char *const[]){"Concat<axis=1>(float[2,3,5], float[2,1,5], float[2,4,5])",
                              "Concat<axis=-1>(float[3,7], float[3,2])",
                              "Concat<axis=0>(float[5], float[70])", "Concat<axis=1>(float[2,0], float[2,3])",
                              "Concat<axis=0>(float[3,1])", "Concat<axis=2>(uint8[2,3,4], uint8[2,3,1])",
                              "Concat<axis=0>(int64[0], int64[0])", "Concat<axis=1>(bool[9,40], bool[9,33])",
                              "Concat<axis=0>(int16[2,3], int16[1,3])",
                              "Concat<axis=0>(float[2,19,3,5], float[1,19,3,5])", NULL},
};

/* ---- Split. */
typedef struct {
    int64_t axis, num_outputs;
    norni_ints split; /* before opset 13 */
} split_attrs;
static const norni_attr split_table[] = {NORNI_A_INT(split_attrs, axis, 0),
                                         NORNI_A(split_attrs, num_outputs, INT, .flags = NORNI_ATTR_OPTIONAL,
                                                 .lo = 1, .hi = INT64_MAX, .since = 18),
                                         NORNI_A(split_attrs, split, INTS, .flags = NORNI_ATTR_OLD),
                                         NORNI_A_END};
static const norni_moved split_moved[] = {{"split", 1, 13, NORN_I64}, {0}};

static bool has_sizes(const norn_node *node) {
    return node->n_in > 1 && node->in[1];
}

/* The size of part k of d elements in n parts: all but the last are d / n rounded up. */
static norni_dim equal_part(norn_graph *g, norni_dim d, int64_t n, int64_t k) {
    norni_dim part = norni_dim_div(g, norni_dim_add(g, d, n - 1), n);
    return k < n - 1 ? part : norni_dim_sub(g, d, norni_dim_mul(g, part, n - 1));
}

/* The sizes of the parts, n of them; NULL when they are not known yet. */
static norn_status part_sizes(norn_graph *g, norn_node *node, int axis, const norni_dim **out, int *n) {
    const split_attrs *a = node->attrs;
    *out = NULL;
    if (has_sizes(node)) {
        if (a->num_outputs != NORNI_NO_INT)
            return norni_fail(NORN_ARG,
                              "got both the input split and the attribute num_outputs (wanted one)");
        *out = norni_value_known(node->in[1], n);
        return NORN_OK;
    }
    if (a->num_outputs == NORNI_NO_INT)
        return norni_fail(NORN_ARG, "got neither the input split nor the attribute num_outputs (wanted one)");
    if (a->num_outputs > 32)
        return norni_fail(NORN_UNSUPPORTED, "num_outputs is %lld (norn has at most 32)",
                          (long long)a->num_outputs);
    *n = (int)a->num_outputs;
    norni_dim *d = norni_arena_array(g->arena, (size_t)*n, sizeof *d);
    if (!d)
        return norni_nomem();
    for (int k = 0; k < *n; k++)
        d[k] = equal_part(g, node->in[0]->type.dims[axis], *n, k);
    *out = d;
    return NORN_OK;
}

static norn_status infer_split(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    int n = 0, n_known, axis;
    int64_t v;
    const norni_dim *sizes, *known;
    norni_dim total = 0;
    if (has_sizes(c->node) && norni_in_type(c, 1)->rank > 1)
        return norni_fail(NORN_SHAPE, "split has rank %d (wanted 1)", norni_in_type(c, 1)->rank);
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_axis(((const split_attrs *)c->attrs)->axis, x->rank, &axis));
    NORNI_TRY(part_sizes(c->g, c->node, axis, &sizes, &n));
    if (sizes && c->node->n_out > n)
        return norni_fail(NORN_SHAPE, "%d outputs, but %d parts", c->node->n_out, n);
    for (int k = 0; sizes && k < n; k++) {
        if (norni_dim_number(c->g, sizes[k], &v) && v < 0)
            return norni_fail(NORN_SHAPE, "part %d of %d would have size %lld: dimension %d has size %lld", k,
                              n, (long long)v, axis, (long long)x->dims[axis]);
        total = norni_dim_add(c->g, total, sizes[k]);
    }
    if (sizes && total >= 0 && x->dims[axis] >= 0 && total != x->dims[axis])
        return norni_fail(NORN_SHAPE,
                          "the parts have %lld elements in all (wanted %lld, the size of dimension %d)",
                          (long long)total, (long long)x->dims[axis], axis);
    known = x->rank == 1 && norni_dtype_is_int(x->dtype) ? norni_value_known(c->node->in[0], &n_known) : NULL;
    for (int k = 0; k < c->node->n_out; k++) {
        c->out[k] = *x;
        c->out[k].dims[axis] = sizes ? sizes[k] : norni_dim_fresh(c->g);
        if (known && sizes && sizes[k] >= 0 && sizes[k] <= n_known) {
            c->known[k] = known;
            c->n_known[k] = (int)sizes[k];
            known += sizes[k];
            n_known -= (int)sizes[k];
        } else
            known = NULL;
    }
    return NORN_OK;
}

static norn_status eval_split(norni_eval *e) {
    int axis, n;
    int64_t at = 0;
    const norni_dim *sizes;
    norn_node *node = (norn_node *)e->node;
    NORNI_TRY(norni_axis(((const split_attrs *)e->attrs)->axis, e->in[0]->rank, &axis));
    NORNI_TRY(part_sizes(node->graph, node, axis, &sizes, &n));
    for (int k = 0; k < e->n_out; at += sizes[k], k++)
        if (e->out[k])
            copy_part(e->in[0], axis, at, e->out[k], false);
    return NORN_OK;
}

static norn_status emit_split(norni_emit *e) {
    norn_node *node = (norn_node *)e->node;
    const norni_type *x = &node->in[0]->type;
    int axis, n;
    int64_t at = 0;
    const norni_dim *sizes;
    NORNI_TRY(norni_axis(((const split_attrs *)node->attrs)->axis, x->rank, &axis));
    NORNI_TRY(part_sizes(node->graph, node, axis, &sizes, &n));
    for (int k = 0; k < node->n_out; at += sizes[k], k++)
        if (node->out[k])
            NORNI_TRY(emit_part(e, x, norni_emit_in(e, 0), axis, at, &node->out[k]->type,
                                norni_emit_out(e, k), false));
    return e->status;
}

/* The gradients of the parts put together, with zeros where none arrives. */
static void grad_split(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *parts[33];
    int axis, n, count = 0;
    const norni_dim *sizes = NULL;
    norn_status s = norni_axis(((const split_attrs *)c->node->attrs)->axis, x->type.rank, &axis);
    if (s == NORN_OK)
        s = part_sizes(g, c->node, axis, &sizes, &n);
    if (s == NORN_OK && !sizes)
        s = norni_fail(NORN_SHAPE, "the sizes of the parts are not known");
    if (s != NORN_OK) {
        norni_graph_failed(g, s);
        return;
    }
    norni_dim rest = 0; /* of parts beyond the last output */
    for (int k = c->node->n_out; k < n; k++)
        rest = norni_dim_add(g, rest, sizes[k]);
    for (int k = 0; k <= c->node->n_out; k++) {
        bool beyond = k == c->node->n_out;
        norni_dim size = beyond ? rest : sizes[k];
        if (!beyond && c->dy[k])
            parts[count++] = c->dy[k];
        else if (size != 0) {
            if (size < 0) {
                norni_graph_failed(g, norni_fail(NORN_SHAPE, "the size of part %d is not known", k));
                return;
            }
            parts[count++] = norni_zeros(g, x->type.dtype, norni_shape_with(g, x, axis, size));
        }
    }
    c->dx[0] = count == 1 ? parts[0] : norni_opf(g, count, parts, "Concat<axis=%d>", axis);
}

static norn_status raise_split(norni_adapt *a) {
    split_attrs *at = a->node->attrs;
    if (!has_sizes(a->node))
        at->num_outputs = a->node->n_out;
    return NORN_OK;
}

/* Before opset 18 only as many equal parts as there are outputs can be had without saying their sizes. */
static norn_status lower_split(norni_adapt *a) {
    norn_node *node = a->node;
    split_attrs *at = node->attrs;
    const norni_type *x = &node->in[0]->type;
    int axis, n;
    const norni_dim *sizes;
    norni_lower_axis(a, &at->axis, x->rank);
    if (has_sizes(node) || a->version >= 18)
        return NORN_OK;
    NORNI_TRY(norni_axis(at->axis, x->rank, &axis));
    if (x->dims[axis] < 0 || (at->num_outputs == node->n_out && x->dims[axis] % node->n_out == 0)) {
        if (at->num_outputs != node->n_out)
            return norni_fail(NORN_UNSUPPORTED,
                              "num_outputs is %lld, and %d outputs are used (wanted as many)",
                              (long long)at->num_outputs, node->n_out);
        at->num_outputs = NORNI_NO_INT;
        return NORN_OK;
    }
    NORNI_TRY(part_sizes(a->g, node, axis, &sizes, &n));
    norn_value *split = norni_i64_const(a->g, n, sizes);
    if (!split)
        return norn_graph_status(a->g);
    if (node->n_in < 2)
        node->n_in = 2;
    node->in[1] = split;
    at->num_outputs = NORNI_NO_INT;
    return NORN_OK;
}

static const norni_impl split_impls[] = {{.name = "copies", .emit = emit_split}, {0}};

const norn_op norni_op_Split = {
    .domain = "",
    .name = "Split",
    .versions = (const int[]){2, 11, 13, 18, 0},
    .doc = "the input in parts along an axis",
    .inputs = PARAMS({"input", 0, NORNI_ANY, 'T'},
                     {"split", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
    .outputs = PARAMS({"outputs", NORNI_VARIADIC, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(split_attrs),
    .attrs = split_table,
    .moved = split_moved,
    .raise = raise_split,
    .lower = lower_split,
    .infer = infer_split,
    .grad = grad_split,
    .eval = eval_split,
    .impls = split_impls,
    .cost = no_flops,
    .cases = (const char *const[]){"Split<axis=1>(float[2,6,3], int64[3]{1,2,3}) => 3",
                                   "Split<num_outputs=3>(float[7,2]) => 3",
                                   "Split<axis=-1, num_outputs=2>(float[3,40]) => 2",
                                   "Split<axis=1>(float[2,6,3], int64[3]{1,2,3}) => 2",
                                   "Split(float[5], int64[2]{0,5}) => 2", "Split(float[5], int64[1]{5})",
                                   "Split<num_outputs=1>(uint8[3])", "Split(int64[6], int64[2]{4,2}) => 2",
                                   "Split<axis=0, num_outputs=2>(float16[0,3]) => 2", NULL},
};
