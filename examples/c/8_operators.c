/* An operator from an OpenCL C kernel, with another kernel for its gradient; and a sub-graph with a gradient of its own. */
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>

#define OK(call)                                                                                             \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        exit(1);                                                                                             \
    }

/* y[r] = sum of |x[r][c]|**3: a work-item a row. */
static const char *const cubes = "kernel void Cubes(global const T *x, global T *y, long R, long C) {\n"
                                 "    long r = get_global_id(0);\n"
                                 "    y[r] = 0;\n"
                                 "    for (long c = 0; c < C; c++)\n"
                                 "        y[r] += pown(fabs(x[r * C + c]), 3);\n"
                                 "}\n";
static const char *const back =
    "kernel void CubesGrad(global const T *x, global const T *dy, global T *dx, long R, long C) {\n"
    "    long c = get_global_id(0), r = get_global_id(1);\n"
    "    dx[r * C + c] = 3 * x[r * C + c] * fabs(x[r * C + c]) * dy[r];\n"
    "}\n";

int main(void) {
    const norn_operator backward = {"my.CubesGrad", "x: T[R,C], dy: T[R]", .outputs = "dx: T[R,C]",
                                    .source = back, .range = "C, R"};
    const norn_operator forward = {"my.Cubes",           "x: T[R,C]",
                                   .outputs = "y: T[R]", .source = cubes,
                                   .n_gradients = 1,     .gradients = (const char *[]){"CubesGrad(x, dy)"}};
    OK(norn_operator_define(&backward));
    OK(norn_operator_define(&forward));

    /* A sub-graph: a square root whose gradient ends at 10, where that of the root has no end. */
    norn_graph *root, *ends, *g;
    OK(norn_graph_parse("root (float[N] v) => (float[N] y) { y = Sqrt(v) }", &root));
    OK(norn_graph_new("ends", &ends));
    norn_value *in[] = {norn_graph_input(ends, "y", "float[N]"), norn_graph_input(ends, "dy", "float[N]")};
    norn_value *dv = norn_graph_formula(ends, "dy*min(1/(2*y), 10)", 2, (const char *[]){"y", "dy"}, in);
    OK(norn_graph_output(ends, "d_v", dv));
    OK(norn_operator_define(&(norn_operator){.name = "my.Root", .graph = root, .gradient = ends}));

    norn_session *s;
    norn_executable *e;
    norn_tensor *x;
    OK(norn_formula_parse("x: f32[2,3]; sum(Root(Cubes(x)))", NORN_F32, &g, NULL));
    norn_value *v = norn_graph_value(g, "x"), *dx;
    OK(norn_grad(g, norn_graph_output_at(g, 0), NULL, 1, &v, &dx));
    OK(norn_graph_output(g, "dx", dx));
    OK(norn_session_open(NULL, &s));
    OK(norn_executable_new(s, g, NULL, NULL, &e));
    OK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){2, 3}, (float[]){1, -2, 3, 0, 0, 0}, &x));
    norn_fetch out[] = {{"y", NULL}, {"dx", NULL}};
    OK(norn_executable_run(e, 1, &(norn_feed){"x", x}, 2, out));
    printf("value %.4f, gradient", norn_tensor_get(out[0].tensor, 0));
    for (int i = 0; i < 6; i++)
        printf(" %.4f", norn_tensor_get(out[1].tensor, i));
    printf("\n");
    return 0;
}
