/* SPDX-License-Identifier: Apache-2.0 */
/* Losses of class scores x [N][classes][D] against labels [N][D] (classes of samples s = n * D + d).
 *
 *     nll = -x[label]                                   for log probabilities
 *     nll = ln sum e^(x - m) - (x[label] - m)           -DLOGITS: for scores; m = max x
 *     w = weights[label] (1 without -DWEIGHTS), 0 where -DIGNORE and label == ignore, NaN for a label out of range
 *     loss = w nll,   sum of losses, or that divided by total = the sum of w (-DMEAN)
 *
 *   -DLABEL=long    type of labels                      -DW=16  vector width, over classes (rows) or d (cols)
 *   -DPER_SAMPLE    the losses themselves are stored    -DSUMS  sums of losses and weights, two an item
 *   -DFINAL         (one item) their sum or mean        -DTOTAL total is stored
 *   -DCOUNTED       there are weights: total is their sum, else the number of samples
 *   -DSTATS         (LOGITS) m and ln sum e^(x - m) are stored      -DLOG_PROB  (LOGITS) so is ln softmax x
 *   loss_rows   D == 1: a work-item takes `rows` samples
 *   loss_cols   a work-item takes W neighbouring d
 *   loss_group  D == 1, LOGITS, on GPUs: a work-group of WG items takes a sample
 *   loss_sum    the sums of all items, always joined the same way; one work-group of WG items
 *   grad_rows, grad_cols
 *       dx = c (softmax x - [class is label]), c = w dy / total; without LOGITS no softmax. -DMEAN, -DCOUNTED as above;
 *       dy has an element a sample if -DPER_SAMPLE, else one. An item takes `each` classes of `rows` samples or of W d */
#ifndef LABEL
#define LABEL long
#endif
#ifndef W
#define W 16
#endif
#ifndef WG
#define WG 1
#endif
#if W > 1
#define VEC CV(W)
#define SPLAT(v) ((VEC)(v))
#define VLOAD(p) NORNI_CAT(vload, W)(0, p)
#define VSTORE(v, p) NORNI_CAT(vstore, W)(v, 0, p)
#else
#define VEC C
#define SPLAT(v) (v)
#define VLOAD(p) (*(p))
#define VSTORE(v, p) (*(p) = (v))
#undef LDV
#undef STV
#define LDV(w, p, i) LD(p, i)
#define STV(w, p, i, v) ST(p, i, v)
#endif
#ifdef T_F64
#define EXP1(x) exp(x)
#define EXPV(x) exp(x)
#else
NORNI_EXP_NEG_FLOAT(exp_1, float, int)
#define EXP1(x) exp_1(x)
#if W > 1
NORNI_EXP_NEG_FLOAT(exp_v, NORNI_CAT(float, W), NORNI_CAT(int, W))
#define EXPV(x) exp_v(x)
#else
#define EXPV(x) exp_1(x)
#endif
#endif
NORNI_JOIN_LANES(sum_of, C, NORNI_PLUS)
NORNI_JOIN_LANES(max_of, C, max)
#define SUM_OF(v) NORNI_CAT(sum_of, W)(v)
#define MAX_OF(v) NORNI_CAT(max_of, W)(v)

#ifdef WEIGHTS
#define WEIGHTS_ARG , __global const T *weights
#define WEIGHT(l) LD(weights, l)
#else
#define WEIGHTS_ARG
#define WEIGHT(l) ((C)1)
#endif
#ifdef PER_SAMPLE
#define LOSS_ARG , __global T *loss
#elif defined(FINAL)
#define LOSS_ARG , __global T *loss
#else
#define LOSS_ARG
#endif
#if defined(FINAL) && defined(TOTAL)
#define TOTAL_ARG , __global C *total
#else
#define TOTAL_ARG
#endif
#ifdef SUMS
#define SUMS_ARG , __global C *sums
#else
#define SUMS_ARG
#endif
#ifdef STATS
#define STATS_ARG , __global C *peak, __global C *log_sum
#else
#define STATS_ARG
#endif
#ifdef LOG_PROB
#define LOG_PROB_ARG , __global T *log_prob
#else
#define LOG_PROB_ARG
#endif
#define FORWARD_ARGS                                                                                         \
    __global const T *x, __global const LABEL *labels WEIGHTS_ARG LOSS_ARG TOTAL_ARG SUMS_ARG STATS_ARG LOG_PROB_ARG, \
        const long samples, const long classes, const long ignore

#define VALID(l) ((l) >= 0 && (l) < classes)
static inline bool is_ignored(const long label, const long ignore) {
#ifdef IGNORE
    return label == ignore;
#else
    return false;
#endif
}
#define IGNORED(l) is_ignored(l, ignore)
#define WEIGHT_OF(l) (IGNORED(l) ? (C)0 : VALID(l) ? (C)WEIGHT(l) : (C)NAN)

#ifdef COUNTED
#define WHOLE(w) (w)
#else
#define WHOLE(w) ((C)samples)
#endif
#ifdef MEAN
#define RESULT(l, w) ((l) / WHOLE(w))
#else
#define RESULT(l, w) (l)
#endif

/* What becomes of an item's sums of losses and weights. */
#ifdef FINAL
#ifdef TOTAL
#define STORE_TOTAL(w) total[0] = WHOLE(w)
#else
#define STORE_TOTAL(w)
#endif
#ifdef PER_SAMPLE
#define FINISH(item, l, w) STORE_TOTAL(w)
#else
#define FINISH(item, l, w)                                                                                   \
    STORE_TOTAL(w);                                                                                          \
    ST(loss, 0, RESULT(l, w))
#endif
#elif defined(SUMS)
#define FINISH(item, l, w)                                                                                   \
    sums[2 * (item)] = (l);                                                                                  \
    sums[2 * (item) + 1] = (w)
#else
#define FINISH(item, l, w)
#endif

/* The loss of one sample, added up. x_label: its score, log probability or anything where there is none. The sum is
 * written as fma, which is the same number: of a plain += in this loop, Intel's compiler for CPUs (2026.2) loses the
 * lanes of a vector when the score is read under a condition. */
#define SAMPLE(s, l, nll)                                                                                    \
    {                                                                                                        \
        const C w_ = WEIGHT_OF(l), v_ = IGNORED(l) ? (C)0 : w_ * (nll);                                      \
        KEEP_LOSS(s, v_);                                                                                    \
        loss_sum_ = fma(v_, (C)1, loss_sum_);                                                                \
        weight_sum_ += w_;                                                                                   \
    }
#ifdef PER_SAMPLE
#define KEEP_LOSS(s, v) ST(loss, s, v)
#else
#define KEEP_LOSS(s, v)
#endif
#ifdef STATS
#define KEEP_STATS(s, m, ln)                                                                                 \
    peak[s] = (m);                                                                                           \
    log_sum[s] = (ln)
#else
#define KEEP_STATS(s, m, ln)
#endif

/* The vector at p, of which n elements are there; the other lanes hold `fill`. */
static inline VEC load_some(__global const T *p, const long n, const C fill) {
    C part[W];
    for (int k = 0; k < W; k++)
        part[k] = k < n ? (C)LD(p, k) : fill;
    return VLOAD(part);
}
static inline void store_some(__global T *p, const long n, const VEC v) {
    C part[W];
    VSTORE(v, part);
    for (int k = 0; k < n; k++)
        ST(p, k, part[k]);
}

#if !defined(NORNI_ONLY) || defined(K_loss_rows)
__kernel void loss_rows(FORWARD_ARGS, const long rows) {
    const long s0 = get_global_id(0) * rows, s1 = min(s0 + rows, samples);
    C loss_sum_ = 0, weight_sum_ = 0;
    if (s0 > 0 && s0 >= samples)
        return;
    for (long s = s0; s < s1; s++) {
        const long l = labels[s];
        __global const T *row = x + s * classes;
#ifdef LOGITS
        const long whole = classes - classes % W, rest = classes - whole;
        VEC v = SPLAT((C)-INFINITY), a = SPLAT((C)0);
        for (long i = 0; i < whole; i += W)
            v = max(v, LDV(W, row, i));
        if (rest)
            v = max(v, load_some(row + whole, rest, (C)-INFINITY));
        const C m = MAX_OF(v);
        for (long i = 0; i < whole; i += W)
            a += EXPV(LDV(W, row, i) - SPLAT(m));
        if (rest)
            a += EXPV(load_some(row + whole, rest, (C)-INFINITY) - SPLAT(m));
        const C ln = log(SUM_OF(a));
        KEEP_STATS(s, m, ln);
#ifdef LOG_PROB
        __global T *out = log_prob + s * classes;
        for (long i = 0; i < whole; i += W)
            STV(W, out, i, (LDV(W, row, i) - SPLAT(m)) - SPLAT(ln));
        for (long i = whole; i < classes; i++)
            ST(out, i, (LD(row, i) - m) - ln);
#endif
        SAMPLE(s, l, ln - ((VALID(l) ? (C)LD(row, l) : (C)0) - m))
#else
        SAMPLE(s, l, -(VALID(l) ? (C)LD(row, l) : (C)0))
#endif
    }
    FINISH(get_global_id(0), loss_sum_, weight_sum_);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_loss_cols)
__kernel void loss_cols(FORWARD_ARGS, const long depth) {
    const long j = get_global_id(0) * W, n = get_global_id(1), rest = min((long)W, depth - j);
    C loss_sum_ = 0, weight_sum_ = 0;
    if (j >= depth || n >= samples / depth)
        return;
    x += n * classes * depth + j;
#ifdef LOGITS
    C ms[W], lns[W];
    VEC m = SPLAT((C)-INFINITY), sum = SPLAT((C)0);
    if (rest == W) {
        for (long c = 0; c < classes; c++)
            m = max(m, LDV(W, x, c * depth));
        for (long c = 0; c < classes; c++)
            sum += EXPV(LDV(W, x, c * depth) - m);
    } else {
        for (long c = 0; c < classes; c++)
            m = max(m, load_some(x + c * depth, rest, (C)0));
        for (long c = 0; c < classes; c++)
            sum += EXPV(load_some(x + c * depth, rest, (C)0) - m);
    }
    const VEC ln = log(sum);
    VSTORE(m, ms);
    VSTORE(ln, lns);
#ifdef LOG_PROB
    __global T *out = log_prob + n * classes * depth + j;
    for (long c = 0; c < classes; c++)
        if (rest == W)
            STV(W, out, c * depth, (LDV(W, x, c * depth) - m) - ln);
        else
            store_some(out + c * depth, rest, (load_some(x + c * depth, rest, (C)0) - m) - ln);
#endif
#endif
    for (int k = 0; k < rest; k++) {
        const long s = n * depth + j + k, l = labels[s];
        const C xl = VALID(l) ? (C)LD(x, l * depth + k) : (C)0;
#ifdef LOGITS
        KEEP_STATS(s, ms[k], lns[k]);
        SAMPLE(s, l, lns[k] - (xl - ms[k]))
#else
        SAMPLE(s, l, -xl)
#endif
    }
    FINISH(n * ((depth + W - 1) / W) + get_global_id(0), loss_sum_, weight_sum_);
}
#endif

#if WG > 1
NORNI_JOIN_ITEMS(group_sum, C, NORNI_PLUS)
NORNI_JOIN_ITEMS(group_max, C, max)
#endif

#if WG > 1 && defined(LOGITS)
#if !defined(NORNI_ONLY) || defined(K_loss_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void loss_group(FORWARD_ARGS) {
    __local C all[WG];
    const long s = get_group_id(0), l = labels[s];
    const int at = get_local_id(0);
    __global const T *row = x + s * classes;
    C loss_sum_ = 0, weight_sum_ = 0, m = (C)-INFINITY, a = 0;
    for (long i = at; i < classes; i += WG)
        m = max(m, (C)LD(row, i));
    m = group_max(all, m);
    for (long i = at; i < classes; i += WG)
        a += EXP1(LD(row, i) - m);
    const C ln = log(group_sum(all, a));
#ifdef LOG_PROB
    for (long i = at; i < classes; i += WG)
        ST(log_prob, s * classes + i, (LD(row, i) - m) - ln);
#endif
    if (at == 0) {
        KEEP_STATS(s, m, ln);
        SAMPLE(s, l, ln - ((VALID(l) ? (C)LD(row, l) : (C)0) - m))
        FINISH(s, loss_sum_, weight_sum_);
    }
}
#endif
#endif

/* loss: without PER_SAMPLE; total: with TOTAL. */
#if !defined(NORNI_ONLY) || defined(K_loss_sum)
__kernel void loss_sum(__global const C *sums
#ifndef PER_SAMPLE
                       , __global T *loss
#endif
#ifdef TOTAL
                       , __global C *total
#endif
                       , const long items, const long samples) {
    C l = 0, w = 0;
#if WG > 1
    __local C all[WG];
    for (long i = get_local_id(0); i < items; i += WG) {
        l += sums[2 * i];
        w += sums[2 * i + 1];
    }
    l = group_sum(all, l);
    w = group_sum(all, w);
    if (get_local_id(0))
        return;
#else
    for (long i = 0; i < items; i++) {
        l += sums[2 * i];
        w += sums[2 * i + 1];
    }
#endif
#ifdef TOTAL
    total[0] = WHOLE(w);
#endif
#ifndef PER_SAMPLE
    ST(loss, 0, RESULT(l, w));
#endif
}
#endif

/* ---- Gradients. */
#ifdef LOGITS
#define GRAD_IN_ARG , __global const T *x, __global const C *peak, __global const C *log_sum
#else
#define GRAD_IN_ARG
#endif
#ifdef COUNTED
#define GRAD_TOTAL_ARG , __global const C *total
#define GRAD_TOTAL total[0]
#else
#define GRAD_TOTAL_ARG
#define GRAD_TOTAL ((C)samples)
#endif
#define GRAD_ARGS                                                                                            \
    __global const T *dy GRAD_IN_ARG, __global const LABEL *labels WEIGHTS_ARG GRAD_TOTAL_ARG, __global T *dx,   \
        const long samples, const long classes, const long ignore
#ifdef PER_SAMPLE
#define DY(s) LD(dy, s)
#else
#define DY(s) LD(dy, 0)
#endif
#ifdef MEAN
#define FACTOR(s, l) (IGNORED(l) ? (C)0 : WEIGHT_OF(l) * (DY(s) / GRAD_TOTAL))
#else
#define FACTOR(s, l) (IGNORED(l) ? (C)0 : WEIGHT_OF(l) * DY(s))
#endif

#if !defined(NORNI_ONLY) || defined(K_grad_rows)
__kernel void grad_rows(GRAD_ARGS, const long each, const long rows) {
    const long c0 = get_global_id(0) * each, c1 = min(c0 + each, classes);
    const long s0 = get_global_id(1) * rows, s1 = min(s0 + rows, samples);
    for (long s = s0; s < s1; s++) {
        const long l = labels[s];
        const C f = FACTOR(s, l);
        __global T *out = dx + s * classes;
        long c = c0;
        if (IGNORED(l)) { /* also where x is not finite */
            for (; c < c1; c++)
                ST(out, c, (C)0);
            continue;
        }
#ifdef LOGITS
        __global const T *row = x + s * classes;
        const C m = peak[s], ln = log_sum[s];
        for (; c + W <= c1; c += W)
            STV(W, out, c, SPLAT(f) * EXPV((LDV(W, row, c) - SPLAT(m)) - SPLAT(ln)));
        for (; c < c1; c++)
            ST(out, c, f * EXP1((LD(row, c) - m) - ln));
        if (l >= c0 && l < c1)
            ST(out, l, f * (EXP1((LD(row, l) - m) - ln) - (C)1));
#else
        const C rest = isnan(f) ? f : (C)0;
        for (; c < c1; c++)
            ST(out, c, c == l ? -f : rest);
#endif
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_grad_cols)
__kernel void grad_cols(GRAD_ARGS, const long each, const long depth) {
    const long j = get_global_id(0) * W, n = get_global_id(1), rest = min((long)W, depth - j);
    const long c0 = get_global_id(2) * each, c1 = min(c0 + each, classes);
    if (j >= depth || n >= samples / depth)
        return;
    C fs[W], ms[W], lns[W];
    long ls[W];
    for (int k = 0; k < W; k++) {
        const long s = n * depth + j + k;
        ls[k] = k < rest ? (long)labels[s] : 0;
        fs[k] = k < rest ? FACTOR(s, ls[k]) : (C)0;
#ifdef LOGITS
        ms[k] = k < rest && !IGNORED(ls[k]) ? peak[s] : (C)INFINITY;
        lns[k] = k < rest && !IGNORED(ls[k]) ? log_sum[s] : (C)0;
#endif
    }
    dx += n * classes * depth + j;
#ifdef LOGITS
    x += n * classes * depth + j;
    const VEC f = VLOAD(fs), m = VLOAD(ms), ln = VLOAD(lns);
    for (long c = c0; c < c1; c++)
        if (rest == W)
            STV(W, dx, c * depth, f * EXPV((LDV(W, x, c * depth) - m) - ln));
        else
            store_some(dx + c * depth, rest, f * EXPV((load_some(x + c * depth, rest, (C)0) - m) - ln));
    for (int k = 0; k < rest; k++) {
        if (ls[k] >= c0 && ls[k] < c1 && !IGNORED(ls[k]))
            ST(dx, ls[k] * depth + k, fs[k] * (EXP1((LD(x, ls[k] * depth + k) - ms[k]) - lns[k]) - (C)1));
#ifdef IGNORE
        if (IGNORED(ls[k])) /* also where x is not finite */
            for (long c = c0; c < c1; c++)
                ST(dx, c * depth + k, (C)0);
#endif
    }
#else
    for (long c = c0; c < c1; c++)
        for (int k = 0; k < rest; k++)
            ST(dx, c * depth + k, c == ls[k] ? -fs[k] : isnan(fs[k]) ? fs[k] : (C)0);
#endif
}
#endif
