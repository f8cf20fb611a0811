/* SPDX-License-Identifier: Apache-2.0 */
/* Multinomial: classes drawn with probabilities proportional to exp(x), x [N][C]: ops/random.cl says how, so that every
 * device draws the same. Source: ONNX Multinomial-22. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    norn_dtype dtype;
    float seed;
    int64_t sample_size;
} attrs;
static const norni_attr table[] = {NORNI_A(attrs, dtype, DTYPE, .def_int = NORN_I32),
                                   NORNI_A(attrs, seed, FLOAT, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_INT(attrs, sample_size, 1, .lo = 0, .hi = INT64_MAX), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    if (a->dtype != NORN_I32 && a->dtype != NORN_I64)
        return norni_fail(NORN_DTYPE, "attribute 'dtype' is %s (wanted int32 or int64)",
                          norni_dtype_name(a->dtype));
    c->out[0].dtype = a->dtype;
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank != 2)
        return norni_fail(NORN_SHAPE, "input has rank %d (wanted 2: samples and classes)", x->rank);
    if (x->dims[1] == 0)
        return norni_fail(NORN_SHAPE, "there are no classes (wanted at least one)");
    c->out[0] = (norni_type){.dtype = a->dtype, .rank = 2, .dims = {x->dims[0], a->sample_size}};
    return NORN_OK;
}

/* NORNI_EXP_NEG_FLOAT of ops/prelude.cl, bit for bit. */
static float exp_neg(float x) {
    float t = fmaf(x, 1.44269504f, 12582912.0f), n = t - 12582912.0f;
    float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x));
    float p = fmaf(r, 1.3814602280e-3f, 8.3687156439e-3f), scale;
    p = fmaf(p, r, 4.1668388993e-2f);
    p = fmaf(p, r, 1.6666521132e-1f);
    p = fmaf(p, r, 4.9999994040e-1f);
    p = fmaf(p, r * r, r) + 1.0f;
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&scale, &bits, sizeof scale);
    return x < -86.6f ? 0 : p * scale;
}

static uint64_t weight(const norn_tensor *x, int64_t i, float top) {
    float w = exp_neg(fminf((float)norni_get_double(x->dtype, norni_tensor_data(x), i) - top, 0.0f));
    return w > 0 ? (uint64_t)(w * 4294967296.0f) : 0;
}

static uint64_t mul_high(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t mid = a1 * b0 + (a0 * b0 >> 32), mid2 = a0 * b1 + (uint32_t)mid;
    return a1 * b1 + (mid >> 32) + (mid2 >> 32);
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    int64_t classes = x->dims[1], samples = y->dims[1];
    uint32_t key[2], w[4];
    norni_random_key(e->draw.seed, ((const attrs *)e->attrs)->seed, key);
    for (int64_t row = 0; row < x->dims[0]; row++) {
        float top = -INFINITY;
        uint64_t total = 0;
        for (int64_t c = 0; c < classes; c++)
            top = fmaxf(top, (float)norni_get_double(x->dtype, norni_tensor_data(x), row * classes + c));
        for (int64_t c = 0; c < classes; c++)
            total += weight(x, row * classes + c, top);
        for (int64_t s = 0; s < samples; s++) {
            int64_t i = row * samples + s, c = 0;
            norni_random_block(key, (uint64_t)i / 2, e->draw.run, e->node->stream, w);
            uint64_t r = mul_high((uint64_t)w[i % 2 * 2] << 32 | w[i % 2 * 2 + 1], total), sum = 0;
            for (; c < classes - 1; c++) {
                sum += weight(x, row * classes + c, top);
                if (sum > r)
                    break;
            }
            norni_set_int(y->dtype, norni_tensor_data(y), i, c);
        }
    }
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    int64_t samples = y->dims[1];
    if (norni_type_elems(y) == 0)
        return e->status;
    if (norni_type_elems(y) / 2 > UINT32_MAX)
        return norni_fail(NORN_UNSUPPORTED, "%lld random numbers (wanted at most 2^33)",
                          (long long)norni_type_elems(y));
    int64_t units = e->device->compute_units ? e->device->compute_units : 1, chunk = 1;
    if (norni_device_is_cpu(e->device)) /* as few items as keep all units busy: each sums the weights */
        chunk = (samples * x->dims[0] + 4 * units - 1) / (4 * units);
    else if (x->dims[0] > 1024)
        chunk = 16;
    chunk = chunk > samples ? samples : chunk;
    norni_step *s = norni_emit_kernel(e, "random.cl", "random_multinomial", x->dtype);
    norni_step_define_text(e, s, "OUT", y->dtype == NORN_I64 ? "long" : "int");
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, x->dims[0]);
    norni_step_i64(e, s, x->dims[1]);
    norni_step_i64(e, s, samples);
    norni_step_i64(e, s, chunk);
    norni_step_random(e, s, ((const attrs *)e->node->attrs)->seed);
    norni_step_items(e, s, 2, (samples + chunk - 1) / chunk, x->dims[0], 1);
    return e->status;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->out[0]->type) * (double)node->in[0]->type.dims[1] * 20;
}

static const norni_impl impls[] = {{.name = "philox", .emit = emit}, {0}};

const norn_op norni_op_Multinomial = {
    .domain = "",
    .name = "Multinomial",
    .versions = (const int[]){7, 22, 0},
    .doc = "classes drawn with probabilities given by their logarithms",
    .inputs = (const norni_param[]){{"input", NORNI_NODIFF, NORNI_FLOATS, 0}, {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_INDEX, 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .random = true,
    .lo = -3,
    .hi = 3,
    .cases = (const char *const[]){"Multinomial<sample_size=1000, seed=2>(float[3,17])",
                                   "Multinomial(float[70,1])",
                                   "Multinomial<dtype=7, sample_size=37>(float[5,1000])",
                                   "Multinomial<sample_size=3>(float[0,4])",
                                   "Multinomial<sample_size=0>(float[2,4])", NULL},
};
