/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of norn grad. */
#ifndef NORN_TOOLS_GRAD_PARTS_H
#define NORN_TOOLS_GRAD_PARTS_H
#include "formula.h"
#include "options.h"
#include "training_options.h"

typedef struct {
    bool jacobian, hessian, jvp, vjp, hvp, simplify, check, json, quiet;
    int64_t order, seed, batch;
    int dtype, print;
    const char *wrt, *device, *name, *loss, *step;
    text_list at;
    training_options train; /* of --step */
} grad_options;

typedef enum { WHAT_GRADIENT, WHAT_JACOBIAN, WHAT_HESSIAN, WHAT_JVP, WHAT_VJP, WHAT_HVP, WHAT_FORMULA } what;

norn_status derive(const norn_graph *g, what w, size_t n, const char *const *x, int order, norn_graph **out);
/* Compares the derivative d of g with differences, and says how far they are apart. */
int grad_check(const grad_options *o, const norn_graph *g, const norn_graph *d, what w, size_t n,
               const char *const *x, int order, const point *at);

/* norn grad MODEL.onnx [OUT.onnx] */
int grad_model(const grad_options *o, int n, char *const *args);

#endif
