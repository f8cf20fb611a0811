/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer entry: any bytes are a model or an error; what imports exports, and imports again with as many inputs,
 * outputs and nodes; what is simplified imports too.
 *
 *     CC=clang cmake -B build-fuzz -DNORN_FUZZ=ON -DNORN_SANITIZE=address,undefined && ninja -C build-fuzz fuzz_onnx
 *     build-fuzz/tests/fuzz/fuzz_onnx -max_total_time=300 CORPUS tests/data/onnx */
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
        char *refused = NULL,
             *changed = NULL; /* what becomes other operators is written as far as it is read */
        must(norn_model_save_preview(m, NULL, &refused, &changed) == NORN_OK && !refused,
             "what was exported is refused");
        must(norn_graph_node_count(g) <= norn_graph_node_count(h) || changed, "nodes are gone");
        norn_text_free(changed);
        norn_model_free(back);
        norn_text_free(copy);
    } else /* a node may give a name to what is an input too: Identity, say, of a function */
        must(s == NORN_UNSUPPORTED || s == NORN_ARG, "what was imported does not export");
    for (int opset = 7; opset <= 28; opset += 7)
        if (norn_model_export(m, &(norn_save_options){.opset = opset}, &copy, &n) == NORN_OK)
            norn_text_free(copy);
    char *lacks =
        NULL; /* a ZipMap that nobody reads any more is held to more than one that was kept for its reader */
    must(norn_graph_unsupported(g, &lacks) == NORN_OK, "operators cannot be listed");
    bool maps = lacks && strstr(lacks, "ZipMap");
    norn_text_free(lacks);
    norn_graph *simple;
    if (norn_graph_node_count(g) < 64 && norn_graph_optimize(g, &simple) == NORN_OK) {
        norn_model_set_graph(m, simple);
        if (norn_model_export(m, NULL, &copy, &n) == NORN_OK) {
            bool back_again = norn_model_import(copy, n, "simple", NULL, &back) == NORN_OK;
            must(back_again || maps, "what was simplified does not import");
            if (back_again)
                norn_model_free(back);
            norn_text_free(copy);
        }
    }
    norn_model_free(m);
    return 0;
}
