/* SPDX-License-Identifier: Apache-2.0 */
/* DFT: y[k] = sum over n of exp(-2 pi i k n / N) x[n] along an axis; inverse: exp(+...) and 1 / N; onesided: the first
 * N / 2 + 1 of real input, or back from those. By passes of radix 4, 2, 3, 5, .. up to any prime factor of N, after
 * Stockham (W. Cochran and others, "What is the fast Fourier transform?", Proc. IEEE 55, 1967): each pass leaves its
 * result in order, and several elements side by side (`inner`) are transformed together. Source: ONNX DFT-20. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t inverse, onesided;
    int64_t axis; /* before opset 20 */
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, inverse, 0, .lo = 0, .hi = 1),
                                   NORNI_A_INT(attrs, onesided, 0, .lo = 0, .hi = 1),
                                   NORNI_A_INT(attrs, axis, 1, .flags = NORNI_ATTR_OLD), NORNI_A_END};
static const norni_moved moved[] = {{"axis", 2, 20, NORN_I64}, {0}};

/* The axis, when it is known: 1; 0 when not. -1: an error. */
static int axis_of(const norn_node *node, int rank, int *axis) {
    int64_t v = -2;
    int n = 1;
    if (node->n_in > 2 && node->in[2] && (!norni_value_ints(node->in[2], &v, 1, &n) || n != 1))
        return 0;
    if (norni_axis(v, rank, axis) != NORN_OK)
        return -1;
    if (*axis < rank - 1)
        return 1;
    norni_fail(NORN_ARG,
               "axis %lld is the last one (wanted another: that one holds real and imaginary parts)",
               (long long)v);
    return -1;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    norni_type *y = &c->out[0];
    norn_dtype dtype = y->dtype;
    int axis, n;
    for (int i = 1; i < c->node->n_in; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t && (t->rank > 1 || (t->rank == 1 && t->dims[0] >= 0 && t->dims[0] != 1)))
            return norni_fail(NORN_SHAPE, "%s has rank %d (wanted a scalar)", i == 1 ? "dft_length" : "axis",
                              t->rank);
    }
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank < 2)
        return norni_fail(NORN_SHAPE,
                          "input has rank %d (wanted at least 2: signal, real and imaginary part)", x->rank);
    norni_dim parts = x->dims[x->rank - 1];
    bool real_in = a->onesided && !a->inverse, complex_in = a->onesided && a->inverse;
    if (parts >= 0 && (parts < 1 || parts > 2 || (real_in && parts != 1) || (complex_in && parts != 2)))
        return norni_fail(NORN_SHAPE, "the last dimension has size %lld (wanted %s)", (long long)parts,
                          real_in      ? "1: onesided takes real input"
                          : complex_in ? "2: the onesided inverse takes complex input"
                                       : "1, real, or 2, complex");
    *y = *x;
    y->dtype = dtype;
    y->dims[y->rank - 1] = complex_in ? 1 : 2;
    int known = axis_of(c->node, x->rank, &axis);
    if (known < 0)
        return NORN_SHAPE;
    if (!known) {
        for (int i = 0; i + 1 < y->rank; i++)
            y->dims[i] = norni_dim_fresh(c->g);
        return NORN_OK;
    }
    norni_dim length = x->dims[axis];
    if (complex_in)
        length = norni_dim_mul(c->g, 2, norni_dim_sub(c->g, length, 1));
    if (norni_in_has(c, 1)) {
        const norni_dim *d = norni_value_known(c->node->in[1], &n);
        length = d && n == 1 ? *d : norni_dim_fresh(c->g);
    }
    int64_t number;
    if (norni_dim_number(c->g, length, &number) && number < 1)
        return norni_fail(NORN_SHAPE, "the length of the transform is %lld (wanted at least 1)",
                          (long long)number);
    y->dims[axis] = real_in ? norni_dim_add(c->g, norni_dim_div(c->g, length, 2), 1) : length;
    return NORN_OK;
}

/* A node with known sizes: x [outer][n_in][inner][in parts] to y [outer][n_out][inner][out parts], of length n. */
typedef struct {
    int64_t outer, inner, n_in, n_out, n;
    int in_parts, out_parts;
} shape;

static norn_status shape_of(const norn_node *node, shape *s) {
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    const attrs *a = node->attrs;
    int axis, n;
    int64_t length;
    if (axis_of(node, x->rank, &axis) != 1)
        return norni_fail(NORN_SHAPE, "the axis is not known");
    *s = (shape){norni_elems(axis, x->dims),
                 norni_elems(x->rank - axis - 2, x->dims + axis + 1),
                 x->dims[axis],
                 y->dims[axis],
                 y->dims[axis],
                 (int)x->dims[x->rank - 1],
                 (int)y->dims[y->rank - 1]};
    if (a->onesided && !a->inverse) {
        s->n = s->n_in;
        if (node->n_in > 1 && node->in[1]) {
            if (!norni_value_ints(node->in[1], &length, 1, &n) || n != 1)
                return norni_fail(NORN_SHAPE, "dft_length is not known");
            s->n = length;
        }
    }
    return NORN_OK;
}

/* ---- Host reference: the sum itself. */
typedef struct {
    double re, im;
} cplx;

/* Element k of a line of the input, as the transform sees it: padded with zeros, or what mirrored conjugates give. */
static cplx element(const norn_tensor *x, const shape *s, bool mirrored, int64_t o, int64_t k, int64_t i) {
    bool upper = mirrored && k > s->n / 2;
    k = upper ? s->n - k : k;
    if (k >= s->n_in)
        return (cplx){0, 0};
    int64_t at = ((o * s->n_in + k) * s->inner + i) * s->in_parts;
    const void *d = norni_tensor_data(x);
    double im = s->in_parts == 2 ? norni_get_double(x->dtype, d, at + 1) : 0;
    return (cplx){norni_get_double(x->dtype, d, at), upper ? -im : im};
}

static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    const norn_tensor *x = e->in[0], *y = e->out[0];
    shape s = {0};
    NORNI_TRY(shape_of(e->node, &s));
    cplx *w = norni_alloc_array((size_t)s.n, sizeof *w), *line = norni_alloc_array((size_t)s.n, sizeof *line);
    double scale = a->inverse ? 1 / (double)s.n : 1;
    for (int64_t k = 0; w && k < s.n; k++) {
        double angle = 6.28318530717958647692 * (double)k / (double)s.n;
        w[k] = (cplx){cos(angle), a->inverse ? sin(angle) : -sin(angle)};
    }
    for (int64_t l = 0; w && line && l < s.outer * s.inner; l++) {
        int64_t o = l / s.inner, i = l % s.inner;
        for (int64_t k = 0; k < s.n; k++)
            line[k] = element(x, &s, a->inverse && a->onesided, o, k, i);
        for (int64_t k = 0; k < s.n_out; k++) {
            double re = 0, im = 0;
            for (int64_t j = 0, t = 0; j < s.n; j++, t = (t + k) % s.n) {
                re += line[j].re * w[t].re - line[j].im * w[t].im;
                im += line[j].re * w[t].im + line[j].im * w[t].re;
            }
            int64_t at = ((o * s.n_out + k) * s.inner + i) * s.out_parts;
            norni_set_double(y->dtype, norni_tensor_data(y), at, re * scale);
            if (s.out_parts == 2)
                norni_set_double(y->dtype, norni_tensor_data(y), at + 1, im * scale);
        }
    }
    norn_status st = w && line ? NORN_OK : norni_nomem();
    norni_free(w);
    norni_free(line);
    return st;
}

/* ---- Device. */
enum { SMALL_RADIX = 13 };

/* The radix of the next pass, n > 1. */
static int64_t next_radix(int64_t n) {
    if (n % 4 == 0)
        return 4;
    for (int64_t r = 2; r * r <= n; r++)
        if (n % r == 0)
            return r;
    return n;
}

/* Complex numbers of the compute type: bytes of n of them. */
static size_t complex_bytes(norn_dtype t, int64_t n) {
    return (size_t)n * (t == NORN_F64 ? 16 : 8);
}

static void pass(norni_emit *e, const shape *s, int64_t n, int64_t radix, norni_ref w, norni_ref from,
                 norni_ref to) {
    const attrs *a = e->node->attrs;
    norn_dtype t = e->node->in[0]->type.dtype;
    bool small = radix <= SMALL_RADIX;
    int64_t stride = s->inner * (s->n / n), items = small ? n / radix * stride : n * stride;
    int64_t chunk = norni_device_is_cpu(e->device) ? (small ? 1024 / radix + 1 : 65536 / radix + 1) : 1;
    norni_step *st = norni_emit_kernel(e, "dft.cl", small ? "dft_pass" : "dft_prime", t);
    if (small)
        norni_step_define(e, st, "R", radix);
    if (n == s->n) {
        norni_step_define(e, st, "FIRST", 1);
        norni_step_define(e, st, "IN_PARTS", s->in_parts);
        if (a->inverse && a->onesided)
            norni_step_define(e, st, "MIRRORED", 1);
    }
    if (n == radix) {
        norni_step_define(e, st, "LAST", 1);
        norni_step_define(e, st, "OUT_PARTS", s->out_parts);
    }
    if (a->inverse)
        norni_step_define(e, st, "INVERSE", 1);
    norni_step_buffer(e, st, n == s->n ? norni_emit_in(e, 0) : from, NORNI_READ);
    norni_step_buffer(e, st, n == radix ? norni_emit_out(e, 0) : to, NORNI_WRITE);
    norni_step_buffer(e, st, w, NORNI_READ);
    norni_step_i64(e, st, s->n);
    norni_step_i64(e, st, n);
    norni_step_i64(e, st, radix);
    norni_step_i64(e, st, stride);
    norni_step_i64(e, st, s->inner);
    norni_step_i64(e, st, s->n_in);
    norni_step_i64(e, st, s->n_out);
    norni_step_i64(e, st, items);
    norni_step_i64(e, st, chunk);
    norni_step_real(e, st, t, a->inverse ? 1 / (double)s->n : 1);
    norni_step_items(e, st, 2, (items + chunk - 1) / chunk, s->outer, 1);
}

static norn_status emit(norni_emit *e) {
    norn_dtype t = e->node->in[0]->type.dtype;
    shape s = {0};
    NORNI_TRY(shape_of(e->node, &s));
    if (s.outer * s.inner * s.n_out == 0)
        return e->status;
    norni_ref w = norni_emit_scratch(e, complex_bytes(t, s.n)), buffers[2] = {-1, -1};
    norni_step *st = norni_emit_kernel(e, "dft.cl", "dft_roots", t);
    int64_t chunk = norni_device_is_cpu(e->device) ? 256 : 1;
    if (((const attrs *)e->node->attrs)->inverse)
        norni_step_define(e, st, "INVERSE", 1);
    norni_step_buffer(e, st, w, NORNI_WRITE);
    norni_step_i64(e, st, s.n);
    norni_step_i64(e, st, chunk);
    norni_step_items(e, st, 1, (s.n + chunk - 1) / chunk, 1, 1);
    int at = 0;
    for (int64_t n = s.n; n >= 1 && e->status == NORN_OK; at++) {
        int64_t radix = n > 1 ? next_radix(n) : 1;
        if (n != radix && buffers[at % 2] < 0)
            buffers[at % 2] = norni_emit_scratch(e, complex_bytes(t, s.outer * s.n * s.inner));
        pass(e, &s, n, radix, w, buffers[(at + 1) % 2], buffers[at % 2]);
        if (n == radix)
            break;
        n /= radix;
    }
    return e->status;
}

/* ---- Gradient. As real functions of real and imaginary parts y = F x has the gradient F^H dy, where F^H is N times the
 * inverse. Onesided results had those that are left out as zeros; of real input only the real part is of interest. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    const norn_node *node = c->node;
    const attrs *a = node->attrs;
    norn_value *x = node->in[0], *dy = c->dy[0], *dx;
    norn_dtype t = x->type.dtype;
    int axis;
    if (x->type.rank < 0 || axis_of(node, x->type.rank, &axis) != 1) {
        norni_graph_failed(
            g, norni_fail(NORN_UNSUPPORTED, "gradient: rank and axis are not known (wanted constants)"));
        return;
    }
    norn_value *ax = norni_i64_const(g, 1, (int64_t[]){axis}), *zero = norni_i64_const(g, 1, (int64_t[]){0}),
               *one = norni_i64_const(g, 1, (int64_t[]){1}), *two = norni_i64_const(g, 1, (int64_t[]){2}),
               *last = norni_i64_const(g, 1, (int64_t[]){x->type.rank - 1});
    norn_value *n_in = norni_size_value(g, x, axis), *n = node->n_in > 1 && node->in[1] ? node->in[1] : NULL;
    norn_value *scalar_axis = NORNI_OP1(g, ax, "Squeeze");
    if (n)
        n = NORNI_OP2(g, n->type.dtype == NORN_I64 ? n : NORNI_OP1(g, n, "Cast<to=7>"), one, "Reshape");
    else
        n = a->inverse && a->onesided ? NORNI_OP2(g, NORNI_OP2(g, n_in, one, "Sub"), two, "Mul") : n_in;
    norn_value *length = NORNI_OP1(g, n, "Squeeze"), *factor = NORNI_OP1(g, length, "Cast<to=%d>", (int)t);
    if (a->inverse) {
        dx = NORNI_OP3(g, dy, length, scalar_axis, "DFT<onesided=%d>", (int)a->onesided);
        dx = NORNI_OP2(g, dx, factor, "Div");
        if (a->onesided) { /* all but the first, and the middle one, stand for their conjugates too */
            norn_value *half = NORNI_OP2(g, NORNI_OP2(g, n, two, "Div"), one, "Add");
            norn_value *k = norni_counted(g, half);
            norn_value *mirror = NORNI_OP2(g, NORNI_OP2(g, n, k, "Sub"), n, "Mod");
            norn_value *both =
                NORNI_OP1(g, NORNI_OP1(g, NORNI_OP2(g, k, mirror, "Equal"), "Not"), "Cast<to=%d>", (int)t);
            norn_value *times = NORNI_OP2(g, both, norni_scalar_const(g, t, 1), "Add");
            int64_t along[NORN_MAX_RANK];
            for (int i = 0; i < x->type.rank; i++)
                along[i] = i == axis ? -1 : 1;
            dx = NORNI_OP2(g, dx, NORNI_OP2(g, times, norni_i64_const(g, x->type.rank, along), "Reshape"),
                           "Mul");
        }
    } else {
        dx = NORNI_OP3(g, dy, length, scalar_axis, "DFT<inverse=1>");
        dx = NORNI_OP2(g, dx, factor, "Mul");
    }
    if (x->type.dims[x->type.rank - 1] == 1 && !(a->inverse && a->onesided))
        dx = norni_opf(g, 4, (norn_value *[]){dx, zero, one, last}, "Slice");
    if (node->n_in > 1 && node->in[1]) { /* what was cut off gets 0, what was put on goes */
        dx = norni_opf(g, 4, (norn_value *[]){dx, zero, n_in, ax}, "Slice");
        norn_value *more =
            NORNI_OP2(g, NORNI_OP2(g, n_in, norni_size_value(g, dx, axis), "Sub"), zero, "Max");
        dx = norni_opf(g, 4, (norn_value *[]){dx, NORNI_OP2(g, zero, more, "Concat<axis=0>"), NORNI_NONE, ax},
                       "Pad");
        dx = NORNI_OP2(g, dx, norni_shape_value(g, x), "Reshape<allowzero=1>");
    }
    c->dx[0] = dx;
}

/* Opset 17 had an attribute with another default. */
static norn_status raise(norni_adapt *a) {
    norn_node *n = a->node;
    if (a->version >= 20)
        return NORN_OK;
    if (n->n_in < 3 || !n->in[2]) {
        for (; n->n_in < 3; n->n_in++)
            n->in[n->n_in] = NULL;
        n->in[2] = norni_scalar_const(a->g, NORN_I64, 1);
    }
    return norn_graph_status(a->g);
}

static norn_status lower(norni_adapt *a) {
    if (a->version < 20 && (a->node->n_in < 3 || !a->node->in[2]))
        ((attrs *)a->node->attrs)->axis = -2;
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    shape s = {0};
    c->flops = 0;
    if (!norni_type_static(&node->in[0]->type) || !norni_type_static(&node->out[0]->type) ||
        shape_of(node, &s) != NORN_OK)
        return;
    for (int64_t n = s.n; n > 1; n /= next_radix(n))
        c->flops += 8 * (double)next_radix(n) * (double)(s.outer * s.inner * s.n);
}

static const norni_impl impls[] = {{.name = "stockham", .emit = emit}, {0}};

const norn_op norni_op_DFT = {
    .domain = "",
    .name = "DFT",
    .versions = (const int[]){17, 20, 0},
    .doc = "discrete Fourier transform along an axis, of real or complex numbers",
    .inputs = (const norni_param[]){{"input", 0, NORNI_FLOATS, 'T'},
                                    {"dft_length", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0},
                                    {"axis", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .moved = moved,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){"DFT(float[2,30,2])", "DFT<onesided=1>(float[3,64,1])",
                              "DFT<inverse=1>(float[2,49,3,2], _, int64[]{1})",
                              "DFT<inverse=1, onesided=1>(float[2,9,2])",
                              "DFT<inverse=1, onesided=1>(float[5,2,2], int32[]{7}, int64[]{0})",
                              "DFT<onesided=1>(float[2,10,2,1], int64[]{13}, int64[]{-3})",
                              "DFT<inverse=1, onesided=1>(float[1,3,2], int64[]{9})",
                              "DFT(float[2,10,1], int64[1]{6})", "DFT<inverse=1>(float[3,4,1], int64[]{1})",
                              "DFT(float[1009,1])", "DFT<onesided=1>(float[4096,1])", "DFT(float[2,17,2])",
                              "DFT(float[1,2310,2])", "DFT(float[0,4,2])", NULL},
};
