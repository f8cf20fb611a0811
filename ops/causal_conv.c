/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvWithState: a depthwise convolution along time that sees the present and the past only,
 *
 *     z = [past_state or k - 1 zeros, x],  y[n, c, t] = act(bias[c] + sum over j of weight[c, 0, j] * z[n, c, t + j])
 *
 * and present_state, the last k - 1 elements of z. It is a Conv in as many groups as there are channels. Source: ONNX
 * CausalConvWithState-27. */
#include "ops/op.h"
#include <math.h>

enum { NONE, SILU, SWISH };
static const char *const words[] = {"none", "silu", "swish", NULL};
typedef struct {
    int activation;
} attrs;
static const norni_attr table[] = {NORNI_A_ENUM(attrs, activation, words, NONE), NORNI_A_END};

static norn_status expect(norni_dim have, norni_dim want, const char *what) {
    return have < 0 || want < 0 || have == want
               ? NORN_OK
               : norni_fail(NORN_SHAPE, "%s is %lld (wanted %lld)", what, (long long)have, (long long)want);
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *w = norni_in_type(c, 1), *b = norni_in_type(c, 2),
                     *p = norni_in_type(c, 3);
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (x->rank != 3 || w->rank != 3)
        return norni_fail(NORN_SHAPE, "input has rank %d, weight %d (wanted 3 each)", x->rank, w->rank);
    NORNI_TRY(expect(w->dims[0], x->dims[1], "the number of weight's channels"));
    NORNI_TRY(expect(w->dims[1], 1, "dimension 1 of weight"));
    if (w->dims[2] == 0)
        return norni_fail(NORN_SHAPE, "weight has no elements (wanted a kernel of 1 or more)");
    norni_dim past = norni_dim_sub(c->g, w->dims[2], 1);
    if (b && b->rank >= 0) {
        if (b->rank != 1)
            return norni_fail(NORN_SHAPE, "bias has rank %d (wanted 1)", b->rank);
        NORNI_TRY(expect(b->dims[0], x->dims[1], "the number of bias's elements"));
    }
    if (p && p->rank >= 0) {
        if (p->rank != 3)
            return norni_fail(NORN_SHAPE, "past_state has rank %d (wanted 3)", p->rank);
        NORNI_TRY(expect(p->dims[0], x->dims[0], "the batch of past_state"));
        NORNI_TRY(expect(p->dims[1], x->dims[1], "the number of past_state's channels"));
        NORNI_TRY(expect(p->dims[2], past, "the length of past_state"));
    }
    c->out[0] = *x;
    if (c->node->n_out > 1) {
        c->out[1] = *x;
        c->out[1].dims[2] = past;
    }
    return NORN_OK;
}

static norn_value *input(const norn_node *node, int i) {
    return node->n_in > i ? node->in[i] : NULL;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0], *w = node->in[1], *bias = input(node, 2), *past = input(node, 3), *z = x;
    int64_t k = w->type.rank == 3 ? w->type.dims[2] : -1, channels = w->type.rank == 3 ? w->type.dims[0] : -1;
    if (k < 0 || channels < 0)
        return norni_fail(NORN_UNSUPPORTED, "the sizes of weight are not known; bind them first");
    if (k > 1)
        z = past ? NORNI_OP2(g, past, x, "Concat<axis=2>")
                 : NORNI_OP2(g, x, norni_i64_const(g, 6, (const int64_t[]){0, 0, k - 1, 0, 0, 0}), "Pad");
    if (node->n_out > 1 && node->out[1]) {
        /* Negative starts would not reach past the beginning, but z has at least k - 1 elements. With k = 1: none. */
        out[1] = norni_part(g, z, 2, k > 1 ? 1 - k : INT64_MAX, INT64_MAX);
    }
    if (!node->out[0])
        return NORN_OK;
    norn_value *in[] = {z, w, bias};
    norn_value *y = channels ? norni_opf(g, bias ? 3 : 2, in, "Conv<group=%lld>", (long long)channels) : x;
    static const char *const names[] = {"y"};
    out[0] = ((const attrs *)node->attrs)->activation == NONE
                 ? y
                 : norni_formula(g, "y * sigmoid(y)", 1, names, &y);
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *w = e->in[1], *b = e->n_in > 2 ? e->in[2] : NULL,
                      *past = e->n_in > 3 ? e->in[3] : NULL;
    int64_t n = x->dims[0], channels = x->dims[1], t = x->dims[2], k = w->dims[2];
    bool act = ((const attrs *)e->attrs)->activation != NONE;
    double *z = norni_alloc_array((size_t)(t + k), sizeof *z);
    for (int64_t line = 0; z && line < n * channels; line++) {
        int64_t c = line % channels;
        for (int64_t i = 0; i < k - 1; i++)
            z[i] = past ? norni_get_double(past->dtype, norni_tensor_data(past), line * (k - 1) + i) : 0;
        for (int64_t i = 0; i < t; i++)
            z[k - 1 + i] = norni_get_double(x->dtype, norni_tensor_data(x), line * t + i);
        for (int64_t i = 0; i < t && e->out[0]; i++) {
            double sum = b ? norni_get_double(b->dtype, norni_tensor_data(b), c) : 0;
            for (int64_t j = 0; j < k; j++)
                sum += norni_get_double(w->dtype, norni_tensor_data(w), c * k + j) * z[i + j];
            norni_set_double(x->dtype, norni_tensor_data(e->out[0]), line * t + i,
                             act ? sum / (1 + exp(-sum)) : sum);
        }
        for (int64_t i = 0; i < k - 1 && e->n_out > 1 && e->out[1]; i++)
            norni_set_double(x->dtype, norni_tensor_data(e->out[1]), line * (k - 1) + i, z[t + i]);
    }
    norn_status s = z ? NORN_OK : norni_nomem();
    norni_free(z);
    return s;
}

#define TYPES (NORNI_T(NORN_F32) | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16))

const norn_op norni_op_CausalConvWithState = {
    .domain = "",
    .name = "CausalConvWithState",
    .versions = (const int[]){27, 0},
    .doc = "a depthwise convolution along time that carries the last elements from call to call",
    .inputs = (const norni_param[]){{"input", 0, TYPES, 'T'},
                                    {"weight", 0, TYPES, 'T'},
                                    {"bias", NORNI_OPT, TYPES, 'T'},
                                    {"past_state", NORNI_OPT | NORNI_NODIFF, TYPES, 'T'},
                                    {0}},
    .outputs =
        (const norni_param[]){{"output", 0, TYPES, 'T'}, {"present_state", NORNI_NODIFF, TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cases =
        (const char *const[]){
            "CausalConvWithState(float[2,3,9], float[3,1,4], float[3], float[2,3,3]) => 2",
            "CausalConvWithState<activation=\"silu\">(float[2,3,9], float[3,1,4], float[3]) => 2",
            "CausalConvWithState<activation=\"swish\">(float[1,5,2], float[5,1,4]) => 2",
            "CausalConvWithState(float[1,5,1], float[5,1,4], float[5], float[1,5,3]) => 2",
            "CausalConvWithState(float[1,2,7], float[2,1,1]) => 2",
            "CausalConvWithState(float[0,2,7], float[2,1,3]) => 2", NULL},
};
