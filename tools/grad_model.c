/* SPDX-License-Identifier: Apache-2.0 */
/* norn grad MODEL.onnx: gradients and training steps as ONNX. */
#include "grad_parts.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* FILE.onnx as FILE-SUFFIX. */
static char *beside(const char *path, const char *suffix) {
    size_t n = strlen(path);
    return text_of("%.*s%s", (int)(n > 5 && !strcmp(path + n - 5, ".onnx") ? n - 5 : n), path, suffix);
}

static int choice(const char *name, const char *given, const char *const *choices, int *out) {
    for (int i = 0; choices[i]; i++)
        if (!strcmp(given, choices[i])) {
            *out = i;
            return 0;
        }
    return usage_error("--%s: got '%s' (wanted %s, or another of 'norn train --help')", name, given,
                       choices[0]);
}

/* The oldest set of operators, from the model's on, in which the gradient can be said. */
static norn_status save(const norn_model *m, int opset, const char *path) {
    static const int tries[] = {17, 21, 23, 26};
    norn_status s = NORN_UNSUPPORTED;
    for (size_t i = 0; i <= sizeof tries / sizeof *tries && s == NORN_UNSUPPORTED; i++) {
        int v = i ? tries[i - 1] : opset;
        if (v >= opset && v >= 13)
            s = norn_model_save(m, path, &(norn_save_options){.opset = v});
    }
    return s;
}

int grad_model(const grad_options *o, int n, char *const *args) {
    norn_train_options train;
    training_options given = o->train;
    norn_model_gradient_options g = {
        .wrt = o->wrt, .batch = o->batch, .freeze = o->train.freeze, .train = o->train.train};
    norn_model *m = NULL, *d = NULL;
    int code = 0;
    if (o->jacobian || o->hessian || o->jvp || o->vjp || o->hvp || o->simplify || o->order || o->check ||
        o->at.n)
        return usage_error("of a model only the gradient is written (wanted --wrt, --loss, --step)");
    if (o->loss)
        code = choice("loss", o->loss, loss_choices, &given.loss);
    if (!code && o->step)
        code = choice("step", o->step, optimizer_choices, &given.optimizer);
    if (!code)
        code = training_set(&given, &train);
    if (code)
        return code;
    g.with_loss = o->loss || o->step;
    g.loss = train.loss;
    g.step = o->step ? &train.optimizer : NULL;
    char *out = n > 1 ? text_copy(args[1]) : beside(args[0], o->step ? "-step.onnx" : "-grad.onnx");
    char *state = out ? beside(out, ".npz") : NULL;
    if (!out || !state)
        code = out_of_memory();
    struct stat from, to;
    if (!code && stat(args[0], &from) == 0 && stat(out, &to) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
        code = usage_error("%s: would be replaced by its gradient (wanted another file)", out);
    if (o->step)
        g.state_path = state;
    char *notes = NULL;
    g.notes = &notes;
    norn_status s = NORN_OK;
    if (!code)
        s = norn_model_load(args[0], NULL, &m);
    int opset = m ? norn_model_opset(m) : 0;
    if (!code && s == NORN_OK)
        s = norn_model_gradient(m, &g, &d);
    if (!code && s == NORN_OK)
        s = save(d, opset, out);
    if (!code && s != NORN_OK)
        code = fail_text(s, "%s: %s", args[0], norn_error());
    for (const char *line = notes; !code && line && *line; line += strcspn(line, "\n") + 1)
        note("%.*s", (int)strcspn(line, "\n"), line);
    norn_text_free(notes);
    if (!code) {
        const norn_graph *graph = norn_model_graph(d);
        if (o->json) {
            cJSON *j = cJSON_CreateObject(), *list = json_array(j, "inputs");
            json_text(j, "file", out);
            json_text(j, "state", o->step ? state : NULL);
            for (size_t i = 0; i < norn_graph_input_count(graph); i++)
                json_append(list, norn_value_name(norn_graph_input_at(graph, i)));
            list = json_array(j, "outputs");
            for (size_t i = 0; i < norn_graph_output_count(graph); i++)
                json_append(list, norn_graph_output_name(graph, i));
            code = json_print(j, 0);
        }
    }
    if (!code && !o->json) {
        const norn_graph *graph = norn_model_graph(d);
        printf("%s: %zu inputs, %zu outputs", out, norn_graph_input_count(graph),
               norn_graph_output_count(graph));
        printf(o->step ? "; %s: what the parameters and moments are at first\n" : "\n", state);
    }
    norn_model_free(d);
    norn_model_free(m);
    free(out);
    free(state);
    return code;
}
