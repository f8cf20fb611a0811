/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that ONNX Runtime's optimiser writes into ONNX's own domain, where ONNX does not have them, or not in the file's
 * opset: SimplifiedLayerNormalization, which is RMSNormalization, and LayerNormalization before opset 17. They become ONNX's.
 * Source: ONNX Runtime's documentation of contrib operators. */
#include "export/onnx/import.h"
#include <string.h>

enum { LAYER_NORM_OPSET = 17 };

typedef struct {
    int64_t axis, stash_type;
    double epsilon;
} settings;

static norn_status read_settings(norni_scope *sc, const norni_pb_node *n, settings *s) {
    *s = (settings){-1, 1, 1e-5};
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        const char *name = a ? norni_pb_text(a->name) : "";
        if (!strcmp(name, "axis"))
            s->axis = a->i;
        else if (!strcmp(name, "stash_type"))
            s->stash_type = a->i;
        else if (!strcmp(name, "epsilon"))
            s->epsilon = (double)a->f;
        else if (a)
            return norni_fail(NORN_ARG, "attribute '%s' (wanted axis, epsilon or stash_type)", name);
    }
    return NORN_OK;
}

/* 1 / sqrt(mean(x^2) + epsilon), over the axes from `axis` on. */
static norn_value *inverse_root(norn_graph *g, norn_value *x, const settings *s) {
    int64_t axes[NORN_MAX_RANK];
    int first, n = 0;
    norn_status status = norni_axis(s->axis, x->type.rank, &first);
    if (status != NORN_OK)
        return norni_graph_failed(g, status);
    for (int i = first; i < x->type.rank; i++)
        axes[n++] = i;
    norn_value *real = norni_cast(g, x, (norn_dtype)s->stash_type);
    norn_value *mean =
        NORNI_OP2(g, NORNI_OP2(g, real, real, "Mul"), norni_i64_const(g, n, axes), "ReduceMean<keepdims=1>");
    norn_value *sum = NORNI_OP2(g, mean, norni_scalar_const(g, (norn_dtype)s->stash_type, s->epsilon), "Add");
    return NORNI_OP1(g, NORNI_OP1(g, sum, "Sqrt"), "Reciprocal");
}

static bool is_ours(const norni_scope *sc, const norni_pb_node *n) {
    const char *type = norni_pb_text(n->op_type);
    return !*norni_pb_domain(n->domain) &&
           (!strcmp(type, "SimplifiedLayerNormalization") ||
            (!strcmp(type, "LayerNormalization") && norni_scope_opset(sc, "") < LAYER_NORM_OPSET));
}

bool norni_writes_out(const norni_scope *sc, const norni_pb_node *n) {
    return is_ours(sc, n) || (!strcmp(norni_pb_domain(n->domain), "ai.onnx.preview") &&
                              !strcmp(norni_pb_text(n->op_type), "FlexAttention"));
}

norn_status norni_import_ort(norni_scope *sc, const norni_pb_node *n, norn_value **out, bool *done) {
    norn_graph *g = sc->imp->g;
    bool simplified = !strcmp(norni_pb_text(n->op_type), "SimplifiedLayerNormalization");
    norn_value *in[3] = {0};
    settings s;
    *done = is_ours(sc, n);
    if (!*done)
        return NORN_OK;
    NORNI_TRY(read_settings(sc, n, &s));
    size_t most = simplified ? 2 : 3;
    for (size_t i = 0; i < n->n_input && i < most; i++)
        in[i] = norni_scope_value(sc, n->input[i]);
    if (n->n_input < 2 || n->n_input > most || !in[0] || !in[1] || in[0] == NORNI_NONE || in[1] == NORNI_NONE)
        return norni_fail(NORN_ARG, "%zu inputs (wanted 2 to %zu)", n->n_input, most);
    if (in[0]->type.rank < 0 || norni_dtype_class(in[0]->type.dtype) != NORNI_CLASS_FLOAT ||
        (s.stash_type != NORN_F32 && s.stash_type != NORN_F64))
        return norni_fail(NORN_UNSUPPORTED, "an input of unknown rank, or of another type than floats");
    if (simplified) {
        out[0] = norni_opf(g, 2, in, "RMSNormalization<axis=%lld, epsilon=%.9g, stash_type=%lld>",
                           (long long)s.axis, s.epsilon, (long long)s.stash_type);
        if (n->n_output > 1 && *n->output[1])
            out[1] = inverse_root(g, in[0], &s);
    } else {
        norn_node *made = norni_opf_node(g,
                                         n->n_output > 2   ? 7
                                         : n->n_output > 1 ? 3
                                                           : 1,
                                         in[2] && in[2] != NORNI_NONE ? 3 : 2, in,
                                         "LayerNormalization<axis=%lld, epsilon=%.9g, stash_type=%lld>",
                                         (long long)s.axis, s.epsilon, (long long)s.stash_type);
        for (size_t k = 0; made && k < 3; k++)
            out[k] = made->out[k];
    }
    return norn_graph_status(g);
}
