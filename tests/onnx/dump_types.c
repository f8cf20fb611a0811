/* SPDX-License-Identifier: Apache-2.0 */
/* The types of a model's named values, as norn infers them: a line "NAME<tab>TYPE" each. Without what the file declares: values
 * are inferred anew in a copy of the graph. */
#include <norn.h>
#include <stdio.h>

#include "graph/graph.h"
#include "ops/op.h"
#include <string.h>

int main(int argc, char **argv) {
    norn_model *m;
    if (argc != 2)
        return 2;
    for (size_t i = 0; !strcmp(argv[1], "--operators") && i < norni_op_count(); i++)
        printf("%s:%s\n", norni_op_at(i)->domain, norni_op_at(i)->name);
    if (!strcmp(argv[1], "--operators"))
        return 0;
    if (norn_model_load(argv[1], NULL, &m) != NORN_OK) {
        fprintf(stderr, "%s\n", norn_error());
        return 1;
    }
    norni_rebuild r = {.from = norn_model_graph(m)};
    if (norni_rebuild_run(&r) != NORN_OK) {
        fprintf(stderr, "%s\n", norn_error());
        return 1;
    }
    for (size_t i = 0; i < r.to->values.n; i++) {
        norn_value *v = r.to->values.v[i];
        char *text;
        if (!v->name || norn_value_type_text(v, &text) != NORN_OK)
            continue;
        printf("%s\t%s\n", v->name, text);
        norn_text_free(text);
    }
    norn_graph_free(r.to);
    norn_model_free(m);
    return 0;
}
