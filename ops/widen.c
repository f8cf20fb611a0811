/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that only move elements (norn_op.moves) work on types below a byte, float8 and float4 as on wider ones: float8 is
 * looked at as bytes, integers of 2 and 4 bits become integers of 8, float4 becomes float, all of it without loss. */
#include "ops/op.h"

static bool is_small(norn_dtype t) {
    return t != NORN_UNDEFINED && NORNI_SMALL & NORNI_T(t);
}

bool norni_moves_small(const norn_node *node) {
    bool small = false;
    for (int i = 0; i < node->n_in; i++)
        small |= node->in[i] && is_small(node->in[i]->type.dtype);
    return small && node->op->moves;
}

/* What stands for a small type. */
static norn_dtype wide(norn_dtype t) {
    return !is_small(t) ? t : t == NORN_I4 || t == NORN_I2 ? NORN_I8 : t == NORN_F4E2M1 ? NORN_F32 : NORN_U8;
}

/* As other bits, or as other numbers. */
static norn_value *recoded(norn_graph *g, norn_value *x, norn_dtype small, norn_dtype to) {
    return norni_dtype_bits(small) == 8 ? NORNI_OP1(g, x, "BitCast<to=%d>", (int)to) : norni_cast(g, x, to);
}

norn_status norni_expand_small(norn_graph *g, const norn_node *node, norn_value *const *in,
                               norn_value **out) {
    norn_value *wider[32];
    unsigned wanted = 0;
    if (node->n_in > 32 || node->n_out > 32)
        return norni_fail(NORN_INTERNAL, "%s: too many inputs or outputs", node->op->name);
    for (int i = 0; i < node->n_in; i++) {
        norn_dtype t = in[i] == NORNI_NONE || !in[i] ? NORN_UNDEFINED : in[i]->type.dtype;
        wider[i] = is_small(t) ? recoded(g, in[i], t, wide(t)) : in[i];
    }
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    norn_node *n = norni_apply(g, node->op, node->attrs, node->n_in, wider, wanted);
    for (int k = 0; n && k < node->n_out; k++)
        if (node->out[k]) {
            norn_dtype t = node->out[k]->type.dtype;
            out[k] = is_small(t) ? recoded(g, n->out[k], t, t) : n->out[k];
        }
    return norn_graph_status(g);
}

/* ---- The same for the host reference. */
static norn_status copy_as(const norn_tensor *x, norn_dtype to, norn_tensor **out) {
    norn_dtype small = is_small(x->dtype) ? x->dtype : to;
    NORNI_TRY(norni_tensor_host(to, x->rank, x->dims, out));
    for (int64_t i = 0; i < norni_tensor_elems(x); i++)
        if (norni_dtype_bits(small) == 8)
            ((uint8_t *)norni_tensor_data(*out))[i] = ((const uint8_t *)norni_tensor_data(x))[i];
        else
            norni_set_double(to, norni_tensor_data(*out), i,
                             norni_get_double(x->dtype, norni_tensor_data(x), i));
    return NORN_OK;
}

norn_status norni_eval_small(norni_eval *e) {
    norn_tensor *in[32] = {NULL}, *out[32] = {NULL};
    norni_eval plain = *e;
    norn_status s = NORN_OK;
    if (e->n_in > 32 || e->n_out > 32)
        return norni_fail(NORN_INTERNAL, "%s: too many inputs or outputs", e->node->op->name);
    for (int i = 0; i < e->n_in && s == NORN_OK; i++)
        if (e->in[i])
            s = copy_as(e->in[i], wide(e->in[i]->dtype), &in[i]);
    for (int k = 0; k < e->n_out && s == NORN_OK; k++)
        if (e->out[k])
            s = norni_tensor_host(wide(e->out[k]->dtype), e->out[k]->rank, e->out[k]->dims, &out[k]);
    plain.in = in;
    plain.out = out;
    if (s == NORN_OK)
        s = e->node->op->eval(&plain);
    for (int k = 0; k < e->n_out; k++)
        if (e->out[k] && s == NORN_OK) {
            norn_dtype t = e->out[k]->dtype;
            norn_tensor_free(e->out[k]);
            e->out[k] = NULL;
            s = copy_as(out[k], t, &e->out[k]);
        }
    for (int i = 0; i < 32; i++) {
        norn_tensor_free(in[i]);
        norn_tensor_free(out[i]);
    }
    return s;
}
