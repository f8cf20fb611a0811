/* SPDX-License-Identifier: Apache-2.0 */
/* Files with sequences and optionals, and models that are loaded for what their inputs hold. */
#include "files.h"

#include <norn.h>

#define CASES "verify/contents/"

static void test_load(void **state) {
    norn_content c;
    WORKS(norn_content_load(data_path(CASES "map_add/test_data_set_0/input_0.pb"), NORN_FORM_SEQUENCE, &c));
    assert_int_equal(c.n, 2);
    assert_true(c.present);
    assert_int_equal(norn_tensor_dims(c.tensors[1])[0], 3);
    assert_true(norn_tensor_get(c.tensors[1], 2) == 0);
    norn_content_free(&c);
    WORKS(norn_content_load(data_path(CASES "optional_has_full/test_data_set_0/input_0.pb"),
                            NORN_FORM_OPTIONAL, &c));
    assert_true(c.present && c.n == 1);
    norn_content_free(&c);
    WORKS(norn_content_load(data_path(CASES "optional_has_empty/test_data_set_0/input_0.pb"),
                            NORN_FORM_OPTIONAL, &c));
    assert_true(!c.present && c.n == 0);
    norn_content_free(&c);
    FAILS(norn_content_load(data_path(CASES "optional_get_sequence/test_data_set_0/input_0.pb"),
                            NORN_FORM_OPTIONAL, &c),
          NORN_PARSE, "input_0.pb: it holds something else than its type says");
    FAILS(norn_content_load(data_path("onnx/float.pb"), NORN_FORM_OTHER, &c), NORN_UNSUPPORTED,
          "norn has no such values");
    FAILS(norn_content_load(data_path("onnx/none.pb"), NORN_FORM_SEQUENCE, &c), NORN_IO, "cannot open");
}

static norn_form form;
static norn_status read_bytes(const unsigned char *data, size_t n) {
    norn_content c;
    put_file(temporary_path("damaged.pb"), data, n);
    norn_status s = norn_content_load(temporary_path("damaged.pb"), form, &c);
    norn_content_free(&c);
    return s;
}

static void test_damage(void **state) {
    size_t n;
    static const struct {
        const char *file;
        norn_form form;
    } files[] = {{CASES "map_add/test_data_set_0/input_0.pb", NORN_FORM_SEQUENCE},
                 {CASES "optional_has_full/test_data_set_0/input_0.pb", NORN_FORM_OPTIONAL},
                 {CASES "optional_get_sequence/test_data_set_0/input_0.pb", NORN_FORM_OPTIONAL_SEQUENCE}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unsigned char *data = get_file(data_path(files[i].file), &n);
        form = files[i].form;
        damage(data, n, 1000, false, read_bytes);
        norni_free(data);
    }
}

/* A sequence of `n` vectors of 3 and the sum of each with itself. */
static norn_status load_map(size_t n, norn_form of, norn_model **m) {
    norn_tensor *t[3] = {0};
    norn_content c[2] = {{"s", of, true, n, t}, {"r", of, true, n, t}};
    const norn_load_options o = {.contents = c, .n_contents = 2};
    norn_status s = NORN_OK;
    *m = NULL;
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        s = norn_tensor_new(NULL, NORN_F32, 1, (int64_t[]){3}, NULL, &t[i]);
    if (s == NORN_OK)
        s = norn_model_load(data_path(CASES "map_add/model.onnx"), &o, m);
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(t[i]);
    return s;
}

static void test_model(void **state) {
    norn_model *m;
    WORKS(norn_model_load(data_path(CASES "map_add/model.onnx"), NULL, &m));
    assert_int_equal(norn_model_input_form(m, 1), NORN_FORM_SEQUENCE);
    assert_int_equal(norn_model_output_form(m, 0), NORN_FORM_SEQUENCE);
    norn_model_free(m);
    WORKS(load_map(3, NORN_FORM_SEQUENCE, &m));
    norn_graph *g = norn_model_graph(m);
    assert_int_equal(norn_graph_input_count(g), 6);
    assert_string_equal(norn_value_name(norn_graph_input_at(g, 4)), "r[1]");
    assert_int_equal(norn_graph_output_count(g), 3);
    assert_string_equal(norn_graph_output_name(g, 2), "y[2]");
    WORKS(norn_model_save(m, temporary_path("tensors.onnx"), NULL)); /* a model of tensors */
    norn_model_free(m);
    WORKS(norn_model_load(temporary_path("tensors.onnx"), NULL, &m));
    assert_int_equal(norn_graph_input_count(norn_model_graph(m)), 6);
    assert_int_equal(norn_model_input_form(m, 1), NORN_FORM_TENSOR);
    norn_model_free(m);
    WORKS(load_map(0, NORN_FORM_SEQUENCE, &m));
    assert_int_equal(norn_graph_output_count(norn_model_graph(m)), 0);
    norn_model_free(m);
    FAILS(load_map(2, NORN_FORM_TENSOR, &m), NORN_ARG, "no content of its form is given");
}

static norn_status starved(void) {
    norn_model *m;
    norn_status s = load_map(2, NORN_FORM_SEQUENCE, &m);
    norn_model_free(m);
    return s;
}

static void test_starved(void **state) {
    starve(starved);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_model), cmocka_unit_test(test_starved)};
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
