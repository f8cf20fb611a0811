/* SPDX-License-Identifier: Apache-2.0 */
/* From a model to what is trained: the inference form, the parameters, the training graph. */
#ifndef NORNI_PREPARE_H
#define NORNI_PREPARE_H
#include "export/model.h"
#include "graph/graph.h"

typedef enum {
    NORNI_ROLE_NONE,
    NORNI_ROLE_WEIGHT,
    NORNI_ROLE_BIAS,
    NORNI_ROLE_SCALE,
    NORNI_ROLE_OPERAND,
    NORNI_ROLE_STATISTICS
} norni_role;

typedef struct {
    const char *name;
    char *type;
    norni_role role;
    int64_t elems;
    bool trained, frozen;
} norni_parameter;

typedef struct {
    NORNI_VEC(norni_parameter) parameters;
    NORNI_VEC(char *) notes;
    const char *input;  /* the model's input that is fed */
    const char *output; /* the output that the loss takes */
} norni_training;
void norni_training_free(norni_training *t);
norn_status norni_training_note(norni_training *t, const char *fmt, ...) NORNI_PRINTF(2, 3);

/* Brings the model's graph into inference form: a loss at the end is removed, BatchNormalization and Dropout work as in
 * inference, and equal initialisers that an exporter merged (Identity of an initialiser) are parameters of their own. */
norn_status norni_inference_form(norn_model *m, norni_training *t);

/* Scores without a final softmax over the classes, which is noted: the cross entropy has one of its own. */
norn_value *norni_logits(norni_training *t, norn_value *scores);

/* A floating-point initialiser. What a Constant node holds is part of the computation, not learned; `nodes`: it counts as well,
 * unless it is a scalar, for files that have no weights but such. */
bool norni_is_weight(const norn_value *v, bool nodes);
/* For each value, by number: a gradient flows back to it from some output. NULL: no memory; freed by norni_free. */
bool *norni_reaching(const norn_graph *g);

/* Finds the parameters, the input and the output of a graph in inference form. */
norn_status norni_find_parameters(const norn_graph *g, const norn_train_options *o, norni_training *t);

/* The graph of one training step for batches of this shape: outputs "loss" (mean) and, with class labels, "correct"
 * (int64). `update`: with the optimizer's update (input "lr") and that of the statistics; else the outputs
 * "grad:NAME" are the gradients of the trained parameters. The names of its inputs: t->input and "norn.labels". */
norn_status norni_training_graph(const norn_graph *g, const norn_train_options *o, norni_training *t,
                                 const norn_tensor *x, bool update, norn_graph **out);
/* The graph that evaluates in inference mode: parameters are state; outputs "loss" (mean) and "correct". */
norn_status norni_evaluation_graph(const norn_graph *g, const norn_train_options *o, norni_training *t,
                                   const norn_tensor *x, norn_graph **out);

#endif
