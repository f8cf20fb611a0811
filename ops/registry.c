/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"
#include "ops/op.h"
#include <pthread.h>
#include <string.h>

#define OP(x) extern const norn_op norni_op_##x;
#include "ops/list.def"
#undef OP

static const norn_op *const all[] = {
#define OP(x) &norni_op_##x,
#include "ops/list.def"
#undef OP
};

static const norni_param any_inputs[] = {{"inputs", NORNI_VARIADIC | NORNI_OPT, ~(norni_types)0, 0}, {0}};
static const norni_param any_outputs[] = {{"outputs", NORNI_VARIADIC | NORNI_OPT, ~(norni_types)0, 0}, {0}};
const norn_op norni_op_unknown = {
    .domain = "?",
    .name = "Unknown",
    .versions = (const int[]){1, 0},
    .doc = "An operator that norn does not have: kept for show and convert, refused by run.",
    .inputs = any_inputs,
    .outputs = any_outputs,
};

size_t norni_op_count(void) {
    return sizeof all / sizeof *all;
}
const norn_op *norni_op_at(size_t i) {
    return all[i];
}

/* ---- What the program defined. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static NORNI_VEC(const norn_op *) defined;

bool norni_op_add(const norn_op *op) {
    pthread_mutex_lock(&lock);
    bool ok = NORNI_PUSH(&defined, op);
    pthread_mutex_unlock(&lock);
    return ok;
}

const norn_op *norni_op_defined(size_t i) {
    pthread_mutex_lock(&lock);
    const norn_op *op = i < defined.n ? defined.v[i] : NULL;
    pthread_mutex_unlock(&lock);
    return op;
}

const norn_op *norni_op_find(const char *domain, const char *name) {
    const norn_op *op;
    if (!strcmp(domain, "ai.onnx"))
        domain = "";
    for (size_t i = 0; i < norni_op_count(); i++)
        if (!strcmp(all[i]->name, name) && !strcmp(all[i]->domain, domain))
            return all[i];
    for (size_t i = 0; *domain && (op = norni_op_defined(i)); i++)
        if (!strcmp(op->name, name) && !strcmp(op->domain, domain))
            return op;
    return NULL;
}

int norni_op_since(const norn_op *op) {
    int last = 0;
    for (const int *v = op->versions; *v; v++)
        last = *v;
    return last;
}

int norni_op_version(const norn_op *op, int opset) {
    int found = 0;
    for (const int *v = op->versions; *v && *v <= opset; v++)
        found = *v;
    return found;
}

static const norni_param *param(const norni_param *list, int i) {
    for (int k = 0; list && list[k].name; k++)
        if (k == i || list[k].flags & NORNI_VARIADIC)
            return &list[k];
    return NULL;
}

const norni_param *norni_op_input(const norn_op *op, int i) {
    return param(op->inputs, i);
}
const norni_param *norni_op_output(const norn_op *op, int i) {
    return param(op->outputs, i);
}

int norni_op_n_outputs(const norn_op *op, bool with_stash) {
    int n = 0;
    while (op->outputs[n].name && (with_stash || !(op->outputs[n].flags & NORNI_STASH)))
        n++;
    return n;
}

bool norni_op_pointwise(const norn_op *op) {
    return op->expr != NULL;
}

bool norni_op_reads_sizes(const norn_op *op) {
    return op == &norni_op_Shape || op == &norni_op_Size;
}
