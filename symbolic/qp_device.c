/* SPDX-License-Identifier: Apache-2.0 */
/* Quadratic programs on a device: buffers, and what is launched. Work that is soon done is done by one work-group in one launch, many
 * iterations long; more by the whole device, a launch for each part that depends on the one before. */
#include "backend/program.h"
#include "ops/kernel_source.h"
#include "symbolic/qp.h"
#include "symbolic/qp_parts.h"
#include <stdio.h>
#include <string.h>

/* The arguments that all kernels share. */
enum { P, P_COLUMN, P_START, A, A_COLUMN, A_START, AT, AT_COLUMN, AT_START, K, INV, V, N_PLACES };

struct norni_splitting {
    norn_context *ctx;
    bool host, cpu;
    int64_t n, m, t, below, items; /* items: enough of them to fill the device */
    bool factor_alone, iterate_alone;
    double *v; /* the host's copy of place V */
    void *host_at[N_PLACES];
    norn_buffer *at[N_PLACES];
    norni_kernel *kernels[NORNI_N_QP_PARTS];
};

/* ---- Memory. */
static int64_t rounded(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

/* Takes `data` over. */
static norn_status place(norni_splitting *s, int where, void *data, size_t bytes) {
    if (!data)
        return norni_nomem();
    s->host_at[where] = data;
    if (s->host)
        return NORN_OK;
    NORNI_TRY(norn_buffer_new(s->ctx, bytes, &s->at[where]));
    return norni_buffer_write_async(s->at[where], 0, data, bytes);
}

/* A matrix with `rows` rows, dense ones `width` wide. */
static norn_status place_rows(norni_splitting *s, int where, const norni_rows *r, int64_t rows,
                              int64_t width) {
    if (!r->start) {
        double *all = norni_alloc_array((size_t)rows * (size_t)width + 1, sizeof *all);
        for (int64_t i = 0; i < r->rows && all; i++)
            memcpy(all + i * width, r->v + i * r->columns, (size_t)r->columns * sizeof *all);
        return place(s, where, all, (size_t)(rows * width + 1) * sizeof *all);
    }
    size_t entries = (size_t)r->start[r->rows];
    double *v = norni_alloc_array(entries + 1, sizeof *v);
    int *column = norni_alloc_array(entries + 1, sizeof *column);
    int *start = norni_alloc_array((size_t)rows + 1, sizeof *start);
    if (v)
        memcpy(v, r->v, entries * sizeof *v);
    if (column)
        memcpy(column, r->column, entries * sizeof *column);
    for (int64_t i = 0; i <= rows && start; i++)
        start[i] = r->start[i < r->rows ? i : r->rows];
    norn_status a = place(s, where, v, (entries + 1) * sizeof *v),
                b = place(s, where + 1, column, (entries + 1) * sizeof *column),
                c = place(s, where + 2, start, ((size_t)rows + 1) * sizeof *start);
    return a != NORN_OK ? a : b != NORN_OK ? b : c;
}

/* Nothing is copied to memory of the device's own. */
static norn_status place_empty(norni_splitting *s, int where, int64_t doubles) {
    size_t bytes = (size_t)doubles * sizeof(double);
    if (!s->host)
        return norn_buffer_new(s->ctx, bytes, &s->at[where]);
    return (s->host_at[where] = norni_alloc(bytes)) ? NORN_OK : norni_nomem();
}

/* ---- Setting up. */

/* Tiles are as large as the band makes use of: all of a small one is worked on. */
static void choose_tiles(norni_splitting *s, const norni_quadratic *q) {
    int64_t band = q->band;
    s->t = band <= 8 ? 8 : band <= 128 ? 16 : band <= 512 ? 32 : LARGEST_TILE;
    s->n = rounded(q->n, s->t);
    s->below = (band + s->t - 1) / s->t;
    if (s->below > s->n / s->t - 1)
        s->below = s->n / s->t - 1;
}

/* One work-group has a core, or a multiprocessor, to itself; all of them pay for the launches. */
static void choose_launches(norni_splitting *s, const norni_quadratic *q) {
    const double launch_us = 6, flops_us = s->cpu ? 4000 : 8000, doubles_us = s->cpu ? 2000 : 4000;
    const norn_device *d = s->host ? NULL : norn_context_device(s->ctx);
    double share = !d ? 1 : s->cpu ? d->compute_units : 8.0 * d->compute_units, n = (double)s->n;
    double tiles = n / (double)s->t, high = (double)(s->below + 1) * (double)s->t,
           entries = (q->a.start ? 2.0 * q->a.start[q->m] : 2 * n * (double)s->m) + 2 * n * high;
    double flops = n * high * high + (q->a.start ? 0 : n * n * (double)s->m);
    s->factor_alone = s->host || flops / flops_us <= flops / flops_us / share + 3 * tiles * launch_us;
    s->iterate_alone =
        s->host || entries / doubles_us <= entries / doubles_us / share + (2 * tiles + 2) * launch_us;
}

/* Which of the two programs has a kernel; what both have is taken from the one that is there. */
static bool in_program(int kernel, bool wide) {
    bool both = kernel == NORNI_qp_norms || kernel == NORNI_qp_scale || kernel == NORNI_qp_products;
    return both || wide == (kernel != NORNI_qp_factor_alone && kernel != NORNI_qp_iterate_alone);
}

static norn_status make_kernels(norni_splitting *s, const char *source, bool wide) {
    norni_program *p = NULL;
    char options[64];
    snprintf(options, sizeof options, "-DNORNI_F64%s%s", wide ? " -DQP_WIDE" : "", s->cpu ? " -DQP_ONE" : "");
    const norni_program_source from = {"quadratic.cl", source, options};
    const int64_t sizes[] = {s->n, s->m, s->t, s->below};
    NORNI_TRY(norni_programs_get(s->ctx, &from, 1, &p));
    for (int i = 0; i < NORNI_N_QP_PARTS; i++) {
        if (s->kernels[i] || !in_program(i, wide))
            continue;
        NORNI_TRY(norni_kernel_new(p, norni_qp_parts[i].name, &s->kernels[i]));
        for (unsigned k = 0; k < 4; k++)
            NORNI_TRY(norni_kernel_set_value(s->kernels[i], k, &sizes[k], sizeof sizes[k]));
        for (unsigned k = 0; k < N_PLACES; k++)
            NORNI_TRY(norni_kernel_set_buffer(s->kernels[i], 4 + k, s->at[k]));
    }
    return NORN_OK;
}

static norn_status make_all_kernels(norni_splitting *s) {
    char *source = NULL;
    NORNI_TRY(norni_kernel_text(NULL, "quadratic.cl", &source));
    norn_status st = s->factor_alone || s->iterate_alone ? make_kernels(s, source, false) : NORN_OK;
    if (st == NORN_OK && !(s->factor_alone && s->iterate_alone))
        st = make_kernels(s, source, true);
    norni_free(source);
    return st;
}

norn_status norni_splitting_new(norn_session *session, const norni_quadratic *q, norni_splitting **out) {
    norni_splitting *s = *out = norni_alloc(sizeof *s);
    if (!s)
        return norni_nomem();
    s->ctx = session->contexts[0];
    s->host = norni_context_is_host(s->ctx);
    const norn_device *d = norn_context_device(s->ctx);
    if (!s->host && !d->fp64)
        return norni_fail(NORN_UNSUPPORTED,
                          "qp: device '%s' has no double precision (wanted another device, or host)",
                          d->name);
    s->cpu = !s->host && norni_device_is_cpu(d);
    choose_tiles(s, q);
    s->m = rounded(q->m, 8);
    s->items = s->cpu ? 8 * (int64_t)d->compute_units : INT64_MAX;
    choose_launches(s, q);
    int64_t tiles = s->n / s->t,
            outside = tiles - 1 - s->below; /* columns of tiles that the band does not end */
    int64_t kept = outside * (s->below + 1) + (s->below + 1) * (s->below + 2) / 2;
    int64_t numbers = N_SLOTS * s->n + M_SLOTS * s->m + 1;
    NORNI_TRY(place_rows(s, P, &q->p, s->n, s->n));
    NORNI_TRY(place_rows(s, A, &q->a, s->m, s->n));
    NORNI_TRY(place_rows(s, AT, &q->at, s->n, s->m));
    NORNI_TRY(place_empty(s, K, 2 * kept * s->t * s->t)); /* two factors */
    NORNI_TRY(place_empty(s, INV, 2 * s->n * s->t));
    NORNI_TRY(
        place(s, V, s->v = norni_alloc_array((size_t)numbers, sizeof *s->v), (size_t)numbers * sizeof *s->v));
    return s->host ? NORN_OK : make_all_kernels(s);
}

void norni_splitting_free(norni_splitting *s) {
    if (!s)
        return;
    if (!s->host)
        norn_context_finish(s->ctx); /* copies from our memory */
    for (int i = 0; i < NORNI_N_QP_PARTS; i++)
        norni_kernel_free(s->kernels[i]);
    for (int i = 0; i < N_PLACES; i++) {
        norn_buffer_free(s->at[i]);
        norni_free(s->host_at[i]);
    }
    norni_free(s);
}

/* ---- Vectors. */
double *norni_splitting_n(norni_splitting *s, int slot) {
    return s->v + slot * s->n;
}
double *norni_splitting_m(norni_splitting *s, int slot) {
    return s->v + N_SLOTS * s->n + slot * s->m;
}

static norn_status move(norni_splitting *s, double *at, int64_t count, bool to_device) {
    size_t offset = (size_t)(at - s->v) * sizeof *at, bytes = (size_t)count * sizeof *at;
    if (s->host || !count)
        return NORN_OK;
    return to_device ? norni_buffer_write_async(s->at[V], offset, at, bytes)
                     : norn_buffer_read(s->at[V], offset, at, bytes);
}
norn_status norni_splitting_write_n(norni_splitting *s, int slot) {
    return move(s, norni_splitting_n(s, slot), s->n, true);
}
norn_status norni_splitting_write_m(norni_splitting *s, int slot) {
    return move(s, norni_splitting_m(s, slot), s->m, true);
}
norn_status norni_splitting_read_n(norni_splitting *s, int slot) {
    return move(s, norni_splitting_n(s, slot), s->n, false);
}
norn_status norni_splitting_read_m(norni_splitting *s, int slot) {
    return move(s, norni_splitting_m(s, slot), s->m, false);
}
norn_status norni_splitting_read_norms(norni_splitting *s) {
    return move(s, norni_splitting_n(s, N_P_NORM), (N_SLOTS - N_P_NORM) * s->n + (M_ROW_NORM + 1) * s->m,
                false);
}
norn_status norni_splitting_read(norni_splitting *s) {
    return move(s, norni_splitting_n(s, N_X), (N_SLOTS - N_X) * s->n + (M_AX + 1) * s->m, false);
}

/* ---- Launches. */
typedef struct {
    double sigma;
    int64_t which, j, count;
} arguments;

/* units < 0: by one work-group. */
static norn_status launch(norni_splitting *s, norni_qp_kernel kernel, int64_t units, arguments a) {
    const norni_qp_part *part = &norni_qp_parts[kernel];
    if (units == 0)
        return NORN_OK;
    if (s->host) {
        void **at = s->host_at;
        part->host(s->n, s->m, s->t, s->below, at[P], at[P_COLUMN], at[P_START], at[A], at[A_COLUMN],
                   at[A_START], at[AT], at[AT_COLUMN], at[AT_START], at[K], at[INV], at[V], a.sigma, a.which,
                   a.j, a.count);
        return NORN_OK;
    }
    norni_kernel *k = s->kernels[kernel];
    unsigned next = 4 + N_PLACES;
    NORNI_TRY(norni_kernel_set_value(k, next, &a.sigma, sizeof a.sigma));
    NORNI_TRY(norni_kernel_set_value(k, next + 1, &a.which, sizeof a.which));
    NORNI_TRY(norni_kernel_set_value(k, next + 2, &a.j, sizeof a.j));
    NORNI_TRY(norni_kernel_set_value(k, next + 3, &a.count, sizeof a.count));
    size_t group = 1, global = 1;
    if (!s->cpu) {
        size_t most = norni_kernel_max_work_group(k), want = units < 0 ? 256 : 64;
        group = most < want ? most : want;
        global = units < 0 ? group : (size_t)rounded(units, (int64_t)group);
    } else if (units > 0)
        global = (size_t)(units < s->items ? units : s->items);
    return norni_kernel_launch(
        k, &(norni_launch){
               .dims = 1, .global = {global, 1, 1}, .local = {group, 1, 1}, .what = "quadratic program"});
}

norn_status norni_splitting_norms(norni_splitting *s) {
    return launch(s, NORNI_qp_norms, s->n + s->m, (arguments){0});
}
norn_status norni_splitting_scale(norni_splitting *s, double cost) {
    return launch(s, NORNI_qp_scale, s->n + s->m, (arguments){.sigma = cost});
}
norn_status norni_splitting_products(norni_splitting *s, norni_qp_point of) {
    return launch(s, NORNI_qp_products, s->n + s->m,
                  (arguments){.which = of == QP_OF_POLISHED, .count = of == QP_OF_STEPS});
}

/* Tiles of column j, or of row j, beside the diagonal one, in strips of 8. */
static int64_t strips(const norni_splitting *s, int64_t others) {
    return (others < s->below ? others : s->below) * s->t / 8;
}

static norn_status factor_wide(norni_splitting *s, arguments a) {
    int64_t tiles = s->n / s->t;
    NORNI_TRY(launch(s, NORNI_qp_gram, s->n / 8 * ((s->below + 1) * s->t / 8), a));
    for (a.j = 0; a.j < tiles; a.j++) {
        int64_t high = strips(s, tiles - 1 - a.j);
        NORNI_TRY(launch(s, NORNI_qp_diagonal, -1, a));
        NORNI_TRY(launch(s, NORNI_qp_panel, high, a));
        NORNI_TRY(launch(s, NORNI_qp_update, high * high, a));
    }
    return NORN_OK;
}

norn_status norni_splitting_factor(norni_splitting *s, bool polished, bool with_a, double sigma,
                                   bool *definite) {
    arguments a = {.sigma = sigma, .which = polished, .count = with_a};
    double *failed = norni_splitting_m(s, M_SLOTS);
    *failed = 0;
    NORNI_TRY(move(s, failed, 1, true));
    NORNI_TRY(s->factor_alone ? launch(s, NORNI_qp_factor_alone, -1, a) : factor_wide(s, a));
    NORNI_TRY(move(s, failed, 1, false));
    *definite = *failed == 0;
    return NORN_OK;
}

static norn_status solve_wide(norni_splitting *s, arguments a) {
    int64_t tiles = s->n / s->t;
    for (a.j = 0; a.j < tiles; a.j++) {
        int64_t units = strips(s, tiles - 1 - a.j);
        NORNI_TRY(launch(s, NORNI_qp_forward, units ? units : 1, a));
    }
    for (a.j = tiles - 1; a.j >= 0; a.j--) {
        int64_t units = strips(s, a.j);
        NORNI_TRY(launch(s, NORNI_qp_backward, units ? units : 1, a));
    }
    return NORN_OK;
}

norn_status norni_splitting_iterate(norni_splitting *s, double sigma, int64_t times) {
    arguments a = {.sigma = sigma, .count = times};
    if (s->iterate_alone)
        return launch(s, NORNI_qp_iterate_alone, -1, a);
    for (int64_t i = 0; i < times; i++) {
        NORNI_TRY(launch(s, NORNI_qp_right_side, s->n, a));
        NORNI_TRY(solve_wide(s, a));
        NORNI_TRY(launch(s, NORNI_qp_project, s->n + s->m, a));
    }
    return NORN_OK;
}

norn_status norni_splitting_refine(norni_splitting *s, double sigma, int64_t times) {
    arguments a = {.sigma = sigma, .which = 1, .count = times};
    if (s->iterate_alone)
        return launch(s, NORNI_qp_iterate_alone, -1, a);
    for (int64_t i = 0; i < times; i++) {
        NORNI_TRY(launch(s, NORNI_qp_refine_residuals, s->n + s->m, a));
        NORNI_TRY(launch(s, NORNI_qp_refine_right_side, s->n, a));
        NORNI_TRY(solve_wide(s, a));
        NORNI_TRY(launch(s, NORNI_qp_refine, s->n + s->m, a));
    }
    return NORN_OK;
}
