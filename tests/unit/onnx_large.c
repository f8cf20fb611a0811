/* SPDX-License-Identifier: Apache-2.0 */
/* A model of more than 2 GiB, by sparse files: it loads without its weights being read. */
#include "onnx_models.h"

#include <fcntl.h>
#include <unistd.h>

enum { MIB = 1 << 20 };
static const int64_t elems = (int64_t)768 * MIB; /* 3 GiB of floats in each of two files */

/* Memory of this process that is not part of a mapped file. */
static long private_mib(void) {
    long kib = -1;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %ld kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib < 0 ? -1 : kib / 1024;
}

/* Zeros but for the last element. */
static void sparse_file(const char *name, float last) {
    int fd = open(temporary_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &last, sizeof last, elems * 4 - 4), sizeof last);
    assert_int_equal(close(fd), 0);
}

static void add_external(builder *b, const char *name, const char *location) {
    norni_str t = {0}, entry = {0};
    norni_wire_put_int(&t, 1, elems);
    norni_wire_put_int(&t, 2, NORN_F32);
    norni_wire_put_string(&t, 8, name);
    norni_wire_put_string(&entry, 1, "location");
    norni_wire_put_string(&entry, 2, location);
    norni_wire_put_message(&t, 13, &entry);
    norni_wire_put_int(&t, 14, 1);
    norni_wire_put_message(&b->graph, 5, &t);
}

static void test_large(void **state) {
    builder b = build(17);
    norni_str file = {0}, opset = {0};
    norn_model *m;
    add_value(&b, 11, "i", NORN_I64, 1, (int64_t[]){2});
    add_external(&b, "v", "v.bin");
    add_external(&b, "w", "w.bin");
    add_node(&b, "Gather", "v,i", "a");
    add_node(&b, "Gather", "w,i", "b");
    add_node(&b, "Add", "a,b", "y");
    OUTPUT(&b, "y", 2);
    sparse_file("v.bin", 3);
    sparse_file("w.bin", 5);
    norni_wire_put_int(&file, 1, 8);
    norni_wire_put_message(&file, 7, &b.graph);
    norni_wire_put_int(&opset, 2, 17);
    norni_wire_put_message(&file, 8, &opset);
    put_file(temporary_path("large.onnx"), file.s, file.n);
    norni_str_free(&file);
    long before = private_mib();
    WORKS(norn_model_load(temporary_path("large.onnx"), NULL, &m));
    assert_type(m, "y", "float[2]");
    const norn_tensor *v = norn_value_data(value_of(m, "v")), *w = norn_value_data(value_of(m, "w"));
    assert_true(norn_tensor_bytes(v) + norn_tensor_bytes(w) > (size_t)4096 * MIB);
    assert_true(norn_tensor_get(v, elems - 1) == 3 && norn_tensor_get(v, 0) == 0);
    assert_true(norn_tensor_get(w, elems - 1) == 5 && norn_tensor_get(w, elems / 2) == 0);
    long after = private_mib();
    if (before >= 0)
        assert_true(after - before <= 100);
    norn_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
