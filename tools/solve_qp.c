/* SPDX-License-Identifier: Apache-2.0 */
/* norn solve: quadratic programs, from a file or as arrays. */
#include "formula.h"
#include "output.h"
#include "pick.h"
#include "solve_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const qp_status[] = {"solved", "infeasible: no point fulfils the constraints",
                                        "unbounded: the objective falls without end", "not converged"};

static void print_steps(const norn_qp_result *r, double constant) {
    printf("iteration         objective     primal       dual  complementarity\n");
    for (size_t i = 0; i < r->n_steps; i++) {
        const norn_qp_step *s = &r->steps[i];
        if (!table_has(i, r->n_steps))
            continue;
        if (s->polished)
            printf(" polished");
        else
            printf("%9lld", (long long)s->iteration);
        printf("  %16.9g  %9.2g  %9.2g  %15.2g\n", s->objective + constant, s->primal, s->dual, s->gap);
    }
}

/* The entries of x by name: those of its variables, else x[0] and x[1]. */
static int draw(const char *path, const norn_qp *qp, const norn_qp_result *r, size_t n_start,
                const norn_feed *start) {
    char *names[2] = {NULL, NULL};
    int code = 0;
    for (int i = 0; i < 2; i++) {
        names[i] =
            n_start == 2 ? text_of("%s", start[i].name) : text_of("%s[%d]", n_start ? start[0].name : "x", i);
        if (!names[i])
            code = out_of_memory();
    }
    if (!code)
        code = plot_program(path, qp, r, (const char *const[]){names[0], names[1]});
    free(names[0]);
    free(names[1]);
    return code;
}

int solve_arrays(const solve_options *o, norn_session *session, const norn_qp *qp, size_t n_start,
                 const norn_feed *start, double constant) {
    norn_qp_result r;
    double seconds = -now_seconds();
    norn_status s = norn_solve_qp(session, qp, o->tolerance, o->max_iterations, &r);
    seconds += now_seconds();
    if (s != NORN_OK)
        return fail(s);
    bool solved = r.status == NORN_QP_SOLVED;
    if (o->out)
        s = norn_archive_save(o->out, 2, (const char *const[]){"x", "y"}, (norn_tensor *const[]){r.x, r.y});
    int code = s == NORN_OK ? (solved ? 0 : 1) : fail(s), drawn = 0;
    if (o->plot)
        drawn = draw(o->plot, qp, &r, n_start, start);
    if (drawn)
        code = drawn;
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        json_text(j, "status",
                  solved                           ? "solved"
                  : r.status == NORN_QP_INFEASIBLE ? "infeasible"
                  : r.status == NORN_QP_UNBOUNDED  ? "unbounded"
                                                   : "unfinished");
        json_number(j, "iterations", (double)r.iterations);
        json_number(j, "objective", r.objective + constant);
        json_number(j, "primal", r.primal);
        json_number(j, "dual", r.dual);
        json_number(j, "gap", r.gap);
        json_number(j, "seconds", seconds);
        json_bool(j, "polished", r.polished);
        cJSON *x = start ? json_object(j, "x") : json_array(j, "x");
        for (int64_t i = 0, k = 0; i < norn_tensor_elems(r.x);) {
            cJSON *list = start ? json_array(x, start[k].name) : x;
            int64_t n = start ? norn_tensor_elems(start[k++].tensor) : norn_tensor_elems(r.x);
            for (int64_t e = 0; e < n; e++)
                cJSON_AddItemToArray(list, cJSON_CreateNumber(norn_tensor_get(r.x, i++)));
        }
        code = json_print(j, code);
    } else {
        if (o->table)
            print_steps(&r, constant);
        for (int64_t i = 0, at = 0; solved && i < (int64_t)n_start; i++) {
            norn_tensor *v = (norn_tensor *)start[i].tensor; /* the caller's, and no longer needed */
            for (int64_t e = 0; e < norn_tensor_elems(v); e++)
                norn_tensor_set(v, e, norn_tensor_get(r.x, at++));
            printf("%s = ", start[i].name);
            print_value(v);
        }
        if (solved && !start && norn_tensor_elems(r.x) <= 20) {
            printf("x = ");
            print_value(r.x);
        }
        if (solved)
            printf("objective %.9g\nKKT residuals: primal %.2g, dual %.2g, complementarity %.2g\n",
                   r.objective + constant, r.primal, r.dual, r.gap);
        printf("%s, %lld iterations%s\n", qp_status[r.status], (long long)r.iterations,
               solved && r.polished ? ", polished" : "");
    }
    norn_qp_result_free(&r);
    return code;
}

static bool is_part(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

int solve_program(const solve_options *o) {
    enum { NEEDED = 4, ALL = 9 };
    static const char *const names[ALL] = {"q",         "A",        "l",         "u",       "P",
                                           "P_indices", "P_indptr", "A_indices", "A_indptr"};
    norn_archive *a = NULL;
    norn_tensor *t[ALL] = {0};
    norn_session *session = NULL;
    norn_status s = norn_archive_open(o->qp, &a);
    for (int i = 0; i < ALL && s == NORN_OK; i++)
        if (i < NEEDED || norn_archive_has(a, names[i]))
            s = norn_archive_load(a, names[i], &t[i]);
    for (size_t i = 0; s == NORN_OK && !t[NEEDED] && i < norn_archive_count(a); i++)
        if (!is_part(names, ALL, norn_archive_name(a, i)))
            note("%s has no P and is a linear program; '%s' is not read", o->qp, norn_archive_name(a, i));
    norn_archive_close(a);
    if (s == NORN_OK)
        s = norn_session_open(o->device, &session);
    const norn_qp qp = {t[4], t[0], t[1], t[2], t[3], t[5], t[6], t[7], t[8]};
    int code = s == NORN_OK ? solve_arrays(o, session, &qp, 0, NULL, 0) : fail(s);
    norn_session_close(session);
    for (int i = 0; i < ALL; i++)
        norn_tensor_free(t[i]);
    return code;
}
