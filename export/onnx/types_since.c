/* SPDX-License-Identifier: Apache-2.0 */
/* Element types by opset: the file format's side of what the operators' tables say of their newest forms. Facts from the
 * operator definitions that ONNX publishes (changelog, opset 7 to 28); tests/onnx/registry.py compares the table with
 * them, and prints its rows. */
#include "export/onnx/types_since.h"
#include <string.h>

#define INTS_8    (NORNI_T(NORN_U8) | NORNI_T(NORN_I8))
#define INTS_8_16 (INTS_8 | NORNI_T(NORN_U16) | NORNI_T(NORN_I16))
#define INTS_32_64 (NORNI_T(NORN_U32) | NORNI_T(NORN_I32) | NORNI_T(NORN_U64) | NORNI_T(NORN_I64))
#define FLOAT8                                                                                               \
    (NORNI_T(NORN_F8E4M3FN) | NORNI_T(NORN_F8E4M3FNUZ) | NORNI_T(NORN_F8E5M2) | NORNI_T(NORN_F8E5M2FNUZ))

static const norni_types_row rows[] = {
    {"Acos", 22, 1, NORNI_T(NORN_BF16)},
    {"Acosh", 22, 1, NORNI_T(NORN_BF16)},
    {"Add", 14, 3, INTS_8_16},
    {"Asin", 22, 1, NORNI_T(NORN_BF16)},
    {"Asinh", 22, 1, NORNI_T(NORN_BF16)},
    {"Atan", 22, 1, NORNI_T(NORN_BF16)},
    {"Atanh", 22, 1, NORNI_T(NORN_BF16)},
    {"AveragePool", 22, 1, NORNI_T(NORN_BF16)},
    {"BatchNormalization", 14, 31, NORNI_T(NORN_BF16)},
    {"Bernoulli", 22, 1, NORNI_T(NORN_BF16)},
    {"BitShift", 28, 3, NORNI_T(NORN_I8) | NORNI_T(NORN_I16) | NORNI_T(NORN_I32) | NORNI_T(NORN_I64)},
    {"Celu", 28, 1, NORNI_T(NORN_F16) | NORNI_T(NORN_F64) | NORNI_T(NORN_BF16)},
    {"Clip", 12, 7, NORNI_INTS},
    {"Compress", 28, 1, NORNI_T(NORN_BF16)},
    {"Conv", 22, 7, NORNI_T(NORN_BF16)},
    {"ConvTranspose", 22, 7, NORNI_T(NORN_BF16)},
    {"Cos", 22, 1, NORNI_T(NORN_BF16)},
    {"Cosh", 22, 1, NORNI_T(NORN_BF16)},
    {"CumSum", 14, 1, NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"DeformConv", 22, 31, NORNI_T(NORN_BF16)},
    {"DequantizeLinear", 19, 2, NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"DequantizeLinear", 21, 5, NORNI_T(NORN_U16) | NORNI_T(NORN_I16)},
    {"Det", 22, 1, NORNI_T(NORN_BF16)},
    {"Div", 14, 3, INTS_8_16},
    {"Dropout", 22, 2, FLOAT8 | NORNI_T(NORN_BF16)},
    {"Dropout", 22, 1, FLOAT8},
    {"Einsum", 28, 1, NORNI_T(NORN_BF16)},
    {"Elu", 22, 1, NORNI_T(NORN_BF16)},
    {"Equal", 11, 3, INTS_8_16 | NORNI_T(NORN_F16) | NORNI_T(NORN_F64) | NORNI_T(NORN_U32) | NORNI_T(NORN_U64) | NORNI_T(NORN_F32)},
    {"EyeLike", 22, 1, NORNI_T(NORN_BF16)},
    {"Flatten", 9, 1, NORNI_INTS | NORNI_T(NORN_BOOL)},
    {"Flatten", 21, 1, FLOAT8},
    {"GRU", 22, 47, NORNI_T(NORN_BF16)},
    {"Gemm", 9, 7, INTS_32_64},
    {"GlobalAveragePool", 22, 1, NORNI_T(NORN_BF16)},
    {"GlobalLpPool", 22, 1, NORNI_T(NORN_BF16)},
    {"GlobalMaxPool", 22, 1, NORNI_T(NORN_BF16)},
    {"Greater", 9, 3, NORNI_INTS},
    {"GreaterOrEqual", 16, 3, NORNI_T(NORN_BF16)},
    {"GridSample", 22, 3, NORNI_T(NORN_BF16)},
    {"HardSigmoid", 22, 1, NORNI_T(NORN_BF16)},
    {"HardSwish", 22, 1, NORNI_T(NORN_BF16)},
    {"InstanceNormalization", 22, 7, NORNI_T(NORN_BF16)},
    {"IsInf", 20, 1, FLOAT8 | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"IsNaN", 20, 1, FLOAT8},
    {"LSTM", 22, 239, NORNI_T(NORN_BF16)},
    {"LeakyRelu", 16, 1, NORNI_T(NORN_BF16)},
    {"Less", 9, 3, NORNI_INTS},
    {"LessOrEqual", 16, 3, NORNI_T(NORN_BF16)},
    {"LpNormalization", 22, 1, NORNI_T(NORN_BF16)},
    {"LpPool", 22, 1, NORNI_T(NORN_BF16)},
    {"MatMul", 9, 3, INTS_32_64},
    {"Max", 12, 1, NORNI_INTS},
    {"MaxPool", 12, 1, INTS_8},
    {"MaxPool", 22, 1, NORNI_T(NORN_BF16)},
    {"MaxRoiPool", 22, 3, NORNI_T(NORN_BF16)},
    {"MaxUnpool", 22, 1, NORNI_T(NORN_BF16)},
    {"Min", 12, 1, NORNI_INTS},
    {"Mish", 22, 1, NORNI_T(NORN_BF16)},
    {"Mul", 14, 3, INTS_8_16},
    {"Multinomial", 22, 1, NORNI_T(NORN_BF16)},
    {"NegativeLogLikelihoodLoss", 22, 5, NORNI_T(NORN_BF16)},
    {"OneHot", 28, 4, NORNI_T(NORN_BF16)},
    {"PRelu", 9, 3, INTS_32_64},
    {"PRelu", 16, 3, NORNI_T(NORN_BF16)},
    {"Pad", 11, 1, NORNI_INTS},
    {"Pad", 13, 5, NORNI_T(NORN_BOOL)},
    {"Pad", 21, 5, FLOAT8},
    {"Pow", 12, 2, NORNI_INTS},
    {"Pow", 12, 1, NORNI_T(NORN_I32) | NORNI_T(NORN_I64)},
    {"Pow", 15, 2, NORNI_T(NORN_BF16)},
    {"QLinearMatMul", 21, 82, NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"QLinearMatMul", 21, 173, FLOAT8},
    {"QuantizeLinear", 19, 1, NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"QuantizeLinear", 19, 2, NORNI_T(NORN_I32) | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"QuantizeLinear", 21, 4, NORNI_T(NORN_U16) | NORNI_T(NORN_I16)},
    {"RNN", 22, 47, NORNI_T(NORN_BF16)},
    {"RandomNormalLike", 22, 1, NORNI_T(NORN_BF16)},
    {"RandomUniformLike", 22, 1, NORNI_T(NORN_BF16)},
    {"Range", 27, 7, NORNI_T(NORN_F16) | NORNI_T(NORN_BF16)},
    {"ReduceMax", 12, 1, INTS_8},
    {"ReduceMax", 20, 1, NORNI_T(NORN_BOOL)},
    {"ReduceMin", 12, 1, INTS_8},
    {"ReduceMin", 20, 1, NORNI_T(NORN_BOOL)},
    {"Relu", 14, 1, NORNI_T(NORN_I8) | NORNI_T(NORN_I16) | NORNI_T(NORN_I32) | NORNI_T(NORN_I64)},
    {"Resize", 11, 2, NORNI_T(NORN_F16) | NORNI_T(NORN_F64)},
    {"ReverseSequence", 28, 1, NORNI_T(NORN_BF16)},
    {"RoiAlign", 22, 3, NORNI_T(NORN_BF16)},
    {"Round", 22, 1, NORNI_T(NORN_BF16)},
    {"Selu", 22, 1, NORNI_T(NORN_BF16)},
    {"Sin", 22, 1, NORNI_T(NORN_BF16)},
    {"Sinh", 22, 1, NORNI_T(NORN_BF16)},
    {"Softplus", 22, 1, NORNI_T(NORN_BF16)},
    {"Softsign", 22, 1, NORNI_T(NORN_BF16)},
    {"Squeeze", 21, 1, FLOAT8},
    {"Sub", 14, 3, INTS_8_16},
    {"Tan", 22, 1, NORNI_T(NORN_BF16)},
    {"ThresholdedRelu", 22, 1, NORNI_T(NORN_BF16)},
    {"TopK", 11, 1, NORNI_INTS},
    {"TopK", 24, 1, NORNI_T(NORN_BF16)},
    {"Transpose", 21, 1, FLOAT8},
    {"Unique", 28, 1, NORNI_T(NORN_BF16)},
    {"Unsqueeze", 21, 1, FLOAT8},
    {"Where", 16, 6, NORNI_T(NORN_BF16)},
};

const norni_types_row *norni_types_rows(size_t *n) {
    *n = sizeof rows / sizeof *rows;
    return rows;
}

int norni_type_since(norn_dtype t) {
    switch (t) {
    case NORN_BF16:
        return 13;
    case NORN_F8E4M3FN:
    case NORN_F8E4M3FNUZ:
    case NORN_F8E5M2:
    case NORN_F8E5M2FNUZ:
        return 19;
    case NORN_U4:
    case NORN_I4:
        return 21;
    case NORN_F4E2M1:
        return 23;
    case NORN_F8E8M0:
        return 24;
    case NORN_U2:
    case NORN_I2:
        return 25;
    default:
        return 1;
    }
}

static norn_status too_new(norn_dtype t, int since, int opset) {
    return norni_fail(NORN_UNSUPPORTED, "elements of type %s are new in opset %d (wanted opset %d)", norni_dtype_name(t),
                      since, opset);
}

norn_status norni_types_check(const norn_node *node, int opset) {
    for (int i = 0; i < node->n_in + node->n_out; i++) {
        const norn_value *v = i < node->n_in ? node->in[i] : node->out[i - node->n_in];
        if (v && norni_type_since(v->type.dtype) > opset)
            return too_new(v->type.dtype, norni_type_since(v->type.dtype), opset);
    }
    for (size_t r = 0; r < sizeof rows / sizeof *rows && !*node->op->domain; r++) {
        if (rows[r].since <= opset || strcmp(rows[r].op, node->op->name))
            continue;
        for (int i = 0; i < node->n_in; i++) {
            const norni_param *p = norni_op_input(node->op, i);
            int at = p ? (int)(p - node->op->inputs) : i;
            if (node->in[i] && at < 32 && rows[r].inputs >> at & 1 && rows[r].types & NORNI_T(node->in[i]->type.dtype))
                return too_new(node->in[i]->type.dtype, rows[r].since, opset);
        }
    }
    return NORN_OK;
}
