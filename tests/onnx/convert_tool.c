/* SPDX-License-Identifier: Apache-2.0 */
/* convert_tool IN.onnx OUT.onnx [OPSET [external]]: imports a model and exports it, for the checks in Python. Warnings go
 * to stdout; exit code as the command line's. */
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s IN.onnx OUT.onnx [OPSET [external]]\n", argv[0]);
        return 2;
    }
    norn_model *m = NULL;
    norn_save_options o = {.opset = argc > 3 ? atoi(argv[3]) : 0, .external_data = argc > 4};
    norn_status s = norn_model_load(argv[1], NULL, &m);
    for (size_t i = 0; s == NORN_OK && i < norn_model_warning_count(m); i++)
        printf("warning: %s\n", norn_model_warning_at(m, i));
    if (s == NORN_OK)
        s = norn_model_save(m, argv[2], &o);
    norn_model_free(m);
    if (s != NORN_OK)
        fprintf(stderr, "%s\n", norn_error());
    return norn_status_exit_code(s);
}
