/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps are a series, and its text: a switch over the steps in a loop over their items. Several work-groups take chunks of
 * items by a counter of the step, and go on to the next step when all of this one are done. Nobody depends on another's
 * getting on: whoever does the last item of a step finds it done and goes on; who has waited for a while leaves, and the others
 * take all that is left. So it is all the same whether groups run at once or one after the other.
 * What one group stores must be there when another finds the step done: see ops/recurrent.cl on the fence. Where there is none,
 * the first group does everything. */
#include "graph/series.h"
#include "graph/series_names.h"
#include "ops/kernel_source.h"
#include <stdio.h>
#include <string.h>

/* FLOPS and BYTES bound a plan whose launches matter; TEXTS and STEPS what one program compiles. */
enum { LONE = 2, STEPS = 48, TEXTS = 12, FLOPS = 100000000, BYTES = 32000000, MOVED = 65536 };

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

/* Waiting for the result without sleeping saves some 30 us, but takes a core: with few of them that pays for what one alone
 * does in ALONE_US. */
enum { ALONE_US = 100 };

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
    return norni_device_is_cpu(&p->device) && us <= ALONE_US;
}

static void set_groups(const norn_plan *p, norni_series *s) {
    size_t units = p->device.compute_units, most = 1;
    for (int i = s->first; i < s->first + s->n; i++) {
        const norni_step *st = p->builder.steps.v[i];
        size_t items = 1;
        for (int k = 0; k < st->dims && st->kind == NORNI_STEP_KERNEL; k++)
            items *= st->global[k];
        most = items > most ? items : most;
    }
    s->groups = 1;
    /* By all of the plan: the work of a node stands at its last step, which may be in another launch. */
    if (!norni_plan_quick(p) && units > 1)
        s->groups = (int)(most < units ? most : units);
}

norn_status norni_series_find(norn_plan *p) {
    const norni_plan_builder *b = &p->builder;
    int n = (int)b->steps.n;
    double flops = 0, bytes = 0;
    norni_ref refs[NORNI_SERIES_BUFFERS];
    if (!norni_device_is_cpu(&p->device) || p->device.type == NORN_DEVICE_HOST || p->options.no_fusion)
        return NORN_OK;
    for (int i = 0; i < n; i++)
        if (!b->steps.v[i]->load) {
            flops += b->steps.v[i]->flops;
            bytes += b->steps.v[i]->bytes;
        }
    if (flops > FLOPS || bytes > BYTES)
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
        if (end - i > LONE) {
            norni_series *s = &p->series[p->n_series++];
            *s = (norni_series){.first = i, .n = end - i};
            set_groups(p, s);
        }
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
/* t: for each step the sizes of its range and of a chunk, then the values of all arguments. c: counters, by step taken and done,
 * then those who are through. */
static const char loop_before[] = "#undef get_global_id\n#undef get_group_id\n#undef get_num_groups\n"
                                  "#define PATIENCE 20000 /* looks at a counter */\n"
                                  "#if defined(__has_builtin)\n#if __has_builtin(__atomic_thread_fence)\n"
                                  "#define FENCE __atomic_thread_fence(__ATOMIC_SEQ_CST)\n#endif\n#endif\n";
static const char loop_head[] =
    ") {\n"
    "#ifdef FENCE\n"
    "    const int groups = get_num_groups(0);\n"
    "#else\n"
    "    if (get_group_id(0))\n        return;\n"
    "    const int groups = 1;\n"
    "#endif\n"
    "    for (int s = 0; s < STEPS; s++) {\n"
    "        const long n0 = t[4 * s], n1 = t[4 * s + 1], n2 = t[4 * s + 2], all = n0 * n1 * n2;\n"
    "        const long chunk = groups > 1 ? t[4 * s + 3] : all;\n"
    "        long mine = 0;\n"
    "        for (;;) {\n"
    "            const long from = groups > 1 ? atomic_add(c + s * APART, (int)chunk) : mine, to = min(from "
    "+ chunk, all);\n"
    "            if (from >= all)\n"
    "                break;\n"
    "            long g0 = from % n0, g1 = from / n0 % n1, g2 = from / (n0 * n1);\n"
    "            for (long i = from; i < to; i++) {\n"
    "                switch (s) {\n";
static const char loop_tail[] = "                }\n"
                                "                if (++g0 == n0) {\n"
                                "                    g0 = 0;\n"
                                "                    if (++g1 == n1) {\n"
                                "                        g1 = 0;\n"
                                "                        g2++;\n"
                                "                    }\n"
                                "                }\n"
                                "            }\n"
                                "            mine += to - from;\n"
                                "        }\n"
                                "#ifdef FENCE\n"
                                "        if (groups > 1) {\n"
                                "            volatile __global int *flag = c + s * APART + APART / 2;\n"
                                "            FENCE;\n"
                                "            long done = atomic_add(flag, (int)mine) + mine;\n"
                                "            if (s + 1 == STEPS)\n"
                                "                break;\n"
                                "            for (int left = PATIENCE; done < all && left > 0; left--)\n"
                                "                done = *flag;\n"
                                "            if (done < all)\n"
                                "                break;\n"
                                "            FENCE;\n"
                                "        }\n"
                                "#endif\n"
                                "    }\n"
                                "#ifdef FENCE\n"
                                "    /* The last one leaves the counters as they were. */\n"
                                "    if (groups > 1 && atomic_inc(c + STEPS * APART) == groups - 1)\n"
                                "        for (int s = 0; s <= 2 * STEPS; s++)\n"
                                "            c[s * (APART / 2)] = 0;\n"
                                "#endif\n"
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
        at = 4 * s->n, text_of[STEPS];
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
    norni_str_addf(&all, "%s#define STEPS %d\n#define APART %d\n", loop_before, s->n, NORNI_SERIES_APART);
    norni_str_addf(&all, "__kernel void %s(__global const long *t, __global int *c, const int run",
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
