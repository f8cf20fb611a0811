/* SPDX-License-Identifier: Apache-2.0 */
/* BitCast (ONNX BitCast-26): the same bits as elements of another type of the same width. */
#include "ops/op.h"
#include <string.h>

typedef struct {
    norn_dtype to;
} attrs_t;
static const norni_attr table[] = {NORNI_A(attrs_t, to, DTYPE, .flags = NORNI_ATTR_REQUIRED), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    norn_dtype to = ((const attrs_t *)c->attrs)->to, from = norni_in_type(c, 0)->dtype;
    if (!(NORNI_ALL & NORNI_T(to)))
        return norni_fail(NORN_UNSUPPORTED, "to is %s", norni_dtype_name(to));
    if (from != NORN_UNDEFINED && norni_dtype_bits(from) != norni_dtype_bits(to))
        return norni_fail(NORN_DTYPE, "to is %s of %d bits (wanted %d bits, as %s has)", norni_dtype_name(to),
                          (int)norni_dtype_bits(to), (int)norni_dtype_bits(from), norni_dtype_name(from));
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = to;
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    size_t bytes = norni_dtype_bytes(e->in[0]->dtype, norni_tensor_elems(e->in[0]));
    if (bytes)
        memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(e->in[0]), bytes);
    return NORN_OK;
}

static void no_cost(const norn_node *node, norni_cost *c) {
    c->flops = c->bytes = 0;
}
static const norni_impl impls[] = {{.name = "view", .alias = 1}, {0}};

const norn_op norni_op_BitCast = {
    .domain = "",
    .name = "BitCast",
    .versions = (const int[]){26, 0},
    .doc = "the same bits as another type",
    .inputs = (const norni_param[]){{"input", NORNI_NODIFF, NORNI_ALL, 0}, {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ALL, 0}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .eval = eval,
    .impls = impls,
    .cost = no_cost,
    .cases = (const char *const[]){"BitCast<to=1>(int32[7])", "BitCast<to=13>(double[3,5])",
                                   "BitCast<to=16>(float16[3,3])", "BitCast<to=7>(double[4])",
                                   "BitCast<to=2>(int8[9])", "BitCast<to=9>(uint8[3]{0,1,1})", NULL},
};
