/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer entry: any text is a graph or an error, and so is any text an operator, an instance of one, a device; a graph that
 * parses prints to text that parses to the same text. */
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

static void graph(const char *text) {
    norn_graph *g, *again;
    char *first, *second;
    if (norn_graph_parse(text, &g) != NORN_OK)
        return;
    must(norn_graph_print(g, -1, &first) == NORN_OK, "what was parsed does not print");
    must(norn_graph_parse(first, &again) == NORN_OK, "what was printed does not parse");
    must(norn_graph_print(again, -1, &second) == NORN_OK, "what was parsed again does not print");
    must(!strcmp(first, second), "the second text differs");
    norn_text_free(first);
    norn_text_free(second);
    norn_graph_free(again);
    norn_graph_free(g);
}

static void operator_of(const char *text) {
    norn_graph *g;
    norn_value *out;
    if (norn_graph_new("fuzz", &g) != NORN_OK)
        return;
    norn_value *in[2] = {norn_graph_input(g, "x", "float[N,4,6]"), norn_graph_input(g, "y", "float[6]")};
    (void)norn_graph_apply(g, text, 2, in, 1, &out);
    norn_graph_free(g);
    if (norn_graph_new("fuzz", &g) != NORN_OK)
        return;
    (void)norn_graph_input(g, "x", text);
    norn_graph_free(g);
}

static void instance(const char *text) {
    norn_graph *g;
    if (norni_node_parse(text, &g) == NORN_OK)
        norn_graph_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char *text = malloc(bytes + 1);
    norn_device *d;
    if (!text)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = 0;
    graph(text);
    operator_of(text);
    instance(text);
    if (norn_device_parse(text, &d) == NORN_OK)
        norn_device_free(d);
    free(text);
    return 0;
}
