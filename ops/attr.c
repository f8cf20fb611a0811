/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/attr.h"
#include "base/hash.h"
#include "ops/op.h"
#include <math.h>
#include <string.h>

#define FIELD(T, a, attrs)       (*(T *)((char *)(attrs) + (a)->offset))
#define FIELD_CONST(T, a, attrs) (*(T const *)((const char *)(attrs) + (a)->offset))

static const char *kind_name(norni_attr_kind k) {
    static const char *const names[] = {"an integer", "a number", "a string", "a tensor",        "integers",
                                        "numbers",    "strings",  "a word",   "an element type", "a graph"};
    return names[k];
}

const norni_attr *norni_attr_find(const norn_op *op, const char *name) {
    for (const norni_attr *a = op->attrs; a && a->name; a++)
        if (!strcmp(a->name, name))
            return a;
    return NULL;
}

static void set_default(const norni_attr *a, void *attrs) {
    bool absent = a->flags & (NORNI_ATTR_OPTIONAL | NORNI_ATTR_OLD);
    switch (a->kind) {
    case NORNI_ATTR_INT:
        FIELD(int64_t, a, attrs) = absent ? NORNI_NO_INT : a->def_int;
        break;
    case NORNI_ATTR_FLOAT:
        FIELD(float, a, attrs) = absent ? NORNI_NO_FLOAT : a->def_float;
        break;
    case NORNI_ATTR_ENUM:
        FIELD(int, a, attrs) = (int)a->def_int;
        break;
    case NORNI_ATTR_DTYPE:
        FIELD(norn_dtype, a, attrs) = (norn_dtype)a->def_int;
        break;
    case NORNI_ATTR_STRING:
        FIELD(const char *, a, attrs) = absent || !a->words ? NULL : a->words[0];
        break;
    case NORNI_ATTR_TENSOR:
        FIELD(norn_tensor *, a, attrs) = NULL;
        break;
    case NORNI_ATTR_GRAPH:
        FIELD(norni_subgraph *, a, attrs) = NULL;
        break;
    case NORNI_ATTR_INTS:
        FIELD(norni_ints, a, attrs) = (norni_ints){-1, NULL};
        break;
    case NORNI_ATTR_FLOATS:
        FIELD(norni_floats, a, attrs) = (norni_floats){-1, NULL};
        break;
    case NORNI_ATTR_STRINGS:
        FIELD(norni_strings, a, attrs) = (norni_strings){-1, NULL};
        break;
    }
}

void norni_attrs_default(const norn_op *op, void *attrs) {
    for (const norni_attr *a = op->attrs; a && a->name; a++)
        set_default(a, attrs);
}

void norni_attr_reset(const norni_attr *a, void *attrs) {
    if (a->kind == NORNI_ATTR_TENSOR)
        norn_tensor_free(FIELD(norn_tensor *, a, attrs));
    if (a->kind == NORNI_ATTR_GRAPH)
        norni_subgraph_free(FIELD(norni_subgraph *, a, attrs));
    set_default(a, attrs);
}

static norn_status bad(const norn_op *op, const char *name, const char *got, const char *wanted) {
    return norni_fail(NORN_ARG, "%s: attribute '%s': got %s (wanted %s)", op->name, name, got, wanted);
}

static norn_status in_range(const norn_op *op, const norni_attr *a, int64_t v) {
    if (a->lo < a->hi && (v < a->lo || v > a->hi)) {
        if (a->hi == INT64_MAX)
            return norni_fail(NORN_ARG, "%s: attribute '%s': got %lld (wanted at least %lld)", op->name,
                              a->name, (long long)v, (long long)a->lo);
        return norni_fail(NORN_ARG, "%s: attribute '%s': got %lld (wanted %lld to %lld)", op->name, a->name,
                          (long long)v, (long long)a->lo, (long long)a->hi);
    }
    return NORN_OK;
}

static norn_status set_word(const norn_op *op, const norni_attr *a, void *attrs, const char *s) {
    for (int i = 0; a->words[i]; i++)
        if (!strcmp(a->words[i], s)) {
            FIELD(int, a, attrs) = i;
            return NORN_OK;
        }
    norni_str want = {0};
    for (int i = 0; a->words[i]; i++)
        norni_str_addf(&want, "%s%s", i ? ", " : "", a->words[i]);
    norn_status st = norni_fail(NORN_ARG, "%s: attribute '%s': got '%s' (wanted one of %s)", op->name,
                                a->name, s, want.s ? want.s : "");
    norni_str_free(&want);
    return st;
}

static norn_status set_list(const norni_attr *a, void *attrs, norni_arena *arena, const norni_attr_value *v) {
    if (a->kind == NORNI_ATTR_INTS) {
        int64_t *p = norni_arena_dup(arena, v->ints.v, (size_t)v->ints.n * sizeof *p);
        FIELD(norni_ints, a, attrs) = (norni_ints){v->ints.n, p};
        return p ? NORN_OK : norni_nomem();
    }
    if (a->kind == NORNI_ATTR_FLOATS) {
        float *p = norni_arena_dup(arena, v->floats.v, (size_t)v->floats.n * sizeof *p);
        FIELD(norni_floats, a, attrs) = (norni_floats){v->floats.n, p};
        return p ? NORN_OK : norni_nomem();
    }
    const char **p = norni_arena_array(arena, (size_t)v->strings.n, sizeof *p);
    for (int i = 0; p && i < v->strings.n; i++)
        if (!(p[i] = norni_arena_strdup(arena, v->strings.v[i])))
            return norni_nomem();
    FIELD(norni_strings, a, attrs) = (norni_strings){v->strings.n, p};
    return p ? NORN_OK : norni_nomem();
}

norn_status norni_attrs_set(const norn_op *op, void *attrs, norni_arena *arena, const char *name,
                            const norni_attr_value *v) {
    const norni_attr *a = norni_attr_find(op, name);
    if (!a)
        return norni_fail(NORN_ARG, "%s: got attribute '%s' (it has no such attribute)", op->name, name);
    norni_attr_kind k = v->kind;
    /* An empty list in text or in a file has no kind of its own. */
    norni_attr_value empty;
    if (k == NORNI_ATTR_INTS && v->ints.n == 0 &&
        (a->kind == NORNI_ATTR_FLOATS || a->kind == NORNI_ATTR_STRINGS)) {
        empty = (norni_attr_value){.kind = a->kind};
        v = &empty;
        k = a->kind;
    }
    switch (a->kind) {
    case NORNI_ATTR_INT:
        if (k != NORNI_ATTR_INT)
            return bad(op, name, kind_name(k), kind_name(a->kind));
        NORNI_TRY(in_range(op, a, v->i));
        FIELD(int64_t, a, attrs) = v->i;
        return NORN_OK;
    case NORNI_ATTR_FLOAT:
        if (k != NORNI_ATTR_FLOAT && k != NORNI_ATTR_INT)
            return bad(op, name, kind_name(k), kind_name(a->kind));
        FIELD(float, a, attrs) = k == NORNI_ATTR_INT ? (float)v->i : v->f;
        return NORN_OK;
    case NORNI_ATTR_DTYPE: {
        norn_dtype t = k == NORNI_ATTR_INT && norni_dtype_valid((int)v->i) && v->i < 1000 ? (norn_dtype)v->i
                       : k == NORNI_ATTR_STRING ? norni_dtype_parse(v->s, strlen(v->s))
                                                : NORN_UNDEFINED;
        bool none = k == NORNI_ATTR_INT && v->i == 0 && a->def_int == 0; /* says what the default says */
        if (t == NORN_UNDEFINED && (!none || a->flags & NORNI_ATTR_REQUIRED))
            return norni_fail(NORN_ARG, "%s: attribute '%s': got %lld (wanted the number of an element type)",
                              op->name, name, k == NORNI_ATTR_INT ? (long long)v->i : -1LL);
        FIELD(norn_dtype, a, attrs) = t;
        return NORN_OK;
    }
    case NORNI_ATTR_ENUM:
        return k == NORNI_ATTR_STRING ? set_word(op, a, attrs, v->s)
                                      : bad(op, name, kind_name(k), "a string");
    case NORNI_ATTR_STRING: {
        if (k != NORNI_ATTR_STRING)
            return bad(op, name, kind_name(k), kind_name(a->kind));
        char *s = norni_arena_strdup(arena, v->s);
        FIELD(const char *, a, attrs) = s;
        return s ? NORN_OK : norni_nomem();
    }
    case NORNI_ATTR_TENSOR: {
        if (k != NORNI_ATTR_TENSOR)
            return bad(op, name, kind_name(k), kind_name(a->kind));
        norn_tensor *t = norni_tensor_ref(v->t);
        norn_tensor_free(FIELD(norn_tensor *, a, attrs));
        FIELD(norn_tensor *, a, attrs) = t;
        return t ? NORN_OK : norni_nomem();
    }
    case NORNI_ATTR_GRAPH:
        if (k != NORNI_ATTR_GRAPH)
            return bad(op, name, kind_name(k), kind_name(a->kind));
        norni_subgraph_free(FIELD(norni_subgraph *, a, attrs));
        FIELD(norni_subgraph *, a, attrs) = norni_subgraph_ref(v->g);
        return NORN_OK;
    default:
        break;
    }
    if (k != a->kind)
        return bad(op, name, kind_name(k), kind_name(a->kind));
    for (int i = 0; a->kind == NORNI_ATTR_INTS && i < v->ints.n; i++)
        NORNI_TRY(in_range(op, a, v->ints.v[i]));
    return set_list(a, attrs, arena, v);
}

norn_status norni_attrs_complete(const norn_op *op, uint64_t seen) {
    int i = 0;
    for (const norni_attr *a = op->attrs; a && a->name; a++, i++)
        if (a->flags & NORNI_ATTR_REQUIRED && !(seen >> i & 1))
            return norni_fail(NORN_ARG, "%s: attribute '%s' is missing (it has no default)", op->name,
                              a->name);
    return NORN_OK;
}

bool norni_attr_get(const norni_attr *a, const void *attrs, norni_attr_value *v) {
    *v = (norni_attr_value){.kind = a->kind};
    bool optional = a->flags & (NORNI_ATTR_OPTIONAL | NORNI_ATTR_OLD),
         required = a->flags & NORNI_ATTR_REQUIRED;
    switch (a->kind) {
    case NORNI_ATTR_INT:
        v->i = FIELD_CONST(int64_t, a, attrs);
        return optional ? v->i != NORNI_NO_INT : required || v->i != a->def_int;
    case NORNI_ATTR_FLOAT:
        v->f = FIELD_CONST(float, a, attrs);
        return optional ? !isnan(v->f) : required || v->f != a->def_float;
    case NORNI_ATTR_ENUM: {
        int i = FIELD_CONST(int, a, attrs);
        v->kind = NORNI_ATTR_STRING;
        v->s = a->words[i];
        return required || i != (int)a->def_int;
    }
    case NORNI_ATTR_DTYPE:
        v->i = (int64_t)FIELD_CONST(norn_dtype, a, attrs);
        v->kind = NORNI_ATTR_INT;
        return required || v->i != a->def_int;
    case NORNI_ATTR_STRING:
        v->s = FIELD_CONST(const char *, a, attrs);
        return v->s && (optional || required || !a->words || strcmp(v->s, a->words[0]));
    case NORNI_ATTR_TENSOR:
        v->t = FIELD_CONST(norn_tensor *, a, attrs);
        return v->t;
    case NORNI_ATTR_GRAPH:
        v->g = FIELD_CONST(norni_subgraph *, a, attrs);
        return v->g;
    case NORNI_ATTR_INTS:
        v->ints = FIELD_CONST(norni_ints, a, attrs);
        return v->ints.n >= 0;
    case NORNI_ATTR_FLOATS:
        v->floats = FIELD_CONST(norni_floats, a, attrs);
        return v->floats.n >= 0;
    case NORNI_ATTR_STRINGS:
        v->strings = FIELD_CONST(norni_strings, a, attrs);
        return v->strings.n >= 0;
    }
    return false;
}

norn_status norni_attrs_copy(const norn_op *op, void *to, const void *from, norni_arena *arena) {
    if (op->attrs_bytes)
        memcpy(to, from, op->attrs_bytes);
    for (const norni_attr *a = op->attrs; a && a->name; a++) {
        norni_attr_value v;
        if (a->kind == NORNI_ATTR_TENSOR)
            FIELD(norn_tensor *, a, to) = NULL; /* counted: set below */
        if (a->kind == NORNI_ATTR_GRAPH)
            norni_subgraph_ref(FIELD(norni_subgraph *, a, to));
        bool has = norni_attr_get(a, from, &v);
        if (has && a->kind == NORNI_ATTR_STRING) {
            const char *s = norni_arena_strdup(arena, v.s);
            FIELD(const char *, a, to) = s;
            if (!s)
                return norni_nomem();
        } else if (has && a->kind == NORNI_ATTR_TENSOR) {
            norn_tensor *t = norni_tensor_ref(v.t);
            FIELD(norn_tensor *, a, to) = t;
            if (!t)
                return norni_nomem();
        } else if (has && (a->kind == NORNI_ATTR_INTS || a->kind == NORNI_ATTR_FLOATS ||
                           a->kind == NORNI_ATTR_STRINGS))
            NORNI_TRY(set_list(a, to, arena, &v));
    }
    return NORN_OK;
}

void norni_attrs_release(const norn_op *op, void *attrs) {
    for (const norni_attr *a = op->attrs; attrs && a && a->name; a++)
        if (a->kind == NORNI_ATTR_TENSOR) {
            norn_tensor_free(FIELD(norn_tensor *, a, attrs));
            FIELD(norn_tensor *, a, attrs) = NULL;
        } else if (a->kind == NORNI_ATTR_GRAPH) {
            norni_subgraph_free(FIELD(norni_subgraph *, a, attrs));
            FIELD(norni_subgraph *, a, attrs) = NULL;
        }
}

static bool lists_equal(int n, int m, size_t size, const void *a, const void *b) {
    return n == m && (n <= 0 || !memcmp(a, b, (size_t)n * size));
}

bool norni_attrs_equal(const norn_op *op, const void *x, const void *y) {
    for (const norni_attr *a = op->attrs; a && a->name; a++) {
        norni_attr_value v, w;
        bool has = norni_attr_get(a, x, &v);
        if (has != norni_attr_get(a, y, &w))
            return false;
        if (!has)
            continue;
        switch (v.kind) {
        case NORNI_ATTR_FLOAT:
            if (v.f != w.f)
                return false;
            break;
        case NORNI_ATTR_STRING:
            if (strcmp(v.s, w.s))
                return false;
            break;
        case NORNI_ATTR_TENSOR:
            if (!norni_tensor_equal(v.t, w.t))
                return false;
            break;
        case NORNI_ATTR_GRAPH:
            if (v.g != w.g)
                return false;
            break;
        case NORNI_ATTR_INTS:
            if (!lists_equal(v.ints.n, w.ints.n, sizeof *v.ints.v, v.ints.v, w.ints.v))
                return false;
            break;
        case NORNI_ATTR_FLOATS:
            if (!lists_equal(v.floats.n, w.floats.n, sizeof *v.floats.v, v.floats.v, w.floats.v))
                return false;
            break;
        case NORNI_ATTR_STRINGS:
            if (v.strings.n != w.strings.n)
                return false;
            for (int i = 0; i < v.strings.n; i++)
                if (strcmp(v.strings.v[i], w.strings.v[i]))
                    return false;
            break;
        default:
            if (v.i != w.i)
                return false;
        }
    }
    return true;
}

uint64_t norni_attrs_hash(const norn_op *op, const void *attrs, uint64_t h) {
    for (const norni_attr *a = op->attrs; a && a->name; a++) {
        norni_attr_value v;
        if (!norni_attr_get(a, attrs, &v))
            continue;
        h = norni_hash_str(h, a->name);
        switch (v.kind) {
        case NORNI_ATTR_FLOAT:
            h = norni_hash_bytes(h, &v.f, sizeof v.f);
            break;
        case NORNI_ATTR_STRING:
            h = norni_hash_str(h, v.s);
            break;
        case NORNI_ATTR_TENSOR:
            h = norni_hash_bytes(h, norni_tensor_data(v.t), norni_tensor_bytes(v.t));
            break;
        case NORNI_ATTR_GRAPH:
            h = norni_hash_u64(h, (uint64_t)(uintptr_t)v.g);
            break;
        case NORNI_ATTR_INTS:
            h = norni_hash_bytes(h, v.ints.v, (size_t)v.ints.n * sizeof *v.ints.v);
            break;
        case NORNI_ATTR_FLOATS:
            h = norni_hash_bytes(h, v.floats.v, (size_t)v.floats.n * sizeof *v.floats.v);
            break;
        case NORNI_ATTR_STRINGS:
            for (int i = 0; i < v.strings.n; i++)
                h = norni_hash_str(h, v.strings.v[i]);
            break;
        default:
            h = norni_hash_u64(h, (uint64_t)v.i);
        }
    }
    return h;
}

static void print_quoted(norni_str *out, const char *s) {
    norni_str_add(out, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            norni_str_add(out, "\\");
        norni_str_addn(out, s, 1);
    }
    norni_str_add(out, "\"");
}

static void print_number(norni_str *out, float f) {
    size_t start = out->n;
    norni_str_add_float(out, f);
    if (out->s && !strpbrk(out->s + start, ".einf"))
        norni_str_add(out, ".0"); /* marks a real number in text */
}

static void print_value(norni_str *out, const norni_attr_value *v) {
    int n = v->kind == NORNI_ATTR_INTS     ? v->ints.n
            : v->kind == NORNI_ATTR_FLOATS ? v->floats.n
                                           : v->strings.n;
    switch (v->kind) {
    case NORNI_ATTR_FLOAT:
        print_number(out, v->f);
        return;
    case NORNI_ATTR_STRING:
        print_quoted(out, v->s);
        return;
    case NORNI_ATTR_TENSOR: {
        char *text = NULL;
        if (norn_tensor_print(v->t, -1, &text) == NORN_OK)
            norni_str_add(out, text);
        norn_text_free(text);
        return;
    }
    case NORNI_ATTR_GRAPH:
        norni_str_addf(out, "{%d nodes}", norni_subgraph_nodes(v->g));
        return;
    case NORNI_ATTR_INTS:
    case NORNI_ATTR_FLOATS:
    case NORNI_ATTR_STRINGS:
        norni_str_add(out, "[");
        for (int i = 0; i < n; i++) {
            if (i)
                norni_str_add(out, ",");
            if (v->kind == NORNI_ATTR_INTS)
                norni_str_addf(out, "%lld", (long long)v->ints.v[i]);
            else if (v->kind == NORNI_ATTR_FLOATS)
                print_number(out, v->floats.v[i]);
            else
                print_quoted(out, v->strings.v[i]);
        }
        norni_str_add(out, "]");
        return;
    default:
        norni_str_addf(out, "%lld", (long long)v->i);
    }
}

void norni_attrs_print(norni_str *out, const norn_op *op, const void *attrs) {
    const char *separator = "<";
    for (const norni_attr *a = op->attrs; a && a->name; a++) {
        norni_attr_value v;
        if (!norni_attr_get(a, attrs, &v))
            continue;
        norni_str_addf(out, "%s%s=", separator, a->name);
        print_value(out, &v);
        separator = ", ";
    }
    if (separator[0] == ',')
        norni_str_add(out, ">");
}
