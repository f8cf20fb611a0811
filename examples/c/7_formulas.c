/* Formulas: the gradient of x**2 as text and as a number, and operators of one's own from formulas. */
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>

#define OK(call)                                                                                             \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        exit(1);                                                                                             \
    }

int main(void) {
    norn_graph *f, *df, *g;
    char *text;
    OK(norn_formula_parse("x**2", NORN_F64, &f, NULL));
    OK(norn_gradient(f, 0, NULL, 1, &df));
    OK(norn_formula_print(df, NORN_PRINT_TEXT, NULL, &text));
    printf("d(x**2)/dx = %s", text);
    norn_text_free(text);

    /* Its value on a device. */
    norn_session *s;
    norn_executable *e;
    norn_tensor *x;
    const double four = 4;
    OK(norn_session_open(NULL, &s));
    OK(norn_executable_new(s, df, NULL, NULL, &e));
    OK(norn_tensor_new(NULL, NORN_F64, 0, NULL, &four, &x));
    norn_fetch d = {"d_x", NULL};
    OK(norn_executable_run(e, 1, &(norn_feed){"x", x}, 1, &d));
    printf("at 4: %g\n", norn_tensor_get(d.tensor, 0));

    /* A function of one's own, and one whose gradient is not that of its values: a step that learns as a sigmoid does. */
    OK(norn_operator_define(
        &(norn_operator){.name = "my.Swish", .inputs = "x, a", .formula = "x*sigmoid(a*x)"}));
    OK(norn_operator_define(
        &(norn_operator){.name = "my.Step",
                         .inputs = "x",
                         .formula = "where(x > 0, 1, 0)",
                         .n_gradients = 1,
                         .gradients = (const char *[]){"dy*sigmoid(x)*(1 - sigmoid(x))"}}));
    OK(norn_formula_parse("Swish(x, 2) + Step(x)", NORN_F64, &g, NULL));
    norn_graph_free(df);
    OK(norn_gradient(g, 0, NULL, 1, &df));
    OK(norn_formula_print(df, NORN_PRINT_TEXT, NULL, &text));
    printf("its gradient: %s", text);

    norn_text_free(text);
    norn_tensor_free(d.tensor);
    norn_tensor_free(x);
    norn_executable_free(e);
    norn_session_close(s);
    norn_graph_free(g);
    norn_graph_free(df);
    norn_graph_free(f);
    return 0;
}
