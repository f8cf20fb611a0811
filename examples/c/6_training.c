/* SPDX-License-Identifier: Apache-2.0 */
/* Level 6: a training loop: a small network learns sin(x) on [-3, 3]. Usage: 6_training [DEVICE] */
#include <math.h>
#include <norn.h>
#include <stdio.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        return 1;                                                                                            \
    }
enum { BATCH = 64, HIDDEN = 32, STEPS = 600 };

static norn_value *parameter(norn_graph *g, const char *name, int64_t rows, int64_t cols, double size) {
    static double at = 0.3;
    norn_tensor *t;
    if (norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){rows, cols}, NULL, &t) != NORN_OK)
        return NULL;
    for (int64_t i = 0; i < rows * cols; i++) { /* a fixed sequence, spread evenly by the golden ratio */
        at = fmod(at + 0.6180339887, 1);
        norn_tensor_set(t, i, size * (2 * at - 1));
    }
    norn_value *p = norn_graph_parameter(g, name, t);
    norn_tensor_free(t);
    return p;
}

int main(int argc, char **argv) {
    norn_graph *g;
    CHECK(norn_graph_new("sine", &g));
    norn_value *x = norn_graph_input(g, "x", "float[64,1]"), *want = norn_graph_input(g, "want", "float[64,1]");
    norn_value *h = norn_tanh(g, norn_add(g, norn_matmul(g, x, parameter(g, "w1", 1, HIDDEN, 3)), parameter(g, "b1", 1, HIDDEN, 4)));
    norn_value *y = norn_add(g, norn_matmul(g, h, parameter(g, "w2", HIDDEN, 1, 0.3)), parameter(g, "b2", 1, 1, 0));
    norn_value *error = norn_sub(g, y, want);
    norn_value *loss = norn_reduce_mean(g, norn_mul(g, error, error), 0, NULL, false);

    /* Gradients and update become part of the graph; the parameters stay on the device. */
    norn_optimizer adam;
    norn_optimizer_init(&adam, NORN_ADAM);
    adam.lr = 0.02;
    CHECK(norn_graph_minimize(g, loss, &adam, false, 0, NULL));
    CHECK(norn_graph_output(g, "loss", loss));

    norn_session *s;
    norn_executable *e;
    norn_tensor *tx, *tw;
    double last = 1;
    CHECK(norn_session_open(argc > 1 ? argv[1] : NULL, &s));
    CHECK(norn_executable_new(s, g, NULL, NULL, &e));
    CHECK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){BATCH, 1}, NULL, &tx));
    CHECK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){BATCH, 1}, NULL, &tw));
    for (int step = 1; step <= STEPS; step++) {
        norn_fetch out = {"loss", NULL};
        for (int i = 0; i < BATCH; i++) {
            double v = 6 * fmod((double)(step * BATCH + i) * 0.6180339887, 1) - 3;
            norn_tensor_set(tx, i, v);
            norn_tensor_set(tw, i, sin(v));
        }
        CHECK(norn_executable_run(e, 2, (norn_feed[]){{"x", tx}, {"want", tw}}, 1, &out));
        last = norn_tensor_get(out.tensor, 0);
        norn_tensor_free(out.tensor);
        if (step % 100 == 0)
            printf("step %d: mean squared error %.6f\n", step, last);
    }
    norn_tensor_free(tx);
    norn_tensor_free(tw);
    norn_executable_free(e);
    norn_session_close(s);
    norn_graph_free(g);
    return last > 0.01; /* it has learned something */
}
