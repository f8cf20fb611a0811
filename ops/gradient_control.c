/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that pass their input on and change what flows back through them:
 *
 *     StopGradient(x)          y = x, dx = 0
 *     ScaleGradient(x, scale)  y = x, dx = scale dy
 *     ClipGradient(x, lo, hi)  y = x, dx = dy limited to [lo, hi]
 *
 * The numbers are scalars of the type of x. Where nothing is differentiated any more they are Identity. */
#include "ops/op.h"
#include <string.h>

static norn_status infer(norni_infer *c) {
    c->out[0] = *norni_in_type(c, 0);
    for (int i = 1; i < c->node->n_in; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t && t->rank > 0)
            return norni_fail(NORN_SHAPE, "'%s' has %d axes (wanted a scalar)",
                              norni_op_input(c->node->op, i)->name, t->rank);
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(e->in[0]), norni_tensor_bytes(e->out[0]));
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    out[0] = NORNI_OP1(g, node->in[0], "Identity");
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    (void)node;
    *c = (norni_cost){0};
}

static void grad_scale(norni_grad *c) {
    c->dx[0] = NORNI_OP2(c->g, c->dy[0], c->node->in[1], "Mul");
}

static void grad_clip(norni_grad *c) {
    c->dx[0] = NORNI_OP3(c->g, c->dy[0], c->node->in[1], c->node->in[2], "Clip");
}

#define CONTROL(id, ...)                                                                                     \
    const norn_op norni_op_##id = {.domain = "norn",                                                         \
                                   .name = #id,                                                              \
                                   .versions = (const int[]){1, 0},                                          \
                                   .outputs = (const norni_param[]){{"y", 0, NORNI_FLOATS, 'T'}, {0}},       \
                                   .infer = infer,                                                           \
                                   .eval = eval,                                                             \
                                   .expand = expand,                                                         \
                                   .cost = cost,                                                             \
                                   __VA_ARGS__}
#define X                                                                                                    \
    { "x", 0, NORNI_FLOATS, 'T' }
#define NUMBER(name)                                                                                         \
    { name, NORNI_NODIFF, NORNI_FLOATS, 'T' }

CONTROL(StopGradient, .doc = "x, through which no gradient flows", .grad = norni_no_gradient,
        .inputs = (const norni_param[]){X, {0}},
        .cases = (const char *const[]){"norn.StopGradient(float[2,3])", "norn.StopGradient(float[0])",
                                       "norn.StopGradient(float[])", NULL});
/* The gradient is not that of the values, but with these numbers. */
CONTROL(ScaleGradient, .doc = "x, whose gradient is multiplied by scale", .grad = grad_scale,
        .inputs = (const norni_param[]){X, NUMBER("scale"), {0}},
        .cases = (const char *const[]){"norn.ScaleGradient(float[2,3], float[]{1})",
                                       "norn.ScaleGradient(float[0], float[]{1})", NULL});
CONTROL(ClipGradient, .doc = "x, whose gradient is limited to [lo, hi]", .grad = grad_clip,
        .inputs = (const norni_param[]){X, NUMBER("lo"), NUMBER("hi"), {0}},
        .cases = (const char *const[]){"norn.ClipGradient(float[2,3], float[]{-1000}, float[]{1000})",
                                       "norn.ClipGradient(float[], float[]{-1000}, float[]{1000})", NULL});
