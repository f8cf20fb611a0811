/* SPDX-License-Identifier: Apache-2.0 */
/* Mean: the sum of the inputs, which broadcast, divided by their number. Source: ONNX Mean-13. */
#include "ops/op.h"

enum { AT_ONCE = 31 }; /* operands of one Sum, beside the sum so far */

static norn_status infer(norni_infer *c) {
    norni_type t = *norni_in_type(c, 0);
    for (int i = 1; i < c->node->n_in; i++)
        NORNI_TRY(norni_broadcast(c->g, &t, norni_in_type(c, i)));
    c->out[0] = t;
    c->out[0].dtype = norni_in_type(c, 0)->dtype;
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *sum = NULL, *in[AT_ONCE + 1];
    for (int i = 0; i < node->n_in;) {
        int n = 0;
        if (sum)
            in[n++] = sum;
        while (n <= AT_ONCE && i < node->n_in)
            in[n++] = node->in[i++];
        sum = norni_opf(g, n, in, "Sum");
    }
    out[0] = NORNI_OP2(g, sum, norni_scalar_const(g, node->in[0]->type.dtype, node->n_in), "Div");
    return norn_graph_status(g);
}

/* Before opset 8 the inputs did not broadcast. */
static norn_status lower(norni_adapt *a) {
    for (int i = 1; i < a->node->n_in && a->version < 8; i++)
        if (!norni_type_equal(&a->node->in[i]->type, &a->node->in[0]->type))
            return norni_fail(NORN_UNSUPPORTED,
                              "input %d has another shape than input 0 (wanted opset 8, which broadcasts)",
                              i);
    return NORN_OK;
}

const norn_op norni_op_Mean = {
    .domain = "",
    .name = "Mean",
    .versions = (const int[]){6, 8, 13, 0},
    .doc = "mean of the inputs",
    .inputs = (const norni_param[]){{"data_0", NORNI_VARIADIC, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"mean", 0, NORNI_FLOATS, 'T'}, {0}},
    .infer = infer,
    .expand = expand,
    .lower = lower,
    .cases = (const char *const[]){"Mean(float[3,5], float[3,5], float[5])", "Mean(float[7])",
                                   "Mean(double[2,1], double[1,3])", "Mean(float16[9], float16[9])",
                                   "Mean(float[0,3], float[3])", NULL},
};
