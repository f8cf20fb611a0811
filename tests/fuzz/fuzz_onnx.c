/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer entry: any bytes are a model or an error; what imports exports, and imports again with as many inputs,
 * outputs and nodes; what is simplified imports too.
 *
 *     CC=clang cmake -B build-fuzz -DNORN_FUZZ=ON -DNORN_SANITIZE=address,undefined && ninja -C build-fuzz fuzz_onnx
 *     build-fuzz/tests/fuzz/fuzz_onnx -max_total_time=300 CORPUS tests/data/onnx */
#include "ops/op.h"
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, norn_error());
        abort();
    }
}

/* The line "Gelu: 3 nodes become other operators ..." is among those of norn_model_save_preview. */
static bool is_changed(const norn_node *n, const char *lines) {
    size_t name = strlen(n->op->name);
    for (const char *at = lines; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (!strncmp(at, n->op->name, name) && at[name] == ':')
            return true;
    }
    return false;
}

/* Nodes that must be written. Where some become other operators: those that an output needs, as far as none of these is
 * between, which may need less. */
static size_t count_due(const norn_graph *g, const char *changed) {
    size_t n = g->nodes.n, due = 0;
    bool *needed = calloc(g->values.n + 1, sizeof *needed);
    if (!needed || !changed) {
        free(needed);
        return n;
    }
    for (size_t i = 0; i < g->outputs.n; i++)
        needed[g->outputs.v[i].value->id] = true;
    for (size_t i = n; i-- > 0;) {
        const norn_node *node = g->nodes.v[i];
        bool wanted = false;
        for (int k = 0; k < node->n_out; k++)
            wanted |= node->out[k] && needed[node->out[k]->id];
        if (!wanted || is_changed(node, changed))
            continue;
        due++;
        for (int k = 0; k < node->n_in; k++)
            if (node->in[k])
                needed[node->in[k]->id] = true;
    }
    free(needed);
    return due;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    norn_model *m, *back;
    norn_load_options o = {.memory_limit_bytes = 256u << 20};
    if (norn_model_import(data, bytes, "fuzz", &o, &m) != NORN_OK)
        return 0;
    char *copy;
    size_t n;
    norn_graph *g = norn_model_graph(m);
    norn_status s = norn_model_export(m, NULL, &copy, &n);
    if (s == NORN_OK) {
        must(norn_model_import(copy, n, "again", NULL, &back) == NORN_OK,
             "what was exported does not import");
        norn_graph *h = norn_model_graph(back);
        must(norn_graph_input_count(g) == norn_graph_input_count(h), "inputs differ");
        must(norn_graph_output_count(g) == norn_graph_output_count(h), "outputs differ");
        char *refused, *changed; /* what becomes other operators is written as far as it is read */
        must(norn_model_save_preview(m, NULL, &refused, &changed) == NORN_OK && !refused,
             "what was exported is refused");
        must(count_due(g, changed) <= norn_graph_node_count(h), "nodes are gone");
        norn_text_free(changed);
        norn_model_free(back);
        norn_text_free(copy);
    } else /* a node may give a name to what is an input too: Identity, say, of a function */
        must(s == NORN_UNSUPPORTED || s == NORN_ARG, "what was imported does not export");
    for (int opset = 7; opset <= 28; opset += 7)
        if (norn_model_export(m, &(norn_save_options){.opset = opset}, &copy, &n) == NORN_OK)
            norn_text_free(copy);
    /* A ZipMap that nobody reads any more is held to more than one that was kept for its reader. */
    char *lacks = NULL;
    must(norn_graph_unsupported(g, &lacks) == NORN_OK, "operators cannot be listed");
    bool maps = lacks && strstr(lacks, "ZipMap");
    norn_text_free(lacks);
    norn_graph *simple;
    if (norn_graph_node_count(g) < 64 && norn_graph_optimize(g, &simple) == NORN_OK) {
        norn_model_set_graph(m, simple);
        if (norn_model_export(m, NULL, &copy, &n) == NORN_OK) {
            bool back_again = norn_model_import(copy, n, "simple", NULL, &back) == NORN_OK;
            must(back_again || (maps && strstr(norn_error(), "ZipMap")),
                 "what was simplified does not import");
            if (back_again)
                norn_model_free(back);
            norn_text_free(copy);
        }
    }
    norn_model_free(m);
    return 0;
}
