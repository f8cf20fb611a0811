/* SPDX-License-Identifier: Apache-2.0 */
/* Level 4: an expression and its symbolic gradient: f(x) = x^2 sin x, f' and f''. Usage: 4_gradient [X] [DEVICE] */
#include <math.h>
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        return 1;                                                                                            \
    }

int main(int argc, char **argv) {
    float at = argc > 1 ? strtof(argv[1], NULL) : 2;
    norn_graph *g, *simple;
    norn_value *d1, *d2;
    CHECK(norn_graph_new("f", &g));
    norn_value *x = norn_graph_input(g, "x", "float[]");
    norn_value *y = norn_mul(g, norn_mul(g, x, x), norn_sin(g, x));

    /* A gradient is made of ordinary values of the same graph, so it has a gradient too. */
    CHECK(norn_grad(g, y, NULL, 1, &x, &d1));
    CHECK(norn_grad(g, d1, NULL, 1, &x, &d2));
    CHECK(norn_graph_output(g, "f", y));
    CHECK(norn_graph_output(g, "df", d1));
    CHECK(norn_graph_output(g, "ddf", d2));

    char *text;
    CHECK(norn_graph_simplify(g, &simple));
    CHECK(norn_graph_print(simple, -1, &text));
    printf("%s\n", text);
    norn_text_free(text);

    norn_session *s;
    norn_executable *e;
    norn_tensor *tx;
    norn_fetch out[] = {{"f", NULL}, {"df", NULL}, {"ddf", NULL}};
    CHECK(norn_session_open(argc > 2 ? argv[2] : NULL, &s));
    CHECK(norn_executable_new(s, g, NULL, NULL, &e));
    CHECK(norn_tensor_new(NULL, NORN_F32, 0, NULL, &at, &tx));
    CHECK(norn_executable_run(e, 1, (norn_feed[]){{"x", tx}}, 3, out));
    for (int i = 0; i < 3; i++) {
        printf("%-4s(%g) = %g\n", out[i].name, (double)at, norn_tensor_get(out[i].tensor, 0));
        norn_tensor_free(out[i].tensor);
    }
    double a = (double)at;
    printf("by hand: f' = %g, f'' = %g\n", 2 * a * sin(a) + a * a * cos(a),
           (2 - a * a) * sin(a) + 4 * a * cos(a));
    norn_tensor_free(tx);
    norn_executable_free(e);
    norn_session_close(s);
    norn_graph_free(simple);
    norn_graph_free(g);
    return 0;
}
