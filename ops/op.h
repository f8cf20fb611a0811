/* SPDX-License-Identifier: Apache-2.0 */
/* The operator descriptor: everything norn knows about an operator, in one constant. See
 * docs/adding-an-op.md. */
#ifndef NORNI_OP_H
#define NORNI_OP_H
#include "ops/attr.h"
#include "ops/emit.h"
#include "ops/ir.h"
#include "ops/random.h"

/* ---- Parameters. */
typedef enum {
    NORNI_OPT = 1,      /* may be absent */
    NORNI_VARIADIC = 2, /* the last one may repeat */
    NORNI_NODIFF = 4,   /* no gradient flows into it (indices, shapes, masks) */
    NORNI_HOST = 8,     /* its elements decide shapes: must be known before a plan is made */
    NORNI_STASH = 16    /* a hidden output, made only for the gradient; not in the file format */
} norni_param_flags;

/* An optional input that came with an opset version; part of its flags. Inputs of a `moved` table need not say it. */
#define NORNI_SINCE(opset)    ((unsigned)(opset) << 8)
#define NORNI_SINCE_OF(flags) ((int)((flags) >> 8))

typedef struct {
    const char *name; /* NULL ends a list */
    unsigned flags;
    norni_types types; /* legal element types */
    char var;          /* parameters with the same letter have one type; 0: on its own */
} norni_param;

#define NORNI_FLOATS   (NORNI_T(NORN_F32) | NORNI_T(NORN_F64) | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16))
#define NORNI_SIGNED   (NORNI_T(NORN_I8) | NORNI_T(NORN_I16) | NORNI_T(NORN_I32) | NORNI_T(NORN_I64))
#define NORNI_UNSIGNED (NORNI_T(NORN_U8) | NORNI_T(NORN_U16) | NORNI_T(NORN_U32) | NORNI_T(NORN_U64))
#define NORNI_INTS     (NORNI_SIGNED | NORNI_UNSIGNED)
#define NORNI_NUMBERS  (NORNI_FLOATS | NORNI_INTS)
#define NORNI_INDEX    (NORNI_T(NORN_I32) | NORNI_T(NORN_I64))
#define NORNI_BOOLS    NORNI_T(NORN_BOOL)
#define NORNI_FLOAT8S                                                                                        \
    (NORNI_T(NORN_F8E4M3FN) | NORNI_T(NORN_F8E4M3FNUZ) | NORNI_T(NORN_F8E5M2) | NORNI_T(NORN_F8E5M2FNUZ))
#define NORNI_SMALL                                                                                          \
    (NORNI_FLOAT8S | NORNI_T(NORN_F8E8M0) | NORNI_T(NORN_F4E2M1) | NORNI_T(NORN_U4) | NORNI_T(NORN_I4) |     \
     NORNI_T(NORN_U2) | NORNI_T(NORN_I2))
#define NORNI_ANY (NORNI_NUMBERS | NORNI_BOOLS)
#define NORNI_ALL (NORNI_ANY | NORNI_SMALL)

/* ---- Shape inference. The rule reads the inputs and fills out[]; sizes may be symbolic: norni_dim_* and the
 * helpers below work on both. What it leaves untouched is unknown. */
typedef struct {
    norn_graph *g;
    norn_node *node;
    const void *attrs;
    norni_type out[32];         /* dtype pre-set from the type variables */
    const norni_dim *known[32]; /* elements of small integer outputs, when the rule can tell */
    int n_known[32];
} norni_infer;

const norni_type *norni_in_type(const norni_infer *c, int i); /* NULL when absent */
bool norni_in_has(const norni_infer *c, int i);
/* False when type or rank of an input is not known: the rule then returns NORN_OK at once. */
bool norni_in_ranked(const norni_infer *c, int n);
/* The elements of a shape-like input: 1 known, 0 not yet known, -1 too many for max. */
int norni_in_ints(const norni_infer *c, int i, int64_t *v, int max, int *n);
/* axis in [-rank, rank) to [0, rank). */
norn_status norni_axis(int64_t axis, int rank, int *out);
/* Numpy broadcasting of b into a. */
norn_status norni_broadcast(norn_graph *g, norni_type *a, const norni_type *b);
/* The expansion of a node in a graph of its own, which the caller frees; out[] as of expand. */
norn_status norni_expand_apart(const norn_node *node, norn_value **out, norn_graph **result);
/* An `infer` for operators that are functions of others: the types that the expansion has, made in a graph of its own. */
norn_status norni_infer_by_expansion(norni_infer *c);
/* Room for the n known elements of output k, set as known by the call; NULL when memory is out. */
norni_dim *norni_set_known(norni_infer *c, int k, int n);
/* op->check where there is one and the types are static. */
norn_status norni_node_check(const norn_node *node, int i, const norn_tensor *t);

/* ---- Gradient. The rule sets dx[i] for the inputs with want[i]; dy[k] is NULL where no gradient arrives.
 * Broadcast, accumulation and missing paths are the walk's business. */
typedef struct {
    norn_graph *g;
    norn_node *node;
    norn_value *const *dy;
    norn_value **dx;
    const bool *want;
} norni_grad;
/* The rule of an operator that has no gradient by its nature (comparisons, shapes, indices). */
void norni_no_gradient(norni_grad *c);

/* ---- Host reference. Tensors are packed and in host memory; outputs are allocated from the inferred types.
 */
typedef struct {
    const norn_node *node;
    const void *attrs;
    int n_in, n_out;
    norn_tensor *const *in;
    norn_tensor **out; /* NULL where not wanted */
    norni_draw draw;   /* of random operators */
} norni_eval;

/* Operators with data_shapes only: a new output of that shape, whose type is the inferred one; packed, of zeros. */
norn_status norni_eval_output(norni_eval *e, int k, int rank, const int64_t *dims);

/* ---- Cost of one evaluation, for bench, profile and plan. */
typedef struct {
    double flops, bytes;
} norni_cost;

/* ---- Implementations, best first; the last one fits always. */
typedef struct {
    const norn_node *node;
    const norn_device *device;
    norn_numerics numerics;
    bool epilogue; /* asked to take one */
    bool wanted;   /* asked for by name: whether it can, not whether it is the best */
} norni_fit;

typedef struct {
    const char *name;
    /* NULL when it can run this node on this device, else the reason why not. May be NULL itself: fits
     * always. */
    const char *(*fits)(const norni_fit *f);
    norn_status (*emit)(norni_emit *e);
    bool epilogue; /* emit honours e->epilogue */
    bool blas;     /* uses CLBlast */
    norni_form
        form; /* of the values that it works on; the blocked ones are inputs 0 .. n_blocked - 1 and output 0 */
    int n_blocked; /* 0: all inputs */
    double
        gain;  /* blocked forms: how many times as fast as the plain one, without copies from form to form */
    int alias; /* 1 + index of the input whose memory the output shares; no step is made then */
} norni_impl;

/* ---- Old opsets. A graph has operators in their newest form only; files have them as their opset says.
 *
 * Import: the file's attributes are set (those of older forms too: NORNI_ATTR_OLD), then attributes of the
 * `moved` table become constant inputs, then `raise` runs when the definition in force at the file's opset is
 * not the newest, then what is left of old attributes is dropped and the node is applied. The node is not in
 * the graph yet: attributes and inputs may be changed freely (NULL: absent), and node->in has room for 8 more
 * than n_in.
 *
 * Export: `lower` runs when the definition in force at the wanted opset is not the newest, then inputs of the
 * `moved` table become attributes again, which fails for an input that is not constant. lower gets a copy: it
 * may change attributes (also set old ones) and inputs, of which the copy has room for 8 more.
 *
 * Both may instead make the outputs from other nodes, in their newest forms: they then set out[k] for the
 * outputs in `wanted` and `replaced`. lower is called twice for a node that it does not replace, and must do
 * the same both times. Errors say what cannot be expressed; the caller names node and opset. */
typedef struct {
    norn_graph *g;
    int version; /* opset of the file */
    norn_node *node;
    norn_value **out; /* by output; NULL at first */
    bool replaced;
    unsigned wanted; /* a bit for each output that somebody reads (raise: that has a name) */
    unsigned unread; /* raise: those that have a name and no reader; the hook may take them out of `wanted` */
} norni_adapt;

/* lower: opsets before 11 count axes from the front only. */
void norni_lower_axis(const norni_adapt *a, int64_t *axis, int rank);

struct norn_op {
    const char *domain, *name;
    const int *versions; /* opset versions with a definition, ascending, 0-terminated; the last is the current
                            form */
    const char *doc;
    const norni_param *inputs, *outputs;
    size_t attrs_bytes;
    const norni_attr *attrs;
    const norni_moved *moved;
    norn_status (*raise)(norni_adapt *a);
    norn_status (*lower)(norni_adapt *a);
    norn_status (*infer)(norni_infer *c);
    void (*grad)(norni_grad *c);
    /* Pointwise operators: the gradient for each input as a formula over inputs, output (y), dy and
     * attributes. */
    const char *const *grad_formulas;
    /* The operator by simpler ones: sets out[] and returns NORN_OK. */
    norn_status (*expand)(norn_graph *g, const norn_node *node, norn_value **out);
    const char *expr; /* pointwise: a formula over the inputs' names and scalar attributes */
    const char *(*expr_of)(
        const norn_node *node); /* where the formula depends on attributes or absent inputs */
    norn_status (*eval)(norni_eval *e);
    /* The elements of input i are legal for the node, whose types are static: indices within bounds, say. Called
     * wherever they are in host memory (constants, fed inputs, the host reference); kernels must do without. */
    norn_status (*check)(const norn_node *node, int i, const norn_tensor *t);
    const norni_impl *impls; /* ended by a NULL name; NULL for pointwise operators: generated */
    void (*cost)(const norn_node *node, norni_cost *c); /* NULL: one flop an output element, all bytes once */
    const char *const *cases;                           /* one-line instances, NULL-terminated */
    const char *untested_attrs; /* attributes that no case sets: they change nothing in norn */
    double lo, hi;              /* range of random float inputs in tests; 0, 0: -1 to 1 */
    int channel_from;           /* pointwise: inputs from this index (if > 0) are [C] vectors along axis 1 */
    bool variadic_fold;         /* pointwise over any number of inputs, by folding the two-input formula */
    bool random;                /* outputs are random numbers */
    bool (*random_if)(const norn_node *node); /* random: for these nodes only; NULL: always */
    /* The shapes of the outputs depend on the elements of all inputs: infer says fresh sizes, and eval makes each output
     * (norni_eval_output). Such a node runs on the host, where the run is cut (graph/exec.c), or as its expansion. */
    bool data_shapes;
    bool
        on_host; /* has no kernels, and runs by its host reference where it is not folded: a table made of scalars */
    bool control; /* has subgraphs (ops/control.h); a file gets the node as it had it */
    bool moves;   /* only moves elements: types below a byte and float8 go through wider ones (ops/widen.c) */
    bool epilogue_retypes; /* its kernels with an epilogue store a result of any type (NORNI_EPI_ST) */
    bool defined;          /* by the user (norni_op_add) */
    int (*epilogue_axis)(
        const norn_node *node); /* axis whose vectors an epilogue can read, -1: none; NULL: axis 1 */
};

/* True when the node draws random numbers: it is neither folded nor merged with an equal one. */
bool norni_node_random(const norn_node *node);

/* True when the node only moves elements, of a type below a byte or float8; and such a node on wider types. */
bool norni_moves_small(const norn_node *node);
norn_status norni_expand_small(norn_graph *g, const norn_node *node, norn_value *const *in, norn_value **out);
norn_status norni_eval_small(norni_eval *e);

/* ---- The registry. */
const norn_op *norni_op_find(const char *domain, const char *name);
size_t norni_op_count(void);
const norn_op *norni_op_at(size_t i);
/* The descriptor of nodes whose operator norn does not have. */
extern const norn_op norni_op_unknown;
/* Operators that a program defines while it runs (symbolic/define.c): found by name, not counted. They stay until it ends, since
 * graphs refer to them. False: memory is out. */
bool norni_op_add(const norn_op *op);
/* The i-th of them; NULL: there are fewer. */
const norn_op *norni_op_defined(size_t i);
int norni_op_since(const norn_op *op);              /* opset version of the current form */
int norni_op_version(const norn_op *op, int opset); /* the definition in force at an opset; 0: none yet */
const norni_param *norni_op_input(const norn_op *op, int i); /* variadic ones repeat; NULL: too many */
const norni_param *norni_op_output(const norn_op *op, int i);
int norni_op_n_outputs(const norn_op *op, bool with_stash);
bool norni_op_pointwise(const norn_op *op);
bool norni_op_reads_sizes(const norn_op *op); /* only the sizes of its input: Shape, Size */

/* Types of the outputs, from those of the inputs; called by norni_apply. */
norn_status norni_infer_node(norn_node *node);
/* Host evaluation; allocates out[k] for each wanted output. Output types must be static. */
norn_status norni_node_eval(const norn_node *node, norn_tensor *const *in, norn_tensor **out);
/* The same, with the numbers that a random operator draws from. */
norn_status norni_node_eval_draw(const norn_node *node, norn_tensor *const *in, norn_tensor **out,
                                 norni_draw draw);
/* An `eval` for operators that are functions of others: the expansion, node by node. */
norn_status norni_eval_expansion(norni_eval *e);
void norni_node_cost(const norn_node *node, norni_cost *c);
/* "Conv<pads=[1,1,1,1]>(float[1,3,8,8], float[4,3,3,3])", with the elements of inputs that decide shapes. */
void norni_node_print(norni_str *out, const norn_node *node);
/* A one-line instance into a new graph with that one node: inputs named by the parameters, constants where
 * the text gives elements ("int64[2]{3,4}"). */
norn_status norni_node_parse(const char *text, norn_graph **out);
/* Parses "Name<attrs>": operator and a fresh attribute struct; *end is where it stopped. */
norn_status norni_op_parse(const char *text, norni_arena *arena, const norn_op **op, void **attrs,
                           const char **end);
/* The formula of a pointwise node with its scalar attributes filled in, over variables 0 .. n_in - 1. */
norn_status norni_node_formula(const norn_node *node, norni_arena *arena, const norni_expr **out);

#endif
