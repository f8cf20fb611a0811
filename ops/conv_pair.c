/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvPair: what widens the channels of an inverted residual and what follows, as one:
 *
 *     e = f(conv(x, w1, b1)),  y = conv(e, w2, b2),   w1 [M, C, 1, 1], w2 [M, 1, ...]: a kernel for each channel
 *
 * with f a formula of each element. e, several times as large as x, is never in memory (ops/conv_pair.cl). */
#include "ops/conv_pair.h"
#include "ops/conv_blocked.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { D = NORNI_WINDOW_DIMS, MAX_RING = 2048, SMALL_RING = 512, MIN_WIDTH = 4, MAX_TAPS = 25 };

typedef norni_conv_pair_attrs attrs_t;

static const norni_attr table[] = {NORNI_WINDOW_ROWS(attrs_t), NORNI_WINDOW_INTS(attrs_t, kernel_shape, 1),
                                   NORNI_WINDOW_INTS(attrs_t, dilations, 1),
                                   NORNI_A(attrs_t, f, STRING, .flags = NORNI_ATTR_OPTIONAL), NORNI_A_END};

static norn_value *bias_of(const norn_node *n, int i) {
    return n->n_in > i ? n->in[i] : NULL;
}

/* ---- The formula as nodes. */
static const char *const names[NORNI_E_COUNT] = {
    [NORNI_E_NEG] = "Neg",     [NORNI_E_ADD] = "Add",           [NORNI_E_SUB] = "Sub",
    [NORNI_E_MUL] = "Mul",     [NORNI_E_DIV] = "Div",           [NORNI_E_POW] = "Pow",
    [NORNI_E_MAX] = "Max",     [NORNI_E_MIN] = "Min",           [NORNI_E_ABS] = "Abs",
    [NORNI_E_EXP] = "Exp",     [NORNI_E_LOG] = "Log",           [NORNI_E_SQRT] = "Sqrt",
    [NORNI_E_TANH] = "Tanh",   [NORNI_E_ERF] = "Erf",           [NORNI_E_SIGMOID] = "Sigmoid",
    [NORNI_E_SIGN] = "Sign",   [NORNI_E_FLOOR] = "Floor",       [NORNI_E_CEIL] = "Ceil",
    [NORNI_E_WHERE] = "Where", [NORNI_E_LT] = "Less",           [NORNI_E_LE] = "LessOrEqual",
    [NORNI_E_GT] = "Greater",  [NORNI_E_GE] = "GreaterOrEqual", [NORNI_E_EXPM1] = "Exp",
    [NORNI_E_LOG1P] = "Log"};

static bool compares(norni_expr_op op) {
    return op == NORNI_E_LT || op == NORNI_E_LE || op == NORNI_E_GT || op == NORNI_E_GE;
}

/* truth: wanted as the condition of a where. */
static const char *check_formula(const norni_expr *e, bool truth) {
    if (compares(e->op) != truth)
        return truth ? "a condition is no comparison" : "a comparison is used as a number";
    if (e->op == NORNI_E_VAR || e->op == NORNI_E_CONST)
        return NULL;
    if (!names[e->op])
        return "it has functions other than those of activations";
    for (int i = 0; i < norni_expr_arity(e->op); i++) {
        const char *why = check_formula(e->a[i], e->op == NORNI_E_WHERE && i == 0);
        if (why)
            return why;
    }
    return NULL;
}

const char *norni_conv_pair_formula(const norni_expr *f) {
    return check_formula(f, false);
}

static norn_status formula_of(const norn_node *node, norni_arena *arena, const norni_expr **out) {
    const attrs_t *a = node->attrs;
    NORNI_TRY(norni_expr_parse(arena, a->f ? a->f : "x", 1, (const char *[]){"x"}, out));
    const char *why = norni_conv_pair_formula(*out);
    return why ? norni_fail(NORN_ARG, "f=\"%s\": %s", a->f, why) : NORN_OK;
}

static norn_value *nodes_of(norn_graph *g, const norni_expr *e, norn_value *x) {
    norn_value *in[3];
    if (e->op == NORNI_E_VAR)
        return x;
    if (e->op == NORNI_E_CONST)
        return norni_scalar_const(g, x->type.dtype, e->value);
    int n = norni_expr_arity(e->op);
    for (int i = 0; i < n; i++)
        if (!(in[i] = nodes_of(g, e->a[i], x)))
            return NULL;
    if (e->op == NORNI_E_LOG1P)
        in[0] = NORNI_OP2(g, in[0], norni_scalar_const(g, x->type.dtype, 1), "Add");
    norn_value *y = norni_opf(g, n, in, "%s", names[e->op]);
    return e->op == NORNI_E_EXPM1 ? NORNI_OP2(g, y, norni_scalar_const(g, x->type.dtype, 1), "Sub") : y;
}

/* ---- Sizes. */
static norn_status infer(norni_infer *c) {
    const attrs_t *a = c->attrs;
    const norni_type *x = norni_in_type(c, NORNI_PAIR_X), *w1 = norni_in_type(c, NORNI_PAIR_W1),
                     *w2 = norni_in_type(c, NORNI_PAIR_W2);
    norni_type y = c->out[0];
    int rank;
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_window_check(&a->window, rank));
    if (rank != 2 || w1->rank != 4 || w2->rank != 4)
        return norni_fail(NORN_SHAPE, "ranks %d, %d, %d (wanted 4, 4, 4)", x->rank, w1->rank, w2->rank);
    if (w1->dims[2] != 1 || w1->dims[3] != 1 || w2->dims[1] != 1)
        return norni_fail(NORN_SHAPE, "w1 is no kernel 1 x 1, or w2 has several channels a group");
    if (w1->dims[0] != w2->dims[0] || w1->dims[1] != x->dims[1])
        return norni_fail(NORN_SHAPE, "the channels of x, w1 and w2 do not fit");
    for (int i = NORNI_PAIR_B1; i <= NORNI_PAIR_B2; i++) {
        const norni_type *b = norni_in_type(c, i);
        if (b && b->rank >= 0 && (b->rank != 1 || b->dims[0] != w1->dims[0]))
            return norni_fail(NORN_SHAPE, "b%d is no vector of the channels", i - NORNI_PAIR_B1 + 1);
    }
    for (int i = 0; i < rank; i++)
        if (w2->dims[i + 2] == 0 || (a->window.kernel_shape.n >= 0 && w2->dims[i + 2] >= 0 &&
                                     a->window.kernel_shape.v[i] != w2->dims[i + 2]))
            return norni_fail(NORN_SHAPE, "kernel_shape is not the size of w2");
    norni_arena *arena = norni_arena_new(0);
    const norni_expr *f;
    norn_status s = arena ? formula_of(c->node, arena, &f) : norni_nomem();
    norni_arena_free(arena);
    NORNI_TRY(s);
    y.rank = 4;
    y.dims[0] = x->dims[0];
    y.dims[1] = w2->dims[0];
    NORNI_TRY(norni_window_infer(c->g, &a->window, rank, x->dims + 2, w2->dims + 2, NORNI_WINDOW_WHOLE,
                                 y.dims + 2));
    c->out[0] = y;
    return NORN_OK;
}

static void pair_of(const norn_node *node, norni_conv *first, norni_conv *second) {
    const attrs_t *a = node->attrs;
    const norni_type *x = &node->in[NORNI_PAIR_X]->type, *w1 = &node->in[NORNI_PAIR_W1]->type,
                     *w2 = &node->in[NORNI_PAIR_W2]->type;
    static const norni_window_attrs point = {
        .kernel_shape = {.n = -1}, .strides = {.n = -1}, .pads = {.n = -1}, .dilations = {.n = -1}};
    *first = (norni_conv){.dtype = x->dtype, .n = x->dims[0], .group = 1, .c = x->dims[1], .m = w1->dims[0]};
    norni_window_of(&point, 2, x->dims + 2, x->dims + 2, w1->dims + 2, &first->w);
    *second = (norni_conv){.dtype = x->dtype, .n = x->dims[0], .group = w2->dims[0], .c = 1, .m = 1};
    norni_window_of(&a->window, 2, x->dims + 2, node->out[0]->type.dims + 2, w2->dims + 2, &second->w);
}

/* As the kernels do, what lies between is not rounded to 16 bits. */
static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_expr *f;
    norni_conv first, second;
    norn_value *in[5] = {0};
    norn_dtype t = node->in[NORNI_PAIR_X]->type.dtype;
    for (int i = 0; i < node->n_in; i++) {
        norn_value *v = node->in[i];
        if (v && !norni_type_static(&v->type))
            return norni_fail(NORN_UNSUPPORTED, "%s: sizes are not known", node->op->name);
        if (v && !(in[i] = norni_dtype_bits(t) == 16 ? norni_cast(g, v, NORN_F32) : v))
            return norn_graph_status(g);
    }
    NORNI_TRY(formula_of(node, g->arena, &f));
    pair_of(node, &first, &second);
    const char *text = norni_conv_text(g->arena, &second);
    if (!text)
        return norni_nomem();
    norn_value *y =
        norni_opf(g, in[NORNI_PAIR_B1] ? 3 : 2,
                  (norn_value *[]){in[NORNI_PAIR_X], in[NORNI_PAIR_W1], in[NORNI_PAIR_B1]}, "Conv");
    y = y ? nodes_of(g, f, y) : NULL;
    y = y ? norni_opf(g, in[NORNI_PAIR_B2] ? 3 : 2, (norn_value *[]){y, in[NORNI_PAIR_W2], in[NORNI_PAIR_B2]},
                      "Conv<%s>", text)
          : NULL;
    out[0] = y && norni_dtype_bits(t) == 16 ? norni_cast(g, y, t) : y;
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    norni_conv a, b;
    pair_of(node, &a, &b);
    c->flops = 2.0 * (double)a.n * (double)a.m *
               ((double)a.c * (double)norni_window_out(&a.w) +
                (double)norni_window_taps(&b.w) * (double)norni_window_out(&b.w));
}

/* ---- Device. */
typedef struct {
    int tw, nv, tp;
    int64_t pw, ring; /* columns of a row of e in the ring; vectors of all of it */
} tile;

/* Pixels of y at once: those that waste least of a row, and the more the better. */
static int pixels_of(int64_t out) {
    int best = 1;
    double least = INFINITY;
    for (int t = 8; t >= 1; t--) {
        double time = (double)norni_ceil_div(out, t) * (t + (t == 7 ? 0.3 : 0.5));
        if (t <= out && time < least) {
            least = time;
            best = t;
        }
    }
    return best;
}

static bool choose_tile(const norni_conv *a, const norni_conv *b, tile *best) {
    const norni_window *w = &b->w;
    int block = norni_block_of(a->dtype);
    int64_t blocks = norni_ceil_div(a->m, block), extent = norni_window_extent(w, 1);
    int64_t reach = (w->out[2] - 1) * w->stride[2] + norni_window_extent(w, 2);
    double least = INFINITY;
    *best = (tile){.tp = pixels_of(w->out[2]), .pw = norni_max(reach, w->begin[2] + w->in[2])};
    for (int nv = 1; nv <= 4; nv *= 2)
        for (int tw = 28 / nv; tw >= 1; tw--) {
            int64_t ring = extent * best->pw * nv;
            if (tw > w->in[2] || ring > MAX_RING || (nv > 1 && nv > blocks))
                continue;
            double step = fmax((double)tw * nv, 5) + 0.25 * nv + 0.4;
            double time = step * (double)(norni_ceil_div(w->in[2], tw) * norni_ceil_div(blocks, nv));
            if (tw * nv != 28 || tw % 7)
                time *= 1.03; /* few shapes, since each is a program of its own */
            if (ring > SMALL_RING)
                time *= 1.01;
            if (time < least * 0.999) {
                least = time;
                best->tw = tw;
                best->nv = nv;
                best->ring = ring <= SMALL_RING ? SMALL_RING : MAX_RING;
            }
        }
    return least < INFINITY;
}

bool norni_conv_pair_pays(const norni_conv *a, const norni_conv *b) {
    tile t;
    return b->w.in[2] >= MIN_WIDTH && choose_tile(a, b, &t);
}

static const char *fits(const norni_fit *f) {
    norni_conv a, b;
    tile t;
    if (!norni_device_is_cpu(f->device))
        return "made for CPUs";
    if (!norni_blockable(&f->node->in[0]->type) || !norni_blockable(&f->node->out[0]->type))
        return "there are no elements";
    pair_of(f->node, &a, &b);
    return choose_tile(&a, &b, &t) ? NULL : "the rows that a window reads are too long";
}

/* f as a function that the kernel calls for vectors of `width` elements; before what the epilogue has put there. */
static void define_formula(norni_emit *e, norni_step *s, int width) {
    const attrs_t *a = e->node->attrs;
    const norn_dtype t = norni_compute_dtype(e->node->in[0]->type.dtype);
    const norni_expr *f;
    char type[24];
    norni_str text = {0};
    if (!s || !a->f)
        return;
    norn_status st = formula_of(e->node, e->arena, &f);
    norni_cl_type(t, width, type);
    if (st == NORN_OK) {
        norni_str_addf(&text, "static inline %s norni_f(const %s x) {\n    return ", type, type);
        norni_expr_print_cl(&text, f, &(norni_expr_var){"x", t}, t, width);
        norni_str_addf(&text, ";\n}\n#define NORNI_F(v) norni_f(v)\n%s", s->source ? s->source : "");
        s->source = text.failed ? NULL : norni_arena_strdup(e->arena, text.s);
        st = s->source ? NORN_OK : norni_nomem();
        if (!e->epilogue && width > 1)
            norni_step_define(e, s, "NORNI_V", width);
        if (!e->epilogue && t == NORN_F64)
            norni_step_define(e, s, "NORNI_F64", 1);
    }
    norni_str_free(&text);
    if (e->status == NORN_OK)
        e->status = st;
}

static void size_args(norni_emit *e, norni_step *s, const norni_conv *a, const norni_conv *b) {
    const norni_window *w = &b->w;
    norni_step_i64(e, s, a->c);
    norni_step_i64(e, s, a->m);
    norni_step_window(e, s, w, 1);
}

static void bias_arg(norni_emit *e, norni_step *s, const char *name, norni_ref bias) {
    if (bias < 0)
        return;
    norni_step_define(e, s, name, 1);
    norni_step_buffer(e, s, bias, NORNI_READ);
}

static norn_status emit_ring(norni_emit *e) {
    norni_conv a, b;
    tile t;
    pair_of(e->node, &a, &b);
    if (!choose_tile(&a, &b, &t))
        return norni_fail(NORN_INTERNAL, "ConvPair: no tile");
    int block = norni_block_of(a.dtype);
    const norni_window *w = &b.w;
    norni_ref w1 = norni_emit_conv_blocks(e, &a, false, t.nv),
              w2 = norni_emit_channel_weights(e, NORNI_PAIR_W2, &b), bias[2] = {-1, -1};
    for (int i = 0; i < 2; i++)
        if (bias_of(e->node, NORNI_PAIR_B1 + i))
            bias[i] = norni_emit_whole_blocks(e, e->node->in[NORNI_PAIR_B1 + i], block);
    norni_step *s = norni_emit_kernel(e, "conv_pair.cl", "conv_pair", a.dtype);
    norni_step_define(e, s, "B", block);
    norni_step_define(e, s, "NV", t.nv);
    norni_step_define(e, s, "TW", t.tw);
    norni_step_define(e, s, "TP", t.tp);
    norni_step_define(e, s, "RING", t.ring);
    if (norni_window_taps(w) <= MAX_TAPS && w->stride[2] <= 2) {
        norni_step_define(e, s, "K1", w->kernel[1]);
        norni_step_define(e, s, "K2", w->kernel[2]);
        norni_step_define(e, s, "S2", w->stride[2]);
    } else
        norni_step_define(e, s, "ANY", 1);
    norni_step_buffer(e, s, norni_emit_in(e, NORNI_PAIR_X), NORNI_READ);
    norni_step_buffer(e, s, w1, NORNI_READ);
    norni_step_buffer(e, s, w2, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    size_args(e, s, &a, &b);
    /* Parts of the rows, where there are few panels and images: each computes some rows of e once more. */
    int64_t panels = norni_ceil_div(a.m, block * t.nv),
            units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t parts = norni_min(norni_ceil_div(units * 4, panels * a.n), norni_max(1, w->out[1] / 8)),
            each = norni_ceil_div(w->out[1], parts);
    parts = norni_ceil_div(w->out[1], each);
    norni_step_i64(e, s, t.pw);
    norni_step_i64(e, s, each);
    /* What is read again stays in the caches: the image, or a panel of weights where all of them are large. */
    bool panels_first = a.m * a.c * (int64_t)norni_compute_bytes(a.dtype) <= 256 * 1024;
    norni_step_i32(e, s, panels_first);
    bias_arg(e, s, "HAS_BIAS1", bias[0]);
    bias_arg(e, s, "HAS_BIAS2", bias[1]);
    norni_emit_epilogue_once(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    define_formula(e, s, block);
    norni_step_range(s, 3, (size_t)(panels_first ? panels : a.n), (size_t)parts,
                     (size_t)(panels_first ? a.n : panels), 1, 1, 1);
    return e->status;
}

static norn_status emit_each(norni_emit *e) {
    norni_conv a, b;
    pair_of(e->node, &a, &b);
    norni_step *s = norni_emit_kernel(e, "conv_pair.cl", "conv_pair_each", a.dtype);
    for (int i = NORNI_PAIR_X; i <= NORNI_PAIR_W2; i++)
        norni_step_buffer(e, s, norni_emit_in(e, i), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    size_args(e, s, &a, &b);
    bias_arg(e, s, "HAS_BIAS1", norni_emit_in(e, NORNI_PAIR_B1));
    bias_arg(e, s, "HAS_BIAS2", norni_emit_in(e, NORNI_PAIR_B2));
    norni_emit_epilogue_once(e, s, NORNI_LANES_PIXELS, 1);
    define_formula(e, s, 1);
    norni_step_items(e, s, 3, norni_window_out(&b.w), a.m, a.n);
    return e->status;
}

static const norni_impl impls[] = {{.name = "ring",
                                    .fits = fits,
                                    .emit = emit_ring,
                                    .epilogue = true,
                                    .form = NORNI_BLOCKED,
                                    .n_blocked = 1,
                                    .gain = 20},
                                   {.name = "each", .emit = emit_each, .epilogue = true},
                                   {0}};

const norn_op norni_op_ConvPair = {
    .domain = "norn",
    .name = "ConvPair",
    .versions = (const int[]){1, 0},
    .doc = "Conv with a kernel 1 x 1, a formula of each element, Conv with a kernel for each channel",
    .inputs = (const norni_param[]){{"x", 0, NORNI_FLOATS, 'T'},
                                    {"w1", 0, NORNI_FLOATS, 'T'},
                                    {"w2", 0, NORNI_FLOATS, 'T'},
                                    {"b1", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {"b2", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = norni_eval_expansion,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "norn.ConvPair<pads=[1,1,1,1], f=\"min(max(x, 0.0), 0.5)\">(float[2,5,7,9], float[20,5,1,1], "
            "float[20,1,3,3], float[20], float[20])",
            "norn.ConvPair(float[1,3,6,6], float[5,3,1,1], float[5,1,2,3])",
            "norn.ConvPair<strides=[2,2], pads=[1,1,1,1], f=\"max(x, 0.0)\">(float[2,17,15,29], "
            "float[70,17,1,1], float[70,1,3,3], float[70])",
            "norn.ConvPair<strides=[2,1], pads=[0,2,3,1], dilations=[1,2], "
            "f=\"x*sigmoid(x)\">(float[3,33,9,14], "
            "float[40,33,1,1], float[40,1,3,2])",
            "norn.ConvPair<auto_pad=\"SAME_UPPER\", kernel_shape=[5,5], strides=[2,2], "
            "f=\"x*max(0.0, min(1.0, x/6.0+0.5))\">(float[1,24,28,31], float[72,24,1,1], float[72,1,5,5], "
            "float[72], float[72])",
            "norn.ConvPair<pads=[3,3,3,3], f=\"where(x < 0.0, 0.1*x, x)\">(float[1,4,11,10], "
            "float[16,4,1,1], "
            "float[16,1,7,7], float[16], float[16])",
            "norn.ConvPair<strides=[3,3], pads=[0,1,0,1], f=\"tanh(x)\">(float[2,16,40,61], "
            "float[96,16,1,1], "
            "float[96,1,3,3], float[96], float[96])",
            "norn.ConvPair<pads=[0,0,1,1], f=\"where(x < 0.0, expm1(x), x) + "
            "log1p(exp(x))\">(float[1,3,8,8], "
            "float[8,3,1,1], float[8,1,3,3])",
            "norn.ConvPair<strides=[4,5]>(float[1,6,21,23], float[18,6,1,1], float[18,1,2,2])",
            "norn.ConvPair<pads=[1,1,1,1], f=\"max(x, 0.0)\">(float[1,2,1,1], float[4,2,1,1], "
            "float[4,1,3,3])",
            "norn.ConvPair<pads=[2,2,2,2]>(float[2,3,5,800], float[4,3,1,1], float[4,1,5,5])",
            "norn.ConvPair(float[0,3,6,6], float[5,3,1,1], float[5,1,2,3])", NULL},
};
