/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout: y = x in inference; in training, where the mask is true y = x / (1 - ratio), elsewhere 0, and an element of the
 * mask is false with probability `ratio`. Source: ONNX Dropout-22 (7 and 10 know inference only; their ratio was an
 * attribute).
 *
 *     norn.DropoutMask  the mask, a pure function of seed, step, node, sample (index along axis 0) and place in the sample
 *                       (base/philox.h): word w of block b is for element 4 b + w, true when it is at least
 *                       ceil(ratio * 2^32) */
#include "base/philox.h"
#include "ops/op.h"
#include <math.h>
#include <string.h>

/* ---- norn.DropoutMask. */
typedef struct {
    float ratio;
} mask_attrs;
static const norni_attr mask_table[] = {NORNI_A_FLOAT(mask_attrs, ratio, 0.5f), NORNI_A_END};

static norn_status infer_mask(norni_infer *c) {
    float ratio = ((const mask_attrs *)c->attrs)->ratio;
    if (!(ratio >= 0 && ratio <= 1))
        return norni_fail(NORN_ARG, "the ratio is %g (wanted 0 to 1)", (double)ratio);
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = NORN_BOOL;
    return NORN_OK;
}

static uint32_t node_word(const norn_node *node) {
    return NORNI_STREAM_DROPOUT | (uint32_t)(node->stream & (NORNI_STREAM_DROPOUT - 1));
}

static int64_t samples_of(const norni_type *x) {
    return x->rank ? x->dims[0] : 1;
}

static void draw(const norn_node *node, int64_t seed, int64_t step, double ratio, const norni_type *x,
                 bool *mask) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)((uint64_t)seed >> 32)};
    int64_t samples = samples_of(x), n = samples ? norni_type_elems(x) / samples : 0;
    uint64_t least = ratio > 0 ? (uint64_t)ceil(ratio * 4294967296.0) : 0;
    for (int64_t s = 0; s < samples; s++)
        for (int64_t i = 0; i < n; i += 4) {
            uint32_t counter[4] = {(uint32_t)(i / 4), (uint32_t)s, (uint32_t)step, node_word(node)}, word[4];
            norni_philox(key, counter, word);
            for (int64_t w = 0; w < 4 && i + w < n; w++)
                mask[s * n + i + w] = word[w] >= least;
        }
}

static norn_status eval_mask(norni_eval *e) {
    const norn_tensor *ratio = e->n_in > 3 ? e->in[3] : NULL;
    draw(e->node, *(const int64_t *)norni_tensor_data(e->in[1]),
         *(const int64_t *)norni_tensor_data(e->in[2]),
         ratio ? (double)(float)norni_get_double(ratio->dtype, norni_tensor_data(ratio), 0)
               : (double)((const mask_attrs *)e->attrs)->ratio,
         &e->node->out[0]->type, norni_tensor_data(e->out[0]));
    return NORN_OK;
}

static norn_status emit_mask(norni_emit *e) {
    const norn_node *node = e->node;
    const norni_type *x = &node->out[0]->type;
    int64_t samples = samples_of(x), n = samples ? norni_type_elems(x) / samples : 0;
    bool cpu = norni_device_is_cpu(e->device), has_ratio = node->n_in > 3 && node->in[3];
    double ratio = (double)((const mask_attrs *)node->attrs)->ratio;
    if (!n)
        return e->status;
    norni_step *s = norni_emit_kernel(e, "dropout.cl", "dropout_mask",
                                      has_ratio ? node->in[3]->type.dtype : NORN_UNDEFINED);
    int width = cpu ? 16 : 1;
    int64_t blocks = (n + 3) / 4, units = e->device->compute_units ? e->device->compute_units : 1,
            each = width;
    if (cpu) { /* few wide items: some samples, or a range of one */
        int64_t want = (samples * blocks + units * 4 - 1) / (units * 4);
        want = want < 1024 ? 1024 : want;
        each = (want < blocks ? want : blocks) + width - 1;
        each -= each % width;
    }
    norni_step_define(e, s, "W", width);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
    if (has_ratio) {
        norni_step_define(e, s, "RATIO", 1);
        norni_step_buffer(e, s, norni_emit_in(e, 3), NORNI_READ);
    }
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, ratio > 0 ? (int64_t)ceil(ratio * 4294967296.0) : 0);
    norni_step_i64(e, s, (int64_t)node_word(node));
    norni_step_i64(e, s, samples);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 2, (blocks + each - 1) / each, samples, 1);
    return e->status;
}

static const norni_impl mask_impls[] = {{.name = "philox", .emit = emit_mask}, {0}};

const norn_op norni_op_DropoutMask = {
    .domain = "norn",
    .name = "DropoutMask",
    .versions = (const int[]){1, 0},
    .doc = "which elements a Dropout keeps, from a seed and the number of the step; of data the shape only",
    .inputs = (const norni_param[]){{"data", NORNI_NODIFF, NORNI_FLOATS, 0},
                                    {"seed", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {"step", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {"ratio", NORNI_NODIFF | NORNI_OPT, NORNI_FLOATS, 0},
                                    {0}},
    .outputs = (const norni_param[]){{"mask", NORNI_NODIFF, NORNI_BOOLS, 0}, {0}},
    .attrs_bytes = sizeof(mask_attrs),
    .attrs = mask_table,
    .infer = infer_mask,
    .grad = norni_no_gradient,
    .eval = eval_mask,
    .impls = mask_impls,
    .cases =
        (const char *const[]){"norn.DropoutMask<ratio=0.25>(float[3,5,7], int64[]{5}, int64[]{1})",
                              "norn.DropoutMask(float[2,300], int64[]{-5}, int64[]{1000000}, float[]{0.9})",
                              "norn.DropoutMask<ratio=1>(float[2,3], int64[]{0}, int64[]{0})",
                              "norn.DropoutMask<ratio=0>(float[], int64[]{0}, int64[]{0})",
                              "norn.DropoutMask(float[100000], int64[]{7}, int64[]{0}, float[]{0})",
                              "norn.DropoutMask(float[0,3], int64[]{0}, int64[]{0})", NULL},
    .random = true,
};

/* ---- Dropout. */
typedef struct {
    int64_t seed;
    float ratio;                /* before opset 12 */
    int64_t is_test;            /* before opset 7, */
    norni_ints consumed_inputs; /* and 6 */
} attrs;
static const norni_attr table[] = {
    NORNI_A_INT(attrs, seed, NORNI_NO_INT, .flags = NORNI_ATTR_OPTIONAL, .since = 12),
    NORNI_A(attrs, ratio, FLOAT, .flags = NORNI_ATTR_OLD, .since = 12),
    NORNI_A(attrs, is_test, INT, .flags = NORNI_ATTR_OLD, .since = 7),
    NORNI_A(attrs, consumed_inputs, INTS, .flags = NORNI_ATTR_OLD, .since = 6), NORNI_A_END};
static const norni_moved moved[] = {{"ratio", 1, 12, NORN_UNDEFINED}, {0}};

static norn_value *input(const norn_node *node, int i) {
    return node->n_in > i ? node->in[i] : NULL;
}

/* True unless it is known to be in inference mode, or to drop nothing. */
static bool may_drop(const norn_node *node) {
    norn_value *ratio = input(node, 1), *training = input(node, 2);
    return training && !norni_is_const_value(training, 0) && !(ratio && norni_is_const_value(ratio, 0));
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    norn_value *r = input(c->node, 1);
    for (int i = 1; i < c->node->n_in; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t && (t->rank > 1 || (t->rank == 1 && t->dims[0] >= 0 && t->dims[0] != 1)))
            return norni_fail(NORN_SHAPE, "input '%s' has rank %d (wanted a scalar)",
                              i == 1 ? "ratio" : "training_mode", t->rank);
    }
    if (r && norni_is_const(r) && norni_tensor_elems(r->data) == 1) {
        double v = norni_get_double(r->data->dtype, norni_tensor_data(r->data), 0);
        if (!(v >= 0 && v <= 1))
            return norni_fail(NORN_ARG, "the ratio is %g (wanted 0 to 1)", v);
    }
    c->out[0] = *x;
    if (c->node->n_out > 1) {
        c->out[1] = *x;
        c->out[1].dtype = NORN_BOOL;
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *r = e->n_in > 1 ? e->in[1] : NULL,
                      *training = e->n_in > 2 ? e->in[2] : NULL;
    const attrs *a = e->attrs;
    bool on = training && *(const bool *)norni_tensor_data(training);
    double ratio = !on ? 0 : r ? norni_get_double(r->dtype, norni_tensor_data(r), 0) : 0.5;
    int64_t n = norni_tensor_elems(x);
    bool *mask = norni_alloc_array((size_t)n + 1, sizeof *mask);
    if (!mask)
        return norni_nomem();
    draw(e->node, a->seed == NORNI_NO_INT ? 0 : a->seed, 0, (double)(float)ratio, &e->node->in[0]->type,
         mask);
    for (int64_t i = 0; i < n; i++) {
        double v = norni_get_double(x->dtype, norni_tensor_data(x), i);
        if (e->out[0])
            norni_set_double(x->dtype, norni_tensor_data(e->out[0]), i, mask[i] ? v / (1 - ratio) : 0);
        if (e->n_out > 1 && e->out[1])
            ((bool *)norni_tensor_data(e->out[1]))[i] = mask[i];
    }
    if (e->out[0] && ratio == 0) /* as it is: of float8 also what norni_set_double would saturate */
        memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(x), norni_tensor_bytes(x));
    norni_free(mask);
    return NORN_OK;
}

/* The ratio in force, as a scalar of type t: 0 when training_mode, not a constant, is false. NULL: the default. */
static norn_value *ratio_of(norn_graph *g, const norn_node *node, norn_dtype t) {
    norn_value *r = input(node, 1), *training = input(node, 2), *scalar = norni_i64_const(g, 0, NULL);
    r = r ? NORNI_OP2(g, norni_cast(g, r, t), scalar, "Reshape") : norni_scalar_const(g, t, 0.5);
    if (norni_is_const(training))
        return r;
    return NORNI_OP3(g, NORNI_OP2(g, training, scalar, "Reshape"), r, norni_scalar_const(g, t, 0), "Where");
}

/* x / (1 - ratio) where the mask is true, else 0: also what the gradient is to dy. */
static norn_value *dropped(norn_graph *g, const norn_node *node, norn_value *x, norn_value *mask) {
    static const char *const names[] = {"x", "mask", "ratio"};
    if (!x)
        return NULL;
    norn_value *vars[] = {x, mask, ratio_of(g, node, x->type.dtype)};
    return norni_formula(g, "where(mask, x / (1 - ratio), 0)", 3, names, vars);
}

#define OR_FLOAT8 (NORNI_FLOATS | NORNI_FLOAT8S)

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0];
    int64_t seed = ((const attrs *)node->attrs)->seed;
    if (may_drop(node) && !(NORNI_FLOATS & NORNI_T(x->type.dtype)))
        return norni_fail(NORN_UNSUPPORTED, "training with elements of type %s",
                          norni_dtype_name(x->type.dtype));
    if (!may_drop(node)) {
        out[0] = NORNI_OP1(g, x, "Identity");
        if (node->n_out > 1 && node->out[1])
            out[1] = NORNI_OP1(g, norni_shape_value(g, x), "ConstantOfShape<value=bool[1]{1}>");
        return NORN_OK;
    }
    norn_value *zero = norni_scalar_const(g, NORN_I64, 0), *seed_value = zero;
    if (seed != NORNI_NO_INT) {
        norn_tensor *t;
        NORNI_TRY(norni_tensor_host(NORN_I64, 0, NULL, &t));
        *(int64_t *)norni_tensor_data(t) = seed;
        seed_value = norni_value_const(g, NULL, t);
    }
    norn_node *mask = norni_opf_node(
        g, 1, 4, (norn_value *[]){x, seed_value, zero, ratio_of(g, node, x->type.dtype)}, "norn.DropoutMask");
    if (!mask)
        return norn_graph_status(g);
    mask->stream = node->stream;
    out[1] = mask->out[0];
    out[0] = dropped(g, node, x, mask->out[0]);
    return NORN_OK;
}

static void grad(norni_grad *c) {
    if (c->dy[0] && c->want[0])
        c->dx[0] =
            may_drop(c->node) ? dropped(c->g, c->node, c->dy[0], norni_want_output(c->node, 1)) : c->dy[0];
}

/* Opsets 7 to 9: the mask has the type of the data. Many files name one that nobody reads: it goes. */
static norn_status raise(norni_adapt *a) {
    norn_node *node = a->node;
    int64_t is_test = ((const attrs *)node->attrs)->is_test;
    if (a->version < 7 && (is_test == NORNI_NO_INT || !is_test)) { /* it trains unless it says otherwise */
        while (node->n_in < 3)
            node->in[node->n_in++] = NULL;
        node->in[2] = norni_scalar_const(a->g, NORN_BOOL, 1);
    }
    if (a->version < 10)
        a->wanted &= ~(a->unread & 2);
    if (a->version >= 10 || !(a->wanted & 2))
        return NORN_OK;
    norn_node *made = norni_apply(a->g, node->op, node->attrs, node->n_in, node->in, 3);
    if (!made)
        return norn_graph_status(a->g);
    a->replaced = true;
    a->out[0] = made->out[0];
    a->out[1] = norni_cast(a->g, made->out[1], node->in[0]->type.dtype);
    return norn_graph_status(a->g);
}

static norn_status lower(norni_adapt *a) {
    norn_node *node = a->node;
    if (a->version >= 12)
        return NORN_OK;
    if (may_drop(node))
        return norni_fail(NORN_UNSUPPORTED, "training_mode is new in opset 12");
    if (node->n_in > 2)
        node->in[2] = NULL;
    if (a->version >= 10 || !(a->wanted & 2))
        return NORN_OK;
    /* A mask of type bool is new in opset 10. Here it is true everywhere: b or not b, which opset 7 has. */
    norn_graph *g = a->g;
    norn_value *ratio = input(node, 1);
    norn_node *made =
        norni_apply(g, node->op, node->attrs, ratio ? 2 : 1, (norn_value *[]){node->in[0], ratio}, 1);
    if (!made)
        return norn_graph_status(g);
    made->name = node->name;
    a->replaced = true;
    a->out[0] = made->out[0];
    norn_value *b = norni_cast(g, node->in[0], NORN_BOOL);
    a->out[1] = NORNI_OP2(g, b, NORNI_OP1(g, b, "Not"), "Or");
    return norn_graph_status(g);
}

const norn_op norni_op_Dropout = {
    .domain = "",
    .name = "Dropout",
    .versions = (const int[]){1, 6, 7, 10, 12, 13, 22, 0},
    .doc = "in training, elements are set to 0 at random and the others scaled; else the identity",
    .inputs =
        (const norni_param[]){{"data", 0, OR_FLOAT8, 'T'},
                              {"ratio", NORNI_OPT | NORNI_NODIFF, OR_FLOAT8, 0},
                              {"training_mode", NORNI_OPT | NORNI_NODIFF | NORNI_SINCE(12), NORNI_BOOLS, 0},
                              {0}},
    .outputs = (const norni_param[]){{"output", 0, OR_FLOAT8, 'T'},
                                     {"mask", NORNI_OPT | NORNI_NODIFF, NORNI_BOOLS, 0},
                                     {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .moved = moved,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .grad = grad,
    .expand = expand,
    .eval = eval,
    .cases = (const char *const[]){"Dropout(float[3,37], float[]{0.3}, bool[]{1}) => 2",
                                   "Dropout<seed=5>(float[2,3,7], float[]{0.5}, bool[]{1})",
                                   "Dropout(float[3,5], float[]{0.9}) => 2", "Dropout(float[4])",
                                   "Dropout<seed=-3>(float[3,5], float[], bool[]) => 2",
                                   "Dropout(float[3,5], float[]{0}, bool[]{1})",
                                   "Dropout(float[3,5], float[]{1}, bool[]{1})", NULL},
    .random = true,
    .random_if = may_drop,
};
