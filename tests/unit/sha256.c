/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of FIPS 180-4 and of NIST's CAVP. */
#include "base/sha256.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, size_t times, size_t chunk, const char *hex) {
    norni_sha256 s;
    char got[NORNI_SHA256_HEX + 1];
    norni_sha256_begin(&s);
    for (size_t i = 0; i < times; i++)
        for (size_t at = 0, n = strlen(text); at < n; at += chunk)
            norni_sha256_add(&s, text + at, n - at < chunk ? n - at : chunk);
    norni_sha256_end(&s, got);
    assert_string_equal(got, hex);
}

static void test_examples(void **state) {
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char million[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                  "aaaaaaaaaaaaaaaaaaaaaaaaaa";
    (void)state;
    expect("", 1, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abc", 1, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t chunk = 1; chunk <= 56; chunk += 11)
        expect(two, 1, chunk, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect(million, 10000, 100, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    expect(million, 10000, 63, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
