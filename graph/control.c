/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/control.h"
#include "ops/control.h"
#include <string.h>

enum { DEFAULT_ITERATIONS = 100000, MAX_VALUES = 64 };
#define DEFAULT_BYTES ((uint64_t)8 << 30)

typedef struct {
    norn_session *session;
    const norn_plan_options *options;
    const norn_node *node;
    norn_tensor *const *in; /* of the node */
    const norn_graph *body;
    norn_executable *run;
    int formal, states, scanned,
        outs;   /* states: what is carried, without the number and condition of a loop */
    int before; /* inputs and outputs of the body in front of the states: 2, 1 or 0, 0 */
    norn_tensor *state[MAX_VALUES];
    NORNI_VEC(norn_tensor *) pieces; /* `outs` for each iteration */
    uint64_t bytes;                  /* of the pieces */
} loop;

/* ---- The body, with what it reads from outside as constants. */
static norn_value *bind_captured(norni_rebuild *r, const norn_value *old) {
    const loop *l = r->ctx;
    if (old->kind != NORNI_INPUT)
        return NULL;
    for (size_t i = (size_t)l->formal; i < l->body->inputs.n; i++)
        if (l->body->inputs.v[i] == old) {
            norn_tensor *t = l->in[norni_control_own(l->node) + (int)i - l->formal];
            return norni_value_const(r->to, NULL, norni_tensor_ref(t));
        }
    norni_type t = {.dtype = old->type.dtype,
                    .rank = -1}; /* shapes may change from one iteration to the next */
    return norni_value_input(r->to, old->name, &t);
}

static norn_status prepare(loop *l) {
    norni_rebuild r = {.from = l->body, .merge = true, .leaf = bind_captured, .ctx = l};
    NORNI_TRY(norni_rebuild_run(&r));
    norn_status s = norn_executable_new(l->session, r.to, l->options, NULL, &l->run);
    norn_graph_free(r.to);
    return s;
}

/* ---- Elements of sequences: `small` is element i of `big` along an axis, in either direction. */
static void copy_element(norn_tensor *big, int axis, int64_t i, norn_tensor *small, bool into_big) {
    int64_t outer = norni_elems(axis, big->dims),
            inner = norni_elems(big->rank - axis - 1, big->dims + axis + 1);
    size_t bytes = norni_dtype_bytes(big->dtype, inner), step = bytes * (size_t)big->dims[axis];
    char *b = (char *)norni_tensor_data(big) + bytes * (size_t)i, *s = norni_tensor_data(small);
    for (int64_t k = 0; k < outer && bytes; k++) {
        char *in_big = b + step * (size_t)k, *in_small = s + bytes * (size_t)k;
        memcpy(into_big ? in_big : in_small, into_big ? in_small : in_big, bytes);
    }
}

static int64_t item(const norni_ints *v, int i) {
    return i < v->n ? v->v[i] : 0;
}

static norn_status element(norn_tensor *x, int64_t wanted_axis, int64_t i, norn_tensor **out) {
    int64_t dims[NORN_MAX_RANK];
    int axis;
    NORNI_TRY(norni_axis(wanted_axis, x->rank, &axis));
    for (int k = 0, to = 0; k < x->rank; k++)
        if (k != axis)
            dims[to++] = x->dims[k];
    NORNI_TRY(norni_tensor_host(x->dtype, x->rank - 1, dims, out));
    copy_element(x, axis, i, *out, false);
    return NORN_OK;
}

/* Output k of the iterations' outs, put together. */
static norn_status assemble(const loop *l, int k, int64_t n, norn_tensor **out) {
    const norni_control_attrs *at = norni_control_of(l->node);
    const norni_type *of = &l->body->outputs.v[l->before / 2 + l->states + k].value->type;
    bool scan = l->before == 0;
    int64_t dims[NORN_MAX_RANK];
    int rank = n ? l->pieces.v[k]->rank : of->rank, axis;
    norn_dtype t = n ? l->pieces.v[k]->dtype : of->dtype;
    if (rank < 0 || rank >= NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "no iterations, and the rank of an output is not known");
    NORNI_TRY(norni_axis(scan ? item(&at->scan_output_axes, k) : 0, rank + 1, &axis));
    for (int i = 0, from = 0; i <= rank; i++) {
        int64_t size = i == axis ? n : n ? l->pieces.v[k]->dims[from] : of->dims[from];
        from += i != axis;
        dims[i] = size < 0 ? 0 : size;
    }
    NORNI_TRY(norni_tensor_host(t, rank + 1, dims, out));
    for (int64_t i = 0; i < n; i++) {
        norn_tensor *p = l->pieces.v[i * l->outs + k], *first = l->pieces.v[k];
        if (p->rank != rank || (rank && memcmp(p->dims, first->dims, (size_t)rank * sizeof *p->dims)))
            return norni_fail(NORN_SHAPE, "output %d has another shape in iteration %lld than in the first",
                              l->states + k, (long long)i);
        bool back = scan && item(&at->scan_output_directions, k);
        copy_element(*out, axis, back ? n - 1 - i : i, p, true);
    }
    return NORN_OK;
}

/* ---- Iterations. */
static norn_status iterate(loop *l, int64_t i, int64_t n, bool *goes_on) {
    const norni_control_attrs *at = norni_control_of(l->node);
    norn_feed feeds[MAX_VALUES];
    norn_fetch fetches[MAX_VALUES] = {{0}};
    norn_tensor *own[MAX_VALUES] = {0};
    int n_out = (int)l->body->outputs.n, lead = l->before / 2;
    norn_status s = NORN_OK;
    if (l->before) {
        s = norni_tensor_host(NORN_I64, 0, NULL, &own[0]);
        if (s == NORN_OK)
            s = norni_tensor_host(NORN_BOOL, 0, NULL, &own[1]);
        if (s == NORN_OK) {
            norni_set_int(NORN_I64, norni_tensor_data(own[0]), 0, i);
            norni_set_int(NORN_BOOL, norni_tensor_data(own[1]), 0, 1);
        }
    }
    for (int k = 0; k < l->scanned && s == NORN_OK; k++) {
        int64_t e = item(&at->scan_input_directions, k) ? n - 1 - i : i;
        s = element(l->in[l->states + k], item(&at->scan_input_axes, k), e, &own[l->states + k]);
    }
    for (int k = 0; k < l->formal; k++) {
        bool carried = k >= l->before && k < l->before + l->states;
        feeds[k] = (norn_feed){l->body->inputs.v[k]->name, carried ? l->state[k - l->before] : own[k]};
    }
    for (int k = 0; k < n_out; k++)
        fetches[k].name = l->body->outputs.v[k].name;
    if (s == NORN_OK)
        s = norn_executable_run(l->run, (size_t)l->formal, feeds, (size_t)n_out, fetches);
    for (int k = 0; k < l->formal; k++)
        norn_tensor_free(own[k]);
    if (s != NORN_OK)
        return s;
    *goes_on = !lead || norni_get_int(fetches[0].tensor->dtype, norni_tensor_data(fetches[0].tensor), 0);
    if (lead)
        norn_tensor_free(fetches[0].tensor);
    for (int k = 0; k < l->states; k++) {
        norn_tensor_free(l->state[k]);
        l->state[k] = fetches[lead + k].tensor;
    }
    for (int k = lead + l->states; k < n_out; k++) {
        l->bytes += norni_tensor_bytes(fetches[k].tensor);
        if (s != NORN_OK || !NORNI_PUSH(&l->pieces, fetches[k].tensor)) {
            norn_tensor_free(fetches[k].tensor);
            s = norni_nomem();
        }
    }
    return s;
}

static norn_status run_all(loop *l, int64_t times, bool endless, bool goes_on, int64_t *done) {
    uint64_t most = l->options->max_iterations ? l->options->max_iterations : DEFAULT_ITERATIONS;
    uint64_t bytes = l->options->memory_limit_bytes ? l->options->memory_limit_bytes : DEFAULT_BYTES;
    *done = 0;
    if (goes_on && !endless && (uint64_t)(times > 0 ? times : 0) > most &&
        (!l->before || norni_loop_goes_on(l->body)))
        return norni_fail(NORN_UNSUPPORTED, "%lld iterations (wanted at most %llu: option max_iterations)",
                          (long long)times, (unsigned long long)most);
    for (; goes_on && (endless || *done < times); ++*done) {
        if ((uint64_t)*done >= most)
            return norni_fail(NORN_UNSUPPORTED, "more than %llu iterations (option max_iterations)",
                              (unsigned long long)most);
        NORNI_TRY(norni_prefix(iterate(l, *done, times, &goes_on), "iteration %lld", (long long)*done));
        if (l->bytes > bytes)
            return norni_fail(NORN_NOMEM, "its outputs have more than %llu bytes after %lld iterations",
                              (unsigned long long)bytes, (long long)*done + 1);
    }
    return NORN_OK;
}

static norn_status start(loop *l, int64_t *times, bool *endless, bool *goes_on) {
    const norn_node *node = l->node;
    const norni_control_attrs *at = norni_control_of(node);
    int own = norni_control_own(node);
    l->formal = (int)l->body->inputs.n - (int)at->captured;
    l->before = node->op == &norni_op_Loop ? 2 : 0;
    l->scanned = l->before ? 0 : (int)at->num_scan_inputs;
    l->states = own - l->before - l->scanned;
    l->outs = (int)l->body->outputs.n - l->before / 2 - l->states;
    if (l->formal > MAX_VALUES || l->body->outputs.n > MAX_VALUES)
        return norni_fail(NORN_UNSUPPORTED, "more than %d values in its body's head", MAX_VALUES);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && !l->in[i])
            return norni_fail(NORN_INTERNAL, "input %d is not known", i);
    if (l->before) {
        const norn_tensor *m = l->in[0], *cond = l->in[1];
        *endless = !m;
        *times = m ? norni_get_int(m->dtype, norni_tensor_data(m), 0) : 0;
        *goes_on = !cond || norni_get_int(cond->dtype, norni_tensor_data(cond), 0);
        if (*endless && *goes_on && norni_loop_goes_on(l->body))
            return norni_fail(NORN_ARG, "its condition is always true, and there is no M: it has no end");
    } else {
        const norn_tensor *x = l->in[l->states];
        int axis;
        NORNI_TRY(norni_axis(item(&at->scan_input_axes, 0), x->rank, &axis));
        *times = x->dims[axis];
        *endless = false;
        *goes_on = true;
    }
    for (int k = 0; k < l->states; k++) {
        if (!l->in[l->before + k])
            return norni_fail(NORN_ARG, "carried value %d is missing", k);
        l->state[k] = norni_tensor_ref(l->in[l->before + k]);
    }
    return NORN_OK;
}

static norn_status log_all(const loop *l, norni_fold_log *log, norn_tensor *const *out) {
    norni_str line = {0};
    norni_node_print(&line, l->node);
    char *text = norni_str_take(&line);
    if (!text || !NORNI_PUSH(&log->lines, text)) {
        norni_free(text);
        return norni_nomem();
    }
    for (size_t i = 0; i < norn_executable_host_count(l->run); i++) {
        text = norni_strdup(norn_executable_host_at(l->run, i));
        if (!text || !NORNI_PUSH(&log->lines, text)) {
            norni_free(text);
            return norni_nomem();
        }
    }
    for (int k = 0; k < l->node->n_out; k++)
        if (out[k])
            NORNI_TRY(norni_fold_log_add(log, out[k]));
    return NORN_OK;
}

norn_status norni_control_run(norn_session *session, const norn_plan_options *options, const norn_node *node,
                              norn_tensor *const *in, norni_fold_log *log, norn_tensor **out) {
    const norni_control_attrs *at = norni_control_of(node);
    if (!at->body)
        return norni_fail(NORN_INTERNAL, "no body");
    loop l = {.session = session, .options = options, .node = node, .in = in, .body = at->body->graph};
    int64_t times = 0, done = 0;
    bool endless = false, goes_on = true;
    norn_status s = start(&l, &times, &endless, &goes_on);
    if (s == NORN_OK)
        s = prepare(&l);
    if (s == NORN_OK)
        s = run_all(&l, times, endless, goes_on, &done);
    for (int k = 0; k < node->n_out && s == NORN_OK; k++) {
        if (!node->out[k])
            continue;
        if (k < l.states)
            out[k] = norni_tensor_ref(l.state[k]);
        else
            s = assemble(&l, k - l.states, done, &out[k]);
    }
    if (s == NORN_OK)
        s = log_all(&l, log, out);
    for (int k = 0; k < MAX_VALUES; k++)
        norn_tensor_free(l.state[k]);
    for (size_t i = 0; i < l.pieces.n; i++)
        norn_tensor_free(l.pieces.v[i]);
    norni_vec_free(&l.pieces);
    norn_executable_free(l.run);
    return s;
}
