/* SPDX-License-Identifier: Apache-2.0 */
/* DepthToSpace: blocks of b x b pixels from b * b channels; SpaceToDepth: back. In mode DCR the channels are [b, b, C], in
 * CRD [C, b, b] (as torch's pixel_shuffle). Sources: ONNX DepthToSpace-28, SpaceToDepth-28. */
#include "ops/copy.h"
#include <string.h>

enum { DCR, CRD };
static const char *const words[] = {"DCR", "CRD", NULL};
typedef struct {
    int64_t blocksize;
    int mode;
} attrs;
#define BLOCKSIZE NORNI_A(attrs, blocksize, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = 1 << 20)
static const norni_attr depth_table[] = {BLOCKSIZE, NORNI_A_ENUM(attrs, mode, words, DCR, .since = 11),
                                         NORNI_A_END},
                        space_table[] = {BLOCKSIZE, NORNI_A_ENUM(attrs, mode, words, DCR, .since = 28),
                                         NORNI_A_END};

static bool to_space(const norn_node *node) {
    return !strcmp(node->op->name, "DepthToSpace");
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    norni_type *y = &c->out[0];
    int64_t b = ((const attrs *)c->attrs)->blocksize;
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank != 4)
        return norni_fail(NORN_SHAPE, "input has rank %d (wanted 4: N, C, H, W)", x->rank);
    *y = *x;
    if (to_space(c->node)) {
        if (x->dims[1] >= 0 && x->dims[1] % (b * b))
            return norni_fail(NORN_SHAPE, "input has %lld channels (wanted a multiple of blocksize^2 = %lld)",
                              (long long)x->dims[1], (long long)(b * b));
        y->dims[1] = norni_dim_div(c->g, x->dims[1], b * b);
        for (int i = 2; i < 4; i++)
            y->dims[i] = norni_dim_mul(c->g, x->dims[i], b);
        return NORN_OK;
    }
    y->dims[1] = norni_dim_mul(c->g, x->dims[1], b * b);
    for (int i = 2; i < 4; i++) {
        if (x->dims[i] >= 0 && x->dims[i] % b)
            return norni_fail(NORN_SHAPE,
                              "input has size %lld in dimension %d (wanted a multiple of blocksize = %lld)",
                              (long long)x->dims[i], i, (long long)b);
        y->dims[i] = norni_dim_div(c->g, x->dims[i], b);
    }
    return NORN_OK;
}

/* The six sizes n, c, h, i, w, j: pixel (h, w) of the many-channelled side, (h b + i, w b + j) of the other; and the
 * strides of both sides over them. */
typedef struct {
    int64_t dims[6], deep[6], wide[6];
} six;

static six six_of(const norn_node *node) {
    const attrs *a = node->attrs;
    const norni_type *deep = to_space(node) ? &node->in[0]->type : &node->out[0]->type;
    int64_t b = a->blocksize, n = deep->dims[0], c = deep->dims[1] / (b * b), h = deep->dims[2],
            w = deep->dims[3], hw = h * w;
    bool dcr = a->mode == DCR;
    return (six){{n, c, h, b, w, b},
                 {c * b * b * hw, dcr ? hw : b * b * hw, w, dcr ? b * c * hw : b * hw, 1, dcr ? c * hw : hw},
                 {c * b * b * hw, b * b * hw, b * b * w, b * w, b, 1}};
}

static norn_status eval(norni_eval *e) {
    six s = six_of(e->node);
    bool space = to_space(e->node);
    norn_tensor view = *e->in[0], *packed;
    /* Taken in the order of the output's elements. */
    static const int wide_order[] = {0, 1, 2, 3, 4, 5}, dcr_order[] = {0, 3, 5, 1, 2, 4},
                     crd_order[] = {0, 1, 3, 5, 2, 4};
    const int *order = space ? wide_order : ((const attrs *)e->attrs)->mode == DCR ? dcr_order : crd_order;
    view.rank = 6;
    for (int i = 0; i < 6; i++) {
        view.dims[i] = s.dims[order[i]];
        view.strides[i] = (space ? s.deep : s.wide)[order[i]];
    }
    NORNI_TRY(norni_tensor_pack(&view, &packed));
    memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(packed), norni_tensor_bytes(packed));
    norn_tensor_free(packed);
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    six s = six_of(e->node);
    bool space = to_space(e->node);
    norni_layout deep = {.ref = space ? norni_emit_in(e, 0) : norni_emit_out(e, 0)},
                 wide = {.ref = space ? norni_emit_out(e, 0) : norni_emit_in(e, 0)};
    memcpy(deep.strides, s.deep, sizeof s.deep);
    memcpy(wide.strides, s.wide, sizeof s.wide);
    return norni_emit_strided_copy(e, e->node->in[0]->type.dtype, 6, s.dims, space ? &deep : &wide,
                                   space ? &wide : &deep);
}

static void grad(norni_grad *c) {
    const attrs *a = c->node->attrs;
    c->dx[0] =
        NORNI_OP1(c->g, c->dy[0], "%s<blocksize=%d, mode=\"%s\">",
                  to_space(c->node) ? "SpaceToDepth" : "DepthToSpace", (int)a->blocksize, words[a->mode]);
}

/* Mode CRD in older opsets: six axes, transposed. */
static norn_status lower(norni_adapt *a) {
    const norn_node *node = a->node;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    norn_graph *g = a->g;
    bool space = to_space(node);
    int since = space ? 11 : 28;
    if (a->version >= since || ((const attrs *)node->attrs)->mode == DCR)
        return NORN_OK;
    if (!norni_type_static(x))
        return norni_fail(NORN_UNSUPPORTED, "mode CRD is new in opset %d, and the sizes are not known",
                          since);
    six s = six_of(node);
    const int64_t deep[] = {s.dims[0], s.dims[1], s.dims[3], s.dims[5], s.dims[2], s.dims[4]};
    norn_value *v =
        NORNI_OP2(g, node->in[0], norni_i64_const(g, 6, space ? deep : s.dims), "Reshape<allowzero=1>");
    v = NORNI_OP1(g, v, "Transpose<perm=[%s]>", space ? "0,1,4,2,5,3" : "0,1,3,5,2,4");
    a->out[0] = NORNI_OP2(g, v, norni_i64_const(g, 4, y->dims), "Reshape<allowzero=1>");
    a->replaced = true;
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

static const norni_impl impls[] = {{.name = "copy", .emit = emit}, {0}};

#define BLOCKS(id, what, old, ...)                                                                           \
    const norn_op norni_op_##id = {                                                                          \
        .domain = "",                                                                                        \
        .name = #id,                                                                                         \
        .versions = (const int[]){__VA_ARGS__, 0},                                                           \
        .doc = what,                                                                                         \
        .inputs = (const norni_param[]){{"input", 0, NORNI_ANY, 'T'}, {0}},                                  \
        .outputs = (const norni_param[]){{"output", 0, NORNI_ANY, 'T'}, {0}},                                \
        .attrs_bytes = sizeof(attrs),                                                                        \
        .attrs = old##_table,                                                                                \
        .lower = lower,                                                                                      \
        .infer = infer,                                                                                      \
        .grad = grad,                                                                                        \
        .eval = eval,                                                                                        \
        .impls = impls,                                                                                      \
        .cost = cost,                                                                                        \
        .cases = old##_cases,                                                                                \
    }
static const char *const depth_cases[] = {
    "DepthToSpace<blocksize=2>(float[2,8,3,5])", "DepthToSpace<blocksize=3, mode=\"CRD\">(float[1,18,2,9])",
    "DepthToSpace<blocksize=1>(float[1,3,2,2])", "DepthToSpace<blocksize=2, mode=\"CRD\">(uint8[1,64,9,20])",
    "DepthToSpace<blocksize=2>(int64[0,4,2,2])", NULL};
static const char *const space_cases[] = {"SpaceToDepth<blocksize=2>(float[2,3,4,6])",
                                          "SpaceToDepth<blocksize=3, mode=\"CRD\">(float[1,2,6,27])",
                                          "SpaceToDepth<blocksize=2, mode=\"CRD\">(bool[1,1,2,2])",
                                          "SpaceToDepth<blocksize=4>(int16[2,5,8,40])", NULL};
BLOCKS(DepthToSpace, "blocks of pixels from channels", depth, 1, 11, 13, 28);
BLOCKS(SpaceToDepth, "channels from blocks of pixels", space, 1, 13, 28);
