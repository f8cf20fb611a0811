/* SPDX-License-Identifier: Apache-2.0 */
/* Prints docs/ops.md from the registry: what each operator is and how it runs. tests/docs/CMakeLists.txt writes the
 * page with it ("ninja -C build docs") and compares the page with it (ctest docs_ops). */
#include "ops/op.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    const norn_op *x = *(const norn_op *const *)a, *y = *(const norn_op *const *)b;
    int d = strcmp(x->domain, y->domain);
    return d ? d : strcmp(x->name, y->name);
}

static void put_versions(const norn_op *op) {
    for (const int *v = op->versions; *v; v++)
        printf("%s%d", v == op->versions ? "" : ", ", *v);
}

/* Sets of types that have a name, the largest first. */
static const struct {
    norni_types set;
    const char *name;
} groups[] = {
    {NORNI_ALL, "all"},         {NORNI_ANY, "numbers, bool"},
    {NORNI_NUMBERS, "numbers"}, {NORNI_SMALL, "4 and 8 bits"},
    {NORNI_FLOATS, "floats"},   {NORNI_INTS, "ints"},
    {NORNI_SIGNED, "signed"},   {NORNI_UNSIGNED, "unsigned"},
};

static void put_types(norni_types set) {
    const char *comma = "";
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if ((set & groups[i].set) == groups[i].set) {
            printf("%s%s", comma, groups[i].name);
            comma = ", ";
            set &= ~groups[i].set;
        }
    for (int t = 1; t < 32; t++)
        if (set >> t & 1 && norni_dtype_valid(t)) {
            printf("%s%s", comma, norni_dtype_name((norn_dtype)t));
            comma = ", ";
        }
}

/* The types of the first input, or, where there is none, of the first output. */
static void put_main_types(const norn_op *op) {
    const norni_param *p = op->inputs && op->inputs[0].name ? op->inputs : op->outputs;
    put_types(p[0].types);
}

static const char *gradient(const norn_op *op) {
    if (op->grad == norni_no_gradient)
        return "none";
    if (op->grad)
        return "rule";
    if (op->grad_formulas)
        return "formulas";
    return op->expand ? "of the expansion" : "none";
}

static void put_how(const norn_op *op) {
    if (norni_op_pointwise(op)) {
        printf("generated");
        return;
    }
    if (!op->impls) {
        printf(op->expand ? "expansion" : "host");
        return;
    }
    for (const norni_impl *i = op->impls; i->name; i++) {
        bool named = false; /* one that is tried twice, early where it is fast and late where it only works */
        for (const norni_impl *k = op->impls; k < i && !named; k++)
            named = !strcmp(k->name, i->name);
        if (!named)
            printf("%s%s", i == op->impls ? "" : ", ", i->name);
    }
}

static size_t count(const char *const *list) {
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

static void put_row(const norn_op *op) {
    printf("| %s | ", op->name);
    put_versions(op);
    printf(" | ");
    put_main_types(op);
    printf(" | %s | ", gradient(op));
    put_how(op);
    if (op->cases)
        printf(" | %zu |\n", count(op->cases));
    else
        printf(" | standard |\n");
}

static const char head[] =
    "<!-- Made from the registry by: ninja -C build docs -->\n"
    "# Operators\n\n"
    "Every operator that norn has, as its descriptor says (`ops/list.def`, "
    "[adding-an-op.md](adding-an-op.md)).\n\n"
    "* *versions*: opset versions with a definition that norn reads and writes; the last one is the form "
    "inside norn.\n"
    "* *types*: of the first input, or of the output where there is none. *numbers* are *floats* (float, "
    "double,\n"
    "  float16, bfloat16) and *ints* (8 to 64 bits, signed and unsigned); *4 and 8 bits* are the small "
    "floats and "
    "integers.\n"
    "* *gradient*: by a rule over graph nodes, by formulas, through the operator's expansion, or none by its "
    "nature.\n"
    "* *runs as*: its kernels, best first (`view`: no work at all), *generated* from its formula and fused "
    "with its\n"
    "  neighbours, as its *expansion* into other operators, or on the *host* (shape arithmetic, control "
    "flow).\n"
    "* *cases*: lines that the tests run through every kernel, the expansion and the gradient; *standard*: "
    "those that\n"
    "  every pointwise operator gets (broadcasting, odd sizes, one element, none, every type).\n";

static const char table[] =
    "\n| operator | versions | types | gradient | runs as | cases |\n|---|---|---|---|---|---|\n";

int main(void) {
    size_t n = norni_op_count();
    const norn_op **ops = malloc(n * sizeof *ops);
    if (!ops)
        return 1;
    for (size_t i = 0; i < n; i++)
        ops[i] = norni_op_at(i);
    qsort(ops, n, sizeof *ops, by_name);
    fputs(head, stdout);
    for (size_t i = 0; i < n; i++) {
        if (!i || strcmp(ops[i]->domain, ops[i - 1]->domain)) {
            if (*ops[i]->domain)
                printf("\n## Domain %s\n", ops[i]->domain);
            else
                puts("\n## ONNX");
            fputs(table, stdout);
        }
        put_row(ops[i]);
    }
    free(ops);
    return ferror(stdout) ? 1 : 0;
}
