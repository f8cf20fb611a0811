/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as an SVG drawing: inputs at the left, each operator one column behind the last of what it reads, rows ordered by where
 * their inputs stand. */
#include "ops/op.h"
#include "symbolic/code.h"
#include <string.h>

enum { BOX_W = 96, BOX_H = 30, STEP_X = 140, STEP_Y = 48, MARGIN = 20, SWEEPS = 4 };

typedef struct {
    char *label;
    int column, row; /* row: within the column */
    double wanted;   /* mean row of the inputs */
    char kind;       /* i: input, c: constant, n: node, o: output */
} box;

typedef struct {
    int from, to;
} edge;

typedef struct {
    NORNI_VEC(box) boxes;
    NORNI_VEC(edge) edges;
    bool failed;
} drawing;

static int add(drawing *d, char kind, int column, norni_str *label) {
    box b = {.label = norni_str_take(label), .column = column, .kind = kind};
    if (!b.label || !NORNI_PUSH(&d->boxes, b)) {
        norni_free(b.label);
        d->failed = true;
        return 0;
    }
    return (int)d->boxes.n - 1;
}

static void connect(drawing *d, int from, int to) {
    if (!NORNI_PUSH(&d->edges, ((edge){from, to})))
        d->failed = true;
}

static void constant_label(norni_str *s, const norn_value *v) {
    if (norni_tensor_elems(v->data) == 1)
        norni_str_add_double(s, norni_get_double(v->type.dtype, norni_tensor_data(v->data), 0));
    else if (v->name)
        norni_str_add(s, v->name);
    else
        norni_type_print(s, v->graph, &v->type);
}

static void build(drawing *d, const norn_graph *g, int *of) {
    for (size_t i = 0; i < g->values.n; i++) {
        const norn_value *v = g->values.v[i];
        norni_str s = {0};
        if (v->kind != NORNI_INPUT && v->kind != NORNI_STATE)
            continue;
        norni_str_add(&s, v->name ? v->name : "");
        of[v->id] = add(d, 'i', 0, &s);
    }
    for (size_t i = 0; i < g->nodes.n && !d->failed; i++) {
        const norn_node *n = g->nodes.v[i];
        norni_str s = {0};
        int column = 1;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] && n->in[k]->kind != NORNI_CONST && d->boxes.v[of[n->in[k]->id]].column >= column)
                column = d->boxes.v[of[n->in[k]->id]].column + 1;
        norni_str_add(&s, n->op == &norni_op_unknown ? n->type : n->op->name);
        int me = add(d, 'n', column, &s);
        for (int k = 0; k < n->n_in && !d->failed; k++)
            if (n->in[k] && n->in[k]->kind == NORNI_CONST) {
                norni_str c = {0};
                constant_label(&c, n->in[k]);
                connect(d, add(d, 'c', column - 1, &c), me);
            } else if (n->in[k])
                connect(d, of[n->in[k]->id], me);
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k])
                of[n->out[k]->id] = me;
    }
    for (size_t i = 0; i < g->outputs.n && !d->failed; i++) {
        const norn_value *v = g->outputs.v[i].value;
        norni_str s = {0};
        if (v->kind == NORNI_CONST) {
            constant_label(&s, v);
            of[v->id] = add(d, 'c', 0, &s);
        }
        int from = of[v->id];
        norni_str_add(&s, g->outputs.v[i].name);
        if (!d->failed)
            connect(d, from, add(d, 'o', d->boxes.v[from].column + 1, &s));
    }
}

/* Rows within the columns: first in order of making, then by the mean row of what each box reads, or is read by. */
static int arrange(drawing *d) {
    int columns = 0, highest = 0;
    for (size_t i = 0; i < d->boxes.n; i++)
        if (d->boxes.v[i].column >= columns)
            columns = d->boxes.v[i].column + 1;
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (int step = 0; step < columns; step++) {
            int c = sweep % 2 ? columns - 1 - step : step, n = 0;
            for (size_t i = 0; i < d->boxes.n; i++) {
                box *b = &d->boxes.v[i];
                double sum = 0, count = 0;
                if (b->column != c)
                    continue;
                for (size_t k = 0; k < d->edges.n && sweep; k++) {
                    edge e = d->edges.v[k];
                    int other = sweep % 2 ? (e.from == (int)i ? e.to : -1) : e.to == (int)i ? e.from : -1;
                    if (other >= 0) {
                        sum += d->boxes.v[other].row;
                        count++;
                    }
                }
                b->wanted = count > 0 ? sum / count : b->row;
                int row = n++;
                for (size_t k = 0; k < d->boxes.n; k++) /* those with a higher wish make room */
                    if (d->boxes.v[k].column == c && k < i && sweep && d->boxes.v[k].wanted > b->wanted) {
                        row = row < d->boxes.v[k].row ? row : d->boxes.v[k].row;
                    }
                for (size_t k = 0; k < i && sweep; k++)
                    if (d->boxes.v[k].column == c && d->boxes.v[k].row >= row)
                        d->boxes.v[k].row++;
                b->row = row;
            }
            highest = n > highest ? n : highest;
        }
    return highest;
}

static void xml(norni_str *s, const char *text) {
    enum { LIMIT = 16 };
    for (int i = 0; text[i] && i < LIMIT; i++)
        switch (text[i]) {
        case '<':
            norni_str_add(s, "&lt;");
            break;
        case '>':
            norni_str_add(s, "&gt;");
            break;
        case '&':
            norni_str_add(s, "&amp;");
            break;
        default:
            norni_str_addn(s, text + i, 1);
        }
    if (strlen(text) > LIMIT)
        norni_str_add(s, "...");
}

static void write(norni_str *s, const drawing *d, int rows) {
    static const char *const fill[] = {"#dbeafe", "#ffffff", "#f1f5f9", "#dcfce7"};
    int columns = 0;
    for (size_t i = 0; i < d->boxes.n; i++)
        if (d->boxes.v[i].column >= columns)
            columns = d->boxes.v[i].column + 1;
    int width = (columns - 1) * STEP_X + BOX_W + 2 * MARGIN,
        height = (rows - 1) * STEP_Y + BOX_H + 2 * MARGIN;
    norni_str_addf(
        s,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n"
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#475569\"/></marker></defs>\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
        width, height, width, height, width, height);
    for (size_t i = 0; i < d->edges.n; i++) {
        const box *a = &d->boxes.v[d->edges.v[i].from], *b = &d->boxes.v[d->edges.v[i].to];
        int x0 = MARGIN + a->column * STEP_X + BOX_W, y0 = MARGIN + a->row * STEP_Y + BOX_H / 2,
            x1 = MARGIN + b->column * STEP_X, y1 = MARGIN + b->row * STEP_Y + BOX_H / 2;
        norni_str_addf(s,
                       "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#475569\" "
                       "marker-end=\"url(#arrow)\"/>\n",
                       x0, y0, x0 + 22, y0, x1 - 22, y1, x1, y1);
    }
    for (size_t i = 0; i < d->boxes.n; i++) {
        const box *b = &d->boxes.v[i];
        int x = MARGIN + b->column * STEP_X, y = MARGIN + b->row * STEP_Y;
        const char *color = fill[strchr("icno", b->kind) - "icno"];
        norni_str_addf(
            s,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\" fill=\"%s\" stroke=\"%s\"/>\n"
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
            x, y, BOX_W, BOX_H, b->kind == 'n' ? 6 : 15, color, b->kind == 'c' ? "#cbd5e1" : "#475569",
            x + BOX_W / 2, y + BOX_H / 2 + 4);
        xml(s, b->label);
        norni_str_add(s, "</text>\n");
    }
    norni_str_add(s, "</svg>\n");
}

norn_status norni_drawing_print(const norn_graph *g, char **out) {
    drawing d = {0};
    norni_str s = {0};
    int *of = norni_alloc_array(g->values.n + 1, sizeof *of);
    *out = NULL;
    if (!of)
        return norni_nomem();
    build(&d, g, of);
    if (!d.failed)
        write(&s, &d, arrange(&d));
    for (size_t i = 0; i < d.boxes.n; i++)
        norni_free(d.boxes.v[i].label);
    norni_vec_free(&d.boxes);
    norni_vec_free(&d.edges);
    norni_free(of);
    if (!d.failed)
        *out = norni_str_take(&s);
    norni_str_free(&s);
    return *out ? NORN_OK : norni_nomem();
}
