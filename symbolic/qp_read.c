/* SPDX-License-Identifier: Apache-2.0 */
/* Quadratic programs as they were given: checked, by rows, and in an order of the variables in which what is not 0 lies near the
 * diagonal (reverse Cuthill-McKee: Cuthill and McKee, 1969; George, 1971). */
#include "base/dtype.h"
#include "base/tensor.h"
#include "symbolic/qp.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Matrices with more entries than this share are kept dense. */
static const double dense_share = 0.2;

/* ---- Tensors. */
static norn_status check_part(const char *name, const norn_tensor *t, int rank, int64_t rows,
                              int64_t columns) {
    if (!t)
        return norni_fail(NORN_ARG, "qp: there is no %s", name);
    if (!norni_dtype_is_float(t->dtype) && !norni_dtype_is_int(t->dtype))
        return norni_fail(NORN_DTYPE, "qp: %s is %s (wanted numbers)", name, norni_dtype_name(t->dtype));
    if (t->rank == rank && t->dims[0] == rows && (rank < 2 || t->dims[1] == columns))
        return NORN_OK;
    char text[128];
    return norni_fail(NORN_SHAPE,
                      rank < 2 ? "qp: %s is %s (wanted [%lld])" : "qp: %s is %s (wanted [%lld,%lld])", name,
                      norni_shape_text(t->rank, t->dims, text), (long long)rows, (long long)columns);
}

/* The numbers of a tensor; limits may be infinite. */
static norn_status numbers(const char *name, const norn_tensor *t, bool limits, double **out) {
    int64_t n = norni_tensor_elems(t);
    *out = norni_alloc_array((size_t)n + 1, sizeof **out);
    if (!*out)
        return norni_nomem();
    const double *as_it_is = t->dtype == NORN_F64 ? norn_tensor_data(t) : NULL;
    for (int64_t i = 0; i < n; i++) {
        double v = as_it_is ? as_it_is[i] : norn_tensor_get(t, i);
        if (isnan(v) || (isinf(v) && !limits))
            return norni_fail(NORN_ARG, "qp: %s has an entry %g", name, v);
        (*out)[i] = limits && fabs(v) >= 1e20 ? copysign((double)INFINITY, v) : v;
    }
    return NORN_OK;
}

/* ---- Matrices. */
static void rows_free(norni_rows *r) {
    norni_free(r->v);
    norni_free(r->column);
    norni_free(r->start);
    *r = (norni_rows){0};
}

static norn_status rows_new(int64_t rows, int64_t columns, int64_t entries, norni_rows *out) {
    *out = (norni_rows){.rows = rows, .columns = columns};
    if (entries > INT_MAX)
        return norni_fail(NORN_UNSUPPORTED, "qp: a matrix of %lld entries (wanted at most %d)",
                          (long long)entries, INT_MAX);
    out->v = norni_alloc_array((size_t)entries + 1, sizeof *out->v);
    out->column = norni_alloc_array((size_t)entries + 1, sizeof *out->column);
    out->start = norni_alloc_array((size_t)rows + 1, sizeof *out->start);
    return out->v && out->column && out->start ? NORN_OK : norni_nomem();
}

static norn_status dense_new(int64_t rows, int64_t columns, norni_rows *out) {
    *out = (norni_rows){.rows = rows, .columns = columns};
    out->v = norni_alloc_array((size_t)rows * (size_t)columns + 1, sizeof *out->v);
    return out->v ? NORN_OK : norni_nomem();
}

/* Kept sparse where few entries are not 0; numbers that are there as doubles are not copied first. */
static norn_status read_dense(const char *name, const norn_tensor *t, norni_rows *out) {
    int64_t rows = out->rows, columns = out->columns, entries = 0;
    NORNI_TRY(check_part(name, t, 2, rows, columns));
    const double *all = t->dtype == NORN_F64 ? norn_tensor_data(t) : NULL;
    double *copy = NULL;
    norn_status s = NORN_OK;
    if (!all) {
        s = numbers(name, t, false, &copy);
        all = copy;
    }
    for (int64_t i = 0; i < rows * columns && s == NORN_OK; i++) {
        entries += all[i] != 0;
        if (!isfinite(all[i]))
            s = norni_fail(NORN_ARG, "qp: %s has an entry %g", name, all[i]);
    }
    bool dense = (double)entries > dense_share * (double)rows * (double)columns;
    if (s == NORN_OK)
        s = dense ? dense_new(rows, columns, out) : rows_new(rows, columns, entries, out);
    if (s == NORN_OK && dense)
        memcpy(out->v, all, (size_t)(rows * columns) * sizeof *all);
    for (int64_t i = 0, k = 0; i < rows && s == NORN_OK && !dense; i++) {
        for (int64_t c = 0; c < columns; c++)
            if (all[i * columns + c] != 0) {
                out->v[k] = all[i * columns + c];
                out->column[k++] = (int)c;
            }
        out->start[i + 1] = (int)k;
    }
    norni_free(copy);
    return s;
}

/* A sparse matrix's transpose, in whose rows the columns ascend. */
static norn_status transposed(const norni_rows *r, norni_rows *out) {
    if (!r->start) {
        NORNI_TRY(dense_new(r->columns, r->rows, out));
        for (int64_t i0 = 0; i0 < r->rows; i0 += 16) /* by tiles that stay in the caches */
            for (int64_t k = 0; k < r->columns; k++)
                for (int64_t i = i0; i < r->rows && i < i0 + 16; i++)
                    out->v[k * r->rows + i] = r->v[i * r->columns + k];
        return NORN_OK;
    }
    NORNI_TRY(rows_new(r->columns, r->rows, r->start[r->rows], out));
    for (int e = 0; e < r->start[r->rows]; e++)
        out->start[r->column[e] + 1]++;
    for (int64_t i = 0; i < out->rows; i++)
        out->start[i + 1] += out->start[i];
    for (int64_t i = 0; i < r->rows; i++)
        for (int e = r->start[i]; e < r->start[i + 1]; e++) {
            int to = out->start[r->column[e]]++;
            out->v[to] = r->v[e];
            out->column[to] = (int)i;
        }
    for (int64_t i = out->rows; i > 0; i--)
        out->start[i] = out->start[i - 1];
    out->start[0] = 0;
    return NORN_OK;
}

/* Entries of rows whose columns ascend: those at the same place are one, and what is 0 is none. */
static void add_up(norni_rows *r) {
    int to = 0;
    for (int64_t i = 0; i < r->rows; i++) {
        int from = i ? r->start[i] : 0, first = to;
        for (int e = from; e < r->start[i + 1]; e++)
            if (r->v[e] == 0)
                continue;
            else if (to > first && r->column[to - 1] == r->column[e])
                r->v[to - 1] += r->v[e];
            else {
                r->v[to] = r->v[e];
                r->column[to++] = r->column[e];
            }
        r->start[i] = first;
    }
    r->start[r->rows] = to;
}

static norn_status read_sparse(const char *name, const norn_tensor *v, const norn_tensor *column,
                               const norn_tensor *start, norni_rows *out) {
    int64_t rows = out->rows, columns = out->columns, entries = v && v->rank == 1 ? v->dims[0] : 0;
    norni_rows given = {0}, turned = {0};
    char text[64];
    snprintf(text, sizeof text, "%s (values of a sparse matrix)", name);
    NORNI_TRY(check_part(text, v, 1, entries, 0));
    snprintf(text, sizeof text, "%s_indices", name);
    NORNI_TRY(check_part(text, column, 1, entries, 0));
    snprintf(text, sizeof text, "%s_indptr", name);
    NORNI_TRY(check_part(text, start, 1, rows + 1, 0));
    norn_status s = rows_new(rows, columns, entries, &given);
    double *all = NULL;
    if (s == NORN_OK)
        s = numbers(name, v, false, &all);
    for (int64_t e = 0; e < entries && s == NORN_OK; e++) {
        double c = norn_tensor_get(column, e);
        if (!(c >= 0 && c < (double)columns) || c != floor(c))
            s = norni_fail(NORN_ARG, "qp: %s_indices has an entry %g (wanted 0 to %lld)", name, c,
                           (long long)columns - 1);
        else {
            given.v[e] = all[e];
            given.column[e] = (int)c;
        }
    }
    for (int64_t i = 0; i <= rows && s == NORN_OK; i++) {
        double at = norn_tensor_get(start, i), before = i ? given.start[i - 1] : 0;
        bool end = (i == 0 && at != 0) || (i == rows && at != (double)entries);
        if (!(at >= before && at <= (double)entries) || at != floor(at) || end)
            s = norni_fail(NORN_ARG, "qp: %s_indptr[%lld] is %g (wanted 0 to %lld, ascending)", name,
                           (long long)i, at, (long long)entries);
        else
            given.start[i] = (int)at;
    }
    if (s == NORN_OK)
        s = transposed(&given, &turned);
    if (s == NORN_OK)
        s = transposed(&turned, out); /* now the columns ascend */
    if (s == NORN_OK)
        add_up(out);
    norni_free(all);
    rows_free(&given);
    rows_free(&turned);
    return s;
}

static norn_status unsymmetric(int64_t i, int64_t k, double x, double y) {
    return norni_fail(NORN_ARG, "qp: P is not symmetric: [%lld,%lld] is %g, [%lld,%lld] is %g", (long long)i,
                      (long long)k, x, (long long)k, (long long)i, y);
}

static bool apart(double x, double y) {
    return fabs(x - y) > 1e-6 * fmax(1, fmax(fabs(x), fabs(y)));
}

/* P must be its transpose, but for rounding, which is taken out: the mean of both. */
static norn_status symmetric(norni_rows *p) {
    norni_rows t = {0}, mean = {0};
    int64_t n = p->rows;
    norn_status s = transposed(p, &t);
    for (int64_t e = 0; e < n * n && !p->start && s == NORN_OK; e++) {
        if (apart(p->v[e], t.v[e]))
            s = unsymmetric(e / n, e % n, p->v[e], t.v[e]);
        p->v[e] = (p->v[e] + t.v[e]) / 2;
    }
    if (s == NORN_OK && p->start)
        s = rows_new(n, n, 2 * (int64_t)p->start[n], &mean);
    for (int64_t i = 0, to = 0; i < n && p->start && s == NORN_OK; i++) {
        int e = p->start[i], f = t.start[i];
        while ((e < p->start[i + 1] || f < t.start[i + 1]) && s == NORN_OK) {
            int end = INT_MAX, c = e < p->start[i + 1] ? p->column[e] : end,
                d = f < t.start[i + 1] ? t.column[f] : end;
            double x = c <= d ? p->v[e++] : 0, y = d <= c ? t.v[f++] : 0;
            mean.v[to] = (x + y) / 2;
            mean.column[to++] = c < d ? c : d;
            if (apart(x, y))
                s = unsymmetric(i, c < d ? c : d, x, y);
        }
        mean.start[i + 1] = (int)to;
    }
    rows_free(&t);
    if (s != NORN_OK || !p->start) {
        rows_free(&mean);
        return s;
    }
    rows_free(p);
    *p = mean;
    return NORN_OK;
}

/* ---- Order. */

/* The variables that P or a row of A joins to i, into list, without i. Returns their number. mark[n] counts the calls, mark[k] is
 * the last one that saw k. */
static int64_t neighbours(const norni_quadratic *q, int64_t i, int64_t *mark, int64_t *list) {
    int64_t n = 0, now = ++mark[q->n];
    mark[i] = now;
    for (int e = q->p.start[i]; e < q->p.start[i + 1]; e++)
        if (mark[q->p.column[e]] != now) {
            mark[q->p.column[e]] = now;
            list[n++] = q->p.column[e];
        }
    for (int r = q->at.start[i]; r < q->at.start[i + 1]; r++) {
        int row = q->at.column[r];
        for (int e = q->a.start[row]; e < q->a.start[row + 1]; e++)
            if (mark[q->a.column[e]] != now) {
                mark[q->a.column[e]] = now;
                list[n++] = q->a.column[e];
            }
    }
    return n;
}

/* Breadth first from `root`, neighbours by degree; order[from ...]. Returns the end; *last: where the last level begins. */
static int64_t levels(const norni_quadratic *q, int64_t root, int64_t from, const int64_t *degree,
                      int64_t *mark, int64_t *list, bool *seen, int64_t *order, int64_t *last) {
    int64_t end = from, level_end;
    order[end++] = root;
    seen[root] = true;
    level_end = end;
    *last = from;
    for (int64_t at = from; at < end; at++) {
        if (at == level_end) {
            *last = at;
            level_end = end;
        }
        int64_t n = neighbours(q, order[at], mark, list), first = end;
        for (int64_t k = 0; k < n; k++) {
            if (seen[list[k]])
                continue;
            seen[list[k]] = true;
            int64_t to = end++;
            for (; to > first && degree[order[to - 1]] > degree[list[k]]; to--)
                order[to] = order[to - 1];
            order[to] = list[k];
        }
    }
    return end;
}

/* Reverse Cuthill-McKee; each part of the graph from a node at its edge. */
static norn_status find_order(norni_quadratic *q) {
    int64_t n = q->n, end = 0, last;
    int64_t *all = norni_alloc_array(3 * (size_t)n + 1, sizeof *all);
    bool *seen = norni_alloc_array((size_t)n + 1, sizeof *seen);
    if (!all || !seen) {
        norni_free(all);
        norni_free(seen);
        return norni_nomem();
    }
    int64_t *degree = all, *list = degree + n, *mark = list + n;
    for (int64_t i = 0; i < n; i++)
        degree[i] = neighbours(q, i, mark, list);
    for (int64_t i = 0; i < n; i++) {
        int64_t root = i;
        if (seen[i])
            continue;
        for (int again = 0; again < 3; again++) { /* the far end of the far end */
            int64_t stop = levels(q, root, end, degree, mark, list, seen, q->order, &last);
            root = q->order[last];
            for (int64_t k = last; k < stop; k++)
                root = degree[q->order[k]] < degree[root] ? q->order[k] : root;
            for (int64_t k = end; k < stop; k++)
                seen[q->order[k]] = false;
        }
        end = levels(q, root, end, degree, mark, list, seen, q->order, &last);
    }
    for (int64_t i = 0; i < n / 2; i++) {
        int64_t k = q->order[i];
        q->order[i] = q->order[n - 1 - i];
        q->order[n - 1 - i] = k;
    }
    for (int64_t i = 0; i < n; i++)
        list[q->order[i]] = i;
    q->band = 0;
    int64_t *around = degree; /* no longer needed */
    for (int64_t i = 0; i < n; i++) {
        int64_t count = neighbours(q, i, mark, around);
        for (int64_t k = 0; k < count; k++)
            if (list[i] - list[around[k]] > q->band)
                q->band = list[i] - list[around[k]];
    }
    norni_free(all);
    norni_free(seen);
    return NORN_OK;
}

/* Columns (of P: also rows) in the new order. */
static norn_status reorder(norni_rows *r, bool rows_too, const int64_t *order) {
    norni_rows by = {0}, turned = {0};
    int64_t *place = norni_alloc_array((size_t)r->columns + 1, sizeof *place);
    norn_status s = place ? rows_new(r->rows, r->columns, r->start[r->rows], &by) : norni_nomem();
    for (int64_t i = 0; i < r->columns && s == NORN_OK; i++)
        place[order[i]] = i;
    for (int64_t i = 0, k = 0; i < r->rows && s == NORN_OK; i++) {
        int64_t row = rows_too ? order[i] : i;
        for (int e = r->start[row]; e < r->start[row + 1]; e++, k++) {
            by.v[k] = r->v[e];
            by.column[k] = (int)place[r->column[e]];
        }
        by.start[i + 1] = (int)k;
    }
    rows_free(r);
    if (s == NORN_OK)
        s = transposed(&by, &turned);
    if (s == NORN_OK)
        s = transposed(&turned, r);
    rows_free(&by);
    rows_free(&turned);
    norni_free(place);
    return s;
}

/* An order of the variables, where the matrices have few enough entries that one is worth looking for. */
static norn_status order_variables(norni_quadratic *q) {
    double joined = 0;
    q->order = norni_alloc_array((size_t)q->n + 1, sizeof *q->order);
    if (!q->order)
        return norni_nomem();
    for (int64_t i = 0; i < q->n; i++)
        q->order[i] = i;
    q->band = q->n - 1;
    if (!q->p.start || !q->a.start)
        return NORN_OK;
    for (int64_t i = 0; i < q->m; i++) {
        double width = q->a.start[i + 1] - q->a.start[i];
        joined += width * width;
    }
    if (joined + q->p.start[q->n] > dense_share * (double)q->n * (double)q->n)
        return NORN_OK;
    NORNI_TRY(find_order(q));
    double *values = norni_alloc_array((size_t)q->n + 1, sizeof *values);
    if (!values)
        return norni_nomem();
    for (int64_t i = 0; i < q->n; i++)
        values[i] = q->q[q->order[i]];
    norni_free(q->q);
    q->q = values;
    NORNI_TRY(reorder(&q->p, true, q->order));
    NORNI_TRY(reorder(&q->a, false, q->order));
    rows_free(&q->at);
    return transposed(&q->a, &q->at);
}

norn_status norni_quadratic_read(const norn_qp *qp, norni_quadratic *q) {
    *q = (norni_quadratic){0};
    const norn_tensor *a_rows = qp->a_indptr ? qp->a_indptr : qp->a;
    if (!qp->q || qp->q->rank != 1 || !qp->a || !a_rows || a_rows->rank != (qp->a_indptr ? 1 : 2))
        return norni_fail(NORN_SHAPE, "qp: q must be a vector and A a matrix");
    int64_t n = q->n = qp->q->dims[0], m = q->m = a_rows->dims[0] - (qp->a_indptr ? 1 : 0);
    if (n < 1)
        return norni_fail(NORN_SHAPE, "qp: there are no variables");
    if (m < 0 || n > INT_MAX - LARGEST_TILE || m > INT_MAX - LARGEST_TILE)
        return norni_fail(NORN_SHAPE, "qp: %lld variables, %lld constraints (wanted less than 2^31)",
                          (long long)n, (long long)m);
    q->p.rows = q->p.columns = q->a.columns = n;
    q->a.rows = m;
    bool linear = !qp->p && !qp->p_indices && !qp->p_indptr;
    NORNI_TRY(linear         ? rows_new(n, n, 0, &q->p)
              : qp->p_indptr ? read_sparse("P", qp->p, qp->p_indices, qp->p_indptr, &q->p)
                             : read_dense("P", qp->p, &q->p));
    NORNI_TRY(check_part("q", qp->q, 1, n, 0));
    NORNI_TRY(numbers("q", qp->q, false, &q->q));
    NORNI_TRY(qp->a_indptr ? read_sparse("A", qp->a, qp->a_indices, qp->a_indptr, &q->a)
                           : read_dense("A", qp->a, &q->a));
    NORNI_TRY(check_part("l", qp->l, 1, m, 0));
    NORNI_TRY(numbers("l", qp->l, true, &q->l));
    NORNI_TRY(check_part("u", qp->u, 1, m, 0));
    NORNI_TRY(numbers("u", qp->u, true, &q->u));
    for (int64_t i = 0; i < m; i++)
        if (q->l[i] > q->u[i])
            return norni_fail(NORN_ARG, "qp: row %lld: l is %g, u is %g", (long long)i, q->l[i], q->u[i]);
    NORNI_TRY(symmetric(&q->p));
    NORNI_TRY(transposed(&q->a, &q->at));
    return order_variables(q);
}

void norni_quadratic_free(norni_quadratic *q) {
    rows_free(&q->p);
    rows_free(&q->a);
    rows_free(&q->at);
    norni_free(q->q);
    norni_free(q->l);
    norni_free(q->u);
    norni_free(q->order);
}
