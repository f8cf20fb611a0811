/* SPDX-License-Identifier: Apache-2.0 */
/* What a trainer says before the first step, and what it does when numbers leave the range: on the host reference. */
#include "tests/backend.h"
#include <math.h>
#include <norn.h>

/* y = LAST(x w) for x TYPE[N,3] and w [3,2] of small numbers; last NULL: x w. */
static norn_model *product(norn_dtype dtype, const char *last) {
    norn_graph *g;
    norn_model *m;
    norn_tensor *t;
    norn_value *y, *z;
    OK(norn_graph_new("product", &g));
    OK(norn_tensor_new(NULL, dtype, 2, (int64_t[]){3, 2}, NULL, &t));
    for (int64_t i = 0; i < 6; i++)
        norn_tensor_set(t, i, 0.25 * (double)(i - 2));
    norn_value *x = norn_graph_input(g, "x",
                                     dtype == NORN_F64   ? "double[N,3]"
                                     : dtype == NORN_F16 ? "float16[N,3]"
                                                         : "float[N,3]"),
               *w = norn_graph_constant(g, "w", t);
    OK(norn_graph_apply(g, "MatMul", 2, (norn_value *[]){x, w}, 1, &y));
    if (last)
        OK(norn_graph_apply(g, last, 1, &y, 1, &z));
    OK(norn_graph_output(g, "y", last ? z : y));
    OK(norn_model_new(g, &m));
    norn_tensor_free(t);
    return m;
}

enum { SAMPLES = 8 };

/* Samples of numbers below 1; labels 0 and 1 in turn, but `odd` at sample 5; of floats [N,width] where width is not 0. */
static norn_dataset *samples(double scale, int64_t odd, int64_t width) {
    norn_tensor *x, *y;
    norn_dataset *d;
    OK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){SAMPLES, 3}, NULL, &x));
    for (int64_t i = 0; i < SAMPLES * 3; i++)
        norn_tensor_set(x, i, scale * (double)(i % 7) / 7);
    OK(norn_tensor_new(NULL, width ? NORN_F32 : NORN_I64, width ? 2 : 1, (int64_t[]){SAMPLES, width}, NULL,
                       &y));
    for (int64_t i = 0; i < SAMPLES * (width ? width : 1); i++)
        norn_tensor_set(y, i, i == 5 ? (double)odd : (double)(i % 2));
    OK(norn_dataset_open_tensors(x, y, NULL, &d));
    norn_tensor_free(x);
    norn_tensor_free(y);
    return d;
}

static norn_session *host(void) {
    norn_session *s;
    OK(norn_session_open("host", &s));
    return s;
}

static norn_trainer *trainer(norn_session *s, norn_model *m, norn_loss loss, norn_optimizer_kind kind,
                             double lr) {
    norn_train_options o;
    norn_trainer *t;
    norn_train_options_init(&o);
    norn_optimizer_init(&o.optimizer, kind);
    o.optimizer.lr = lr;
    o.loss = loss;
    OK(norn_trainer_new(s, m, &o, &t));
    return t;
}

/* The loss of the first step must not depend on a Softmax at the end, nor on the type but for its rounding. */
static void final_softmax(void **state) {
    static const struct {
        norn_dtype dtype;
        const char *last;
        double tolerance;
    } of[] = {{NORN_F32, NULL, 0},
              {NORN_F32, "Softmax", 0},
              {NORN_F32, "Softmax<axis=1>", 0},
              {NORN_F32, "Softmax<axis=-1>", 0},
              {NORN_F32, "LogSoftmax", 0},
              {NORN_F64, NULL, 1e-6},
              {NORN_F16, NULL, 1e-2}};
    (void)state;
    norn_session *s = host();
    norn_dataset *d = samples(1, 1, 0);
    double first = 0;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        norn_model *m = product(of[i].dtype, of[i].last);
        norn_trainer *t = trainer(s, m, NORN_CROSS_ENTROPY, NORN_SGD, 0.1);
        norn_tensor *x, *y;
        norn_train_result r;
        assert_int_equal(norn_trainer_note_count(t), of[i].last != NULL); /* before the first step */
        if (of[i].last)
            assert_non_null(strstr(norn_trainer_note_at(t, 0), "Softmax is part of the cross entropy"));
        OK(norn_trainer_check(t, d, NULL));
        OK(norn_dataset_batch(d, (int64_t[]){0, 1, 2, 3}, 4, &x, &y));
        OK(norn_trainer_step(t, x, y, &r));
        if (!i)
            first = r.loss;
        assert_true(first > 0.1 && fabs(r.loss - first) <= of[i].tolerance);
        assert_int_equal(norn_trainer_note_count(t), of[i].last != NULL);
        OK(norn_trainer_store(t));
        norn_tensor_free(x);
        norn_tensor_free(y);
        norn_trainer_free(t);
        norn_model_free(m);
    }
    norn_dataset_close(d);
    norn_session_close(s);
}

static void labels(void **state) {
    (void)state;
    norn_session *s = host();
    norn_model *m = product(NORN_F32, NULL);
    norn_trainer *t = trainer(s, m, NORN_CROSS_ENTROPY, NORN_ADAM, 0.1);
    norn_dataset *good = samples(1, 0, 0), *high = samples(1, 2, 0), *low = samples(1, -1, 0),
                 *numbers = samples(1, 1, 2), *one = samples(1, 1, 1);
    norn_fit_options fit = {.batch = 4, .epochs = 1, .validation = high};
    OK(norn_trainer_check(t, good, NULL));
    FAILS(norn_trainer_check(t, high, NULL), NORN_ARG, "label 2 at sample 5", "2 classes");
    FAILS(norn_trainer_check(t, low, NULL), NORN_ARG, "label -1 at sample 5", "2 classes");
    FAILS(norn_trainer_fit(t, good, &fit), NORN_ARG, "validation", "label 2 at sample 5");
    FAILS(norn_trainer_check(t, numbers, NULL), NORN_SHAPE, "[8,2]", "[8]");
    norn_tensor *x, *y;
    OK(norn_dataset_batch(high, (int64_t[]){4, 5}, 2, &x, &y));
    FAILS(norn_trainer_step(t, x, y, NULL), NORN_ARG, "label 2 at place 1");
    norn_tensor_free(x);
    norn_tensor_free(y);
    norn_trainer_free(t);
    t = trainer(s, m, NORN_MSE, NORN_ADAM, 0.1);
    OK(norn_trainer_check(t, numbers, NULL));
    FAILS(norn_trainer_check(t, one, NULL), NORN_SHAPE, "[8,1]", "[8,2]", "'y'");
    FAILS(norn_trainer_check(t, good, NULL), NORN_SHAPE, "[8]", "[8,2]", "'y'");
    norn_trainer_free(t);
    norn_model_free(m);
    norn_dataset *all[] = {good, high, low, numbers, one};
    for (int i = 0; i < 5; i++)
        norn_dataset_close(all[i]);
    norn_session_close(s);
}

static bool count(void *user, const norn_progress *p) {
    assert_true(p->step_seconds > 0 && p->step_seconds <= p->seconds);
    ++*(int *)user;
    return true;
}

/* NaN in the data is found before, in the loss at its step, in the parameters before they are stored. */
static void not_a_number(void **state) {
    (void)state;
    norn_session *s = host();
    norn_model *m = product(NORN_F32, NULL);
    norn_dataset *good = samples(1, 1, 2), *nan = samples(NAN, 1, 2), *large = samples(1e30, 1, 2);
    int steps = 0;
    norn_fit_options fit = {.batch = 4, .epochs = 5, .progress = count, .user = &steps};
    norn_trainer *t = trainer(s, m, NORN_MSE, NORN_SGD, 1e30);
    FAILS(norn_trainer_fit(t, nan, &fit), NORN_ARG, "sample 0", "8 of 8");
    assert_int_equal(steps, 0);
    FAILS(norn_trainer_fit(t, good, &fit), NORN_ARG, "step 2", "the loss is inf");
    assert_int_equal(steps, 2);
    FAILS(norn_trainer_store(t), NORN_ARG, "parameter 'w'");
    assert_true(norn_tensor_get(norn_value_data(norn_graph_value(norn_model_graph(m), "w")), 0) == -0.5);
    norn_trainer_free(t);
    t = trainer(s, m, NORN_MSE, NORN_SGD, 0.1);
    FAILS(norn_trainer_fit(t, large, &fit), NORN_ARG, "step 1", "before any update");
    norn_trainer_free(t);
    norn_model_free(m);
    norn_dataset_close(good);
    norn_dataset_close(nan);
    norn_dataset_close(large);
    norn_session_close(s);
}

static void refused(void **state) {
    (void)state;
    norn_session *s = host();
    norn_model *m = product(NORN_F16, NULL);
    norn_train_options o;
    norn_trainer *t;
    norn_train_options_init(&o);
    FAILS(norn_trainer_new(s, m, &o, &t), NORN_UNSUPPORTED, "'w'", "float16");
    o.optimizer.beta1 = 1.5;
    FAILS(norn_optimizer_check(&o.optimizer), NORN_ARG, "beta1", "1.5");
    FAILS(norn_trainer_new(s, m, &o, &t), NORN_ARG, "beta1", "1.5");
    norn_model_free(m);
    norn_session_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(final_softmax),
        cmocka_unit_test(labels),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
