/* SPDX-License-Identifier: Apache-2.0 */
/* Programs for operators that need a whole row or matrix for each element: running sums and products, determinants, cofactors. */
#include "ops/op.h"
#include "symbolic/code.h"
#include <string.h>

enum { MAX_MATRIX = 32 }; /* of determinants: a work-item keeps the matrix */

static bool is(const norni_term *t, const char *op) {
    return t->kind == NORNI_OTHER && t->node->op != &norni_op_unknown && !strcmp(t->node->op->name, op);
}

static bool is_running(const norni_term *t) {
    return is(t, "CumSum") || is(t, "CumProd");
}

bool norni_coder_is_whole(const norni_term *t) {
    return is_running(t) || is(t, "Det") || is(t, "Cofactors");
}

static bool flag(const norni_term *t, const char *name) {
    norni_attr_value v;
    return norni_attr_get(norni_attr_find(t->node->op, name), t->node->attrs, &v) && v.i;
}

/* acc: the sum or product of the elements up to (from) the index on the axis, with or without that one. */
static void running(norni_coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at,
                    const char *acc) {
    const char *in[NORN_MAX_RANK];
    bool sum = is(t, "CumSum"), exclusive = flag(t, "exclusive"), reverse = flag(t, "reverse"),
         over[NORN_MAX_RANK] = {0};
    int64_t axis;
    int n, rank = t->type.rank;
    if (!norni_value_ints(t->node->in[1], &axis, 1, &n) || rank < 1) {
        norni_coder_refuse(k, "an axis that is not known");
        return;
    }
    axis += axis < 0 ? rank : 0;
    memcpy(in, at, (size_t)rank * sizeof *in);
    over[axis] = true;
    norni_coder_indent(out, depth);
    norni_str_addf(out, "%s %s = %d;\n", k->type, acc, !sum);
    int inner = norni_coder_open(k, out, depth, &t->a[0]->type, over, in);
    const char *e = norni_coder_element(k, t->a[0], rank, in);
    norni_coder_indent(out, inner);
    norni_str_addf(out, "if (%s %s%s %s)\n", in[axis], reverse ? ">" : "<", exclusive ? "" : "=", at[axis]);
    norni_coder_indent(out, inner + 1);
    norni_str_addf(out, "%s %s= %s;\n", acc, sum ? "+" : "*", e ? e : "");
    norni_coder_close(out, inner, depth);
}

/* acc: the determinant of the last two axes, without row and column where they are given. */
static void determinant(norni_coder *k, norni_str *out, int depth, const norni_term *x, const char *const *at,
                        const char *row, const char *column, const char *acc) {
    int rank = x->type.rank;
    int64_t n = x->type.dims[rank - 1] - (row != NULL);
    const char *in[NORN_MAX_RANK], *index[2];
    if (n > MAX_MATRIX) {
        norni_coder_refuse(k, "the determinant of a matrix above 32 x 32");
        return;
    }
    norni_coder_indent(out, depth);
    if (n < 1) {
        norni_str_addf(out, "%s %s = 1;\n", k->type, acc);
        return;
    }
    norni_str_addf(out, "%s %s_m[%lld];\n", k->type, acc, (long long)(n * n));
    norni_type loops = {.rank = 2, .dims = {n, n}};
    int inner = norni_coder_open(k, out, depth, &loops, (bool[]){true, true}, index);
    for (int i = 0; i < rank - 2; i++)
        in[i] = at[i];
    for (int i = 0; i < 2; i++) {
        const char *skip = i ? column : row;
        norni_str s = {0};
        norni_str_addf(&s, skip ? "(%s + (%s >= %s))" : "%s", index[i], index[i], skip ? skip : "");
        if (!(in[rank - 2 + i] = norni_coder_keep(k, &s)))
            return;
    }
    const char *e = norni_coder_element(k, x, rank, in);
    norni_coder_indent(out, inner);
    norni_str_addf(out, "%s_m[%s * %lld + %s] = %s;\n", acc, index[0], (long long)n, index[1], e ? e : "");
    norni_coder_close(out, inner, depth);
    k->helpers |= 1u << NORNI_HELPER_DET;
    norni_coder_indent(out, depth);
    norni_str_addf(out, "%s %s = %s_det(%s_m, %lld);\n", k->type, acc, k->name, acc, (long long)n);
    if (row) {
        norni_coder_indent(out, depth);
        norni_str_addf(out, "%s = (%s + %s) %% 2 ? -%s : %s;\n", acc, row, column, acc, acc);
    }
}

void norni_coder_whole(norni_coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at,
                       const char *acc) {
    int rank = t->type.rank;
    if (is_running(t))
        running(k, out, depth, t, at, acc);
    else if (is(t, "Det"))
        determinant(k, out, depth, t->a[0], at, NULL, NULL, acc);
    else
        determinant(k, out, depth, t->a[0], at, at[rank - 2], at[rank - 1], acc);
}

/* Elimination with the largest pivots. */
void norni_coder_det(norni_coder *k, norni_str *out) {
    static const char text[] = "static T F_det(T *m, int n) {\n"
                               "    T d = 1;\n"
                               "    for (int p = 0; p < n; p++) {\n"
                               "        int best = p;\n"
                               "        for (int i = p + 1; i < n; i++)\n"
                               "            if (A(m[i * n + p]) > A(m[best * n + p]))\n"
                               "                best = i;\n"
                               "        d *= best == p ? m[best * n + p] : -m[best * n + p];\n"
                               "        for (int j = 0; j < n; j++) {\n"
                               "            T v = m[p * n + j];\n"
                               "            m[p * n + j] = m[best * n + j];\n"
                               "            m[best * n + j] = v;\n"
                               "        }\n"
                               "        for (int i = p + 1; i < n && m[p * n + p] != 0; i++) {\n"
                               "            T f = m[i * n + p] / m[p * n + p];\n"
                               "            for (int j = p; j < n; j++)\n"
                               "                m[i * n + j] -= f * m[p * n + j];\n"
                               "        }\n"
                               "    }\n"
                               "    return d;\n"
                               "}\n\n";
    for (const char *p = text; *p; p++)
        if (*p == 'T')
            norni_str_add(out, k->type);
        else if (*p == 'F')
            norni_str_add(out, k->name);
        else if (*p == 'A')
            norni_str_addf(out, "fabs%s", k->cl ? "" : k->suffix);
        else
            norni_str_addn(out, p, 1);
}
