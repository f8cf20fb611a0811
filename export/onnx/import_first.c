/* SPDX-License-Identifier: Apache-2.0 */
/* Operators as opset 1 had them, where a later form differs in names alone: `consumed_inputs` said which inputs might be
 * overwritten, Cast named its type, Pad's `pads` were `paddings`, Concat had a default, Reshape's shape was an attribute. The node
 * is rewritten into that later form. Source: ONNX's operator changelog. */
#include "export/onnx/import.h"
#include <ctype.h>
#include <string.h>

enum { LATER = 6 }; /* the opset that has them all */

static const char *const as_later[] = {
    "Abs",       "Cast",    "Ceil", "Clip",    "Concat", "Elu", "Exp",   "Floor", "HardSigmoid",
    "LeakyRelu", "Log",     "Max",  "Mean",    "Min",    "Neg", "PRelu", "Pad",   "Reciprocal",
    "Relu",      "Reshape", "Selu", "Sigmoid", "Sqrt",   "Sum", "Tanh"};

static bool is_listed(const char *type) {
    for (size_t i = 0; i < sizeof as_later / sizeof *as_later; i++)
        if (!strcmp(type, as_later[i]))
            return true;
    return false;
}

static norni_pb_attr *int_attr(norni_importer *imp, const char *name, int64_t v) {
    static const norni_pb_attr init = NORNI_ONNX__ATTRIBUTE_PROTO__INIT;
    norni_pb_attr *a = norni_arena_dup(imp->scratch, &init, sizeof init);
    if (a) {
        a->name = (char *)name;
        a->has_type = a->has_i = 1;
        a->type = NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->i = v;
    }
    return a;
}

/* "FLOAT16" and the like. */
static norn_status type_of(const norni_pb_attr *a, int64_t *t) {
    char lower[16] = "";
    for (size_t i = 0; i < a->s.len && i + 1 < sizeof lower; i++)
        lower[i] = (char)tolower(a->s.data[i]);
    for (*t = 1; *t <= NORN_BF16; ++*t)
        if (norni_dtype_valid((int)*t) && !strcmp(lower, norni_dtype_name((norn_dtype)*t)))
            return NORN_OK;
    return norni_fail(NORN_DTYPE, "attribute 'to' is '%s' (wanted a type of elements)", lower);
}

/* The shape becomes an input, under a name that no file has. */
static norn_status shape_input(norni_scope *sc, const norni_pb_attr *a, norni_pb_node *n) {
    norni_importer *imp = sc->imp;
    norn_value *v = norni_i64_const(imp->g, (int)a->n_ints, a->ints);
    char *name = (char *)norni_arena_printf(imp->scratch, "\x1f%s", n->output[0]);
    char **in = norni_arena_array(imp->scratch, 2, sizeof *in);
    norni_name *entry = name ? norni_table_add(&sc->values, name, NULL) : NULL;
    if (!v || !in || !entry)
        return norni_nomem();
    entry->p = v;
    in[0] = n->input[0];
    in[1] = name;
    n->input = in;
    n->n_input = 2;
    return NORN_OK;
}

static norn_status rewrite(norni_scope *sc, const char *type, norni_pb_node *n) {
    norni_importer *imp = sc->imp;
    norni_pb_attr **kept = norni_arena_array(imp->scratch, n->n_attribute + 1, sizeof *kept);
    bool axis = false;
    size_t n_kept = 0;
    if (!kept)
        return norni_nomem();
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        const char *name = a ? norni_pb_text(a->name) : "";
        int64_t to;
        if (!a || !strcmp(name, "consumed_inputs"))
            continue;
        norni_pb_attr *copy = norni_arena_dup(imp->scratch, a, sizeof *a);
        if (!strcmp(type, "Cast") && !strcmp(name, "to")) {
            NORNI_TRY(type_of(a, &to));
            copy = int_attr(imp, "to", to);
        } else if (copy && !strcmp(type, "Pad") && !strcmp(name, "paddings"))
            copy->name = "pads";
        else if (!strcmp(type, "Reshape") && !strcmp(name, "shape") && n->n_input == 1 && n->n_output == 1) {
            NORNI_TRY(shape_input(sc, a, n));
            continue;
        }
        axis |= !strcmp(name, "axis");
        if (!(kept[n_kept++] = copy))
            return norni_nomem();
    }
    if (!strcmp(type, "Concat") && !axis && !(kept[n_kept++] = int_attr(imp, "axis", 1)))
        return norni_nomem();
    n->attribute = kept;
    n->n_attribute = n_kept;
    return NORN_OK;
}

norn_status norni_import_first(norni_scope *sc, const norni_pb_node **n, const norn_op **op, int *version) {
    const char *type = norni_pb_text((*n)->op_type);
    int64_t opset = norni_scope_opset(sc, norni_pb_domain((*n)->domain));
    const norn_op *found = norni_op_find("", type);
    norni_scope later = *sc;
    norni_pb_opset import = NORNI_ONNX__OPERATOR_SET_ID_PROTO__INIT, *imports = &import;
    if (*op || *norni_pb_domain((*n)->domain) || !found || opset >= LATER ||
        norni_op_version(found, (int)opset) || !is_listed(type))
        return NORN_OK;
    norni_pb_node *copy = norni_arena_dup(sc->imp->scratch, *n, sizeof **n);
    if (!copy)
        return norni_nomem();
    NORNI_TRY(rewrite(sc, type, copy));
    import.version = LATER;
    later.opsets = &imports;
    later.n_opsets = 1;
    later.values = sc->values;
    *op = norni_scope_op(&later, copy, version);
    if (*op)
        *n = copy;
    return NORN_OK;
}
