/* SPDX-License-Identifier: Apache-2.0 */
/* Level 3: one operator applied at once to tensors; no graph to build. Usage: 3_operators [DEVICE] */
#include <norn.h>
#include <stdio.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        return 1;                                                                                            \
    }

int main(int argc, char **argv) {
    norn_session *s;
    norn_tensor *a, *b, *y, *z;
    float v[4];
    CHECK(norn_session_open(argc > 1 ? argv[1] : NULL, &s));
    CHECK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){2, 2}, (float[]){1, 2, 3, 4}, &a));
    CHECK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){2, 2}, (float[]){0.5f, 0, 0, -1}, &b));

    /* Operators are those of ONNX, attributes are written as text. Results stay on the device. */
    CHECK(norn_session_apply(s, "MatMul", 2, (norn_tensor *[]){a, b}, 1, &y));
    CHECK(norn_session_apply(s, "LeakyRelu<alpha=0.1>", 1, &y, 1, &z));
    CHECK(norn_tensor_read(y, v));
    printf("a b            = %g %g / %g %g\n", (double)v[0], (double)v[1], (double)v[2], (double)v[3]);
    CHECK(norn_tensor_read(z, v));
    printf("leaky relu     = %g %g / %g %g\n", (double)v[0], (double)v[1], (double)v[2], (double)v[3]);
    norn_tensor_free(y);
    norn_tensor_free(z);

    CHECK(norn_session_apply(s, "Softmax<axis=1>", 1, &a, 1, &y));
    CHECK(norn_tensor_read(y, v));
    printf("softmax(a)     = %.4f %.4f / %.4f %.4f\n", (double)v[0], (double)v[1], (double)v[2],
           (double)v[3]);
    norn_tensor_free(y);

    /* What does not fit is said in one line. */
    CHECK(norn_tensor_new(NULL, NORN_F32, 1, (int64_t[]){3}, NULL, &y));
    if (norn_session_apply(s, "Add", 2, (norn_tensor *[]){a, y}, 1, &z) != NORN_OK)
        printf("refused: %s\n", norn_error());
    norn_tensor_free(y);
    norn_tensor_free(a);
    norn_tensor_free(b);
    norn_session_close(s);
    return 0;
}
