/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum (ONNX Einsum-28): sums of products written by letters, "ij,jk->ik". "..." stands for any number of broadcast axes,
 * a letter that stands twice in a term for a diagonal; without "->" the letters that stand once are the output, in their
 * order, behind "...".
 *
 * It is done by other operators: diagonals by Gather, letters that only one operand has and nobody reads later by ReduceSum, then
 * two operands at a time by MatMul [shared and kept, own of the left, summed] x [shared and kept, summed, own of the right],
 * or by Mul where nothing is summed. */
#include "ops/op.h"
#include <string.h>

typedef struct {
    const char *equation;
} attrs_t;
static const norni_attr table[] = {NORNI_A(attrs_t, equation, STRING, .flags = NORNI_ATTR_REQUIRED),
                                   NORNI_A_END};

/* A label is a letter or an axis of "..."; the last of these is DOTS + 31. */
enum { DOTS = 52, LABELS = 84, MAX_TERMS = 32, MAX_LABELS = 2 * NORN_MAX_RANK };
typedef struct {
    int n, label[MAX_LABELS];
} term;
typedef struct {
    int n;
    term in[MAX_TERMS], out;
} equation;

static int label_of(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

static norn_status wrong(const char *text, const char *what) {
    return norni_fail(NORN_ARG, "equation '%.80s': %s", text, what);
}

static norn_status push(term *t, int label, const char *text) {
    if (t->n == MAX_LABELS)
        return wrong(text, "more labels in a term than a tensor has axes");
    t->label[t->n++] = label;
    return NORN_OK;
}

/* One term up to ',', "->" or the end; dots: how many axes "..." stands for, right-aligned within `most`. */
static norn_status parse_term(const char **p, const char *text, int dots, int most, term *t, bool *has_dots) {
    *has_dots = false;
    for (t->n = 0; **p && **p != ',' && **p != '-'; ++*p) {
        if (**p == ' ')
            continue;
        if (**p == '.') {
            if (strncmp(*p, "...", 3) || *has_dots)
                return wrong(text, "'.' that is no single \"...\" of its term");
            *has_dots = true;
            for (int i = 0; i < dots; i++)
                NORNI_TRY(push(t, DOTS + most - dots + i, text));
            *p += 2;
        } else if (label_of(**p) < 0)
            return wrong(text, "a character that is no letter, ',', \"->\" or \"...\"");
        else
            NORNI_TRY(push(t, label_of(**p), text));
    }
    return NORN_OK;
}

static int letters_of(const char *p) {
    int n = 0;
    for (; *p && *p != ',' && *p != '-'; p++)
        n += label_of(*p) >= 0;
    return n;
}

static int count(const equation *q, int label) {
    int n = 0;
    for (int i = 0; i < q->n; i++)
        for (int k = 0; k < q->in[i].n; k++)
            n += q->in[i].label[k] == label;
    return n;
}
static int find(const term *t, int label) {
    for (int k = 0; k < t->n; k++)
        if (t->label[k] == label)
            return k;
    return -1;
}

static norn_status parse_output(const char *p, const char *text, int most, bool any_dots, equation *q) {
    bool has_dots;
    while (*p == ' ')
        p++;
    if (!*p) { /* implicit */
        for (int i = 0; i < most; i++)
            NORNI_TRY(push(&q->out, DOTS + i, text));
        for (int l = 0; l < DOTS; l++)
            if (count(q, l) == 1)
                NORNI_TRY(push(&q->out, l, text));
        return NORN_OK;
    }
    if (p[0] != '-' || p[1] != '>')
        return wrong(text, "'-' without '>'");
    p += 2;
    NORNI_TRY(parse_term(&p, text, most, most, &q->out, &has_dots));
    if (*p)
        return wrong(text, "something behind the output");
    if (has_dots && !any_dots)
        return wrong(text, "\"...\" in the output, but in no input");
    for (int k = 0; k < q->out.n; k++) {
        if (q->out.label[k] < DOTS && !count(q, q->out.label[k]))
            return wrong(text, "a letter of the output is in no input");
        if (find(&q->out, q->out.label[k]) != k)
            return wrong(text, "a letter stands twice in the output");
    }
    return NORN_OK;
}

/* rank[i] of every input. */
static norn_status parse(const char *text, int n, const int *rank, equation *q) {
    const char *p = text;
    int most = 0, i = 0;
    bool any_dots = false, has_dots;
    memset(q, 0, sizeof *q);
    q->n = n;
    if (n > MAX_TERMS)
        return norni_fail(NORN_UNSUPPORTED, "%d inputs (wanted at most %d)", n, MAX_TERMS);
    for (const char *s = text; i < n; i++) { /* axes of "..." */
        int dots = rank[i] - letters_of(s);
        bool here = strcspn(s, ".") < strcspn(s, ",-");
        if (here && dots > most)
            most = dots;
        if (here ? dots < 0 : dots != 0)
            return norni_fail(NORN_SHAPE, "equation '%.80s': term %d has %d letters for an input of rank %d",
                              text, i, letters_of(s), rank[i]);
        any_dots |= here;
        s += strcspn(s, ",-");
        if ((*s == ',') != (i + 1 < n))
            return norni_fail(NORN_ARG, "equation '%.80s': another number of terms than inputs (%d)", text,
                              n);
        s += *s == ',';
    }
    if (most > LABELS - DOTS)
        return wrong(text, "too many axes");
    for (i = 0; i < n; i++) {
        NORNI_TRY(parse_term(&p, text, rank[i] - letters_of(p), most, &q->in[i], &has_dots));
        p += *p == ',';
    }
    return parse_output(p, text, most, any_dots, q);
}

static norn_status equation_of(const norn_node *node, equation *q) {
    int rank[MAX_TERMS];
    for (int i = 0; i < node->n_in && i < MAX_TERMS; i++)
        rank[i] = node->in[i]->type.rank;
    return parse(((const attrs_t *)node->attrs)->equation, node->n_in, rank, q);
}

/* ---- Shapes. A size of 1 broadcasts. */
static norn_status sizes_of(norn_node *node, const equation *q, norni_dim *size) {
    for (int l = 0; l < LABELS; l++)
        size[l] = 1;
    for (int i = 0; i < q->n; i++)
        for (int k = 0; k < q->in[i].n; k++) {
            norni_dim d = node->in[i]->type.dims[k], *s = &size[q->in[i].label[k]];
            if (*s == 1 || *s == d)
                *s = d;
            else if (d >= 0 && *s >= 0 && d != 1)
                return norni_fail(NORN_SHAPE,
                                  "input %d has size %lld in dimension %d (wanted %lld, as its letter has)",
                                  i, (long long)d, k, (long long)*s);
            else if (d > 1)
                *s = d;
        }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    equation q;
    norni_dim size[LABELS];
    if (!norni_in_ranked(c, c->node->n_in))
        return NORN_OK;
    NORNI_TRY(equation_of(c->node, &q));
    NORNI_TRY(sizes_of(c->node, &q, size));
    if (q.out.n > NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "the output has rank %d (wanted at most %d)", q.out.n, NORN_MAX_RANK);
    c->out[0].rank = q.out.n;
    for (int k = 0; k < q.out.n; k++)
        c->out[0].dims[k] = size[q.out.label[k]];
    return NORN_OK;
}

/* ---- Host reference: over all values of all labels. */
static norn_status eval(norni_eval *e) {
    equation q;
    int64_t size[LABELS], at[LABELS] = {0}, total = 1;
    int rank[MAX_TERMS], used[LABELS], n_used = 0;
    for (int i = 0; i < e->n_in && i < MAX_TERMS; i++)
        rank[i] = e->in[i]->rank;
    NORNI_TRY(parse(((const attrs_t *)e->attrs)->equation, e->n_in, rank, &q));
    for (int l = 0; l < LABELS; l++) {
        size[l] = 1;
        for (int i = 0; i < q.n; i++)
            for (int k = 0; k < q.in[i].n; k++)
                if (q.in[i].label[k] == l && e->in[i]->dims[k] != 1)
                    size[l] = e->in[i]->dims[k];
        if (count(&q, l))
            used[n_used++] = l;
        total *= size[l];
    }
    norn_tensor *y = e->out[0];
    bool is_float = norni_dtype_is_float(y->dtype);
    double *sum = norni_alloc_array((size_t)norni_tensor_elems(y) + 1, sizeof *sum);
    uint64_t *isum = norni_alloc_array((size_t)norni_tensor_elems(y) + 1, sizeof *isum);
    for (int64_t t = 0; t < total && sum && isum; t++) {
        double v = 1;
        uint64_t u = 1;
        for (int i = 0; i < q.n; i++) {
            int64_t p = 0;
            for (int k = 0; k < q.in[i].n; k++)
                p = p * e->in[i]->dims[k] + (e->in[i]->dims[k] == 1 ? 0 : at[q.in[i].label[k]]);
            if (is_float)
                v *= norni_get_double(y->dtype, norni_tensor_data(e->in[i]), p);
            else
                u *= (uint64_t)norni_get_int(y->dtype, norni_tensor_data(e->in[i]), p);
        }
        int64_t p = 0;
        for (int k = 0; k < q.out.n; k++)
            p = p * y->dims[k] + at[q.out.label[k]];
        sum[p] += v;
        isum[p] += u;
        for (int i = n_used - 1; i >= 0 && ++at[used[i]] == size[used[i]]; i--)
            at[used[i]] = 0;
    }
    for (int64_t i = 0; i < norni_tensor_elems(y) && sum && isum; i++)
        if (is_float)
            norni_set_double(y->dtype, norni_tensor_data(y), i, sum[i]);
        else
            norni_set_int(y->dtype, norni_tensor_data(y), i, (int64_t)isum[i]);
    norn_status s = sum && isum ? NORN_OK : norni_nomem();
    norni_free(sum);
    norni_free(isum);
    return s;
}

/* ---- By other operators. An operand while it is worked on. */
typedef struct {
    norn_value *v;
    term t;
} operand;

static void drop(operand *o, int k) {
    memmove(&o->t.label[k], &o->t.label[k + 1], (size_t)(o->t.n - k - 1) * sizeof(int));
    o->t.n--;
}

/* The axes in the order of the labels, which are all of o's. */
static void arrange(norn_graph *g, operand *o, const int *labels) {
    norni_str perm = {0};
    bool same = true;
    for (int k = 0; k < o->t.n; k++) {
        int at = find(&o->t, labels[k]);
        same &= at == k;
        norni_str_addf(&perm, "%s%d", k ? "," : "", at);
    }
    if (!same && o->v)
        o->v = NORNI_OP1(g, o->v, "Transpose<perm=[%s]>", perm.s ? perm.s : "");
    norni_str_free(&perm);
    memcpy(o->t.label, labels, (size_t)o->t.n * sizeof *labels);
}

/* Axes i < k of the same label become one: the two go to the end, and every (n + 1)th of their n * n elements stays. */
static norn_status diagonal(norn_graph *g, operand *o, int i, int k) {
    int64_t order[MAX_LABELS];
    int n = 0;
    norni_str perm = {0};
    for (int a = 0; a < o->t.n; a++)
        if (a != i && a != k)
            order[n++] = a;
    order[n] = i;
    order[n + 1] = k;
    for (int a = 0; a < o->t.n; a++)
        norni_str_addf(&perm, "%s%d", a ? "," : "", (int)order[a]);
    norni_dim size = o->v->type.dims[i];
    norn_tensor *index;
    if (size < 0 || size != o->v->type.dims[k]) {
        norni_str_free(&perm);
        return norni_fail(NORN_UNSUPPORTED,
                          "Einsum: a diagonal of axes whose size is not known or not the same");
    }
    norn_value *x = NORNI_OP1(g, o->v, "Transpose<perm=[%s]>", perm.s ? perm.s : "");
    norni_str_free(&perm);
    norn_value *shape[MAX_LABELS];
    for (int a = 0; x && a < n; a++)
        shape[a] = norni_size_value(g, x, a);
    shape[n] = norni_i64_const(g, 1, (int64_t[]){size * size});
    x = NORNI_OP2(g, x, norni_opf(g, n + 1, shape, "Concat<axis=0>"), "Reshape<allowzero=1>");
    NORNI_TRY(norni_tensor_host(NORN_I64, 1, &size, &index));
    for (int64_t a = 0; a < size; a++)
        norni_set_int(NORN_I64, norni_tensor_data(index), a, a * (size + 1));
    o->v = NORNI_OP2(g, x, norni_value_const(g, NULL, index), "Gather<axis=%d>", n);
    int label = o->t.label[i];
    drop(o, k);
    drop(o, i);
    o->t.label[o->t.n++] = label;
    return norn_graph_status(g);
}

static void reduce(norn_graph *g, operand *o, const bool *gone) {
    int64_t axes[MAX_LABELS];
    int n = 0;
    for (int k = 0; k < o->t.n; k++)
        if (gone[k])
            axes[n++] = k;
    if (!n)
        return;
    o->v = NORNI_OP2(g, o->v, norni_i64_const(g, n, axes), "ReduceSum<keepdims=0>");
    for (int k = n - 1; k >= 0; k--)
        drop(o, (int)axes[k]);
}

/* Axes of size 1 whose label has another size elsewhere are taken away: they broadcast. */
static void squeeze(norn_graph *g, operand *o, const norni_dim *size) {
    int64_t axes[MAX_LABELS];
    int n = 0;
    for (int k = 0; k < o->t.n; k++)
        if (o->v->type.dims[k] == 1 && size[o->t.label[k]] != 1)
            axes[n++] = k;
    if (!n)
        return;
    o->v = NORNI_OP2(g, o->v, norni_i64_const(g, n, axes), "Squeeze");
    for (int k = n - 1; k >= 0; k--)
        drop(o, (int)axes[k]);
}

/* The operand with an axis of size 1 for each label that it lacks. */
static norn_value *spread(norn_graph *g, operand *o, const term *all) {
    int64_t axes[MAX_LABELS];
    int labels[MAX_LABELS] = {0}, n = 0, m = 0;
    for (int k = 0; k < all->n; k++)
        if (find(&o->t, all->label[k]) < 0)
            axes[n++] = k;
        else
            labels[m++] = all->label[k];
    arrange(g, o, labels);
    return n ? NORNI_OP2(g, o->v, norni_i64_const(g, n, axes), "Unsqueeze") : o->v;
}

typedef struct {
    norn_graph *g;
    norn_value *size[LABELS]; /* int64[1] */
} sizes;

static norn_value *product(const sizes *z, int n, const int *labels) {
    norn_value *v = NULL;
    for (int k = 0; k < n; k++)
        v = v ? NORNI_OP2(z->g, v, z->size[labels[k]], "Mul") : z->size[labels[k]];
    return v ? v : norni_i64_const(z->g, 1, (int64_t[]){1});
}

static norn_value *three(const sizes *z, norn_value *a, norn_value *b, norn_value *c) {
    return norni_opf(z->g, 3, (norn_value *[]){a, b, c}, "Concat<axis=0>");
}

/* a times b; `later`: the label is read by another operand or the output. */
static void multiply(const sizes *z, operand *a, operand *b, const bool *later) {
    norn_graph *g = z->g;
    term batch = {0}, left = {0}, right = {0}, sum = {0}, all = {0};
    for (int k = 0; k < a->t.n; k++) {
        int l = a->t.label[k];
        term *t = find(&b->t, l) < 0 ? &left : later[l] ? &batch : &sum;
        t->label[t->n++] = l;
    }
    for (int k = 0; k < b->t.n; k++)
        if (find(&a->t, b->t.label[k]) < 0)
            right.label[right.n++] = b->t.label[k];
    const term *parts[] = {&batch, &left, &right};
    for (int p = 0; p < 3; p++)
        for (int k = 0; k < parts[p]->n && all.n < MAX_LABELS; k++)
            all.label[all.n++] = parts[p]->label[k];
    if (!sum.n) {
        norn_value *x = spread(g, a, &all), *y = spread(g, b, &all);
        a->v = NORNI_OP2(g, x, y, "Mul");
        a->t = all;
        return;
    }
    int order[MAX_LABELS];
    memcpy(order, batch.label, sizeof batch.label);
    memcpy(order + batch.n, left.label, (size_t)left.n * sizeof(int));
    memcpy(order + batch.n + left.n, sum.label, (size_t)sum.n * sizeof(int));
    arrange(g, a, order);
    memcpy(order + batch.n, sum.label, (size_t)sum.n * sizeof(int));
    memcpy(order + batch.n + sum.n, right.label, (size_t)right.n * sizeof(int));
    arrange(g, b, order);
    norn_value *nb = product(z, batch.n, batch.label), *m = product(z, left.n, left.label),
               *k = product(z, sum.n, sum.label), *n = product(z, right.n, right.label);
    norn_value *x = batch.n == 1 && left.n == 1 && sum.n == 1
                        ? a->v
                        : NORNI_OP2(g, a->v, three(z, nb, m, k), "Reshape<allowzero=1>");
    norn_value *y = batch.n == 1 && right.n == 1 && sum.n == 1
                        ? b->v
                        : NORNI_OP2(g, b->v, three(z, nb, k, n), "Reshape<allowzero=1>");
    norn_value *p = NORNI_OP2(g, x, y, "MatMul"), *shape[MAX_LABELS];
    for (int i = 0; i < all.n; i++)
        shape[i] = z->size[all.label[i]];
    if (batch.n != 1 || left.n != 1 || right.n != 1)
        p = NORNI_OP2(g, p,
                      all.n ? norni_opf(g, all.n, shape, "Concat<axis=0>") : norni_i64_const(g, 0, NULL),
                      "Reshape<allowzero=1>");
    a->v = p;
    a->t = all;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    equation q;
    norni_dim size[LABELS];
    sizes z = {.g = g};
    operand o[MAX_TERMS];
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]->type.rank < 0)
            return norni_fail(NORN_UNSUPPORTED, "Einsum: a rank is not known");
    NORNI_TRY(equation_of(node, &q));
    NORNI_TRY(sizes_of((norn_node *)node, &q, size));
    norn_dtype t = node->in[0]->type.dtype,
               work = norni_dtype_is_float(t) || norni_dtype_bits(t) >= 32 ? t : NORN_I32;
    for (int i = 0; i < q.n; i++) {
        o[i] = (operand){norni_cast(g, node->in[i], work), q.in[i]};
        for (int k = 1; k < o[i].t.n; k++)
            for (int a = 0; a < k; a++)
                if (o[i].t.label[a] == o[i].t.label[k]) {
                    NORNI_TRY(diagonal(g, &o[i], a, k));
                    k = 0;
                    break;
                }
        if (o[i].v)
            squeeze(g, &o[i], size);
        NORNI_TRY(norn_graph_status(g));
        for (int k = 0; k < o[i].t.n; k++)
            if (!z.size[o[i].t.label[k]])
                z.size[o[i].t.label[k]] = norni_size_value(g, o[i].v, k);
    }
    for (int i = 0; i < q.n; i++) { /* labels of one operand alone */
        bool gone[MAX_LABELS];
        for (int k = 0; k < o[i].t.n; k++) {
            int l = o[i].t.label[k];
            gone[k] = find(&q.out, l) < 0;
            for (int j = 0; j < q.n; j++)
                gone[k] &= j == i || find(&o[j].t, l) < 0;
        }
        reduce(g, &o[i], gone);
    }
    for (int i = 1; i < q.n; i++) {
        bool later[LABELS];
        for (int l = 0; l < LABELS; l++) {
            later[l] = find(&q.out, l) >= 0;
            for (int j = i + 1; j < q.n; j++)
                later[l] |= find(&o[j].t, l) >= 0;
        }
        multiply(&z, &o[0], &o[i], later);
        NORNI_TRY(norn_graph_status(g));
    }
    arrange(g, &o[0], q.out.label);
    out[0] = norni_cast(g, o[0].v == node->in[0] ? NORNI_OP1(g, o[0].v, "Identity") : o[0].v, t);
    return norn_graph_status(g);
}

#define EINSUM_TYPES (NORNI_FLOATS | NORNI_INTS)
const norn_op norni_op_Einsum = {
    .domain = "",
    .name = "Einsum",
    .versions = (const int[]){12, 28, 0},
    .doc = "sum of products over letters, by an equation such as ij,jk->ik",
    .inputs = (const norni_param[]){{"Inputs", NORNI_VARIADIC, EINSUM_TYPES, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Output", 0, EINSUM_TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cases = (const char *const[]){"Einsum<equation=\"ij,jk->ik\">(float[3,5], float[5,4])",
                                   "Einsum<equation=\"ij->ji\">(float[3,5])",
                                   "Einsum<equation=\"ij\">(float[3,5])",
                                   "Einsum<equation=\"ba\">(float[3,5])",
                                   "Einsum<equation=\"ij->\">(float[3,5])",
                                   "Einsum<equation=\"i,i->\">(float[7], float[7])",
                                   "Einsum<equation=\"ii->i\">(float[4,4])",
                                   "Einsum<equation=\"...ii->...i\">(float[2,3,4,4])",
                                   "Einsum<equation=\"bij, bjk -> bik\">(float[2,3,5], float[2,5,4])",
                                   "Einsum<equation=\"...ij,...jk\">(float[2,1,3,5], float[3,5,4])",
                                   "Einsum<equation=\"i,j->ij\">(float[3], float[5])",
                                   "Einsum<equation=\"bhqd,bhkd->bhqk\">(float[2,3,4,5], float[2,3,6,5])",
                                   "Einsum<equation=\"ij,jk,kl->li\">(float[3,4], float[4,5], float[5,2])",
                                   "Einsum<equation=\"ijk,ij->k\">(float[3,4,5], float[3,4])",
                                   "Einsum<equation=\"iij,jkk->ik\">(float[3,3,4], float[4,2,2])",
                                   "Einsum<equation=\"...a,...b->...\">(float[2,3], float[2,4])",
                                   "Einsum<equation=\"A...,aA\">(float[3,2], float[4,3])",
                                   "Einsum<equation=\"ij,jk\">(int32[3,5], int32[5,4])",
                                   "Einsum<equation=\"ij,jk\">(uint8[3,5], uint8[5,4])",
                                   "Einsum<equation=\"ij,jk\">(float[0,5], float[5,4])",
                                   "Einsum<equation=\",i->i\">(float[], float[3])",
                                   NULL},
};
