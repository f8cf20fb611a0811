/* SPDX-License-Identifier: Apache-2.0 */
/* ZipMap: z = x, a column for each class. ONNX makes a sequence of maps of it, one for each row, from the class to what
 * stands in its column. norn has tensors only: the importer takes a ZipMap when no other node reads it, and says so; the file keeps
 * its declaration. Source: ONNX ai.onnx.ml ZipMap-1. */
#include "ops/ml.h"

typedef struct {
    norni_ints classlabels_int64s;
    norni_strings classlabels_strings;
} attrs;
static const norni_attr table[] = {NORNI_A_INTS(attrs, classlabels_int64s),
                                   NORNI_A(attrs, classlabels_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    int ints = a->classlabels_int64s.n, strings = a->classlabels_strings.n;
    norni_dim rows, classes;
    if ((ints > 0) == (strings > 0))
        return norni_fail(NORN_ARG, "classlabels_int64s and classlabels_strings: got %s (wanted one of them)",
                          ints > 0 ? "both" : "none");
    int labels = ints > 0 ? ints : strings;
    c->out[0] = *x;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_ml_rows(x, &rows, &classes));
    if (classes >= 0 && classes != labels)
        return norni_fail(NORN_SHAPE, "X has %lld columns (wanted %d, one for each class)",
                          (long long)classes, labels);
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    out[0] = NORNI_OP1(g, node->in[0], "Identity");
    return norn_graph_status(g);
}

const norn_op norni_op_ZipMap = {
    .domain = "ai.onnx.ml",
    .name = "ZipMap",
    .versions = (const int[]){1, 0},
    .doc = "scores by class: the tensor itself, in the place of a sequence of maps",
    .inputs = (const norni_param[]){{"X", 0, NORNI_T(NORN_F32), 'T'}, {0}},
    .outputs = (const norni_param[]){{"Z", 0, NORNI_T(NORN_F32), 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .cases = (const char *const[]){"ai.onnx.ml.ZipMap<classlabels_int64s=[3,7,9]>(float[5,3])",
                                   "ai.onnx.ml.ZipMap<classlabels_strings=[\"a\",\"b\"]>(float[0,2])",
                                   "ai.onnx.ml.ZipMap<classlabels_int64s=[1]>(float[1])", NULL},
};
