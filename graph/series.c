/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps are a series, and its text: a switch over the steps in a loop over their items, for one work-item. Plans of which one
 * core makes more than QUICK_US get none: there, sharing the work is worth what waking threads costs. */
#include "graph/series.h"
#include "graph/series_names.h"
#include "ops/kernel_source.h"
#include <stdio.h>
#include <string.h>

/* FEWEST steps gain by being one launch; TEXTS and STEPS bound what one program compiles, MOVED what one thread copies. */
enum { QUICK_US = 100, FEWEST = 3, STEPS = 48, TEXTS = 12, MOVED = 65536 };

const char norni_series_kernel[] = "norni_series";

bool norni_same_program(const norni_step *a, const norni_step *b) {
    const char *fa = a->file ? a->file : "", *fb = b->file ? b->file : "";
    const char *sa = a->source ? a->source : "", *sb = b->source ? b->source : "";
    return a->kind == b->kind && a->alone == b->alone && !strcmp(fa, fb) && !strcmp(a->options, b->options) &&
           !strcmp(sa, sb);
}

const norni_series *norni_series_of(const norn_plan *p, size_t i) {
    for (int k = 0; k < p->n_series; k++)
        if ((size_t)p->series[k].first <= i && i < (size_t)(p->series[k].first + p->series[k].n))
            return &p->series[k];
    return NULL;
}

/* ---- Finding. */

/* Files whose kernels are known to stand side by side (graph/series_names.c). */
static bool known_file(const char *file) {
    static const char *const files[] = {"blocked.cl", "conv_blocked.cl", "conv_direct.cl", "gemm.cl",
                                        "pool.cl",    "reduce.cl",       "softmax.cl"};
    bool known = !file; /* generated code */
    for (size_t i = 0; i < sizeof files / sizeof *files && !known; i++)
        known = !strcmp(file, files[i]);
    return known;
}

static bool can_be_part(const norn_plan *p, const norni_step *s) {
    if (s->load || s->parts || s->alone)
        return false;
    if (s->kind == NORNI_STEP_COPY || s->kind == NORNI_STEP_FILL)
        return p->builder.bufs.v[s->args[0].ref].bytes <= MOVED;
    if (s->kind != NORNI_STEP_KERNEL || !known_file(s->file))
        return false;
    size_t items = 1;
    for (int i = 0; i < s->dims; i++) {
        if (s->local[0] && s->local[i] != 1)
            return false;
        items *= s->global[i];
    }
    for (int k = 0; k < s->n_args; k++)
        if (s->args[k].kind == NORNI_ARG_LOCAL)
            return false;
    return items > 0 && items <= INT32_MAX / 4;
}

static int texts(const norn_plan *p, int first, int end) {
    int n = 0;
    for (int i = first; i < end; i++) {
        bool seen = false;
        for (int j = first; j < i && !seen; j++)
            seen = norni_same_program(p->builder.steps.v[i], p->builder.steps.v[j]);
        n += !seen;
    }
    return n;
}

int norni_series_buffers(const norn_plan *p, int first, int end, int most, norni_ref *out) {
    int n = 0;
    for (int i = first; i < end; i++)
        for (int k = 0; k < p->builder.steps.v[i]->n_args; k++) {
            const norni_arg *a = &p->builder.steps.v[i]->args[k];
            bool seen = a->kind != NORNI_ARG_BUFFER;
            for (int j = 0; j < n && !seen; j++)
                seen = out[j] == a->ref;
            if (seen)
                continue;
            if (n == most)
                return -1;
            out[n++] = a->ref;
        }
    return n;
}

/* What one core takes for a step, at rates that small kernels reach. */
static double step_us(const norni_step *s) {
    enum { FLOPS_A_US = 100000, FORMULA_FLOPS_A_US = 4000, BYTES_A_US = 40000 };
    return s->flops / (s->impl ? FLOPS_A_US : FORMULA_FLOPS_A_US) + s->bytes / BYTES_A_US + 0.2;
}

bool norni_plan_quick(const norn_plan *p) {
    double us = 0;
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *st = p->builder.steps.v[i];
        if (st->load)
            continue;
        if (st->kind == NORNI_STEP_HOST || st->kind == NORNI_STEP_GEMM)
            return false;
        us += step_us(st);
    }
    return norni_device_is_cpu(&p->device) && us <= QUICK_US;
}

norn_status norni_series_find(norn_plan *p) {
    const norni_plan_builder *b = &p->builder;
    int n = (int)b->steps.n;
    norni_ref refs[NORNI_SERIES_BUFFERS];
    if (!norni_plan_quick(p) || p->options.no_fusion)
        return NORN_OK;
    p->series = norni_arena_array(p->arena, (size_t)n + 1, sizeof *p->series);
    if (!p->series)
        return norni_nomem();
    for (int i = 0; i < n;) {
        int end = i;
        while (end < n && end - i < STEPS && can_be_part(p, b->steps.v[end]) &&
               texts(p, i, end + 1) <= TEXTS &&
               norni_series_buffers(p, i, end + 1, NORNI_SERIES_BUFFERS, refs) >= 0)
            end++;
        if (end - i >= FEWEST)
            p->series[p->n_series++] = (norni_series){.first = i, .n = end - i};
        i = end > i ? end : i + 1;
    }
    return NORN_OK;
}

/* ---- Text. */
static const char before[] =
    "#define reqd_work_group_size(x, y, z) unused\n"
    "#define get_global_id(d) ((d) == 0 ? norni_g0 : (d) == 1 ? norni_g1 : norni_g2)\n"
    "#define get_group_id(d) get_global_id(d)\n"
    "#define get_local_id(d) ((size_t)0)\n"
    "#define get_local_size(d) ((size_t)1)\n"
    "#define get_global_size(d) ((d) == 0 ? norni_n0 : (d) == 1 ? norni_n1 : norni_n2)\n"
    "#define get_num_groups(d) get_global_size(d)\n";
static const char moves[] =
    "static void norni_copy(__global const uchar *from, __global uchar *to, const long n) {\n"
    "    long i = 0;\n"
    "    for (; i + 16 <= n; i += 16)\n"
    "        vstore16(vload16(0, from + i), 0, to + i);\n"
    "    for (; i < n; i++)\n"
    "        to[i] = from[i];\n"
    "}\n"
    "static void norni_fill(__global uchar *to, const long n, const uchar v) {\n"
    "    long i = 0;\n"
    "    for (; i + 16 <= n; i += 16)\n"
    "        vstore16((uchar16)(v), 0, to + i);\n"
    "    for (; i < n; i++)\n"
    "        to[i] = v;\n"
    "}\n";
/* t: for each step the sizes of its range, then the values of all arguments. */
static const char loop_head[] = ") {\n"
                                "    for (int s = 0; s < STEPS; s++) {\n"
                                "        const long n0 = t[3 * s], n1 = t[3 * s + 1], n2 = t[3 * s + 2];\n"
                                "        for (long g2 = 0; g2 < n2; g2++)\n"
                                "            for (long g1 = 0; g1 < n1; g1++)\n"
                                "                for (long g0 = 0; g0 < n0; g0++)\n"
                                "                    switch (s) {\n";
static const char loop_tail[] = "                    }\n"
                                "    }\n"
                                "}\n";

static int index_of(const norni_ref *refs, norni_ref r) {
    int i = 0;
    while (refs[i] != r)
        i++;
    return i;
}

/* The call for an item of step i; *at: where its values stand in the table. */
static void print_call(const norn_plan *p, const norni_series *s, int i, int text, const norni_ref *refs,
                       int *at, norni_str *out) {
    const norni_step *st = p->builder.steps.v[s->first + i];
    norni_str_addf(out, "                case %d:\n                    ", i);
    if (st->kind == NORNI_STEP_KERNEL)
        norni_str_addf(out, "s%d_k_%s(g0, g1, g2, n0, n1, n2", text, st->kernel);
    else
        norni_str_add(out, st->kind == NORNI_STEP_COPY ? "norni_copy(" : "norni_fill(");
    for (int k = 0; k < st->n_args; k++) {
        const norni_arg *a = &st->args[k];
        norni_str_add(out, k || st->kind == NORNI_STEP_KERNEL ? ", " : "");
        if (a->kind == NORNI_ARG_BUFFER)
            norni_str_addf(out, "(__global void *)b%d", index_of(refs, a->ref));
        else if (a->kind == NORNI_ARG_RUN)
            norni_str_add(out, "run");
        else
            norni_str_addf(out,
                           a->kind == NORNI_ARG_F32   ? "as_float((int)t[%d])"
                           : a->kind == NORNI_ARG_F64 ? "as_double(t[%d])"
                                                      : "t[%d]",
                           (*at)++);
        if (!k && st->kind == NORNI_STEP_FILL)
            norni_str_addf(out, ", t[%d]", (*at)++);
    }
    if (st->kind == NORNI_STEP_COPY)
        norni_str_addf(out, ", t[%d]", (*at)++);
    norni_str_add(out, ");\n                    break;\n");
}

/* The options of the program of step i, and those that name the kernels that the series launches. */
static char *all_options(const norn_plan *p, const norni_series *s, int i) {
    const norni_step *st = p->builder.steps.v[s->first + i];
    norni_str o = {0};
    norni_str_addf(&o, "%s -DNORNI_ONLY", st->options);
    for (int j = i; j < s->n && st->file; j++)
        if (norni_same_program(st, p->builder.steps.v[s->first + j]))
            norni_str_addf(&o, " -DK_%s", p->builder.steps.v[s->first + j]->kernel);
    return norni_str_take(&o);
}

static norn_status print_program(const norn_plan *p, const norni_series *s, int i, int text, norni_str *out) {
    const norni_step *st = p->builder.steps.v[s->first + i];
    char *source, *options = all_options(p, s, i), prefix[16];
    snprintf(prefix, sizeof prefix, "s%d_", text);
    norn_status status = options ? norni_kernel_text(st->source, st->file, &source) : norni_nomem();
    if (status == NORN_OK) {
        status = norni_series_names(options, source, prefix, out);
        norni_free(source);
    }
    norni_free(options);
    return status;
}

norn_status norni_series_text(const norn_plan *p, const norni_series *s, char **out) {
    norni_ref refs[NORNI_SERIES_BUFFERS];
    int n_refs = norni_series_buffers(p, s->first, s->first + s->n, NORNI_SERIES_BUFFERS, refs), n_texts = 0,
        at = 3 * s->n, text_of[STEPS];
    norni_str calls = {0}, all = {0};
    norn_status status = NORN_OK;
    norni_str_addf(&all, "%s%s", before, moves);
    for (int i = 0; i < s->n && status == NORN_OK; i++) {
        const norni_step *st = p->builder.steps.v[s->first + i];
        int same = 0;
        while (!norni_same_program(p->builder.steps.v[s->first + same], st))
            same++;
        text_of[i] = same < i ? text_of[same] : n_texts++;
        if (same == i && st->kind == NORNI_STEP_KERNEL)
            status = print_program(p, s, i, text_of[i], &all);
        print_call(p, s, i, text_of[i], refs, &at, &calls);
    }
    norni_str_addf(&all, "#define STEPS %d\n__kernel void %s(__global const long *t, const int run", s->n,
                   norni_series_kernel);
    for (int k = 0; k < n_refs; k++)
        norni_str_addf(&all, ", __global char *b%d", k);
    norni_str_addf(&all, "%s%s%s", loop_head, calls.s ? calls.s : "", loop_tail);
    if (status == NORN_OK && (all.failed || calls.failed))
        status = norni_nomem();
    norni_str_free(&calls);
    *out = status == NORN_OK ? norni_str_take(&all) : NULL;
    norni_str_free(&all);
    return status;
}
