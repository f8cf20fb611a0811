/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory that results share, one after the other. */
#include "base/recycle.h"
#include "base/alloc.h"
#include "norn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static norn_tensor *make(norni_recycler *r, int64_t n) {
    norn_tensor *t;
    assert_int_equal(norni_recycler_tensor(r, NORN_F32, 1, &n, &t), NORN_OK);
    assert_int_equal(norn_tensor_elems(t), n);
    memset(norn_tensor_data(t), 1, norn_tensor_bytes(t));
    return t;
}

static void used_again(void **state) {
    (void)state;
    norni_recycler *r = norni_recycler_new(1);
    norn_tensor *a = make(r, 12 << 20), *b = make(r, 12 << 20);
    void *first = norn_tensor_data(a);
    assert_ptr_not_equal(first, norn_tensor_data(b)); /* never one that somebody still has */
    norn_tensor_free(a);
    a = make(r, 9 << 20); /* a smaller one fits too */
    assert_ptr_equal(norn_tensor_data(a), first);
    norn_tensor_free(a);
    a = make(r, 1 << 20); /* but not into a much larger one, nor a larger one */
    assert_ptr_not_equal(norn_tensor_data(a), first);
    norn_tensor_free(a);
    a = make(r, 16 << 20);
    norn_tensor_free(b); /* more than it keeps: the older goes */
    norn_tensor_free(a);
    norni_recycler_free(r);
}

static void tensors_outlive_it(void **state) {
    (void)state;
    norni_recycler *r = norni_recycler_new(4);
    norn_tensor *a = make(r, 9 << 20), *b = make(r, 1), *c = make(r, 0), *d = make(r, 9 << 20);
    norn_tensor_free(d);
    norni_recycler_free(r);
    assert_int_equal(((unsigned char *)norn_tensor_data(a))[(36 << 20) - 1], 1);
    norn_tensor_free(a);
    norn_tensor_free(b);
    norn_tensor_free(c);
    norni_recycler_free(NULL);
}

static void out_of_memory(void **state) {
    (void)state;
    norni_recycler *r = norni_recycler_new(1);
    int64_t n = 9 << 20, bad[] = {-1};
    norn_tensor *t;
    for (int i = 0; i < 3; i++) {
        norni_alloc_fail_after(i);
        assert_int_equal(norni_recycler_tensor(r, NORN_F32, 1, &n, &t), NORN_NOMEM);
        assert_null(t);
    }
    assert_null(norni_recycler_new(1));
    norni_alloc_fail_after(-1);
    assert_int_equal(norni_recycler_tensor(r, NORN_F32, 1, bad, &t), NORN_SHAPE);
    assert_null(t);
    norni_recycler_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_again),
        cmocka_unit_test(tensors_outlive_it),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
