/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the operators that norn has, as JSON, for registry.py to compare with ONNX. */
#include "export/onnx/types_since.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_text(const char *s) {
    putchar('"');
    for (; s && *s; s++) {
        if (*s == '"' || *s == '\\')
            putchar('\\');
        putchar(*s);
    }
    putchar('"');
}

static void put_types(norni_types set) {
    const char *comma = "";
    putchar('[');
    for (int t = 1; t < 32; t++)
        if (set >> t & 1 && norni_dtype_valid(t)) {
            printf("%s\"%s\"", comma, norni_dtype_name((norn_dtype)t));
            comma = ", ";
        }
    putchar(']');
}

static void put_params(const char *key, const norni_param *p) {
    printf(", \"%s\": [", key);
    for (int i = 0; p && p[i].name; i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        put_text(p[i].name);
        printf(", \"optional\": %s, \"variadic\": %s, \"stash\": %s, \"since\": %d, \"types\": ",
               p[i].flags & NORNI_OPT ? "true" : "false", p[i].flags & NORNI_VARIADIC ? "true" : "false",
               p[i].flags & NORNI_STASH ? "true" : "false", NORNI_SINCE_OF(p[i].flags));
        put_types(p[i].types);
        putchar('}');
    }
    putchar(']');
}

static void put_default(const norni_attr *a) {
    switch (a->kind) {
    case NORNI_ATTR_INT:
    case NORNI_ATTR_DTYPE:
        printf("%lld", (long long)a->def_int);
        return;
    case NORNI_ATTR_FLOAT:
        if (isfinite(a->def_float))
            printf("%.9g", (double)a->def_float);
        else
            printf("null");
        return;
    case NORNI_ATTR_ENUM:
        put_text(a->words[a->def_int]);
        return;
    case NORNI_ATTR_STRING:
        if (a->words) {
            put_text(a->words[0]);
            return;
        }
        break;
    default:
        break;
    }
    printf("null");
}

static void put_attrs(const norni_attr *a) {
    static const char *const kinds[] = {"INT",    "FLOAT",   "STRING", "TENSOR", "INTS",
                                        "FLOATS", "STRINGS", "STRING", "INT",    "GRAPH"};
    printf(", \"attributes\": [");
    for (int i = 0; a && a[i].name; i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        put_text(a[i].name);
        printf(", \"kind\": \"%s\", \"required\": %s, \"optional\": %s, \"old\": %s, \"since\": %d, "
               "\"default\": ",
               kinds[a[i].kind], a[i].flags & NORNI_ATTR_REQUIRED ? "true" : "false",
               a[i].flags & NORNI_ATTR_OPTIONAL ? "true" : "false",
               a[i].flags & NORNI_ATTR_OLD ? "true" : "false", a[i].since);
        put_default(&a[i]);
        putchar('}');
    }
    putchar(']');
}

static void put_op(const norn_op *op) {
    printf("{\"domain\": \"%s\", \"name\": \"%s\", \"versions\": [", op->domain, op->name);
    for (const int *v = op->versions; *v; v++)
        printf("%s%d", v == op->versions ? "" : ", ", *v);
    printf("]");
    put_params("inputs", op->inputs);
    put_params("outputs", op->outputs);
    put_attrs(op->attrs);
    printf(", \"control\": %s", op->control ? "true" : "false");
    printf(", \"raise\": %s, \"lower\": %s, \"moved\": [", op->raise ? "true" : "false",
           op->lower ? "true" : "false");
    for (const norni_moved *m = op->moved; m && m->attr; m++)
        printf("%s{\"attr\": \"%s\", \"input\": %d, \"since\": %d}", m == op->moved ? "" : ", ", m->attr,
               m->input, m->since);
    printf("]}");
}

int main(void) {
    size_t n;
    const norni_types_row *rows = norni_types_rows(&n);
    printf("{\"operators\": [\n");
    for (size_t i = 0; i < norni_op_count(); i++) {
        printf("%s", i ? ",\n" : "");
        put_op(norni_op_at(i));
    }
    printf("\n], \"types_since\": [\n");
    for (size_t i = 0; i < n; i++) {
        printf("%s{\"op\": \"%s\", \"since\": %d, \"inputs\": %u, \"types\": ", i ? ",\n" : "", rows[i].op,
               rows[i].since, rows[i].inputs);
        put_types(rows[i].types);
        printf("}");
    }
    printf("\n], \"type_since\": {");
    for (int t = 1; t <= NORN_I2; t++)
        printf("%s\"%s\": %d", t > 1 ? ", " : "", norni_dtype_name((norn_dtype)t),
               norni_type_since((norn_dtype)t));
    printf("}}\n");
    return 0;
}
