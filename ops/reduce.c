/* SPDX-License-Identifier: Apache-2.0 */
/* ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum,
 * ReduceLogSumExp. Source: ONNX Reduce*-18 (axes as an input), ReduceSum-13, ReduceMax-20 (bool). */
#include "ops/reduce.h"
#include "ops/blocked.h"
#include "ops/rows.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TABLE(opset)                                                                                         \
    {                                                                                                        \
        NORNI_A_INT(norni_reduce_attrs, keepdims, 1),                                                        \
            NORNI_A_INT(norni_reduce_attrs, noop_with_empty_axes, 0, .since = (opset)),                      \
            NORNI_A(norni_reduce_attrs, axes, INTS, .flags = NORNI_ATTR_OLD), NORNI_A_END                    \
    }
static const norni_attr table_13[] = TABLE(13), table_18[] = TABLE(18); /* with the axes as an input */
static const norni_moved moved_13[] = {{"axes", 1, 13, NORN_I64}, {0}},
                         moved_18[] = {{"axes", 1, 18, NORN_I64}, {0}};

norn_status norni_reduced_axes(norn_node *node, int rank, bool set[NORN_MAX_RANK], int *known) {
    const norni_reduce_attrs *a = node->attrs;
    int64_t v[NORN_MAX_RANK];
    int n = 0, at;
    bool given = node->n_in > 1 && node->in[1];
    memset(set, 0, NORN_MAX_RANK * sizeof *set);
    *known = 1;
    if (given && !norni_value_ints(node->in[1], v, NORN_MAX_RANK, &n)) {
        if (norni_is_const(node->in[1]))
            return norni_fail(NORN_SHAPE, "more than %d axes", NORN_MAX_RANK);
        *known = 0;
        return NORN_OK;
    }
    if (n == 0 && !a->noop_with_empty_axes)
        for (int i = 0; i < rank; i++)
            set[i] = true;
    for (int i = 0; i < n; i++) {
        NORNI_TRY(norni_axis(v[i], rank, &at));
        set[at] = true;
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    const norni_reduce_attrs *a = c->attrs;
    bool set[NORN_MAX_RANK];
    int known;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_reduced_axes(c->node, x->rank, set, &known));
    if (!known) {
        if (a->keepdims) {
            c->out[0].rank = x->rank;
            for (int i = 0; i < x->rank; i++)
                c->out[0].dims[i] = norni_dim_fresh(c->g);
        }
        return NORN_OK;
    }
    c->out[0].rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (!set[i] || a->keepdims)
            c->out[0].dims[c->out[0].rank++] = set[i] ? 1 : x->dims[i];
    return NORN_OK;
}

/* ---- Which reduction an operator is. */
static const struct {
    const char *name;
    norni_reduction how;
} kinds[] = {{"ReduceSum", NORNI_SUM},       {"ReduceMean", NORNI_MEAN},
             {"ReduceMax", NORNI_MAX},       {"ReduceMin", NORNI_MIN},
             {"ReduceProd", NORNI_PROD},     {"ReduceL1", NORNI_L1},
             {"ReduceL2", NORNI_L2},         {"ReduceSumSquare", NORNI_SUM_SQUARE},
             {"ReduceLogSum", NORNI_LOG_SUM}};

static norni_reduction reduction_of(const norn_op *op) {
    size_t i = 0;
    while (strcmp(kinds[i].name, op->name))
        i++;
    return kinds[i].how;
}

/* ---- Host reference. */
static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *y = e->out[0];
    norni_reduction how = reduction_of(e->node->op);
    bool set[NORN_MAX_RANK], is_float = norni_dtype_is_float(x->dtype),
                             is_unsigned = norni_dtype_class(x->dtype) != NORNI_CLASS_INT;
    int known, k = 0;
    int64_t out_stride[NORN_MAX_RANK] = {0}, stride[NORN_MAX_RANK], dims[NORN_MAX_RANK], count = 1;
    NORNI_TRY(norni_reduced_axes((norn_node *)e->node, x->rank, set, &known));
    for (int i = 0; i < x->rank; i++) {
        if (!set[i])
            dims[k++] = x->dims[i];
        else
            count *= x->dims[i];
    }
    norni_strides(k, dims, stride);
    for (int i = 0, j = 0; i < x->rank; i++)
        if (!set[i])
            out_stride[i] = stride[j++];
    int64_t n_out = norni_tensor_elems(y), n = norni_tensor_elems(x);
    union {
        double d;
        int64_t i;
    } *acc = norni_alloc_array((size_t)n_out + 1, sizeof *acc), start;
    if (!acc)
        return norni_nomem();
    if (is_float)
        start.d = how == NORNI_MAX    ? -(double)INFINITY
                  : how == NORNI_MIN  ? (double)INFINITY
                  : how == NORNI_PROD ? 1
                                      : 0;
    else {
        int bits = norni_dtype_bits(x->dtype);
        int64_t top = x->dtype == NORN_BOOL ? 1
                      : is_unsigned         ? (bits == 64 ? -1 : (int64_t)((1ull << bits) - 1))
                                            : (int64_t)((1ull << (bits - 1)) - 1);
        start.i = how == NORNI_MAX   ? (is_unsigned ? 0 : -top - 1)
                  : how == NORNI_MIN ? top
                                     : how == NORNI_PROD;
    }
    for (int64_t i = 0; i < n_out; i++)
        acc[i] = start;
    int64_t idx[NORN_MAX_RANK] = {0}, o = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_float) {
            double v = norni_get_double(x->dtype, norni_tensor_data(x), i), *a = &acc[o].d;
            if (how == NORNI_MAX)
                *a = isnan(v) || v > *a ? v : *a;
            else if (how == NORNI_MIN)
                *a = isnan(v) || v < *a ? v : *a;
            else if (how == NORNI_PROD)
                *a *= v;
            else
                *a += how == NORNI_L1 ? fabs(v) : how == NORNI_L2 || how == NORNI_SUM_SQUARE ? v * v : v;
        } else {
            int64_t v = norni_get_int(x->dtype, norni_tensor_data(x), i), *a = &acc[o].i;
            bool above = is_unsigned ? (uint64_t)v > (uint64_t)*a : v > *a;
            if (how == NORNI_MAX)
                *a = above ? v : *a;
            else if (how == NORNI_MIN)
                *a = above ? *a : v;
            else if (how == NORNI_PROD)
                *a = (int64_t)((uint64_t)*a * (uint64_t)v);
            else
                *a = (int64_t)((uint64_t)*a + (uint64_t)(how == NORNI_L1 && v < 0 ? -v
                                                         : how == NORNI_SUM_SQUARE || how == NORNI_L2
                                                             ? (int64_t)((uint64_t)v * (uint64_t)v)
                                                             : v));
        }
        for (int d = x->rank - 1; d >= 0; d--) {
            o += out_stride[d];
            if (++idx[d] < x->dims[d])
                break;
            o -= out_stride[d] * x->dims[d];
            idx[d] = 0;
        }
    }
    for (int64_t i = 0; i < n_out; i++) {
        if (is_float) {
            double v = acc[i].d;
            v = how == NORNI_MEAN      ? v / (double)count
                : how == NORNI_L2      ? sqrt(v)
                : how == NORNI_LOG_SUM ? log(v)
                                       : v;
            norni_set_double(y->dtype, norni_tensor_data(y), i, v);
        } else {
            int64_t v = acc[i].i;
            if (how == NORNI_MEAN)
                v = count ? (is_unsigned ? (int64_t)((uint64_t)v / (uint64_t)count) : v / count) : 0;
            else if (how == NORNI_L2)
                v = norni_double_to_int(sqrt((double)v));
            else if (how == NORNI_LOG_SUM)
                v = norni_double_to_int(log((double)v));
            norni_set_int(y->dtype, norni_tensor_data(y), i, v);
        }
    }
    norni_free(acc);
    return NORN_OK;
}

/* ---- Device. */
static const char *int_limit(norn_dtype t, bool lowest) {
    switch (t) {
    case NORN_I8:
        return lowest ? "CHAR_MIN" : "CHAR_MAX";
    case NORN_I16:
        return lowest ? "SHRT_MIN" : "SHRT_MAX";
    case NORN_I32:
        return lowest ? "INT_MIN" : "INT_MAX";
    case NORN_I64:
        return lowest ? "LONG_MIN" : "LONG_MAX";
    case NORN_BOOL:
        return lowest ? "0" : "1";
    case NORN_U8:
        return lowest ? "0" : "UCHAR_MAX";
    case NORN_U16:
        return lowest ? "0" : "USHRT_MAX";
    case NORN_U32:
        return lowest ? "0" : "UINT_MAX";
    default:
        return lowest ? "0" : "ULONG_MAX";
    }
}

typedef struct {
    norni_reduction how;
    norn_dtype dtype;
    int64_t count; /* elements behind each result, for the mean */
} job;

/* Columns on CPUs: whole rows are read, in tiles of so many columns. */
enum { TILE = 4096, TILE_ROWS = 8, TILE_ROWS_NARROW = 64 };
static bool tiled(const norni_emit *e, int64_t inner, int64_t r) {
    return norni_device_is_cpu(e->device) && inner > 1 && r >= (inner >= 16 ? TILE_ROWS : TILE_ROWS_NARROW);
}

/* Rows on CPUs: the widest vector that they fill, and elements that a work-item takes. */
enum { ITEM = 4096 };
static int row_width(int w, int64_t n) {
    while (w > n && w > 1)
        w /= 2;
    return w < 4 ? 1 : w;
}

/* One pass: x [outer][r][inner] to y [outer][parts][inner]. */
static void pass(norni_emit *e, const job *j, bool first, bool last, int64_t outer, int64_t r, int64_t inner,
                 int64_t parts, norni_ref x, norni_ref y) {
    bool cpu = norni_device_is_cpu(e->device), rows = inner == 1, wide = norni_dtype_bits(j->dtype) == 64;
    int how = j->how == NORNI_MAX ? 1 : j->how == NORNI_MIN ? 2 : j->how == NORNI_PROD ? 3 : 0;
    int w = cpu ? (wide ? 8 : 16) : 4, wg = 64;
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    bool tiles = tiled(e, inner, r);
    if (rows && cpu)
        w = row_width(w, norni_ceil_div(r, parts));
    else if (rows ? r < 4 * w : inner < w && !tiles)
        w = 1;
    norni_step *s = norni_emit_kernel(e, "reduce.cl",
                                      tiles            ? "reduce_tiles"
                                      : !rows          ? "reduce_cols"
                                      : cpu || r < 256 ? "reduce_rows"
                                                       : "reduce_group",
                                      j->dtype);
    norni_step_define_text(e, s, "REAL", j->dtype == NORN_F64 ? "double" : "float");
    if (how)
        norni_step_define(e, s, "HOW", how);
    if (first && (j->how == NORNI_L1 || j->how == NORNI_L2 || j->how == NORNI_SUM_SQUARE))
        norni_step_define(e, s, "PRE", j->how == NORNI_L1 ? 1 : 2);
    if (last && (j->how == NORNI_L2 || j->how == NORNI_LOG_SUM))
        norni_step_define(e, s, "POST", j->how == NORNI_L2 ? 1 : 2);
    if (last && j->how == NORNI_MEAN && !norni_dtype_is_float(j->dtype))
        norni_step_define(e, s, "DIVIDE", 1);
    if ((how == 1 || how == 2) && !norni_dtype_is_float(j->dtype))
        norni_step_define_text(e, s, "LIMIT", int_limit(j->dtype, how == 1));
    norni_step_define(e, s, "W", w);
    int64_t part = norni_ceil_div(r, parts);
    double scale = last && j->how == NORNI_MEAN
                       ? (norni_dtype_is_float(j->dtype) ? 1.0 / (double)j->count : (double)j->count)
                       : 1;
    norni_step_buffer(e, s, x, NORNI_READ);
    norni_step_buffer(e, s, y, NORNI_WRITE);
    norni_step_i64(e, s, outer);
    norni_step_i64(e, s, r);
    if (!rows)
        norni_step_i64(e, s, inner);
    norni_step_i64(e, s, parts);
    norni_step_i64(e, s, part);
    if (!rows)
        norni_step_items(e, s, 3, norni_ceil_div(inner, tiles ? TILE : w), outer, parts);
    else if (cpu || r < 256) {
        int64_t rows_each = part < 256 ? norni_ceil_div(256, part + 1) : 1;
        if (cpu) /* longer ones, as long as there are some for each core */
            rows_each = norni_max(rows_each, norni_min(ITEM / (part + 1), outer * parts / (units * 8)));
        norni_step_i64(e, s, rows_each);
        norni_step_items(e, s, 2, norni_ceil_div(outer, rows_each), parts, 1);
    } else
        norni_step_range(s, 2, (size_t)(outer * wg), (size_t)parts, 1, (size_t)wg, 1, 0);
    norni_step_real(e, s, j->dtype, scale);
}

norn_status norni_emit_reduce(norni_emit *e, norni_reduction how, norn_dtype dtype, int rank,
                              const int64_t *dims, const bool *reduced, norni_ref x, norni_ref y) {
    /* Neighbouring axes of one kind are joined: alternately kept and reduced groups. */
    int64_t size[NORN_MAX_RANK + 1];
    bool red[NORN_MAX_RANK + 1];
    int n = 0, groups = 0;
    job j = {how, dtype, 1};
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    for (int i = 0; i < rank; i++) {
        if (reduced[i])
            j.count *= dims[i];
        if (dims[i] == 1 && (n || i + 1 < rank))
            continue;
        if (n && red[n - 1] == reduced[i])
            size[n - 1] *= dims[i];
        else {
            size[n] = dims[i];
            red[n++] = reduced[i];
        }
    }
    for (int i = 0; i < n; i++)
        groups += red[i];
    if (!groups) { /* sizes 1 at most: a reduction over one element is still |x|, sqrt(x^2) or log(x) */
        size[n] = 1;
        red[n++] = true;
        groups = 1;
    }
    for (bool first = true; groups; first = false, groups--) {
        int k = n - 1; /* the innermost reduced group first: the data shrinks most */
        while (!red[k])
            k--;
        int64_t outer = norni_elems(k, size), r = size[k], inner = norni_elems(n - k - 1, size + k + 1);
        bool last = groups == 1;
        /* Too few results to keep the device busy: parts of the sum first, then their sum. */
        int64_t work = inner == 1 ? outer : outer * norni_ceil_div(inner, 16), parts = 1;
        if (work < units * 2 && r >= 4096)
            parts = units * 4 < r / 1024 ? units * 4 : r / 1024;
        if (tiled(e, inner, r)) { /* all of a row at once, so the rows are what can be dealt out */
            work = outer * norni_ceil_div(inner, TILE);
            parts = work < units * 2 ? norni_ceil_div(units * 4, work) : 1;
            parts = parts > r / TILE_ROWS ? r / TILE_ROWS : parts;
        }
        norni_ref to =
            last && parts == 1 ? y : norni_emit_scratch(e, norni_dtype_bytes(dtype, outer * parts * inner));
        pass(e, &j, first, last && parts == 1, outer, r, inner, parts, x, to);
        if (parts > 1) {
            norni_ref joined = last ? y : norni_emit_scratch(e, norni_dtype_bytes(dtype, outer * inner));
            pass(e, &j, false, last, outer, parts, inner, 1, to, joined);
            to = joined;
        }
        x = to;
        memmove(size + k, size + k + 1, (size_t)(n - k - 1) * sizeof *size);
        memmove(red + k, red + k + 1, (size_t)(n - k - 1) * sizeof *red);
        n--;
    }
    return e->status;
}

static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    bool set[NORN_MAX_RANK];
    int known;
    NORNI_TRY(norni_reduced_axes((norn_node *)e->node, x->rank, set, &known));
    return norni_emit_reduce(e, reduction_of(e->node->op), x->dtype, x->rank, x->dims, set,
                             norni_emit_in(e, 0), norni_emit_out(e, 0));
}

/* Over all spatial dimensions of a tensor in blocked form: the result is a vector of channels, plain. */
static norn_status emit_blocked(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    norni_reduction how = reduction_of(e->node->op);
    int64_t pixels = norni_elems(x->rank - 2, x->dims + 2);
    norni_step *s = norni_emit_kernel(e, "blocked.cl", "reduce_pixels", x->dtype);
    norni_step_define(e, s, "B", norni_block_of(x->dtype));
    if (how == NORNI_MAX)
        norni_step_define(e, s, "MAX", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, x->dims[1]);
    norni_step_i64(e, s, pixels);
    norni_step_real(e, s, x->dtype, how == NORNI_MEAN ? (double)pixels : 1);
    norni_step_range(s, 2, (size_t)norni_channel_blocks(x), (size_t)x->dims[0], 1, 1, 1, 1);
    return e->status;
}

static const char *blocked_fits(const norni_fit *f) {
    const norni_type *x = &f->node->in[0]->type;
    norni_reduction how = reduction_of(f->node->op);
    bool set[NORN_MAX_RANK], all = true;
    int known;
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    if (how != NORNI_MEAN && how != NORNI_SUM && how != NORNI_MAX)
        return "sums, means and maxima only";
    if (!norni_blockable(x) || norni_reduced_axes((norn_node *)f->node, x->rank, set, &known) != NORN_OK ||
        !known)
        return "the type has no blocked form";
    for (int i = 0; i < x->rank; i++)
        all &= set[i] == (i > 1);
    return all ? NULL : "the axes are not all spatial ones";
}

static const norni_impl impls[] = {{.name = "blocked",
                                    .fits = blocked_fits,
                                    .emit = emit_blocked,
                                    .form = NORNI_FROM_BLOCKED,
                                    .n_blocked = 1,
                                    .gain = 1},
                                   {.name = "passes", .emit = emit},
                                   {0}};

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[0]->type);
}

/* ln sum e^x = m + ln sum e^(x - m), m the largest. */
static norn_status expand_log_sum_exp(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_reduce_attrs *a = node->attrs;
    norn_value *x = node->in[0], *axes = node->n_in > 1 && node->in[1] ? node->in[1] : NORNI_NONE;
    int noop = (int)a->noop_with_empty_axes;
    norn_value *m = NORNI_OP2(g, x, axes, "ReduceMax<noop_with_empty_axes=%d>", noop);
    norn_value *finite =
        norni_formula(g, "where(m - m == 0, m, 0)", 1, (const char *[]){"m"}, &m); /* not for m = -inf */
    norn_value *e = NORNI_OP1(g, NORNI_OP2(g, x, finite, "Sub"), "Exp");
    norn_value *s = NORNI_OP1(g, NORNI_OP2(g, e, axes, "ReduceSum<noop_with_empty_axes=%d>", noop), "Log");
    out[0] = NORNI_OP2(g, s, finite, "Add");
    if (!a->keepdims && out[0]) {
        const norni_type *y = &node->out[0]->type;
        if (!norni_type_static(y))
            return norni_fail(NORN_SHAPE, "ReduceLogSumExp: sizes are not known");
        out[0] = NORNI_OP2(g, out[0], norni_i64_const(g, y->rank, y->dims), "Reshape<allowzero=1>");
    }
    return norn_graph_status(g);
}

static norn_status eval_log_sum_exp(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    bool set[NORN_MAX_RANK];
    int known;
    NORNI_TRY(norni_reduced_axes((norn_node *)e->node, x->rank, set, &known));
    int64_t n_out = norni_tensor_elems(e->out[0]), n = norni_tensor_elems(x);
    double *m = norni_alloc_array((size_t)n_out * 2 + 1, sizeof *m), *sum = m + n_out;
    if (!m)
        return norni_nomem();
    for (int64_t i = 0; i < n_out; i++)
        m[i] = -(double)INFINITY;
    for (int round = 0; round < 2; round++) {
        int64_t idx[NORN_MAX_RANK] = {0};
        for (int64_t i = 0; i < n; i++) {
            int64_t o = 0;
            for (int d = 0; d < x->rank; d++)
                if (!set[d])
                    o = o * x->dims[d] + idx[d];
            double v = norni_get_double(x->dtype, norni_tensor_data(x), i);
            if (round == 0)
                m[o] = v > m[o] || isnan(v) ? v : m[o];
            else
                sum[o] += exp(v - (isinf(m[o]) ? 0 : m[o]));
            for (int d = x->rank - 1; d >= 0 && ++idx[d] == x->dims[d]; d--)
                idx[d] = 0;
        }
    }
    for (int64_t i = 0; i < n_out; i++)
        norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), i,
                         log(sum[i]) + (isinf(m[i]) ? 0 : m[i]));
    norni_free(m);
    return NORN_OK;
}

static void log_sum_exp_cost(const norn_node *node, norni_cost *c) {
    c->flops = 4.0 * (double)norni_type_elems(&node->in[0]->type);
}

/* Axes that are there make the flag for empty ones, which older opsets lack, idle. */
static norn_status lower(norni_adapt *a) {
    norni_reduce_attrs *at = a->node->attrs;
    const norn_value *axes = a->node->n_in > 1 ? a->node->in[1] : NULL;
    if (axes && axes->kind == NORNI_CONST && norni_tensor_elems(axes->data) > 0)
        at->noop_with_empty_axes = 0;
    return NORN_OK;
}

#define REDUCE_TYPES                                                                                         \
    (NORNI_FLOATS | NORNI_T(NORN_I32) | NORNI_T(NORN_I64) | NORNI_T(NORN_U32) | NORNI_T(NORN_U64))
#define REDUCE(id, types, rule_fn, axes_since, cases_list, ...)                                              \
    const norn_op norni_op_##id = {                                                                          \
        .domain = "",                                                                                        \
        .name = #id,                                                                                         \
        .inputs =                                                                                            \
            (const norni_param[]){{"data", 0, types, 'T'},                                                   \
                                  {"axes", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},     \
                                  {0}},                                                                      \
        .outputs = (const norni_param[]){{"reduced", 0, types, 'T'}, {0}},                                   \
        .attrs_bytes = sizeof(norni_reduce_attrs),                                                           \
        .attrs = table_##axes_since,                                                                         \
        .moved = moved_##axes_since,                                                                         \
        .lower = lower,                                                                                      \
        .infer = infer,                                                                                      \
        .grad = rule_fn,                                                                                     \
        .cases = cases_list,                                                                                 \
        __VA_ARGS__}
#define ALL_CASES(id)                                                                                        \
    (const char *const[]) {                                                                                  \
#id "(float[2,3,5], int64[1]{1})", #id "<keepdims=0>(float[2,3,5], int64[2]{0,-1})",                 \
            #id "(float[3,17])", #id "<keepdims=0>(float[4,33,2,3], int64[2]{0,2})",                         \
            #id "(float[2,130], int64[1]{1})", #id "<noop_with_empty_axes=1>(float[2,3])",                   \
            #id "(int32[3,5], int64[1]{0})", #id "<keepdims=0>(float[5,1,4], int64[1]{1})",                  \
            #id "(float[20000])", #id "<keepdims=0>(float[3,90,5], int64[1]{1})",                            \
            #id "(float[2,70,37], int64[1]{1})", #id "<keepdims=0>(float[3,2,0], int64[1]{1})",              \
            #id "(int64[9,5], int64[1]{1})", #id "(int64[3,27], int64[1]{1})",                               \
            #id "(double[300,13], int64[1]{1})", #id "(float[70,333], int64[1]{1})", NULL                    \
    }
#define FLOAT_CASES(id)                                                                                      \
    (const char *const[]) {                                                                                  \
#id "(float[2,3,5], int64[1]{1})", #id "<keepdims=0>(float[2,3,5], int64[2]{0,-1})",                 \
            #id "(float[3,17])", #id "<noop_with_empty_axes=1>(float[2,3])",                                 \
            #id "(float[5,29], int64[1]{1})", #id "<keepdims=0>(float[3,2,0], int64[1]{1})", NULL            \
    }

REDUCE(ReduceSum, REDUCE_TYPES, norni_reduce_grad_sum, 13, ALL_CASES(ReduceSum), VERSIONS(1, 11, 13),
       .doc = "sum over axes", .eval = eval, .impls = impls, .cost = cost);
REDUCE(ReduceMean, REDUCE_TYPES, norni_reduce_grad_mean, 18, ALL_CASES(ReduceMean), VERSIONS(1, 11, 13, 18),
       .doc = "mean over axes", .eval = eval, .impls = impls, .cost = cost);
REDUCE(ReduceMax, REDUCE_TYPES | NORNI_T(NORN_I8) | NORNI_T(NORN_U8) | NORNI_BOOLS, norni_reduce_grad_extreme,
       18, ALL_CASES(ReduceMax), VERSIONS(1, 11, 12, 13, 18, 20), .doc = "largest element over axes",
       .eval = eval, .impls = impls, .cost = cost);
REDUCE(ReduceMin, REDUCE_TYPES | NORNI_T(NORN_I8) | NORNI_T(NORN_U8) | NORNI_BOOLS, norni_reduce_grad_extreme,
       18, ALL_CASES(ReduceMin), VERSIONS(1, 11, 12, 13, 18, 20), .doc = "smallest element over axes",
       .eval = eval, .impls = impls, .cost = cost);
REDUCE(ReduceProd, REDUCE_TYPES, norni_reduce_grad_prod, 18, FLOAT_CASES(ReduceProd), VERSIONS(1, 11, 13, 18),
       .doc = "product over axes", .eval = eval, .impls = impls, .cost = cost, .lo = 0.5, .hi = 1.5);
REDUCE(ReduceL1, REDUCE_TYPES, norni_reduce_grad_l1, 18, FLOAT_CASES(ReduceL1), VERSIONS(1, 11, 13, 18),
       .doc = "sum of absolute values over axes", .eval = eval, .impls = impls, .cost = cost);
REDUCE(ReduceL2, REDUCE_TYPES, norni_reduce_grad_l2, 18, FLOAT_CASES(ReduceL2), VERSIONS(1, 11, 13, 18),
       .doc = "square root of the sum of squares over axes", .eval = eval, .impls = impls, .cost = cost);
REDUCE(ReduceSumSquare, REDUCE_TYPES, norni_reduce_grad_sum_square, 18, FLOAT_CASES(ReduceSumSquare),
       VERSIONS(1, 11, 13, 18), .doc = "sum of squares over axes", .eval = eval, .impls = impls,
       .cost = cost);
REDUCE(ReduceLogSum, NORNI_FLOATS, norni_reduce_grad_log_sum, 18, FLOAT_CASES(ReduceLogSum),
       VERSIONS(1, 11, 13, 18, 28), .doc = "logarithm of the sum over axes", .eval = eval, .impls = impls,
       .cost = cost, .lo = 0.5, .hi = 2);

const norn_op norni_op_ReduceLogSumExp = {
    .domain = "",
    .name = "ReduceLogSumExp",
    .doc = "logarithm of the sum of exponentials over axes, without overflow",
    VERSIONS(1, 11, 13, 18, 28),
    .inputs = (const norni_param[]){{"data", 0, NORNI_FLOATS, 'T'},
                                    {"axes", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"reduced", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_reduce_attrs),
    .attrs = table_18,
    .moved = moved_18,
    .lower = lower,
    .infer = infer,
    .grad = norni_reduce_grad_log_sum_exp,
    .expand = expand_log_sum_exp,
    .eval = eval_log_sum_exp,
    .cost = log_sum_exp_cost,
    .cases = FLOAT_CASES(ReduceLogSumExp),
};
