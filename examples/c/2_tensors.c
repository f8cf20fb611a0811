/* SPDX-License-Identifier: Apache-2.0 */
/* Level 2: tensors and views. Usage: 2_tensors [DEVICE] */
#include <norn.h>
#include <stdio.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        return 1;                                                                                            \
    }

static int show(const char *what, const norn_tensor *t) {
    norn_tensor *host;
    char *text;
    CHECK(norn_tensor_copy(t, NULL, &host)); /* packed, in host memory */
    CHECK(norn_tensor_print(host, 12, &text));
    printf("%-10s %s\n", what, text);
    norn_text_free(text);
    norn_tensor_free(host);
    return 0;
}

int main(int argc, char **argv) {
    norn_context *ctx;
    norn_tensor *a, *row, *turned, *flat;
    const float v[6] = {1, 2, 3, 4, 5, 6}, zeros[3] = {0};
    CHECK(norn_context_open(argc > 1 ? argv[1] : NULL, &ctx));
    CHECK(norn_tensor_new(ctx, NORN_F32, 2, (int64_t[]){2, 3}, v, &a)); /* on the device */

    /* Views share the memory of the tensor that they look at. */
    CHECK(norn_tensor_slice(a, 0, 1, 2, &row));
    CHECK(norn_tensor_transpose(a, (int[]){1, 0}, &turned));
    CHECK(norn_tensor_reshape(a, 1, (int64_t[]){6}, &flat));
    if (show("a", a) || show("row 1", row) || show("turned", turned) || show("flat", flat))
        return 1;

    CHECK(norn_tensor_write(row, zeros)); /* writing through a view changes a */
    if (show("a, then", a) || show("turned", turned))
        return 1;

    norn_tensor *kept = turned;
    norn_tensor_free(a); /* views keep the memory alive */
    norn_tensor_free(row);
    norn_tensor_free(flat);
    if (show("still", kept))
        return 1;
    norn_tensor_free(kept);
    norn_context_close(ctx);
    return 0;
}
