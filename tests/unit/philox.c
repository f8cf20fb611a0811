/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"

/* The vectors that the authors publish with Random123 (kat_vectors, philox4x32 10). */
static void known_answers(void **state) {
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } v[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        norni_philox(v[i].key, v[i].counter, out);
        for (int k = 0; k < 4; k++)
            assert_int_equal(out[k], v[i].out[k]);
    }
}

static void stream_is_blocks_in_order(void **state) {
    norni_philox_stream s;
    norni_philox_begin(&s, 0x0123456789abcdefu, 7, 9);
    const uint32_t key[2] = {0x89abcdef, 0x01234567};
    for (uint32_t block = 0; block < 3; block++) {
        uint32_t counter[4] = {block, 0, 7, 9}, out[4];
        norni_philox(key, counter, out);
        for (int k = 0; k < 4; k++)
            assert_int_equal(norni_philox_u32(&s), out[k]);
    }
    s.counter[0] = 0xffffffff; /* the block number carries into word 1 and not beyond */
    norni_philox_u32(&s);
    assert_int_equal(s.counter[0], 0);
    assert_int_equal(s.counter[1], 1);
    assert_int_equal(s.counter[2], 7);
}

static void below_is_uniform(void **state) {
    norni_philox_stream s;
    long count[7] = {0};
    norni_philox_begin(&s, 1, 0, 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t v = norni_philox_below(&s, 7);
        assert_true(v < 7);
        count[v]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 7; i++)
        chi2 += (double)(count[i] - 10000) * (double)(count[i] - 10000) / 10000.0;
    assert_true(chi2 < 22.5); /* the 99.9th percentile with 6 degrees of freedom */
    assert_int_equal(norni_philox_below(&s, 1), 0);
    for (int i = 0; i < 100; i++) /* just above half of 2^64: nearly every second draw is drawn again */
        assert_true(norni_philox_below(&s, (1ull << 63) + 1) <= 1ull << 63);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(stream_is_blocks_in_order),
        cmocka_unit_test(below_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
