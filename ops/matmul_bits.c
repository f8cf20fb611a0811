/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft.MatMulNBits: A times a matrix of which `bits` bits an element are stored, in blocks of block_size elements
 * along K that share a scale and a zero point:
 *
 *     Y = A W' + bias,   W[n, k] = scales[n, b] (q[n, k] - zero_points[n, b]),   b = k / block_size
 *
 * B is [N, blocks, block_size bits / 8], the first element of a byte in its lowest bits; zero points are stored in the
 * same way, or as floats, or are 2^(bits - 1). accuracy_level says how far A may be rounded: here it never is. W is
 * unpacked once, where B never changes. Source: ONNX Runtime's documentation of contrib operators. */
#include "ops/qlinear.h"

typedef struct {
    int64_t K, N_, bits, block_size, accuracy_level, weight_prepacked;
} attrs_t;
enum { A, B, SCALES, ZEROS, GROUPS, BIAS };
enum { MOST = 1 << 28 }; /* of K, N and block_size: so that no product of them is too large */

static norn_value *reshape(norn_graph *g, norn_value *x, int n, const int64_t *shape) {
    return NORNI_OP2(g, x, norni_i64_const(g, n, shape), "Reshape<allowzero=1>");
}

/* [n, bytes] as [n, bytes 8 / bits], in floats. */
static norn_value *unpack(norn_graph *g, norn_value *x, int64_t n, int64_t bytes, int bits) {
    int each = 8 / bits;
    norn_value *parts[4] = {NULL}, *axis = norni_i64_const(g, 1, (int64_t[]){2}),
               *all = norni_scalar_const(g, NORN_U8, (1 << bits) - 1);
    x = reshape(g, x, 2, (int64_t[]){n, bytes});
    if (each == 1)
        return norni_cast(g, x, NORN_F32);
    for (int i = 0; i < each; i++) {
        norn_value *v =
            i ? NORNI_OP2(g, x, norni_scalar_const(g, NORN_U8, i * bits), "BitShift<direction=\"RIGHT\">")
              : x;
        parts[i] = NORNI_OP2(g, NORNI_OP2(g, v, all, "BitwiseAnd"), axis, "Unsqueeze");
    }
    return norni_cast(
        g, reshape(g, norni_opf(g, each, parts, "Concat<axis=2>"), 2, (int64_t[]){n, bytes * each}),
        NORN_F32);
}

static norn_status check_bytes(const norn_node *node, int i, int64_t want) {
    const norni_type *t = &node->in[i]->type;
    if (norni_type_static(t) && norni_type_elems(t) != want)
        return norni_fail(NORN_SHAPE, "%s has %lld elements (wanted %lld)", norni_op_input(node->op, i)->name,
                          (long long)norni_type_elems(t), (long long)want);
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *const *in = node->in, *zeros = norni_optional(node, ZEROS),
                      *bias = norni_optional(node, BIAS);
    int64_t n = a->N_, k = a->K, size = a->block_size;
    int bits = (int)a->bits;
    if (bits != 2 && bits != 4 && bits != 8)
        return norni_fail(NORN_UNSUPPORTED, "attribute 'bits': got %d (wanted 2, 4 or 8)", bits);
    if (size < 16 || size & (size - 1))
        return norni_fail(NORN_ARG, "attribute 'block_size': got %lld (wanted a power of 2 from 16 on)",
                          (long long)size);
    if (a->weight_prepacked || norni_optional(node, GROUPS))
        return norni_fail(NORN_UNSUPPORTED, "weight_prepacked or g_idx");
    int64_t blocks = (k + size - 1) / size, packed = (blocks * bits + 7) / 8;
    const norni_type *x = &in[A]->type;
    if (x->rank < 1)
        return norni_fail(x->rank < 0 ? NORN_UNSUPPORTED : NORN_SHAPE, "A has rank %d (wanted 1 or more)",
                          x->rank);
    if (x->dims[x->rank - 1] >= 0 && x->dims[x->rank - 1] != k)
        return norni_fail(NORN_SHAPE, "A has %lld columns (wanted %lld)", (long long)x->dims[x->rank - 1],
                          (long long)k);
    NORNI_TRY(check_bytes(node, B, n * blocks * size * bits / 8));
    NORNI_TRY(check_bytes(node, SCALES, n * blocks));
    NORNI_TRY(norni_check_vector(node, BIAS, n));
    norn_value *w =
        reshape(g, unpack(g, in[B], n, blocks * size * bits / 8, bits), 3, (int64_t[]){n, blocks, size});
    norn_value *z = norni_scalar_const(g, NORN_F32, 1 << (bits - 1));
    if (zeros && zeros->type.dtype == NORN_U8) {
        NORNI_TRY(check_bytes(node, ZEROS, n * packed));
        z = norni_part(g, unpack(g, zeros, n, packed, bits), 1, 0, blocks);
    } else if (zeros) {
        NORNI_TRY(check_bytes(node, ZEROS, n * blocks));
        z = norni_cast(g, zeros, NORN_F32);
    }
    if (zeros)
        z = reshape(g, z, 3, (int64_t[]){n, blocks, 1});
    norn_value *s = reshape(g, norni_cast(g, in[SCALES], NORN_F32), 3, (int64_t[]){n, blocks, 1});
    w = NORNI_OP2(g, NORNI_OP2(g, w, z, "Sub"), s, "Mul");
    w = norni_part(g, reshape(g, w, 2, (int64_t[]){n, blocks * size}), 1, 0, k);
    w = NORNI_OP1(g, norni_cast(g, w, x->dtype), "Transpose<perm=[1,0]>");
    out[0] = NORNI_OP2(g, in[A], w, "MatMul");
    if (bias)
        out[0] = NORNI_OP2(g, out[0], bias, "Add");
    return norn_graph_status(g);
}

#define SIZE(f, text, ...)                                                                                   \
    { .name = text, .kind = NORNI_ATTR_INT, .offset = offsetof(attrs_t, f), __VA_ARGS__ }
static const norni_attr table[] = {
    SIZE(K, "K", .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = MOST),
    SIZE(N_, "N", .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = MOST),
    SIZE(bits, "bits", .def_int = 4, .lo = 2, .hi = 8),
    SIZE(block_size, "block_size", .flags = NORNI_ATTR_REQUIRED, .lo = 16, .hi = MOST),
    NORNI_A_INT(attrs_t, accuracy_level, 0),
    NORNI_A_INT(attrs_t, weight_prepacked, 0),
    NORNI_A_END};
const norn_op norni_op_MatMulNBits = {
    .domain = MS,
    .name = "MatMulNBits",
    .doc = "product with a matrix of a few bits an element",
    .versions = (const int[]){1, 0},
    ATTRS(attrs_t, table),
    .infer = norni_infer_by_expansion,
    .expand = expand,
    .inputs = PARAMS({"A", 0, REALS, 'T'}, {"B", N, NORNI_T(NORN_U8), 0}, {"scales", N, REALS, 'T'},
                     {"zero_points", O, NORNI_T(NORN_U8) | REALS, 0}, {"g_idx", O, NORNI_T(NORN_I32), 0},
                     {"bias", NORNI_OPT, REALS, 'T'}),
    .outputs = PARAMS({"Y", 0, REALS, 'T'}),
    .untested_attrs = "accuracy_level weight_prepacked",
    CASES(
        "com.microsoft.MatMulNBits<K=35, N=5, block_size=16>(float[2,3,35], uint8[5,3,8], float[15])",
        "com.microsoft.MatMulNBits<K=20, N=3, bits=8, block_size=32>(float[4,20], uint8[3,1,32], float[3,1], "
        "uint8[3,1], _, float[3])",
        "com.microsoft.MatMulNBits<K=64, N=7, bits=4, block_size=32>(float[1,64], uint8[7,2,16], float[7,2], "
        "uint8[7,1])",
        "com.microsoft.MatMulNBits<K=16, N=2, bits=2, block_size=16>(float[16], uint8[2,1,4], float[2,1], "
        "float[2,1])")};
