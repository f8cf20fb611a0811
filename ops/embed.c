/* SPDX-License-Identifier: Apache-2.0 */
/* The first layer of BERT, as ONNX Runtime's optimiser writes it:
 *
 *     EmbedLayerNormalization    layer_norm(word[ids] + position[position_ids] + segment[segment_ids])
 *     QEmbedLayerNormalization   the same with tables in bytes, each with a scale and a zero point
 *
 * position_ids are 0, 1, 2 .. where they are not given. mask_index: how many elements of each row of the mask are 1; 0
 * without a mask. Source: ONNX Runtime's documentation of contrib operators, and its numbers. */
#include "ops/qlinear.h"

typedef struct {
    float epsilon;
    int64_t mask_index_type;
} attrs_t;
enum { IDS, SEGMENTS, WORD, POSITION, SEGMENT, GAMMA, BETA, MASK, POSITION_IDS };
enum { SCALES = 8, ZEROS = 13 };

static norn_value *rows(norn_graph *g, norn_value *table, norn_value *ids) {
    return NORNI_OP2(g, table, ids, "Gather<axis=0>");
}

/* tables: word, position, segment (may be NULL), gamma, beta. */
static norn_status expand_tables(norn_graph *g, const norn_node *node, norn_value *const *tables,
                                 bool quantised, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *ids = node->in[IDS], *segments = norni_optional(node, SEGMENTS),
               *mask = norni_optional(node, MASK),
               *places = quantised ? NULL : norni_optional(node, POSITION_IDS);
    if (ids->type.rank != 2)
        return norni_fail(ids->type.rank < 0 ? NORN_UNSUPPORTED : NORN_SHAPE,
                          "input_ids have rank %d (wanted 2)", ids->type.rank);
    if (!segments != !tables[2])
        return norni_fail(NORN_ARG,
                          "segment_ids and segment_embedding: got one of them (wanted both or none)");
    if (!places)
        places = norni_counted(g, norni_size_value(g, ids, 1));
    norn_value *sum = NORNI_OP2(g, rows(g, tables[0], ids), rows(g, tables[1], places), "Add");
    if (segments)
        sum = NORNI_OP2(g, sum, rows(g, tables[2], segments), "Add");
    out[0] = NORNI_OP3(g, sum, tables[3], tables[4], "LayerNormalization<axis=-1, epsilon=%.9g>",
                       (double)a->epsilon);
    norn_value *one = norni_i64_const(g, 1, (int64_t[]){1});
    if (mask) {
        norn_value *seen =
            norni_cast(g, NORNI_OP2(g, mask, norni_scalar_const(g, NORN_I32, 1), "Equal"), NORN_I32);
        out[1] = NORNI_OP2(g, seen, one, "ReduceSum<keepdims=0>");
    } else
        out[1] = norni_zeros(g, NORN_I32, norni_size_value(g, ids, 0));
    if (!quantised && node->n_out > 2 && node->out[2])
        out[2] = sum;
    return norn_graph_status(g);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *tables[] = {node->in[WORD], node->in[POSITION], norni_optional(node, SEGMENT),
                            node->in[GAMMA], node->in[BETA]};
    return expand_tables(g, node, tables, false, out);
}

static norn_status expand_quantised(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *tables[5] = {NULL};
    for (int i = 0; i < 5; i++) {
        norn_value *q = norni_optional(node, WORD + i);
        if (!q)
            continue;
        if (!norni_optional(node, SCALES + i) || !norni_optional(node, ZEROS + i))
            return norni_fail(NORN_ARG, "'%s' has no scale, or no zero point",
                              norni_op_input(node->op, WORD + i)->name);
        tables[i] = norni_dequantise(g, q, node->in[SCALES + i], node->in[ZEROS + i]);
    }
    return expand_tables(g, node, tables, true, out);
}

static const norni_attr table[] = {NORNI_A_FLOAT(attrs_t, epsilon, 1e-12f),
                                   NORNI_A_INT(attrs_t, mask_index_type, 1, .lo = 0, .hi = 1), NORNI_A_END},
                        quantised_table[] = {NORNI_A_FLOAT(attrs_t, epsilon, 1e-12f), NORNI_A_END};
#define TABLES (F32S | NORNI_T(NORN_F16))
const norn_op norni_op_EmbedLayerNormalization = {
    .domain = MS,
    .name = "EmbedLayerNormalization",
    .doc = "sum of word, position and segment embeddings, normalised",
    .versions = (const int[]){1, 0},
    ATTRS(attrs_t, table),
    .infer = norni_infer_by_expansion,
    .expand = expand,
    .inputs = PARAMS({"input_ids", N, I32S, 0}, {"segment_ids", O, I32S, 0},
                     {"word_embedding", 0, TABLES, 'T'}, {"position_embedding", 0, TABLES, 'T'},
                     {"segment_embedding", NORNI_OPT, TABLES, 'T'}, {"gamma", 0, TABLES, 'T'},
                     {"beta", 0, TABLES, 'T'}, {"mask", O, I32S, 0}, {"position_ids", O, I32S, 0}),
    .outputs = PARAMS({"output", 0, TABLES, 'T'}, {"mask_index", O, I32S, 0},
                      {"embedding_sum", NORNI_OPT, TABLES, 'T'}),
    .untested_attrs = "mask_index_type",
    CASES("com.microsoft.EmbedLayerNormalization(int32[2,3]{0,4,2,1,1,3}, int32[2,3]{0,0,1,0,1,1}, "
          "float[5,17], "
          "float[3,17], float[2,17], float[17], float[17], int32[2,3]{1,1,0,1,0,0}) => 3",
          "com.microsoft.EmbedLayerNormalization<epsilon=0.1>(int32[1,4]{0,4,2,1}, _, float[5,8], "
          "float[6,8], _, "
          "float[8], float[8], _, int32[1,4]{5,4,1,1}) => 2")};
const norn_op norni_op_QEmbedLayerNormalization = {
    .domain = MS,
    .name = "QEmbedLayerNormalization",
    .doc = "sum of quantised word, position and segment embeddings, normalised",
    .versions = (const int[]){1, 0},
    ATTRS(attrs_t, quantised_table),
    .grad = norni_no_gradient,
    .infer = norni_infer_by_expansion,
    .expand = expand_quantised,
    .inputs = PARAMS(
        {"input_ids", N, I32S, 0}, {"segment_ids", O, I32S, 0}, {"word_embedding_quant", N, BYTES, 'Q'},
        {"position_embedding_quant", N, BYTES, 'Q'}, {"segment_embedding", O, BYTES, 'Q'},
        {"gamma_quant", N, BYTES, 'Q'}, {"beta_quant", N, BYTES, 'Q'}, {"mask", O, I32S, 0},
        {"word_embedding_scale", N, F32S, 0}, {"position_embedding_scale", N, F32S, 0},
        {"segment_embedding_scale", O, F32S, 0}, {"gamma_scale", N, F32S, 0}, {"beta_scale", N, F32S, 0},
        {"word_embedding_zero_point", N, BYTES, 'Q'}, {"position_embedding_zero_point", N, BYTES, 'Q'},
        {"segment_embedding_zero_point", O, BYTES, 'Q'}, {"gamma_zero_point", N, BYTES, 'Q'},
        {"beta_zero_point", N, BYTES, 'Q'}),
    .outputs = PARAMS({"layernorm_out", 0, F32S, 0}, {"mask_index_out", 0, I32S, 0}),
    CASES("com.microsoft.QEmbedLayerNormalization(int32[2,3]{0,4,2,1,1,3}, int32[2,3]{0,0,1,0,1,1}, "
          "uint8[5,17], "
          "uint8[3,17], uint8[2,17], uint8[17], uint8[17], int32[2,3]{1,1,0,1,0,0}, float[]{0.1}, "
          "float[]{0.2}, "
          "float[]{0.3}, float[]{0.1}, float[]{0.1}, uint8[]{3}, uint8[]{2}, uint8[]{1}, uint8[]{5}, "
          "uint8[]{6}) => 2",
          "com.microsoft.QEmbedLayerNormalization<epsilon=0.1>(int32[1,4]{0,4,2,1}, _, int8[5,8], int8[6,8], "
          "_, "
          "int8[8], int8[8], _, float[]{0.1}, float[]{0.2}, _, float[]{0.1}, float[]{0.1}, int8[]{3}, "
          "int8[]{-2}, _, "
          "int8[]{0}, int8[]{0}) => 2")};
