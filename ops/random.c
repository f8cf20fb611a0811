/* SPDX-License-Identifier: Apache-2.0 */
/* RandomNormal, RandomUniform, their Like forms, Bernoulli, Multinomial. Words come from Philox (ops/random.h), so the same
 * seed gives the same numbers on every device, normal ones up to rounding. Element i of 32 bits and less is made from word
 * i % 4 of block i / 4, u = its upper 24 bits / 2^24; a double from 53 bits of words 2 (i % 2) and the next of block i / 2.
 *
 *   uniform    low + (high - low) u
 *   normal     mean + scale sqrt(-2 log u) {cos, sin}(2 pi v), u above 0: Box and Muller, "A note on the generation of
 *              random normal deviates", Ann. Math. Statist. 29, 1958; two neighbours share u and v
 *   Bernoulli  u < p
 *
 * Source: ONNX RandomNormal-22, RandomUniform-22, Bernoulli-22. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

/* Both kinds; the fields of the other one stay 0. */
typedef struct {
    norni_ints shape;
    norn_dtype dtype;
    float seed, mean, scale, low, high;
} attrs;

#define SEED NORNI_A(attrs, seed, FLOAT, .flags = NORNI_ATTR_OPTIONAL)
#define SHAPED                                                                                               \
    NORNI_A(attrs, shape, INTS, .flags = NORNI_ATTR_REQUIRED),                                               \
        NORNI_A(attrs, dtype, DTYPE, .def_int = NORN_F32)
#define LIKE    NORNI_A(attrs, dtype, DTYPE, .flags = NORNI_ATTR_OPTIONAL)
#define NORMAL  NORNI_A_FLOAT(attrs, mean, 0), NORNI_A_FLOAT(attrs, scale, 1)
#define UNIFORM NORNI_A_FLOAT(attrs, low, 0), NORNI_A_FLOAT(attrs, high, 1)
static const norni_attr normal[] = {SHAPED, SEED, NORMAL, NORNI_A_END},
                        normal_like[] = {LIKE, SEED, NORMAL, NORNI_A_END},
                        uniform[] = {SHAPED, SEED, UNIFORM, NORNI_A_END},
                        uniform_like[] = {LIKE, SEED, UNIFORM, NORNI_A_END},
                        bernoulli[] = {LIKE, SEED, NORNI_A_END};

static bool is_normal(const norn_op *op) {
    return !strncmp(op->name, "RandomNormal", 12);
}
static bool is_bernoulli(const norn_op *op) {
    return !strcmp(op->name, "Bernoulli");
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norn_op *op = c->node->op;
    const norni_type *like = norni_in_type(c, 0);
    norni_type *y = &c->out[0];
    norn_dtype t = a->dtype != NORN_UNDEFINED || !like ? a->dtype : like->dtype;
    if (like)
        *y = *like;
    else if (a->shape.n > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "attribute 'shape' has %d sizes (wanted at most %d)", a->shape.n,
                          NORN_MAX_RANK);
    else {
        y->rank = a->shape.n;
        for (int i = 0; i < a->shape.n; i++) {
            if (a->shape.v[i] < 0)
                return norni_fail(NORN_SHAPE, "attribute 'shape' has size %lld (wanted at least 0)",
                                  (long long)a->shape.v[i]);
            y->dims[i] = a->shape.v[i];
        }
    }
    y->dtype = t;
    if (t != NORN_UNDEFINED && !(op->outputs[0].types & NORNI_T(t)))
        return norni_fail(NORN_DTYPE, "random numbers of type %s (wanted %s)", norni_dtype_name(t),
                          is_bernoulli(op)
                              ? "a number type or bool"
                              : "float, double, float16 or bfloat16: attribute 'dtype' says which");
    return NORN_OK;
}

/* Element i as a number in [0, 1), and the words of its block. */
static double uniform_at(const uint32_t w[4], int64_t i, bool wide) {
    if (!wide)
        return (double)(w[i % 4] >> 8) / (1 << 24);
    uint64_t high = w[i % 2 * 2], low = w[i % 2 * 2 + 1];
    return (double)((high << 32 | low) >> 11) / 9007199254740992.0;
}

static double normal_at(const uint32_t w[4], int64_t i, bool wide) {
    double step = wide ? 1 / 9007199254740992.0 : 1.0 / (1 << 24);
    int64_t first = wide ? 0 : i % 4 / 2 * 2;
    double u = uniform_at(w, first, wide) + step, v = uniform_at(w, first + 1, wide), r = sqrt(-2 * log(u));
    return r * (i % 2 ? sin(2 * PI * v) : cos(2 * PI * v));
}

static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    const norn_op *op = e->node->op;
    norn_tensor *y = e->out[0];
    bool draws = is_bernoulli(op), wide = y->dtype == NORN_F64 && !draws;
    uint32_t key[2], w[4] = {0};
    norni_random_key(e->draw.seed, a->seed, key);
    for (int64_t i = 0, n = norni_tensor_elems(y), per = wide ? 2 : 4; i < n; i++) {
        if (i % per == 0)
            norni_random_block(key, (uint64_t)(i / per), e->draw.run, e->node->stream, w);
        double v;
        if (draws)
            v = uniform_at(w, i, false) < norni_get_double(e->in[0]->dtype, norni_tensor_data(e->in[0]), i);
        else if (is_normal(op))
            v = (double)a->mean + (double)a->scale * normal_at(w, i, wide);
        else if (wide)
            v = fma((double)a->high - (double)a->low, uniform_at(w, i, wide), (double)a->low);
        else
            v = (double)fmaf(a->high - a->low, (float)uniform_at(w, i, wide), a->low);
        if (norni_dtype_is_float(y->dtype))
            norni_set_double(y->dtype, norni_tensor_data(y), i, v);
        else
            norni_set_int(y->dtype, norni_tensor_data(y), i, (int64_t)v);
    }
    return NORN_OK;
}

/* What 1 is stored as. */
static int64_t one_of(norn_dtype t) {
    return t == NORN_F32    ? 0x3f800000
           : t == NORN_F64  ? 0x3ff0000000000000
           : t == NORN_F16  ? 0x3c00
           : t == NORN_BF16 ? 0x3f80
                            : 1;
}

static norn_status emit(norni_emit *e) {
    static const char *const words[] = {"uchar", "ushort", "uint", "ulong"};
    const norn_node *node = e->node;
    const attrs *a = node->attrs;
    const norni_type *y = &node->out[0]->type;
    bool draws = is_bernoulli(node->op);
    int64_t n = norni_type_elems(y), per = y->dtype == NORN_F64 && !draws ? 2 : 4,
            blocks = (n + per - 1) / per;
    if (n == 0)
        return e->status;
    if (blocks > UINT32_MAX)
        return norni_fail(NORN_UNSUPPORTED, "%lld random numbers (wanted at most 2^33)", (long long)n);
    int64_t chunk = norni_device_is_cpu(e->device) ? 1024 : 1;
    norni_step *s = norni_emit_kernel(e, "random.cl",
                                      draws                 ? "random_bernoulli"
                                      : is_normal(node->op) ? "random_normal"
                                                            : "random_uniform",
                                      draws ? node->in[0]->type.dtype : y->dtype);
    if (draws) {
        int bits = norni_dtype_bits(y->dtype);
        norni_step_define_text(e, s, "OUT", words[bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3]);
        norni_step_define(e, s, "ONE", one_of(y->dtype));
        norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    }
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, chunk);
    norni_step_random(e, s, a->seed);
    if (!draws) {
        norni_step_real(e, s, y->dtype, is_normal(node->op) ? (double)a->mean : (double)a->low);
        double range = y->dtype == NORN_F64 ? (double)a->high - (double)a->low : (double)(a->high - a->low);
        norni_step_real(e, s, y->dtype, is_normal(node->op) ? (double)a->scale : range);
    }
    norni_step_items(e, s, 1, (blocks + chunk - 1) / chunk, 1, 1);
    return e->status;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->out[0]->type) * 30; /* a quarter of a block of ten rounds */
}

static const norni_impl impls[] = {{.name = "philox", .emit = emit}, {0}};

#define RANDOM(OP, DOC, IN, OUT, TABLE, SINCE, ...)                                                          \
    const norn_op norni_op_##OP = {                                                                          \
        .domain = "",                                                                                        \
        .name = #OP,                                                                                         \
        .versions = (const int[]){SINCE, 22, 0},                                                             \
        .doc = DOC,                                                                                          \
        .inputs = IN,                                                                                        \
        .outputs = (const norni_param[]){{"output", 0, OUT, 0}, {0}},                                        \
        .attrs_bytes = sizeof(attrs),                                                                        \
        .attrs = TABLE,                                                                                      \
        .infer = infer,                                                                                      \
        .grad = norni_no_gradient,                                                                           \
        .eval = eval,                                                                                        \
        .impls = impls,                                                                                      \
        .cost = cost,                                                                                        \
        .random = true,                                                                                      \
        .lo = 0,                                                                                             \
        .hi = 1,                                                                                             \
        .cases = (const char *const[]){__VA_ARGS__, NULL},                                                   \
    }
static const norni_param none[] = {{0}}, any[] = {{"input", NORNI_NODIFF, NORNI_ANY, 0}, {0}},
                         probabilities[] = {{"input", NORNI_NODIFF, NORNI_FLOATS, 0}, {0}};
RANDOM(RandomNormal, "normal random numbers of a given shape", none, NORNI_FLOATS, normal, 1,
       "RandomNormal<shape=[3,17], seed=4, mean=2, scale=0.5>()", "RandomNormal<shape=[5001]>()",
       "RandomNormal<shape=[7,3], dtype=11>()", "RandomNormal<shape=[33], dtype=10, scale=3>()",
       "RandomNormal<shape=[33], dtype=16>()", "RandomNormal<shape=[0,4]>()", "RandomNormal<shape=[]>()");
RANDOM(RandomNormalLike, "normal random numbers of another value's shape", any, NORNI_FLOATS, normal_like, 1,
       "RandomNormalLike<seed=0.5, mean=-1, scale=2>(float[4,9])", "RandomNormalLike<dtype=1>(int64[4,9])",
       "RandomNormalLike<dtype=11>(bool[3])", "RandomNormalLike(float[0])", "RandomNormalLike(float[])");
RANDOM(RandomUniform, "uniform random numbers of a given shape", none, NORNI_FLOATS, uniform, 1,
       "RandomUniform<shape=[3,17], seed=4, low=-2, high=0.5>()", "RandomUniform<shape=[5001]>()",
       "RandomUniform<shape=[7,3], dtype=11, low=3, high=9>()", "RandomUniform<shape=[33], dtype=10>()",
       "RandomUniform<shape=[33], dtype=16>()", "RandomUniform<shape=[4,0]>()", "RandomUniform<shape=[1]>()");
RANDOM(RandomUniformLike, "uniform random numbers of another value's shape", any, NORNI_FLOATS, uniform_like,
       1, "RandomUniformLike<seed=7, low=-1, high=2>(float[4,9])", "RandomUniformLike<dtype=1>(uint8[4,9])",
       "RandomUniformLike<dtype=10>(double[3])", "RandomUniformLike(float[0])", "RandomUniformLike(float[])");
RANDOM(Bernoulli, "ones with the given probabilities, else zeros", probabilities, NORNI_ANY, bernoulli, 15,
       "Bernoulli<seed=3>(float[4,1025])", "Bernoulli<dtype=9>(float[37])", "Bernoulli<dtype=10>(double[37])",
       "Bernoulli<dtype=16>(float16[37])", "Bernoulli<dtype=7>(float[37])", "Bernoulli<dtype=11>(float[37])",
       "Bernoulli<dtype=5>(float[3,3])", "Bernoulli<dtype=6>(float[3,3])", "Bernoulli(float[0])",
       "Bernoulli(float[])");
