/* SPDX-License-Identifier: Apache-2.0 */
/* Operators as opset 1 had them, where a later form differs in names alone: `consumed_inputs` said which inputs might be
 * overwritten, Cast named its type, Pad's `pads` were `paddings`, Concat had a default, Reshape's shape was an attribute, Split's
 * sizes might be an input, Tile repeated along one axis, p of LpPool was a float. The node is rewritten into that later form. Source:
 * ONNX's operator changelog. */
#include "export/onnx/import.h"
#include "ops/op.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

enum { LATER = 6 }; /* the opset that has them all */

static const char *const as_later[] = {
    "Abs",          "Cast",        "Ceil",      "Clip",       "Concat", "Elu",     "Exp",  "Floor",
    "GlobalLpPool", "HardSigmoid", "LeakyRelu", "Log",        "LpPool", "Max",     "Mean", "Min",
    "Neg",          "PRelu",       "Pad",       "Reciprocal", "Relu",   "Reshape", "Selu", "Sigmoid",
    "Split",        "Sqrt",        "Sum",       "Tanh",       "Tile"};

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

/* Integers become input 1, under a name that no file has. */
static norn_status ints_input(norni_scope *sc, size_t n_ints, const int64_t *ints, norni_pb_node *n) {
    norni_importer *imp = sc->imp;
    norn_value *v = norni_i64_const(imp->g, (int)n_ints, ints);
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

/* The elements of a constant input, of any type, as integers; -1: it is none. */
static int const_ints(const norni_scope *sc, const char *name, int64_t *v) {
    const norn_value *x = norni_scope_value(sc, name);
    if (!x || x->kind != NORNI_CONST || !x->data || norni_tensor_elems(x->data) > NORN_MAX_RANK)
        return -1;
    int n = (int)norni_tensor_elems(x->data);
    for (int i = 0; i < n; i++)
        v[i] = (int64_t)norni_get_double(x->data->dtype, norni_tensor_data(x->data), i);
    return n;
}

/* How often along which axis, as a number for each axis. */
static norn_status tile_repeats(norni_scope *sc, norni_pb_node *n) {
    const norn_value *x = norni_scope_value(sc, n->input[0]);
    int64_t tiles[NORN_MAX_RANK], axis[NORN_MAX_RANK], repeats[NORN_MAX_RANK];
    int rank = x ? x->type.rank : -1, at;
    if (rank < 1 || const_ints(sc, n->input[1], tiles) != 1 || const_ints(sc, n->input[2], axis) != 1)
        return norni_fail(NORN_UNSUPPORTED, "tiles or axis are computed, or the rank is not known");
    NORNI_TRY(norni_axis(axis[0], rank, &at));
    for (int i = 0; i < rank; i++)
        repeats[i] = i == at ? tiles[0] : 1;
    return ints_input(sc, (size_t)rank, repeats, n);
}

static norni_pb_attr *split_sizes(norni_scope *sc, const norni_pb_node *n) {
    int64_t *sizes = norni_arena_array(sc->imp->scratch, NORN_MAX_RANK, sizeof *sizes);
    norni_pb_attr *a = sizes ? int_attr(sc->imp, "split", 0) : NULL;
    int count = a ? const_ints(sc, n->input[1], sizes) : -1;
    if (count < 0)
        return NULL;
    a->type = NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    a->has_i = 0;
    a->ints = sizes;
    a->n_ints = (size_t)count;
    return a;
}

static norn_status rewrite(norni_scope *sc, const char *type, norni_pb_node *n) {
    norni_importer *imp = sc->imp;
    norni_pb_attr **kept = norni_arena_array(imp->scratch, n->n_attribute + 2, sizeof *kept);
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
            NORNI_TRY(ints_input(sc, a->n_ints, a->ints, n));
            continue;
        } else if (strstr(type, "LpPool") && !strcmp(name, "p")) {
            if (!(a->f >= 1 && a->f < 1000 && a->f == floorf(a->f)))
                return norni_fail(NORN_UNSUPPORTED, "attribute 'p' is %g (wanted a whole number from 1 on)",
                                  (double)a->f);
            copy = int_attr(imp, "p", (int64_t)a->f);
        }
        axis |= !strcmp(name, "axis");
        if (!(kept[n_kept++] = copy))
            return norni_nomem();
    }
    if (!strcmp(type, "Tile") && n->n_input == 3)
        NORNI_TRY(tile_repeats(sc, n));
    if (!strcmp(type, "Split") && n->n_input == 2) {
        if (!(kept[n_kept++] = split_sizes(sc, n)))
            return norni_fail(NORN_UNSUPPORTED, "the sizes are computed (wanted a constant)");
        n->n_input = 1;
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
