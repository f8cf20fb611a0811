/* SPDX-License-Identifier: Apache-2.0 */
/* norn.CastSmall: Cast from or to float8, float4 and integers below a byte, for which no arithmetic exists on devices.
 * Integers lose their upper bits; floats that become integers are cut off first. Sources: ONNX Cast-25; OCP formats for
 * deep learning (float8), OCP microscaling formats 1.0. */
#include "base/half.h"
#include "ops/recode.h"
#include <math.h>
#include <string.h>

const char *const norni_round_words[] = {"up", "down", "nearest", NULL};

typedef struct {
    norn_dtype to;
    int64_t saturate;
    int round_mode;
} attrs;
static const norni_attr table[] = {NORNI_A(attrs, to, DTYPE, .flags = NORNI_ATTR_REQUIRED),
                                   NORNI_A_INT(attrs, saturate, 1, .lo = 0, .hi = 1),
                                   NORNI_A_ENUM(attrs, round_mode, norni_round_words, NORNI_ROUND_UP),
                                   NORNI_A_END};

static uint8_t e8m0(float v, bool saturate, int round_mode) {
    uint32_t u, exp, rest;
    memcpy(&u, &v, sizeof u);
    exp = u >> 23 & 255;
    rest = u & 0x7fffff;
    if (exp == 255)
        return 255;
    bool up = round_mode == NORNI_ROUND_UP        ? rest != 0
              : round_mode == NORNI_ROUND_NEAREST ? rest > 0x400000 || (rest == 0x400000 && exp)
                                                  : false;
    return (uint8_t)(exp == 254 && saturate ? exp : exp + up);
}

void norni_set_rounded(norn_dtype t, void *data, int64_t i, double v, bool saturate, int round_mode) {
    const norni_minifloat *f = t == NORN_F8E4M3FN     ? &norni_f8e4m3fn
                               : t == NORN_F8E4M3FNUZ ? &norni_f8e4m3fnuz
                               : t == NORN_F8E5M2     ? &norni_f8e5m2
                               : t == NORN_F8E5M2FNUZ ? &norni_f8e5m2fnuz
                                                      : NULL;
    if (f)
        ((uint8_t *)data)[i] = norni_minifloat_from(f, v, saturate);
    else if (t == NORN_F8E8M0)
        ((uint8_t *)data)[i] = e8m0((float)v, saturate, round_mode);
    else
        norni_set_double(t, data, i, v);
}

static norn_status infer(norni_infer *c) {
    norn_dtype to = ((const attrs *)c->attrs)->to;
    if (!(NORNI_ALL & NORNI_T(to)))
        return norni_fail(NORN_UNSUPPORTED, "a cast to %s", norni_dtype_name(to));
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = to;
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    const norn_tensor *x = e->in[0], *y = e->out[0];
    for (int64_t i = 0, n = norni_tensor_elems(y); i < n; i++) {
        norni_scalar v = norni_scalar_get(x->dtype, norni_tensor_data(x), i);
        if (norni_dtype_is_float(y->dtype))
            norni_set_rounded(y->dtype, norni_tensor_data(y), i,
                              norni_get_double(x->dtype, norni_tensor_data(x), i), a->saturate != 0,
                              a->round_mode);
        else
            norni_scalar_set(y->dtype, norni_tensor_data(y), i, v);
    }
    return NORN_OK;
}

norni_step *norni_emit_recode(norni_emit *e, const char *kernel, norn_dtype x, norn_dtype y) {
    norni_step *s =
        norni_emit_kernel(e, "recode.cl", kernel, x == NORN_F64 || y == NORN_F64 ? NORN_F64 : NORN_F32);
    norni_step_define(e, s, "XT", x);
    norni_step_define(e, s, "YT", y);
    return s;
}

int64_t norni_recode_each(const norni_emit *e, int64_t n) {
    return norni_device_is_cpu(e->device) ? (n < 4096 ? (n + 7) / 8 * 8 : 4096) : 8;
}

static norn_status emit(norni_emit *e) {
    const attrs *a = e->node->attrs;
    const norni_type *x = &e->node->in[0]->type;
    int64_t n = norni_type_elems(x), each = norni_recode_each(e, n);
    if (!n)
        return e->status;
    norni_step *s = norni_emit_recode(e, "recode", x->dtype, a->to);
    norni_step_define(e, s, "SATURATE", a->saturate);
    norni_step_define(e, s, "ROUND_MODE", a->round_mode);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 1, (n + each - 1) / each, 1, 1);
    return e->status;
}

static void grad(norni_grad *c) {
    c->dx[0] = norni_cast(c->g, c->dy[0], c->node->in[0]->type.dtype);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    out[0] = NORNI_OP1(g, node->in[0], "Cast<to=%d, saturate=%d, round_mode=\"%s\">", (int)a->to,
                       (int)a->saturate, norni_round_words[a->round_mode]);
    return norn_graph_status(g);
}

static const norni_impl impls[] = {{.name = "recode", .emit = emit}, {0}};

const norn_op norni_op_CastSmall = {
    .domain = "norn",
    .name = "CastSmall",
    .versions = (const int[]){1, 0},
    .doc = "Cast from or to types below a byte and float8",
    .inputs = (const norni_param[]){{"x", 0, NORNI_ALL, 0}, {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_ALL, 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .expand = expand,
    .eval = eval,
    .impls = impls,
    .cases = (const char *const[]){"norn.CastSmall<to=17>(float[3,37])",
                                   "norn.CastSmall<to=18, saturate=0>(float16[37])",
                                   "norn.CastSmall<to=19>(double[5])",
                                   "norn.CastSmall<to=20, saturate=0>(bfloat16[37])",
                                   "norn.CastSmall<to=22>(float[3,7])",
                                   "norn.CastSmall<to=21>(int32[9])",
                                   "norn.CastSmall<to=23>(float[41])",
                                   "norn.CastSmall<to=24, round_mode=\"nearest\">(float[37])",
                                   "norn.CastSmall<to=24, round_mode=\"down\">(float[37])",
                                   "norn.CastSmall<to=25>(uint8[11])",
                                   "norn.CastSmall<to=26>(int64[3,3])",
                                   "norn.CastSmall<to=1>(float8e5m2[37])",
                                   "norn.CastSmall<to=1>(int4[5,3])",
                                   "norn.CastSmall<to=9>(float4e2m1[7])",
                                   "norn.CastSmall<to=22>(float8e4m3fn[7])",
                                   "norn.CastSmall<to=6>(float8e4m3fnuz[7])",
                                   "norn.CastSmall<to=17>(float[0])",
                                   "norn.CastSmall<to=16>(float8e5m2fnuz[])",
                                   "norn.CastSmall<to=10>(int2[9])",
                                   "norn.CastSmall<to=1>(float8e8m0[9])",
                                   "norn.CastSmall<to=3>(uint2[9])",
                                   NULL},
    .lo = -9,
    .hi = 9,
};
