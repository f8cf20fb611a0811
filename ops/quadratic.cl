/* SPDX-License-Identifier: Apache-2.0 */
/* Quadratic programs by operator splitting (symbolic/qp.h): everything that touches a matrix.
 *   P [n,n] symmetric, A [m,n] and its transpose: by rows, dense (start: NULL) or sparse (columns and starts of the rows).
 *   K = P + sigma I + A' diag(weight) A, of which the lower tiles [t,t] of a band are kept, `below` tiles under the diagonal: tile
 *   (i,j), column by column, each column-major. Its Cholesky factor L replaces it; inv holds the inverses of L's diagonal tiles.
 * n is a multiple of t, t and m are multiples of 8; what was added is 0.
 *
 * A part of the work is a function over units [from, to), which depend on nothing that other units of it write. Kernels either do one
 * part with all of the device, a launch each (QP_WIDE), or (the *_alone ones) many parts in one launch of one work-group: two programs,
 * as compiling, saving and loading either takes longer than a small quadratic program. The same text is compiled into the
 * library for the host device (symbolic/qp_parts.c), where there is one work-item. */
/* Vectors of n and of m numbers; what is read at once lies side by side: N_P_NORM to M_ROW_NORM, N_X to M_AX. */
enum { N_Q, N_R, N_S, N_XT, N_XP, N_RX, N_SCALE, N_P_NORM, N_A_NORM, N_X, N_DX, N_PX, N_ATY, N_SLOTS };
enum { M_ROW_NORM, M_Z, M_Y, M_DY, M_AX, M_LOW, M_HIGH, M_RHO, M_W, M_YP, M_RY, M_BOUND, M_ACTIVE, M_SCALE, M_SLOTS };
enum { LARGEST_TILE = 64 };

#ifndef QP_NAMES_ONLY
#ifndef QP_HOST
typedef long I;
typedef double8 V;
#define FMA fma
#define ZERO ((V)(0.0))
#define SPREAD(x) ((V)(x))
#define LOAD(p) vload8(0, p)
#define STORE(v, p) vstore8(v, 0, p)
#define LANE(v, i) v.s##i
#ifdef QP_ONE /* a work-item is a group: compilers of CPUs are done in half the time */
#define FENCE (void)0
#define GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#else
#define FENCE barrier(CLK_GLOBAL_MEM_FENCE)
#define GROUP
#endif
#endif

typedef struct {
    I n, m, t, below;
    double sigma;
    global double *p, *a, *at, *k, *inv, *v;
    global const int *p_column, *p_start, *a_column, *a_start, *at_column, *at_start;
} program;

#define ARGS                                                                                                 \
    I n, I m, I t, I below, global double *p, global const int *p_column, global const int *p_start,         \
        global double *a, global const int *a_column, global const int *a_start, global double *at,          \
        global const int *at_column, global const int *at_start, global double *k, global double *inv,       \
        global double *v, double sigma, I which, I j, I count

static inline global double *nv(const program *s, int slot) { return s->v + slot * s->n; }
static inline global double *mv(const program *s, int slot) { return s->v + N_SLOTS * s->n + slot * s->m; }
static inline global double *failed(const program *s) { return s->v + N_SLOTS * s->n + M_SLOTS * s->m; }

/* Tiles before column j: the last columns are shorter. */
static inline I before(const program *s, I j) {
    I shorter = j - (s->n / s->t - s->below);
    return j * (s->below + 1) - (shorter > 0 ? shorter * (shorter + 1) / 2 : 0);
}
static inline global double *tile(const program *s, I i, I j) {
    return s->k + (before(s, j) + i - j) * s->t * s->t;
}
/* Tiles under the diagonal in column j. */
static inline I under(const program *s, I j) {
    I left = s->n / s->t - 1 - j;
    return left < s->below ? left : s->below;
}

static inline program program_of(ARGS) {
    program s = {n, m, t, below, sigma, p, a, at, k, inv, v, p_column, p_start, a_column, a_start, at_column, at_start};
    if (which) { /* the second factor lies behind the first */
        s.k += before(&s, n / t) * t * t;
        s.inv += n * t;
    }
    (void)j;
    (void)count;
    return s;
}
#define THE_PROGRAM                                                                                          \
    const program s = program_of(n, m, t, below, p, p_column, p_start, a, a_column, a_start, at, at_column,  \
                                 at_start, k, inv, v, sigma, which, j, count)

/* ---- Products with rows. */
#define SUM_OF(v)                                                                                            \
    (((LANE(v, 0) + LANE(v, 1)) + (LANE(v, 2) + LANE(v, 3))) + ((LANE(v, 4) + LANE(v, 5)) + (LANE(v, 6) + LANE(v, 7))))
static inline double row_times(global const double *a, global const int *column, global const int *start, I width, I i,
                               global const double *x) {
    double sum = 0;
    if (!start) {
        V s[2] = {ZERO, ZERO};
        I k = 0;
        for (; k + 16 <= width; k += 16) {
            s[0] = FMA(LOAD(a + i * width + k), LOAD(x + k), s[0]);
            s[1] = FMA(LOAD(a + i * width + k + 8), LOAD(x + k + 8), s[1]);
        }
        if (k < width)
            s[0] = FMA(LOAD(a + i * width + k), LOAD(x + k), s[0]);
        s[0] += s[1];
        return SUM_OF(s[0]);
    }
    for (int k = start[i]; k < start[i + 1]; k++)
        sum = FMA(a[k], x[column[k]], sum);
    return sum;
}
static inline double p_times(const program *s, I i, global const double *x) {
    return row_times(s->p, s->p_column, s->p_start, s->n, i, x);
}
static inline double a_times(const program *s, I i, global const double *x) {
    return row_times(s->a, s->a_column, s->a_start, s->n, i, x);
}
static inline double at_times(const program *s, I i, global const double *y) {
    return row_times(s->at, s->at_column, s->at_start, s->m, i, y);
}

static inline double row_norm(global const double *a, global const int *column, global const int *start, I width, I i,
                              global const double *scale) {
    double most = 0;
    for (I k = start ? start[i] : i * width; k < (start ? start[i + 1] : (i + 1) * width); k++)
        most = fmax(most, fabs(a[k]) * scale[start ? column[k] : k - i * width]);
    return most;
}
static inline void row_scale(global double *a, global const int *column, global const int *start, I width, I i,
                             double by, global const double *scale) {
    for (I k = start ? start[i] : i * width; k < (start ? start[i + 1] : (i + 1) * width); k++)
        a[k] *= by * scale[start ? column[k] : k - i * width];
}

/* Units: the rows of P and A', then those of A. */
static inline void norms(const program *s, I from, I to) {
    for (I u = from; u < to; u++)
        if (u < s->n) {
            nv(s, N_P_NORM)[u] = nv(s, N_SCALE)[u] * row_norm(s->p, s->p_column, s->p_start, s->n, u, nv(s, N_SCALE));
            nv(s, N_A_NORM)[u] = nv(s, N_SCALE)[u] * row_norm(s->at, s->at_column, s->at_start, s->m, u, mv(s, M_SCALE));
        } else
            mv(s, M_ROW_NORM)[u - s->n] =
                mv(s, M_SCALE)[u - s->n] * row_norm(s->a, s->a_column, s->a_start, s->n, u - s->n, nv(s, N_SCALE));
}
/* P = sigma D P D, A = E A D; sigma: the factor of the objective. */
static inline void scale(const program *s, I from, I to) {
    for (I u = from; u < to; u++)
        if (u < s->n) {
            row_scale(s->p, s->p_column, s->p_start, s->n, u, s->sigma * nv(s, N_SCALE)[u], nv(s, N_SCALE));
            row_scale(s->at, s->at_column, s->at_start, s->m, u, nv(s, N_SCALE)[u], mv(s, M_SCALE));
        } else
            row_scale(s->a, s->a_column, s->a_start, s->n, u - s->n, mv(s, M_SCALE)[u - s->n], nv(s, N_SCALE));
}
/* PX, ATY and AX, of x and y, their last steps, or the polished ones. */
static inline void products(const program *s, int x, int y, I from, I to) {
    for (I u = from; u < to; u++)
        if (u < s->n) {
            nv(s, N_PX)[u] = p_times(s, u, nv(s, x));
            nv(s, N_ATY)[u] = at_times(s, u, mv(s, y));
        } else
            mv(s, M_AX)[u - s->n] = a_times(s, u - s->n, nv(s, x));
}

/* ---- The matrix K, in blocks of 8 x 8. */

/* s += a b' over `depth`, where a has its 8 rows and b its 8 columns side by side; weight 0: all are 1. */
static inline void block_product(V *s, global const double *a, I lda, global const double *b, I ldb,
                                 global const double *weight, I depth) {
    V s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3], s4 = s[4], s5 = s[5], s6 = s[6], s7 = s[7];
    for (I k = 0; k < depth; k++) {
        V v = LOAD(a + k * lda);
        global const double *f = b + k * ldb;
        if (weight)
            v *= weight[k];
        s0 = FMA(v, SPREAD(f[0]), s0);
        s1 = FMA(v, SPREAD(f[1]), s1);
        s2 = FMA(v, SPREAD(f[2]), s2);
        s3 = FMA(v, SPREAD(f[3]), s3);
        s4 = FMA(v, SPREAD(f[4]), s4);
        s5 = FMA(v, SPREAD(f[5]), s5);
        s6 = FMA(v, SPREAD(f[6]), s6);
        s7 = FMA(v, SPREAD(f[7]), s7);
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3, s[4] = s4, s[5] = s5, s[6] = s6, s[7] = s7;
}
static inline void clear(V *s) {
    for (int c = 0; c < 8; c++)
        s[c] = ZERO;
}

/* The first entry of a sparse row that is in column c or behind. */
static inline int entry_from(global const int *column, int lo, int hi, I c) {
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (column[mid] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
/* Column c of the block: s += f * entries r0 to r0 + 7 of a sparse row. */
static inline void add_entries(double *s, global const double *a, global const int *column, int from, int to, I r0,
                               double f) {
    for (int e = entry_from(column, from, to, r0); e < to && column[e] < r0 + 8; e++)
        s[column[e] - r0] = FMA(f, a[e], s[column[e] - r0]);
}

/* Units: blocks of 8 columns, and in each the blocks of 8 rows of the band's height. */
static inline I gram_units(const program *s) { return s->n / 8 * ((s->below + 1) * s->t / 8); }
static inline void gram(const program *s, global const double *weight, bool with_a, I from, I to) {
    I high = (s->below + 1) * s->t / 8, t = s->t;
    for (I u = from; u < to; u++) {
        I c0 = u / high * 8, j = c0 / t, r0 = j * t + u % high * 8;
        double b[64];
        V products[8];
        if (r0 < c0 || r0 >= s->n)
            continue;
        clear(products);
        if (with_a && !s->a_start)
            block_product(products, s->a + r0, s->n, s->a + c0, s->n, weight, s->m);
        for (int c = 0; c < 8; c++) {
            STORE(s->p_start ? products[c] : products[c] + LOAD(s->p + (c0 + c) * s->n + r0), b + c * 8);
            if (s->p_start)
                add_entries(b + c * 8, s->p, s->p_column, s->p_start[c0 + c], s->p_start[c0 + c + 1], r0, 1);
            if (with_a && s->a_start)
                for (int e = s->at_start[c0 + c]; e < s->at_start[c0 + c + 1]; e++) {
                    int row = s->at_column[e];
                    if (weight[row] != 0)
                        add_entries(b + c * 8, s->a, s->a_column, s->a_start[row], s->a_start[row + 1], r0,
                                    weight[row] * s->at[e]);
                }
            if (r0 == c0)
                b[c * 8 + c] += s->sigma;
        }
        global double *to_tile = tile(s, r0 / t, j) + (c0 - j * t) * t + r0 % t;
        for (int c = 0; c < 8; c++)
            STORE(LOAD(b + c * 8), to_tile + c * t);
    }
}

/* ---- Cholesky, right-looking by columns of tiles. */

/* The factor of diagonal tile j and its inverse, by one work-group of `size`, of which this is item `id`. */
static inline void diagonal(const program *s, I j, I id, I size) {
    global double *a = tile(s, j, j), *x = s->inv + j * s->t * s->t;
    I t = s->t;
    for (I c = 0; c < t; c++) {
        double d = a[c * t + c];
        FENCE;
        if (!(d > 0)) {
            if (id == 0)
                *failed(s) = 1;
            d = 1;
        }
        d = sqrt(d);
        for (I r = c + id; r < t; r += size)
            a[c * t + r] = r == c ? d : a[c * t + r] / d;
        FENCE;
        for (I k = c + 1 + id; k < t; k += size) {
            double f = -a[c * t + k];
            for (I r = k / 8 * 8; r < t; r += 8) /* nothing reads what is above the diagonal */
                STORE(FMA(SPREAD(f), LOAD(a + c * t + r), LOAD(a + k * t + r)), a + k * t + r);
        }
        FENCE;
    }
    for (I k = id; k < t; k += size) { /* L x = a column of the identity */
        for (I r = 0; r < t; r++)
            x[k * t + r] = r == k;
        for (I c = k; c < t; c++) {
            double f = x[k * t + c] / a[c * t + c];
            x[k * t + c] = f;
            I r = c + 1;
            for (; r % 8; r++)
                x[k * t + r] = FMA(-f, a[c * t + r], x[k * t + r]);
            for (; r < t; r += 8)
                STORE(FMA(SPREAD(-f), LOAD(a + c * t + r), LOAD(x + k * t + r)), x + k * t + r);
        }
    }
    FENCE;
}

/* Column j under the diagonal: tiles times the transpose of the inverse. Units: 8 rows. In place, from the last column to the first. */
static inline I panel_units(const program *s, I j) { return under(s, j) * s->t / 8; }
static inline void panel(const program *s, I j, I from, I to) {
    I t = s->t;
    for (I u = from; u < to; u++) {
        global double *a = tile(s, j + 1 + u * 8 / t, j) + u * 8 % t;
        for (I c = t - 8; c >= 0; c -= 8) {
            V b[8];
            clear(b);
            block_product(b, a, t, s->inv + j * t * t + c, t, 0, c + 8);
            for (int e = 0; e < 8; e++)
                STORE(b[e], a + (c + e) * t);
        }
    }
}

/* What column j takes from the columns behind. Units: blocks of 8 x 8. */
static inline I update_units(const program *s, I j) { return panel_units(s, j) * panel_units(s, j); }
static inline void update(const program *s, I j, I from, I to) {
    I t = s->t, high = panel_units(s, j);
    for (I u = from; u < to; u++) {
        I r = u % high * 8, c = u / high * 8, i = j + 1 + r / t, k = j + 1 + c / t;
        V b[8];
        if (r < c)
            continue;
        clear(b);
        block_product(b, tile(s, i, j) + r % t, t, tile(s, k, j) + c % t, t, 0, t);
        global double *a = tile(s, i, k) + c % t * t + r % t;
        for (int e = 0; e < 8; e++)
            STORE(LOAD(a + e * t) - b[e], a + e * t);
    }
}

/* ---- L L' XT = R, by tiles: what is known of a tile goes into those that wait for it. S: L S = R. */

/* Units: 8 rows of the tiles under the diagonal; every work-item works out tile j of S for itself, the first one writes it. */
static inline void forward(const program *s, I j, I from, I to, bool first) {
    I t = s->t;
    double x[LARGEST_TILE];
    global const double *r = nv(s, N_R) + j * t, *inv = s->inv + j * t * t;
    if (from >= to && !first)
        return;
    for (I e = 0; e < t; e += 8) {
        V b = ZERO;
        for (I c = 0; c < e + 8; c++)
            b = FMA(LOAD(inv + c * t + e), SPREAD(r[c]), b);
        STORE(b, x + e);
    }
    for (I e = 0; e < t && first; e++)
        nv(s, N_S)[j * t + e] = x[e];
    for (I u = from; u < to; u++) {
        global const double *a = tile(s, j + 1 + u * 8 / t, j) + u * 8 % t;
        global double *out = nv(s, N_R) + (j + 1) * t + u * 8;
        V b[2] = {ZERO, ZERO};
        for (I c = 0; c < t; c += 2) {
            b[0] = FMA(LOAD(a + c * t), SPREAD(x[c]), b[0]);
            b[1] = FMA(LOAD(a + c * t + t), SPREAD(x[c + 1]), b[1]);
        }
        STORE(LOAD(out) - (b[0] + b[1]), out);
    }
}
/* Units: 8 columns of the tiles left of the diagonal. */
static inline I backward_units(const program *s, I i) { return (i < s->below ? i : s->below) * s->t / 8; }
static inline void backward(const program *s, I i, I from, I to, bool first) {
    I t = s->t;
    double x[LARGEST_TILE];
    global const double *r = nv(s, N_S) + i * t, *inv = s->inv + i * t * t;
    if (from >= to && !first)
        return;
    for (I e = 0; e < t; e++) {
        V b = ZERO;
        for (I c = e / 8 * 8; c < t; c += 8)
            b = FMA(LOAD(inv + e * t + c), LOAD(r + c), b);
        x[e] = SUM_OF(b);
    }
    for (I e = 0; e < t && first; e++)
        nv(s, N_XT)[i * t + e] = x[e];
    for (I u = from; u < to; u++) {
        I at = (i - (i < s->below ? i : s->below)) * t + u * 8;
        global const double *a = tile(s, i, at / t) + at % t * t;
        global double *out = nv(s, N_S) + at;
        for (int c = 0; c < 8; c++) {
            V b = ZERO;
            for (I e = 0; e < t; e += 8)
                b = FMA(LOAD(a + c * t + e), LOAD(x + e), b);
            out[c] -= SUM_OF(b);
        }
    }
}

/* ---- An iteration (OSQP, algorithm 1, with a relaxation of 1.6): right side, solution, steps. W = RHO Z - Y. */
static inline void right_side(const program *s, I from, I to) {
    for (I i = from; i < to; i++)
        nv(s, N_R)[i] = FMA(s->sigma, nv(s, N_X)[i], at_times(s, i, mv(s, M_W)) - nv(s, N_Q)[i]);
}
/* Units: n and m. */
static inline void project(const program *s, I from, I to) {
    const double relaxation = 1.6;
    for (I u = from; u < to; u++) {
        if (u < s->n) {
            double step = relaxation * (nv(s, N_XT)[u] - nv(s, N_X)[u]);
            nv(s, N_DX)[u] = step;
            nv(s, N_X)[u] += step;
            continue;
        }
        I i = u - s->n;
        double rho = mv(s, M_RHO)[i], y = mv(s, M_Y)[i];
        double v = FMA(relaxation, a_times(s, i, nv(s, N_XT)) - mv(s, M_Z)[i], mv(s, M_Z)[i]);
        double z = fmin(fmax(v + y / rho, mv(s, M_LOW)[i]), mv(s, M_HIGH)[i]), step = rho * (v - z);
        mv(s, M_DY)[i] = step;
        mv(s, M_Y)[i] = y + step;
        mv(s, M_Z)[i] = z;
        mv(s, M_W)[i] = FMA(rho, z, -(y + step));
    }
}

/* ---- Polishing: P x + A' y = -q, A x = b in the active rows (ACTIVE: 1 / sigma there, else 0), by refinement of
 * [P + sigma I, A'; A, -sigma I], whose second row is eliminated. */
static inline void refine_residuals(const program *s, I from, I to) {
    for (I u = from; u < to; u++)
        if (u < s->n)
            nv(s, N_RX)[u] = -(p_times(s, u, nv(s, N_XP)) + nv(s, N_Q)[u] + at_times(s, u, mv(s, M_YP)));
        else {
            I i = u - s->n;
            double weight = mv(s, M_ACTIVE)[i];
            mv(s, M_RY)[i] = weight > 0 ? weight * (mv(s, M_BOUND)[i] - a_times(s, i, nv(s, N_XP))) : 0;
        }
}
static inline void refine_right_side(const program *s, I from, I to) {
    for (I i = from; i < to; i++)
        nv(s, N_R)[i] = nv(s, N_RX)[i] + at_times(s, i, mv(s, M_RY));
}
static inline void refine(const program *s, I from, I to) {
    for (I u = from; u < to; u++)
        if (u < s->n)
            nv(s, N_XP)[u] += nv(s, N_XT)[u];
        else {
            I i = u - s->n;
            double weight = mv(s, M_ACTIVE)[i];
            if (weight > 0)
                mv(s, M_YP)[i] += FMA(weight, a_times(s, i, nv(s, N_XT)), -mv(s, M_RY)[i]);
        }
}

/* ---- Kernels: a part each, work-items taking stretches of its units. */
#define SHARE(units) (units) * (I)get_global_id(0) / (I)get_global_size(0), (units) * ((I)get_global_id(0) + 1) / (I)get_global_size(0)
#define PART(name, call)                                                                                     \
    kernel GROUP void name(ARGS) {                                                                           \
        THE_PROGRAM;                                                                                         \
        call;                                                                                                \
    }
PART(qp_norms, norms(&s, SHARE(n + m)))
PART(qp_scale, scale(&s, SHARE(n + m)))
PART(qp_products, products(&s, which ? N_XP : count ? N_DX : N_X, which ? M_YP : count ? M_DY : M_Y, SHARE(n + m)))
#if defined QP_WIDE || defined QP_HOST
PART(qp_gram, gram(&s, mv(&s, which ? M_ACTIVE : M_RHO), count > 0, SHARE(gram_units(&s))))
PART(qp_diagonal, diagonal(&s, j, (I)get_local_id(0), (I)get_local_size(0)))
PART(qp_panel, panel(&s, j, SHARE(panel_units(&s, j))))
PART(qp_update, update(&s, j, SHARE(update_units(&s, j))))
PART(qp_forward, forward(&s, j, SHARE(panel_units(&s, j)), get_global_id(0) == 0))
PART(qp_backward, backward(&s, j, SHARE(backward_units(&s, j)), get_global_id(0) == 0))
PART(qp_right_side, right_side(&s, SHARE(n)))
PART(qp_project, project(&s, SHARE(n + m)))
PART(qp_refine_residuals, refine_residuals(&s, SHARE(n + m)))
PART(qp_refine_right_side, refine_right_side(&s, SHARE(n)))
PART(qp_refine, refine(&s, SHARE(n + m)))
#endif

/* ---- Kernels of one work-group. */
#ifndef QP_WIDE
#define MINE(units) (units) * id / size, (units) * (id + 1) / size
static inline void solve_alone(const program *s, I id, I size) {
    I tiles = s->n / s->t;
    for (I i = 0; i < tiles; i++) {
        forward(s, i, MINE(panel_units(s, i)), id == 0);
        FENCE;
    }
    for (I i = tiles - 1; i >= 0; i--) {
        backward(s, i, MINE(backward_units(s, i)), id == 0);
        FENCE;
    }
}
static inline void factor_alone(const program *s, bool polished, bool with_a, I id, I size) {
    gram(s, mv(s, polished ? M_ACTIVE : M_RHO), with_a, MINE(gram_units(s)));
    FENCE;
    for (I i = 0; i < s->n / s->t; i++) {
        diagonal(s, i, id, size);
        panel(s, i, MINE(panel_units(s, i)));
        FENCE;
        update(s, i, MINE(update_units(s, i)));
        FENCE;
    }
}
/* Iterations, or refinements of the polished point: one kernel, as most of either is the same. */
static inline void iterate_alone(const program *s, bool polished, I times, I id, I size) {
    for (I i = 0; i < times; i++) {
        if (polished)
            refine_residuals(s, MINE(s->n + s->m));
        FENCE;
        if (polished)
            refine_right_side(s, MINE(s->n));
        else
            right_side(s, MINE(s->n));
        FENCE;
        solve_alone(s, id, size);
        if (polished)
            refine(s, MINE(s->n + s->m));
        else
            project(s, MINE(s->n + s->m));
        FENCE;
    }
}
PART(qp_factor_alone, factor_alone(&s, which > 0, count > 0, (I)get_local_id(0), (I)get_local_size(0)))
PART(qp_iterate_alone, iterate_alone(&s, which > 0, count, (I)get_local_id(0), (I)get_local_size(0)))
#endif
#endif
