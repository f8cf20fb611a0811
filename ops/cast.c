/* SPDX-License-Identifier: Apache-2.0 */
/* Cast: elements in another type. To integers the fraction is cut off (as C does; what does not fit is
 * undefined by the specification, and saturates on the host), to bool 0 is false and the rest true. The float8 types
 * and those below a byte are norn.CastSmall's. Source: ONNX Cast-25. */
#include "ops/recode.h"

typedef struct {
    norn_dtype to;
    int64_t saturate;
    int round_mode;
} cast_attrs;
static const norni_attr table[] = {NORNI_A(cast_attrs, to, DTYPE, .flags = NORNI_ATTR_REQUIRED),
                                   NORNI_A_INT(cast_attrs, saturate, 1, .since = 19),
                                   NORNI_A_ENUM(cast_attrs, round_mode, norni_round_words, 0, .since = 24),
                                   NORNI_A_END};

static norn_status infer(norni_infer *c) {
    norn_dtype to = ((const cast_attrs *)c->attrs)->to;
    if (!(NORNI_ALL & NORNI_T(to)))
        return norni_fail(NORN_UNSUPPORTED, "a cast to %s (norn has numbers and bool)", norni_dtype_name(to));
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = to;
    int n;
    const norni_dim *d = norni_value_known(c->node->in[0], &n);
    if (d && norni_dtype_is_int(to)) {
        c->known[0] = d;
        c->n_known[0] = n;
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const cast_attrs *a = e->attrs;
    const norn_tensor *x = e->in[0], *y = e->out[0];
    for (int64_t i = 0, n = norni_tensor_elems(y); i < n; i++)
        if (norni_dtype_is_float(y->dtype))
            norni_set_rounded(y->dtype, norni_tensor_data(y), i,
                              norni_get_double(x->dtype, norni_tensor_data(x), i), a->saturate != 0,
                              a->round_mode);
        else
            norni_scalar_set(y->dtype, norni_tensor_data(y), i,
                             norni_scalar_get(x->dtype, norni_tensor_data(x), i));
    return NORN_OK;
}

static void grad(norni_grad *c) {
    c->dx[0] = NORNI_OP1(c->g, c->dy[0], "Cast<to=%d>", (int)c->node->in[0]->type.dtype);
}

/* Where one of the types is small; by the formula otherwise. */
static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const cast_attrs *a = node->attrs;
    out[0] = NORNI_OP1(g, node->in[0], "norn.CastSmall<to=%d, saturate=%d, round_mode=\"%s\">", (int)a->to,
                       (int)a->saturate, norni_round_words[a->round_mode]);
    return norn_graph_status(g);
}

/* Before opset 19 there was no float8, and the attributes of it say nothing. */
static norn_status lower(norni_adapt *a) {
    cast_attrs *at = a->node->attrs;
    if (a->version < 19)
        at->saturate = 1;
    if (a->version < 24)
        at->round_mode = NORNI_ROUND_UP;
    return NORN_OK;
}

const norn_op norni_op_Cast = {
    .domain = "",
    .name = "Cast",
    .versions = (const int[]){6, 9, 13, 19, 21, 23, 24, 25, 28, 0},
    .doc = "the elements in another type",
    .inputs = (const norni_param[]){{"x", 0, NORNI_ALL, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_ALL, 0}, {0}},
    .attrs_bytes = sizeof(cast_attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .lower = lower,
    .expand = expand,
    .eval = eval,
    .expr = "x",
    .cases =
        (const char *const[]){"Cast<to=11>(float[3,17])", "Cast<to=10>(float[3,17])",
                              "Cast<to=16>(float[3,17])", "Cast<to=6>(float[37])", "Cast<to=1>(int64[37])",
                              "Cast<to=9>(float[5])", "Cast<to=1>(bool[5])", "Cast<to=1>(double[5])",
                              "Cast<to=7>(bool[3,3])", "Cast<to=17, saturate=0>(float[19])",
                              "Cast<to=24, round_mode=\"down\">(float[19])", "Cast<to=21>(int64[7])",
                              "Cast<to=1>(int4[3,3])", NULL},
    .lo = -4,
    .hi = 4,
};

/* ---- CastLike: to the type of another value, of which nothing else is looked at. */
static const norni_attr like_table[] = {
    NORNI_A_INT(cast_attrs, saturate, 1, .since = 19),
    NORNI_A_ENUM(cast_attrs, round_mode, norni_round_words, 0, .since = 24), NORNI_A_END};

static norn_status infer_like(norni_infer *c) {
    norn_dtype to = norni_in_type(c, 1)->dtype;
    int n;
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = to;
    const norni_dim *d = norni_value_known(c->node->in[0], &n);
    if (d && norni_dtype_is_int(to)) {
        c->known[0] = d;
        c->n_known[0] = n;
    }
    return NORN_OK;
}

static norn_status expand_like(norn_graph *g, const norn_node *node, norn_value **out) {
    const cast_attrs *a = node->attrs;
    out[0] = NORNI_OP1(g, node->in[0], "Cast<to=%d, saturate=%d, round_mode=\"%s\">",
                       (int)node->in[1]->type.dtype, (int)a->saturate, norni_round_words[a->round_mode]);
    return norn_graph_status(g);
}

const norn_op norni_op_CastLike = {
    .domain = "",
    .name = "CastLike",
    .versions = (const int[]){15, 19, 21, 23, 24, 25, 0},
    .doc = "the elements in the type of another value",
    .inputs =
        (const norni_param[]){{"input", 0, NORNI_ALL, 0}, {"target_type", NORNI_NODIFF, NORNI_ALL, 'T'}, {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ALL, 'T'}, {0}},
    .attrs_bytes = sizeof(cast_attrs),
    .attrs = like_table,
    .infer = infer_like,
    .grad = grad,
    .expand = expand_like,
    .eval = eval,
    .cases = (const char *const[]){"CastLike(float[3,17], double[1])", "CastLike(float[3,17], int32[2,2])",
                                   "CastLike(int64[37], float16[])", "CastLike(bool[5], float[3])",
                                   "CastLike(float[5], bool[0])", "CastLike(double[3], int64[])",
                                   "CastLike<saturate=0>(float[9], float8e5m2[2])",
                                   "CastLike<round_mode=\"nearest\">(float[9], float8e8m0[2])", NULL},
    .lo = -4,
    .hi = 4,
};
