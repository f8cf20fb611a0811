/* SPDX-License-Identifier: Apache-2.0 */
/* TfIdfVectorizer: how often n-grams of a pool occur in a row of tokens, with tokens left out between, weighted. norn.Ngrams
 * counts; the weights are pointwise operators behind it. Tokens are integers; strings are refused. Source: ONNX
 * TfIdfVectorizer-9. The i-th weight is that of the i-th n-gram, wherever its count stands in the output. */
#include "ops/ml.h"
#include <stdlib.h>
#include <string.h>

/* ---- norn.Ngrams. */
enum { X, POOL, GRAM, FROM };
typedef struct {
    int64_t skips;
} counts_attrs;
static const norni_attr counts_table[] = {NORNI_A_INT(counts_attrs, skips, 0, .lo = 0, .hi = INT32_MAX),
                                          NORNI_A_END};

static norn_status infer_counts(norni_infer *c) {
    const norni_type *x = norni_in_type(c, X), *gram = norni_in_type(c, GRAM), *from = norni_in_type(c, FROM);
    if (!norni_in_ranked(c, 4))
        return NORN_OK;
    if (x->rank != 2 || gram->rank != 2 || gram->dims[1] != 2 || from->rank != 1 || from->dims[0] < 2)
        return norni_fail(NORN_SHAPE, "x, gram and from have rank %d, %d and %d (wanted 2, 2 and 1)", x->rank,
                          gram->rank, from->rank);
    c->out[0].rank = 2;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[1] = from->dims[0] - 1;
    return NORN_OK;
}

/* Everything is within its table. */
static norn_status check_counts(const norn_node *node, int i, const norn_tensor *t) {
    int64_t tokens = norni_type_elems(&node->in[POOL]->type), grams = node->in[GRAM]->type.dims[0];
    const int32_t *v = norni_tensor_data(t);
    for (int64_t k = 0; i == GRAM && k < grams; k++)
        if (v[2 * k] < 0 || v[2 * k + 1] < 1 || (int64_t)v[2 * k] + v[2 * k + 1] > tokens)
            return norni_fail(NORN_ARG, "n-gram %lld has tokens %d to %lld (there are %lld)", (long long)k,
                              (int)v[2 * k], (long long)v[2 * k] + v[2 * k + 1], (long long)tokens);
    for (int64_t k = 0; i == FROM && k < t->dims[0]; k++)
        if (v[k] < (k ? v[k - 1] : 0) || v[k] > grams)
            return norni_fail(NORN_ARG, "output %lld begins at n-gram %d (there are %lld)", (long long)k,
                              (int)v[k], (long long)grams);
    return NORN_OK;
}

static int64_t occurrences(const norn_tensor *x, int64_t row, const int64_t *want, int length,
                           int64_t skips) {
    int64_t tokens = x->dims[1], found = 0;
    for (int64_t d = 1; d <= (length == 1 ? 1 : skips + 1) && d <= tokens; d++)
        for (int64_t s = 0; s + d * (length - 1) < tokens; s++) {
            int k = 0;
            while (k < length &&
                   norni_get_int(x->dtype, norni_tensor_data(x), row * tokens + s + d * k) == want[k])
                k++;
            found += k == length;
        }
    return found;
}

static norn_status eval_counts(norni_eval *e) {
    const norn_tensor *x = e->in[X];
    const int64_t *pool = norni_tensor_data(e->in[POOL]);
    const int32_t *gram = norni_tensor_data(e->in[GRAM]), *from = norni_tensor_data(e->in[FROM]);
    int64_t outputs = e->out[0]->dims[1];
    float *y = norni_tensor_data(e->out[0]);
    for (int64_t i = 0, n = norni_tensor_elems(e->out[0]); i < n; i++) {
        int64_t found = 0;
        for (int32_t g = from[i % outputs]; g < from[i % outputs + 1]; g++)
            found += occurrences(x, i / outputs, pool + gram[2 * g], gram[2 * g + 1],
                                 ((const counts_attrs *)e->attrs)->skips);
        y[i] = (float)found;
    }
    return NORN_OK;
}

static norn_status emit_counts(norni_emit *e) {
    const norn_node *node = e->node;
    const norni_type *x = &node->in[X]->type, *y = &node->out[0]->type;
    int64_t n = norni_type_elems(y), units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t each = norni_device_is_cpu(e->device) ? (n + units * 4 - 1) / (units * 4) : 1;
    if (!n)
        return e->status;
    norni_step *s = norni_emit_kernel(e, "tfidf.cl", "ngrams", x->dtype);
    for (int i = X; i <= FROM; i++)
        norni_step_buffer(e, s, norni_emit_in(e, i), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, x->dims[1]);
    norni_step_i64(e, s, y->dims[1]);
    norni_step_i64(e, s, ((const counts_attrs *)node->attrs)->skips);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 1, (n + each - 1) / each, 1, 1);
    return e->status;
}

static void cost_counts(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[X]->type) * (double)node->in[GRAM]->type.dims[0];
}

static const norni_impl impls[] = {{.name = "outputs", .emit = emit_counts}, {0}};
const norn_op norni_op_Ngrams = {
    .domain = "norn",
    .name = "Ngrams",
    .versions = (const int[]){1, 0},
    .doc = "how often n-grams occur in rows of tokens, by tables",
    .inputs = (const norni_param[]){{"x", NORNI_NODIFF, NORNI_INDEX, 0},
                                    {"pool", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {"gram", NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                                    {"from", NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_T(NORN_F32), 0}, {0}},
    .attrs_bytes = sizeof(counts_attrs),
    .attrs = counts_table,
    .infer = infer_counts,
    .check = check_counts,
    .grad = norni_no_gradient,
    .eval = eval_counts,
    .impls = impls,
    .cost = cost_counts,
    .cases =
        (const char *const[]){
            "norn.Ngrams<skips=1>(int64[2,9]{1,2,3,1,2,1,2,3,3, 2,2,2,1,1,1,3,1,2}, int64[5]{1,2,3,1,2}, "
            "int32[4,2]{0,1,1,1,0,2,2,3}, int32[4]{0,1,1,4})",
            "norn.Ngrams(int32[1,3]{1,2,3}, int64[2]{2,3}, int32[1,2]{0,2}, int32[2]{0,1})",
            "norn.Ngrams<skips=7>(int64[3,0], int64[2]{2,3}, int32[1,2]{0,2}, int32[2]{0,1})",
            "norn.Ngrams(int64[0,4], int64[2]{2,3}, int32[1,2]{0,2}, int32[3]{0,1,1})", NULL},
};

/* ---- TfIdfVectorizer. */
enum { TF, IDF, TFIDF };
static const char *const modes[] = {"TF", "IDF", "TFIDF", NULL};
typedef struct {
    int mode;
    int64_t max_gram_length, max_skip_count, min_gram_length;
    norni_ints ngram_counts, ngram_indexes, pool_int64s;
    norni_strings pool_strings;
    norni_floats weights;
} attrs;
static const norni_attr table[] = {
    NORNI_A(attrs, mode, ENUM, .words = modes, .flags = NORNI_ATTR_REQUIRED),
    NORNI_A(attrs, max_gram_length, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX),
    NORNI_A(attrs, max_skip_count, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 0, .hi = INT32_MAX),
    NORNI_A(attrs, min_gram_length, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX),
    NORNI_A(attrs, ngram_counts, INTS, .flags = NORNI_ATTR_REQUIRED, .lo = 0, .hi = INT32_MAX),
    NORNI_A(attrs, ngram_indexes, INTS, .flags = NORNI_ATTR_REQUIRED, .lo = 0, .hi = INT32_MAX),
    NORNI_A_INTS(attrs, pool_int64s),
    NORNI_A(attrs, pool_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(attrs, weights, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_END};

static int64_t outputs_of(const attrs *a) {
    int64_t most = 0;
    for (int i = 0; i < a->ngram_indexes.n; i++)
        most = a->ngram_indexes.v[i] > most ? a->ngram_indexes.v[i] : most;
    return most + 1;
}

/* Tokens of the pool that n-grams of length n take: from *first to before *end. */
static void tokens_of(const attrs *a, int n, int64_t *first, int64_t *end) {
    *first = a->ngram_counts.v[n - 1];
    *end = n < a->ngram_counts.n ? a->ngram_counts.v[n] : a->pool_int64s.n;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    int64_t first, end, grams = 0;
    NORNI_TRY(norni_ml_refuse(&a->pool_strings, "pool_strings"));
    if (a->pool_int64s.n < 1 || a->ngram_indexes.n < 1)
        return norni_fail(NORN_ARG, "pool_int64s or ngram_indexes is missing or empty");
    if (a->max_gram_length < a->min_gram_length || a->max_gram_length > a->ngram_counts.n)
        return norni_fail(NORN_ARG, "n-grams of %lld to %lld tokens (the pool has some of 1 to %d)",
                          (long long)a->min_gram_length, (long long)a->max_gram_length, a->ngram_counts.n);
    for (int n = 1; n <= a->ngram_counts.n; n++) {
        tokens_of(a, n, &first, &end);
        if (first > end || (end - first) % n)
            return norni_fail(NORN_ARG, "the pool has tokens %lld to %lld for n-grams of %d",
                              (long long)first, (long long)end, n);
        grams += (end - first) / n;
    }
    if (a->ngram_counts.v[0] || grams != a->ngram_indexes.n)
        return norni_fail(NORN_ARG, "%d indexes (the pool has %lld n-grams)", a->ngram_indexes.n,
                          (long long)grams);
    if (a->weights.n > 0 && a->weights.n != grams)
        return norni_fail(NORN_ARG, "%d weights (the pool has %lld n-grams)", a->weights.n, (long long)grams);
    if (x->rank == 0 || x->rank > 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 1 or 2)", x->rank);
    if (x->rank < 0)
        return NORN_OK;
    c->out[0].rank = x->rank;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[x->rank - 1] = outputs_of(a);
    return NORN_OK;
}

/* An n-gram that is looked for. */
typedef struct {
    int64_t out;
    int32_t first, length, number;
} gram;
static int by_output(const void *p, const void *q) {
    const gram *a = p, *b = q;
    return a->out != b->out ? (a->out < b->out ? -1 : 1) : a->number - b->number;
}

static int list_grams(const attrs *a, gram *out) {
    int n = 0;
    int32_t number = 0;
    for (int length = 1; length <= a->ngram_counts.n; length++) {
        int64_t first, end;
        for (tokens_of(a, length, &first, &end); first < end; first += length, number++)
            if (length >= a->min_gram_length && length <= a->max_gram_length)
                out[n++] = (gram){a->ngram_indexes.v[number], (int32_t)first, length, number};
    }
    qsort(out, (size_t)n, sizeof *out, by_output);
    return n;
}

static norn_status tables(norn_graph *g, const attrs *a, norn_value *x, norn_value **out) {
    int64_t outputs = outputs_of(a), size = outputs + 1;
    gram *list = norni_alloc_array((size_t)a->ngram_indexes.n + 1, sizeof *list);
    norn_tensor *grams = NULL, *from = NULL;
    if (!list)
        return norni_nomem();
    int n = list_grams(a, list);
    norn_status s = norni_tensor_host(NORN_I32, 2, (int64_t[]){n, 2}, &grams);
    if (s == NORN_OK)
        s = norni_tensor_host(NORN_I32, 1, &size, &from);
    if (s == NORN_OK) {
        int32_t *v = norni_tensor_data(grams), *f = norni_tensor_data(from);
        for (int i = 0; i < n; i++) {
            v[2 * i] = list[i].first;
            v[2 * i + 1] = list[i].length;
        }
        for (int64_t o = 0, i = 0; o <= outputs; o++) {
            while (i < n && list[i].out < o)
                i++;
            f[o] = (int32_t)i;
        }
        norn_value *in[] = {x, norni_ml_ints(g, &a->pool_int64s), norni_value_const(g, NULL, grams),
                            norni_value_const(g, NULL, from)};
        *out = norni_opf(g, 4, in, "norn.Ngrams<skips=%lld>", (long long)a->max_skip_count);
    } else
        norn_tensor_free(grams);
    norni_free(list);
    return s == NORN_OK ? norn_graph_status(g) : s;
}

static norn_value *weights_of(norn_graph *g, const attrs *a) {
    int64_t n = outputs_of(a);
    norn_tensor *w;
    norn_status s = norni_tensor_host(NORN_F32, 1, &n, &w);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int i = 0; i < a->weights.n; i++)
        ((float *)norni_tensor_data(w))[a->ngram_indexes.v[i]] = a->weights.v[i];
    return norni_value_const(g, NULL, w);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    norn_value *x = node->in[0], *axis = norni_i64_const(g, 1, (int64_t[]){0}), *y = NULL;
    bool vector = x->type.rank == 1;
    NORNI_TRY(tables(g, a, vector ? NORNI_OP2(g, x, axis, "Unsqueeze") : x, &y));
    if (a->mode == IDF)
        y = NORNI_OP2(g, y, norni_scalar_const(g, NORN_F32, 1), "Min");
    if (a->mode != TF && a->weights.n > 0)
        y = NORNI_OP2(g, y, weights_of(g, a), "Mul");
    out[0] = vector ? NORNI_OP2(g, y, axis, "Squeeze") : y;
    return norn_graph_status(g);
}

#define POOL3 "ngram_counts=[0,2,6], ngram_indexes=[1,0,2,3,5], pool_int64s=[0,-1, 0,0, -1,0, 0,-1,0]"
const norn_op norni_op_TfIdfVectorizer = {
    .domain = "",
    .name = "TfIdfVectorizer",
    .versions = (const int[]){9, 0},
    .doc = "how often n-grams occur in a row of tokens, weighted",
    .inputs = (const norni_param[]){{"X", NORNI_NODIFF, NORNI_INDEX, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_F32), 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .expand = expand,
    .untested_attrs = "pool_strings",
    .cases = (const char *const[]){"TfIdfVectorizer<mode=\"TF\", min_gram_length=1, max_gram_length=3, "
                                   "max_skip_count=2, " POOL3 ">(int64[3,14])",
                                   "TfIdfVectorizer<mode=\"TFIDF\", min_gram_length=2, max_gram_length=2, "
                                   "max_skip_count=0, weights=[2.0,3.0,5.0,7.0,11.0], " POOL3 ">(int32[17])",
                                   "TfIdfVectorizer<mode=\"IDF\", min_gram_length=1, max_gram_length=2, "
                                   "max_skip_count=5, weights=[2.0,3.0,5.0,7.0,11.0], " POOL3 ">(int64[2,9])",
                                   "TfIdfVectorizer<mode=\"IDF\", min_gram_length=1, max_gram_length=1, "
                                   "max_skip_count=0, " POOL3 ">(int64[2,0])",
                                   NULL},
};
