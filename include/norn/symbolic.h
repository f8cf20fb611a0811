/* SPDX-License-Identifier: Apache-2.0 */
/* norn: formulas and derivatives that can be read, compiled and run. Included by norn.h; docs/formula.md is the grammar,
 * docs/symbolic.md a tutorial. */
#ifndef NORN_SYMBOLIC_H
#define NORN_SYMBOLIC_H
#ifndef NORN_H
#include <norn.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A formula as a graph: "x**2", "x: f64[3]; sum(x * x)". Names that are not declared become scalar inputs of type `dtype`
 * (NORN_UNDEFINED: double), in the order in which they stand; the value becomes the output "y" ("value" where y is a
 * variable). Errors: NORN_PARSE, NORN_SHAPE, NORN_DTYPE; the message names the column, which *column gets as well (from 1, 0
 * for none; NULL: not wanted). */
NORN_API norn_status norn_formula_parse(const char *text, norn_dtype dtype, norn_graph **out, int *column);

/* A formula over n values of a graph, as ordinary operators of it: fused into one kernel where it is pointwise, and
 * differentiated like them. Sticky, as the builders of norn.h: NULL after a failure, whose message names the column. */
NORN_API norn_value *norn_graph_formula(norn_graph *g, const char *text, size_t n, const char *const *names,
                                        norn_value *const *values);

/* New graphs with the inputs of g. What is differentiated is the first output of g; x: the n inputs (or parameters) by name,
 * n 0: all floating-point inputs in their order. Results are simplified. Errors: NORN_ARG (no such input), NORN_UNSUPPORTED (an
 * operator without a gradient), NORN_SHAPE (an output that must be a scalar and is none; sizes that must be known and are
 * not).
 *
 * gradient: dy/dx, an output "d_NAME" for each x, in its shape; y is a scalar. order times: of order 2 and above there must be
 * one x, a scalar. */
NORN_API norn_status norn_gradient(const norn_graph *g, size_t n, const char *const *x, int order,
                                   norn_graph **out);
/* An output "d_NAME" for each x, of shape [shape of y..., shape of x...]; for scalars only (y of any shape, each x a scalar)
 * one output "jacobian" of shape [elements of y, n]. */
NORN_API norn_status norn_jacobian(const norn_graph *g, size_t n, const char *const *x, norn_graph **out);
/* Of a scalar y: for scalars x one output "hessian" of shape [n, n]; else "d_A_B" of shape [shape of A..., shape of B...] for
 * each pair of x. */
NORN_API norn_status norn_hessian(const norn_graph *g, size_t n, const char *const *x, norn_graph **out);
/* The derivative along a direction: new inputs "v_NAME" of the type of each x, one output "jvp" in the shape of y. */
NORN_API norn_status norn_jvp(const norn_graph *g, size_t n, const char *const *x, norn_graph **out);
/* The gradient of sum(u * y): a new input "u" in the shape of y, an output "d_NAME" for each x. */
NORN_API norn_status norn_vjp(const norn_graph *g, size_t n, const char *const *x, norn_graph **out);
/* The Hessian times a direction: new inputs "v_NAME", an output "h_NAME" for each x. */
NORN_API norn_status norn_hvp(const norn_graph *g, size_t n, const char *const *x, norn_graph **out);

/* A copy whose outputs are brought into normal form: constants folded exactly, like terms and powers collected, identities
 * applied that hold wherever the formula has a value, common factors taken out where that is shorter. */
NORN_API norn_status norn_simplify(const norn_graph *g, norn_graph **out);

typedef enum norn_print_style {
    NORN_PRINT_TEXT, /* parses again: norn_formula_parse */
    NORN_PRINT_LATEX,
    NORN_PRINT_C,      /* a C99 function that needs nothing but libm */
    NORN_PRINT_OPENCL, /* a kernel; every input and output an array with an element for each work-item */
    NORN_PRINT_PYTHON, /* a function over NumPy arrays */
    NORN_PRINT_GRAPH,  /* norn_graph_print */
    NORN_PRINT_SVG     /* a drawing of the graph */
} norn_print_style;
/* The outputs of a graph as formulas of its inputs, one line each in TEXT and LATEX. name: of the function or kernel (NULL:
 * "f"). Freed by norn_text_free. Errors: NORN_UNSUPPORTED, naming an operator that has no such form. */
NORN_API norn_status norn_formula_print(const norn_graph *g, norn_print_style style, const char *name,
                                        char **out);
/* C99 source of the graph: void NAME(const double *x, ..., double *y, ...), pointers in the order of inputs and outputs,
 * elements in row-major order. Pointwise operators, reductions, products of matrices, changes of shape; sizes must be known.
 * Errors: NORN_UNSUPPORTED, NORN_SHAPE. */
NORN_API norn_status norn_compile_c(const norn_graph *g, const char *name, char **out);

/* ---- Operators of one's own: from a formula, a graph, or an OpenCL C kernel, each with a gradient of one's own if wanted.
 *
 * Once defined, "my.Swish" is an operator like any other of this process: for norn_graph_apply and norn_graph_parse, as a function
 * Swish(x, a) in formulas, and in ONNX files, where it takes the place of a model-local function of this domain and name (so that
 * a function in a file gets a gradient of one's own). Files and gradients that are written hold the operators that its
 * formula or graph consists of: any runtime reads them. */
typedef struct norn_operator {
    const char
        *name; /* "my.Swish"; the domain is neither empty nor norn's, and no formula calls the rest yet */
    /* "x, a", or with types "x: f32[N,C], w: f32[C]": what is without one is of any floating-point type and any shape. An
     * element type T is float or double, the same wherever it stands. Sizes are numbers or names. A graph brings its own: NULL. */
    const char *inputs;
    /* What it computes is one of these; a kernel may have one of the other two beside it, for the host reference and files. */
    const char *formula;     /* over the inputs; the output is "y" */
    const norn_graph *graph; /* its inputs and outputs are the operator's; copied */
    /* OpenCL C 1.2. Arguments: a pointer for each input and output, in their order, then a long for each named size of
     * the inputs, in the order in which they first stand. T is the type it stands for. All inputs have types. */
    const char *source;
    const char *kernel;  /* its name; NULL: that of the operator, without the domain */
    const char *outputs; /* "y: f32[N]"; sizes may be computed: "y: T[N/2, 2*C + 1]" */
    const char *
        range; /* work-items along 1 to 3 dimensions, "N, C"; NULL: one for each element of the first output */
    /* For each input the gradient that flows back into it, a formula over the inputs, the outputs and what flows into those: "dy", of
     * several outputs "d_NAME". NULL entries: none flows. All NULL: what the formula or graph has; a kernel alone has none. */
    size_t n_gradients;
    const char *const *gradients;
    /* The same as a graph, by names: its inputs are any of those values, its outputs "d_NAME" for inputs NAME; copied. */
    const norn_graph *gradient;
} norn_operator;
/* Until the process ends. Errors: NORN_ARG (a name that is taken, parts that contradict each other), NORN_PARSE and NORN_UNSUPPORTED
 * with the column of a formula. A kernel is compiled when something that has it is loaded: NORN_BUILD, with the compiler's lines. */
NORN_API norn_status norn_operator_define(const norn_operator *o);

/* ---- Gradients of models as models, in operators of ONNX only: any runtime can compute them. */
typedef struct norn_model_gradient_options {
    const char *wrt; /* "weights" (NULL: these), "inputs", or names with commas between */
    bool
        with_loss; /* of a loss, in training mode, by the weights; else of the first output, in inference mode */
    norn_loss loss;
    const norn_optimizer *step; /* a whole training step: parameters in and out; NULL: gradients */
    const char *
        state_path; /* a step: where the first content of its parameters and moments is put (.npz); NULL: nowhere */
    int64_t batch;              /* of inputs whose batch is a name; 0: 1 */
    const char *freeze, *train; /* as in norn_train_options */
    char **notes; /* of a loss or step: lines on what is trained, what is not, and what was changed; freed by
                     norn_text_free; NULL: not wanted */
} norn_model_gradient_options;
/* "weights" are the floating-point initialisers that an output can be differentiated by; outputs of Constant nodes only, and
 * scalars never then, where there are no such initialisers. Of a loss or step they are what a trainer trains. */
/* Of an output y that is no scalar, sum(y * grad_y) is differentiated: "grad_y" is an input of the new model. Its outputs are the
 * model's and "grad:NAME" for each NAME of wrt. Of a loss the inputs are the model's and "labels", the outputs "loss", with class
 * labels "correct", and "grad:NAME". A step has also the inputs "lr" (float scalar) and, for everything that it changes, NAME, and
 * the outputs "NAME_next"; optimizers keep "NAME/exp_avg" and the like, and "optimizer/step". With a loss the model is brought into
 * inference form first (norn_trainer_new). Errors: NORN_UNSUPPORTED, naming an operator that has no gradient or no form in
 * operators of ONNX; NORN_ARG, NORN_SHAPE. */
NORN_API norn_status norn_model_gradient(norn_model *m, const norn_model_gradient_options *options,
                                         norn_model **out);

/* ---- Solvers. Functions, gradients, Hessian-vector products and Jacobians are computed on the session's device; the methods'
 * own linear algebra, in double, on the host. */
typedef enum norn_solver {
    NORN_SOLVE_AUTO, /* L-BFGS; Levenberg-Marquardt for a formula of more than one element */
    NORN_SOLVE_GD,   /* gradient descent with Barzilai-Borwein steps */
    NORN_SOLVE_CG,   /* nonlinear conjugate gradients (Polak-Ribiere+) */
    NORN_SOLVE_BFGS,
    NORN_SOLVE_LBFGS,
    NORN_SOLVE_NEWTON_CG, /* truncated Newton with Hessian-vector products */
    NORN_SOLVE_LM         /* Levenberg-Marquardt: the sum of squares of the first output's elements */
} norn_solver;

typedef struct norn_solve_options {
    norn_solver method;
    int64_t max_iterations; /* 0: 10000 */
    /* Of the largest entry of the (projected) gradient, and relative to that at the start where it is below 1; 0: 1e-8.
     * Levenberg-Marquardt: of the cosine between the residuals and the columns of the Jacobian. */
    double tolerance;
    size_t n_lower, n_upper;
    const norn_feed *lower, *upper; /* bounds by variable: scalars, or of its shape */
    /* Called after every iteration; false ends, which is no error. NULL: none. */
    bool (*progress)(void *user, int64_t iteration, double value, double gradient);
    void *user;
} norn_solve_options;

typedef struct norn_solution norn_solution;
/* Minimises the first output of g, a scalar, over n_start variables (inputs of floating-point type) from their start values; the
 * other inputs are fed from `data`. options NULL: all 0. What stops before it converges is no error: the solution says so.
 * Errors: NORN_ARG (a variable that is none, a start that has no finite value), NORN_SHAPE, NORN_UNSUPPORTED. */
NORN_API norn_status norn_solve(norn_session *s, const norn_graph *g, size_t n_start, const norn_feed *start,
                                size_t n_data, const norn_feed *data, const norn_solve_options *options,
                                norn_solution **out);
NORN_API void norn_solution_free(norn_solution *s);
typedef struct norn_solution_info {
    bool converged;
    const char *method, *reason;
    int64_t iterations, values, gradients,
        products;           /* evaluations; products: Hessian- or Jacobian-vector products */
    double value, gradient; /* gradient: largest entry of the projected one, the KKT residual */
    int64_t residuals,
        unknowns; /* Levenberg-Marquardt: elements of the formula; all: entries of the variables */
    double
        deviation; /* Levenberg-Marquardt: estimated standard deviation of the residuals; 0 without freedom */
    int64_t freedom; /* Levenberg-Marquardt: degrees of freedom, residuals less the rank of the Jacobian */
} norn_solution_info;
NORN_API void norn_solution_get(const norn_solution *s, norn_solution_info *out);
/* The minimum, by variable: NULL when there is none of this name. Lent. */
NORN_API const norn_tensor *norn_solution_value(const norn_solution *s, const char *name);
/* Levenberg-Marquardt: standard errors of the estimates, and half the width of their 95 % confidence intervals (Student's t),
 * in the shape of the variable, from J'J, the Gauss-Newton Hessian. Infinite where the data do not determine an entry (another change
 * of the variables makes up for its own). What a bound holds is no estimate: NaN there, and the others' are those of a model in which
 * it is known. NULL for other methods, and without degrees of freedom, but where some entries are not determined: then NaN for the
 * others. */
NORN_API const norn_tensor *norn_solution_error(const norn_solution *s, const char *name);
NORN_API const norn_tensor *norn_solution_interval(const norn_solution *s, const char *name);
/* What happened: value and gradient after `i` iterations; x: the first two unknowns. */
NORN_API size_t norn_solution_trace_count(const norn_solution *s);
NORN_API void norn_solution_trace(const norn_solution *s, size_t i, double *value, double *gradient,
                                  double x[2]);

/* Quadratic programs: minimise 1/2 x'Px + q'x subject to l <= Ax <= u, by operator splitting (Stellato et al., OSQP, 2020) with a
 * polished solution. P symmetric and positive semidefinite; NULL: 0, a linear program. Any numbers; they are computed with in double,
 * on the session's device. */
typedef struct norn_qp {
    const norn_tensor *p, *q, *a, *l,
        *u; /* [n,n], [n], [m,n], [m], [m]; l and u infinite where there is no bound */
    /* Sparse matrices by rows (CSR, as SciPy has them), else NULL: the columns of the entries, which p or a then holds one after
     * the other, and where each row begins, [n + 1] or [m + 1]. */
    const norn_tensor *p_indices, *p_indptr, *a_indices, *a_indptr;
} norn_qp;
typedef enum norn_qp_status {
    NORN_QP_SOLVED,
    NORN_QP_INFEASIBLE,
    NORN_QP_UNBOUNDED,
    NORN_QP_UNFINISHED
} norn_qp_status;
/* What was found where the residuals were looked at: at the start, every 25 iterations, and after a polish that made them smaller. */
typedef struct norn_qp_step {
    int64_t iteration;
    bool polished;
    double objective, primal, dual, gap; /* as in norn_qp_result */
    double x[2];                         /* the first two entries */
} norn_qp_step;
typedef struct norn_qp_result {
    norn_qp_status status;
    int64_t iterations;
    double objective;
    double primal, dual,
        gap; /* KKT residuals: |Ax outside [l, u]|, |Px + q + A'y|, complementarity; largest entries */
    bool polished;
    norn_tensor *x,
        *y; /* solution and multipliers, double, the caller's; of an infeasible program y proves it, of an unbounded one x
                           is a direction without bound */
    size_t n_steps;
    norn_qp_step *steps;
} norn_qp_result;
/* tolerance 0: 1e-9; max_iterations 0: 20000. Errors: NORN_SHAPE, NORN_DTYPE, NORN_ARG (l above u, NaN, P not positive
 * semidefinite), NORN_UNSUPPORTED (a device without double). */
NORN_API norn_status norn_solve_qp(norn_session *session, const norn_qp *qp, double tolerance,
                                   int64_t max_iterations, norn_qp_result *out);
/* What a result holds, which is empty then. */
NORN_API void norn_qp_result_free(norn_qp_result *r);

#ifdef __cplusplus
}
#endif
#endif /* NORN_SYMBOLIC_H */
