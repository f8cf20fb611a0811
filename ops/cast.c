/* SPDX-License-Identifier: Apache-2.0 */
/* Cast: elements in another type. To integers the fraction is cut off (as C does; what does not fit is
 * undefined by the specification, and saturates on the host), to bool 0 is false and the rest true. Source:
 * ONNX Cast-25; the float8 and 4-bit types are not among norn's yet. */
#include "ops/op.h"

typedef struct {
    norn_dtype to;
    int64_t saturate;
    int round_mode;
} cast_attrs;
static const char *const round_words[] = {"up", "down", "nearest", NULL};
static const norni_attr table[] = {NORNI_A(cast_attrs, to, DTYPE, .flags = NORNI_ATTR_REQUIRED),
                                   NORNI_A_INT(cast_attrs, saturate, 1, .since = 19),
                                   NORNI_A_ENUM(cast_attrs, round_mode, round_words, 0, .since = 24), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    norn_dtype to = ((const cast_attrs *)c->attrs)->to;
    if (!(NORNI_ANY & NORNI_T(to)))
        return norni_fail(NORN_UNSUPPORTED,
                          "a cast to %s (norn has float, double, float16, bfloat16, integers of 8 bits "
                          "and more, bool)",
                          norni_dtype_name(to));
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = to;
    int n;
    const norni_dim *d = norni_value_known(c->node->in[0], &n);
    if (d && norni_dtype_is_int(to)) {
        c->known[0] = d;
        c->n_known[0] = n;
    }
    return NORN_OK;
}

static void grad(norni_grad *c) {
    c->dx[0] = NORNI_OP1(c->g, c->dy[0], "Cast<to=%d>", (int)c->node->in[0]->type.dtype);
}

const norn_op norni_op_Cast = {
    .domain = "",
    .name = "Cast",
    .versions = (const int[]){6, 9, 13, 19, 21, 23, 24, 25, 28, 0},
    .doc = "the elements in another type",
    .inputs = (const norni_param[]){{"x", 0, NORNI_ANY, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_ANY, 0}, {0}},
    .attrs_bytes = sizeof(cast_attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .expr = "x",
    .untested_attrs = "saturate, round_mode", /* of the float8 types */
    .cases = (const char *const[]){"Cast<to=11>(float[3,17])", "Cast<to=10>(float[3,17])",
                                   "Cast<to=16>(float[3,17])", "Cast<to=6>(float[37])",
                                   "Cast<to=1>(int64[37])", "Cast<to=9>(float[5])", "Cast<to=1>(bool[5])",
                                   "Cast<to=1>(double[5])", "Cast<to=7>(bool[3,3])", NULL},
    .lo = -4,
    .hi = 4,
};
