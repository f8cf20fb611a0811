/* SPDX-License-Identifier: Apache-2.0 */
/* NonMaxSuppression: boxes by falling score, but for those that overlap a chosen one of their batch and class by more than
 * a threshold: intersection / union of the areas. On the host, where the run is cut: how many are chosen depends on the
 * data, and each choice on those before. Source: ONNX NonMaxSuppression-11. */
#include "ops/op.h"
#include <math.h>
#include <stdlib.h>

typedef struct {
    int64_t center_point_box;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, center_point_box, 0, .lo = 0, .hi = 1), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const norni_type *boxes = norni_in_type(c, 0), *scores = norni_in_type(c, 1);
    c->out[0].rank = 2;
    c->out[0].dims[0] = norni_dim_fresh(c->g);
    c->out[0].dims[1] = 3;
    for (int i = 0; i < 2; i++) {
        const norni_type *t = i ? scores : boxes;
        if (t->rank >= 0 && t->rank != 3)
            return norni_fail(NORN_SHAPE, "%s has rank %d (wanted 3)", i ? "scores" : "boxes", t->rank);
    }
    if (boxes->rank == 3 && boxes->dims[2] >= 0 && boxes->dims[2] != 4)
        return norni_fail(NORN_SHAPE, "boxes has size %lld in dimension 2 (wanted 4)",
                          (long long)boxes->dims[2]);
    for (int i = 0; i < 2 && boxes->rank == 3 && scores->rank == 3; i++) {
        norni_dim a = boxes->dims[i], b = scores->dims[2 * i];
        if (a >= 0 && b >= 0 && a != b)
            return norni_fail(NORN_SHAPE, "boxes has %lld %s, scores %lld (wanted as many)", (long long)a,
                              i ? "boxes" : "batches", (long long)b);
    }
    for (int i = 2; i < c->node->n_in; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t && (t->rank > 1 || (t->rank == 1 && t->dims[0] > 1)))
            return norni_fail(NORN_SHAPE, "input %d has rank %d (wanted a scalar)", i, t->rank);
    }
    return NORN_OK;
}

/* An optional scalar; a vector without elements says nothing either. */
static bool given(const norni_eval *e, int i, double *v) {
    if (i >= e->n_in || !e->in[i] || norni_tensor_elems(e->in[i]) == 0)
        return false;
    *v = norni_get_double(e->in[i]->dtype, norni_tensor_data(e->in[i]), 0);
    return true;
}

typedef struct {
    float x0, x1, y0, y1;
} rect;

static rect rect_of(const float *b, bool center) {
    if (center)
        return (rect){b[0] - b[2] / 2, b[0] + b[2] / 2, b[1] - b[3] / 2, b[1] + b[3] / 2};
    return (rect){fminf(b[1], b[3]), fmaxf(b[1], b[3]), fminf(b[0], b[2]), fmaxf(b[0], b[2])};
}

static bool overlap(const rect *a, const rect *b, float threshold) {
    float w = fminf(a->x1, b->x1) - fmaxf(a->x0, b->x0), h = fminf(a->y1, b->y1) - fmaxf(a->y0, b->y0);
    if (!(w > 0) || !(h > 0))
        return false;
    float both = w * h, area_a = (a->x1 - a->x0) * (a->y1 - a->y0),
          area_b = (b->x1 - b->x0) * (b->y1 - b->y0), all = area_a + area_b - both;
    return both > 0 && area_a > 0 && area_b > 0 && all > 0 && both / all > threshold;
}

typedef struct {
    float score;
    int64_t box;
} candidate;

/* The higher score first, of equals the first in the input. */
static int before(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->box > y->box) - (x->box < y->box);
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *boxes = e->in[0], *scores = e->in[1];
    int64_t batches = boxes->dims[0], n = boxes->dims[1], classes = scores->dims[1];
    bool center = ((const attrs *)e->attrs)->center_point_box;
    double most = 0, iou = 0, least = 0;
    given(e, 2, &most);
    given(e, 3, &iou);
    bool filter = given(e, 4, &least);
    NORNI_VEC(int64_t) chosen = {0};
    candidate *c = norni_alloc_array((size_t)n + 1, sizeof *c);
    rect *kept = norni_alloc_array((size_t)n + 1, sizeof *kept);
    norn_status s = c && kept ? NORN_OK : norni_nomem();
    for (int64_t p = 0; p < batches * classes && s == NORN_OK; p++) {
        int64_t batch = p / classes, found = 0, count = 0;
        const float *score = (const float *)norni_tensor_data(scores) + p * n,
                    *box = (const float *)norni_tensor_data(boxes) + batch * n * 4;
        for (int64_t i = 0; i < n; i++)
            if (!isnan(score[i]) && (!filter || score[i] > (float)least))
                c[count++] = (candidate){score[i], i};
        qsort(c, (size_t)count, sizeof *c, before);
        for (int64_t i = 0; i < count && (double)found < most && s == NORN_OK; i++) {
            rect r = rect_of(box + c[i].box * 4, center);
            bool free = true;
            for (int64_t k = 0; k < found && free; k++)
                free = !overlap(&r, &kept[k], (float)iou);
            if (!free)
                continue;
            kept[found++] = r;
            if (!NORNI_PUSH(&chosen, batch) || !NORNI_PUSH(&chosen, p % classes) ||
                !NORNI_PUSH(&chosen, c[i].box))
                s = norni_nomem();
        }
    }
    if (s == NORN_OK)
        s = norni_eval_output(e, 0, 2, (int64_t[]){(int64_t)chosen.n / 3, 3});
    for (size_t i = 0; i < chosen.n && s == NORN_OK; i++)
        ((int64_t *)norni_tensor_data(e->out[0]))[i] = chosen.v[i];
    norni_vec_free(&chosen);
    norni_free(c);
    norni_free(kept);
    return s;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    (void)node;
    double v = norni_tensor_elems(t) ? norni_get_double(t->dtype, norni_tensor_data(t), 0) : 0;
    if (i == 3 && !(v >= 0 && v <= 1))
        return norni_fail(NORN_ARG, "iou_threshold is %g (wanted 0 to 1)", v);
    return NORN_OK;
}

#define FLOAT NORNI_T(NORN_F32), 0
const norn_op norni_op_NonMaxSuppression = {
    .domain = "",
    .name = "NonMaxSuppression",
    .versions = (const int[]){10, 11, 0},
    .doc = "boxes of high scores that do not overlap much, as batch, class and box",
    .inputs =
        (const norni_param[]){{"boxes", NORNI_NODIFF, FLOAT},
                              {"scores", NORNI_NODIFF, FLOAT},
                              {"max_output_boxes_per_class", NORNI_OPT | NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                              {"iou_threshold", NORNI_OPT | NORNI_NODIFF, FLOAT},
                              {"score_threshold", NORNI_OPT | NORNI_NODIFF, FLOAT},
                              {0}},
    .outputs = (const norni_param[]){{"selected_indices", 0, NORNI_T(NORN_I64), 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .eval = eval,
    .check = check,
    .data_shapes = true,
    .cases =
        (const char *const[]){
            "NonMaxSuppression(float[2,30,4], float[2,3,30], int64[]{5}, float[]{0.1}, float[]{0})",
            "NonMaxSuppression<center_point_box=1>(float[1,20,4], float[1,2,20], int64[1]{3}, float[1]{0.5})",
            "NonMaxSuppression(float[1,9,4], float[1,1,9])",
            "NonMaxSuppression(float[1,0,4], float[1,1,0], int64[]{2})",
            "NonMaxSuppression(float[1,1,4], float[1,1,1], int64[]{2}, float[]{1}, float[]{-2})", NULL},
};
