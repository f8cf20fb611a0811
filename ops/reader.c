/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/reader.h"
#include "ops/op.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void norni_print_elems(norni_str *out, const norn_tensor *t) {
    norni_str_add(out, "{");
    int64_t n = norni_tensor_elems(t);
    for (int64_t i = 0; i < n; i++) {
        if (i)
            norni_str_add(out, ",");
        if (!norni_dtype_is_float(t->dtype))
            norni_str_addf(out, "%lld", (long long)norni_get_int(t->dtype, norni_tensor_data(t), i));
        else if (t->dtype == NORN_F64)
            norni_str_add_double(out, norni_get_double(t->dtype, norni_tensor_data(t), i));
        else
            norni_str_add_float(out, (float)norni_get_double(t->dtype, norni_tensor_data(t), i));
    }
    norni_str_add(out, "}");
}

norn_status norni_read_expected(const norni_reader *r, const char *wanted) {
    return norni_fail(NORN_PARSE, "'%s': column %d: got '%.16s' (wanted %s)", r->text,
                      (int)(r->at - r->text) + 1, r->at, wanted);
}

void norni_read_spaces(norni_reader *r) {
    while (isspace((unsigned char)*r->at) || *r->at == '#') {
        if (*r->at == '#')
            r->at += strcspn(r->at, "\n");
        else
            r->at++;
    }
}

bool norni_read_take(norni_reader *r, char c) {
    norni_read_spaces(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

size_t norni_read_word(norni_reader *r, const char **start) {
    norni_read_spaces(r);
    *start = r->at;
    while (isalnum((unsigned char)*r->at) || *r->at == '_')
        r->at++;
    return (size_t)(r->at - *start);
}

norn_status norni_read_quoted(norni_reader *r, const char **out) {
    if (!norni_read_take(r, '"'))
        return norni_read_expected(r, "'\"'");
    norni_str s = {0};
    norni_str_addn(&s, "", 0);
    while (*r->at && *r->at != '"') {
        if (*r->at == '\\' && r->at[1])
            r->at++;
        norni_str_addn(&s, r->at++, 1);
    }
    char *copy = s.failed ? NULL : norni_arena_strdup(r->arena, s.s);
    norni_str_free(&s);
    if (!copy)
        return norni_nomem();
    *out = copy;
    return norni_read_take(r, '"') ? NORN_OK : norni_read_expected(r, "'\"'");
}

norn_status norni_read_number(norni_reader *r, bool *integer, int64_t *i, double *d) {
    norni_read_spaces(r);
    char *end;
    const char *start = r->at;
    *d = norni_strtod(start, &end);
    if (end == start)
        return norni_read_expected(r, "a number");
    *integer = true;
    for (const char *c = start; c < end; c++)
        *integer &= isdigit((unsigned char)*c) || *c == '-' || *c == '+';
    errno = 0;
    *i = *integer ? strtoll(start, NULL, 10) : norni_double_to_int(*d);
    if (*integer && errno == ERANGE)
        return norni_read_expected(r, "a 64-bit integer");
    r->at = end;
    return NORN_OK;
}

/* How many entries a list has at most: the commas before its end. */
static size_t list_room(const norni_reader *r) {
    size_t n = 1;
    for (const char *c = r->at; *c && *c != ']'; c++)
        n += *c == ',';
    return n;
}

static norn_status list(norni_reader *r, norni_attr_value *v) {
    size_t n = 0, room = list_room(r);
    bool all_int = true;
    int64_t *ints = norni_arena_array(r->arena, room, sizeof *ints);
    float *floats = norni_arena_array(r->arena, room, sizeof *floats);
    const char **strings = norni_arena_array(r->arena, room, sizeof *strings);
    if (!ints || !floats || !strings)
        return norni_nomem();
    norni_read_spaces(r);
    bool text = *r->at == '"';
    while (!norni_read_take(r, ']')) {
        if (n && !norni_read_take(r, ','))
            return norni_read_expected(r, "',' or ']'");
        if (n == room || n == INT32_MAX)
            return norni_read_expected(r, "']'");
        if (text)
            NORNI_TRY(norni_read_quoted(r, &strings[n]));
        else {
            bool integer;
            double d;
            NORNI_TRY(norni_read_number(r, &integer, &ints[n], &d));
            floats[n] = (float)d;
            all_int &= integer;
        }
        n++;
    }
    if (text)
        *v = (norni_attr_value){.kind = NORNI_ATTR_STRINGS, .strings = {(int)n, strings}};
    else if (all_int)
        *v = (norni_attr_value){.kind = NORNI_ATTR_INTS, .ints = {(int)n, ints}};
    else
        *v = (norni_attr_value){.kind = NORNI_ATTR_FLOATS, .floats = {(int)n, floats}};
    return NORN_OK;
}

norn_status norni_read_type(norni_reader *r, norn_graph *g, norni_type *t) {
    const char *name;
    size_t n = norni_read_word(r, &name);
    *t = (norni_type){.dtype = norni_dtype_parse(name, n)};
    if (t->dtype == NORN_UNDEFINED) {
        r->at = name;
        return norni_read_expected(r, "an element type");
    }
    if (!norni_read_take(r, '['))
        return NORN_OK;
    while (!norni_read_take(r, ']')) {
        if (t->rank && !norni_read_take(r, ','))
            return norni_read_expected(r, "',' or ']'");
        if (t->rank == NORN_MAX_RANK)
            return norni_read_expected(r, "at most 8 dimensions");
        norni_read_spaces(r);
        if (isdigit((unsigned char)*r->at)) {
            bool integer;
            double d;
            int64_t i;
            NORNI_TRY(norni_read_number(r, &integer, &i, &d));
            t->dims[t->rank++] = i;
            continue;
        }
        char dim[64];
        n = norni_read_word(r, &name);
        if (!n || n >= sizeof dim || !g)
            return norni_read_expected(r, g ? "a size or its name" : "a size");
        memcpy(dim, name, n);
        dim[n] = 0;
        t->dims[t->rank++] = norni_dim_named(g, dim);
    }
    return NORN_OK;
}

norn_status norni_read_elems(norni_reader *r, const norni_type *t, norn_tensor **out) {
    if (!norni_type_static(t))
        return norni_read_expected(r, "no elements: the type has named sizes");
    if (norni_type_elems(t) > (int64_t)strlen(r->at)) /* each takes a character at least */
        return norni_fail(NORN_PARSE, "'%.60s': %lld elements are wanted, but the text ends before", r->text,
                          (long long)norni_type_elems(t));
    NORNI_TRY(norni_tensor_host(t->dtype, t->rank, t->dims, out));
    int64_t n = norni_tensor_elems(*out);
    for (int64_t i = 0; i < n; i++) {
        bool integer;
        int64_t v;
        double d;
        if (i && !norni_read_take(r, ','))
            return norni_read_expected(r, "','");
        NORNI_TRY(norni_read_number(r, &integer, &v, &d));
        if (integer && !norni_dtype_is_float(t->dtype))
            norni_set_int(t->dtype, norni_tensor_data(*out), i, v);
        else
            norni_set_double(t->dtype, norni_tensor_data(*out), i, d);
    }
    return norni_read_take(r, '}') ? NORN_OK : norni_read_expected(r, "'}'");
}

static norn_status attr_value(norni_reader *r, norni_attr_value *v, norn_tensor **owned) {
    norni_read_spaces(r);
    if (*r->at == '"') {
        v->kind = NORNI_ATTR_STRING;
        return norni_read_quoted(r, &v->s);
    }
    if (norni_read_take(r, '['))
        return list(r, v);
    if (isalpha((unsigned char)*r->at) && strncmp(r->at, "inf", 3) && strncmp(r->at, "nan", 3)) {
        norni_type t;
        NORNI_TRY(norni_read_type(r, NULL, &t));
        if (!norni_read_take(r, '{'))
            return norni_read_expected(r, "'{'");
        NORNI_TRY(norni_read_elems(r, &t, owned));
        *v = (norni_attr_value){.kind = NORNI_ATTR_TENSOR, .t = *owned};
        return NORN_OK;
    }
    bool integer;
    double d;
    int64_t i;
    NORNI_TRY(norni_read_number(r, &integer, &i, &d));
    *v = (norni_attr_value){.kind = integer ? NORNI_ATTR_INT : NORNI_ATTR_FLOAT, .i = i, .f = (float)d};
    return NORN_OK;
}

norn_status norni_read_attributes(norni_reader *r, const norn_op *op, void *attrs) {
    uint64_t seen = 0;
    if (!norni_read_take(r, '<'))
        return norni_attrs_complete(op, 0);
    do {
        char key[64];
        const char *name;
        size_t n = norni_read_word(r, &name);
        if (!n || n >= sizeof key)
            return norni_read_expected(r, "the name of an attribute");
        memcpy(key, name, n);
        key[n] = 0;
        if (!norni_read_take(r, '='))
            return norni_read_expected(r, "'='");
        norni_attr_value v = {0};
        norn_tensor *owned = NULL;
        norn_status s = attr_value(r, &v, &owned);
        if (s == NORN_OK)
            s = norni_attrs_set(op, attrs, r->arena, key, &v);
        norn_tensor_free(owned);
        NORNI_TRY(s);
        seen |= (uint64_t)1 << (norni_attr_find(op, key) - op->attrs);
    } while (norni_read_take(r, ','));
    return norni_read_take(r, '>') ? norni_attrs_complete(op, seen) : norni_read_expected(r, "',' or '>'");
}
