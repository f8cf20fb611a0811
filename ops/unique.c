/* SPDX-License-Identifier: Apache-2.0 */
/* Unique: the different elements of a tensor, or the different slices along an axis, sorted or as they first come. Slices
 * are compared element by element, the first difference decides. NaN equals NaN and is the largest. On the host, where the
 * run is cut: the number of results depends on the data. Source: ONNX Unique-28. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t axis, sorted;
} attrs;
static const norni_attr table[] = {NORNI_A(attrs, axis, INT, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_INT(attrs, sorted, 1, .lo = 0, .hi = 1), NORNI_A_END};

static bool has_axis(const void *a) {
    return ((const attrs *)a)->axis != NORNI_NO_INT;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    norni_dim count = norni_dim_fresh(c->g);
    int axis = 0;
    if (has_axis(c->attrs) && x->rank >= 0) {
        NORNI_TRY(norni_axis(((const attrs *)c->attrs)->axis, x->rank, &axis));
        memcpy(c->out[0].dims, x->dims, sizeof x->dims);
    }
    c->out[0].rank = has_axis(c->attrs) ? x->rank : 1;
    c->out[0].dims[axis] = count;
    for (int k = 1; k < c->node->n_out; k++)
        c->out[k].rank = 1;
    c->out[1].dims[0] = c->out[3].dims[0] = count;
    c->out[2].dims[0] = x->rank < 0          ? norni_dim_fresh(c->g)
                        : has_axis(c->attrs) ? x->dims[axis]
                                             : norni_dim_product(c->g, x->rank, x->dims);
    return NORN_OK;
}

/* Slice i: `outer` runs of `inner` elements. */
typedef struct {
    const norn_tensor *x;
    int64_t outer, n, inner;
} slices;

static int compare_elems(const norn_tensor *x, int64_t i, int64_t j) {
    const void *d = norni_tensor_data(x);
    if (norni_dtype_is_float(x->dtype)) {
        double a = norni_get_double(x->dtype, d, i), b = norni_get_double(x->dtype, d, j);
        if (isnan(a) || isnan(b))
            return isnan(a) - isnan(b);
        return (a > b) - (a < b);
    }
    int64_t a = norni_get_int(x->dtype, d, i), b = norni_get_int(x->dtype, d, j);
    if (norni_dtype_class(x->dtype) == NORNI_CLASS_INT)
        return (a > b) - (a < b);
    return ((uint64_t)a > (uint64_t)b) - ((uint64_t)a < (uint64_t)b);
}

static int compare(const slices *s, int64_t i, int64_t j) {
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t k = 0; k < s->inner; k++) {
            int c = compare_elems(s->x, (o * s->n + i) * s->inner + k, (o * s->n + j) * s->inner + k);
            if (c)
                return c;
        }
    return 0;
}

/* Merge sort of the slices' numbers by runs of doubling length; stable; the result is in a. */
static void sort(const slices *s, int64_t *a, int64_t *b) {
    for (int64_t run = 1; run < s->n; run *= 2) {
        for (int64_t i = 0; i < s->n; i += 2 * run) {
            int64_t l = i, m = i + run < s->n ? i + run : s->n, r = m,
                    end = i + 2 * run < s->n ? i + 2 * run : s->n;
            for (int64_t o = i; o < end; o++)
                b[o] = r == end || (l < m && compare(s, a[l], a[r]) <= 0) ? a[l++] : a[r++];
        }
        memcpy(a, b, (size_t)s->n * sizeof *a);
    }
}

/* The groups of equal slices: first[g] is where group g first comes, group[i] the group of slice i. */
typedef struct {
    int64_t *order, *spare, *first, *group;
    int64_t count;
} groups;

static void find_groups(const slices *s, bool sorted, groups *g) {
    for (int64_t i = 0; i < s->n; i++)
        g->order[i] = i;
    sort(s, g->order, g->spare);
    for (int64_t i = 0; i < s->n; i++) { /* of equal ones the first in the input comes first */
        if (i == 0 || compare(s, g->order[i - 1], g->order[i]))
            g->first[g->count++] = g->order[i];
        g->group[g->order[i]] = g->count - 1;
    }
    if (sorted)
        return;
    int64_t next = 0; /* numbered anew as they come; spare: new number by old one */
    for (int64_t i = 0; i < s->n; i++)
        if (g->first[g->group[i]] == i)
            g->spare[g->group[i]] = next++;
    for (int64_t i = 0; i < s->n; i++)
        g->group[i] = g->spare[g->group[i]];
    for (int64_t i = s->n; i-- > 0;)
        g->first[g->group[i]] = i;
}

static norn_status put_outputs(norni_eval *e, const slices *s, const groups *g, int rank, int64_t *dims,
                               int axis) {
    size_t run = (size_t)s->inner * (size_t)norni_dtype_bits(s->x->dtype) / 8;
    dims[axis] = g->count;
    NORNI_TRY(norni_eval_output(e, 0, rank, dims));
    for (int64_t o = 0; e->out[0] && o < s->outer; o++)
        for (int64_t k = 0; k < g->count; k++)
            memcpy((char *)norni_tensor_data(e->out[0]) + (size_t)(o * g->count + k) * run,
                   (const char *)norni_tensor_data(s->x) + (size_t)(o * s->n + g->first[k]) * run, run);
    for (int k = 1; k < e->n_out; k++)
        NORNI_TRY(norni_eval_output(e, k, 1, (int64_t[]){k == 2 ? s->n : g->count}));
    if (e->n_out > 1 && e->out[1])
        memcpy(norni_tensor_data(e->out[1]), g->first, (size_t)g->count * sizeof *g->first);
    if (e->n_out > 2 && e->out[2])
        memcpy(norni_tensor_data(e->out[2]), g->group, (size_t)s->n * sizeof *g->group);
    for (int64_t i = 0; e->n_out > 3 && e->out[3] && i < s->n; i++)
        ((int64_t *)norni_tensor_data(e->out[3]))[g->group[i]]++;
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    slices s = {x, 1, norni_tensor_elems(x), 1};
    int axis = 0, rank = 1;
    int64_t dims[NORN_MAX_RANK] = {0};
    if (has_axis(e->attrs)) {
        NORNI_TRY(norni_axis(((const attrs *)e->attrs)->axis, x->rank, &axis));
        rank = x->rank;
        memcpy(dims, x->dims, (size_t)rank * sizeof *dims);
        s = (slices){x, norni_elems(axis, x->dims), x->dims[axis],
                     norni_elems(rank - axis - 1, x->dims + axis + 1)};
    }
    size_t n = (size_t)s.n + 1;
    groups g = {norni_alloc_array(n, sizeof(int64_t)), norni_alloc_array(n, sizeof(int64_t)),
                norni_alloc_array(n, sizeof(int64_t)), norni_alloc_array(n, sizeof(int64_t)), 0};
    norn_status st = g.order && g.spare && g.first && g.group ? NORN_OK : norni_nomem();
    if (st == NORN_OK) {
        find_groups(&s, ((const attrs *)e->attrs)->sorted, &g);
        st = put_outputs(e, &s, &g, rank, dims, axis);
    }
    norni_free(g.order);
    norni_free(g.spare);
    norni_free(g.first);
    norni_free(g.group);
    return st;
}

#define INDICES NORNI_OPT, NORNI_T(NORN_I64), 0
const norn_op norni_op_Unique = {
    .domain = "",
    .name = "Unique",
    .versions = (const int[]){11, 28, 0},
    .doc = "the different elements, or slices along an axis; where they first come, which is where, and how "
           "many there are",
    .inputs = (const norni_param[]){{"X", NORNI_NODIFF, NORNI_ANY, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_ANY, 'T'},
                                     {"indices", INDICES},
                                     {"inverse_indices", INDICES},
                                     {"counts", INDICES},
                                     {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .eval = eval,
    .data_shapes = true,
    .cases = (const char *const[]){"Unique(int32[40]) => 4", "Unique<sorted=0>(uint8[5,7]) => 4",
                                   "Unique<axis=1>(bool[2,9,2]) => 4",
                                   "Unique<axis=-1, sorted=0>(int64[1,11]) => 3",
                                   "Unique<axis=0>(float[5,2])", "Unique(float[0]) => 4",
                                   "Unique(int8[]) => 4", "Unique<axis=0>(float[3,0]) => 4", NULL},
};
