/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "export/image.h"

/* The pixels that tests/data/make_files.py computed, for every picture that it encoded. */
static void decodes_every_kind(void **state) {
    norn_archive *a;
    WORKS(norn_archive_open(data_path("png/expected.npz"), &a));
    assert_int_equal(norn_archive_count(a), 43);
    for (size_t i = 0; i < norn_archive_count(a); i++) {
        norn_tensor *got, *wanted;
        char path[64];
        snprintf(path, sizeof path, "png/%s.png", norn_archive_name(a, i));
        WORKS(norn_archive_load_at(a, i, &wanted));
        WORKS(norn_tensor_load(data_path(path), &got));
        assert_shape(got, NORN_U8, 3, wanted->dims);
        if (!norni_tensor_equal(got, wanted))
            fail_msg("%s: other pixels", path);
        norn_tensor_free(got);
        norn_tensor_free(wanted);
    }
    norn_archive_close(a);
}

static void converts_channels(void **state) {
    static const char *const files[] = {"png/grey8.png", "png/greya8.png", "png/rgb8.png", "png/rgba8.png",
                                        "png/palette4_trns.png"};
    static const int to[] = {1, 3, 4};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++)
        for (int k = 0; k < 3; k++) {
            norn_tensor *p, *q;
            WORKS(norni_png_load(data_path(files[f]), 0, &p));
            WORKS(norni_png_load(data_path(files[f]), to[k], &q));
            int64_t c = p->dims[2], pixels = p->dims[0] * p->dims[1];
            assert_shape(q, NORN_U8, 3, (int64_t[]){p->dims[0], p->dims[1], to[k]});
            const unsigned char *s = norni_tensor_data(p), *t = norni_tensor_data(q);
            for (int64_t i = 0; i < pixels; i++, s += c, t += to[k]) {
                int r = s[0], g = s[c >= 3 ? 1 : 0], b = s[c >= 3 ? 2 : 0], alpha = c % 2 ? 255 : s[c - 1];
                if (to[k] == 1) {
                    assert_int_equal(t[0], c >= 3 ? (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16 : r);
                    continue;
                }
                assert_int_equal(t[0], r);
                assert_int_equal(t[1], g);
                assert_int_equal(t[2], b);
                if (to[k] == 4)
                    assert_int_equal(t[3], alpha);
            }
            norn_tensor_free(p);
            norn_tensor_free(q);
        }
    norn_tensor *t;
    FAILS(norni_png_load(data_path("png/grey8.png"), 2, &t), NORN_ARG,
          "grey8.png: 2 channels (wanted 0, 1, 3 or 4)");
}

static norn_status decode(const unsigned char *data, size_t bytes) {
    norn_tensor *t;
    norn_status s = norni_png_decode(data, bytes, 4, &t);
    assert_true((s == NORN_OK) == (t != NULL));
    norn_tensor_free(t);
    return s;
}

static uint32_t crc(const unsigned char *p, size_t n) {
    uint32_t c = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    }
    return ~c;
}

static void put_u32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* A picture with another size in its header, and the checksum right. */
static norn_status decode_resized(uint32_t w, uint32_t h) {
    size_t n;
    unsigned char *data = get_file(data_path("png/grey8.png"), &n);
    put_u32(data + 16, w);
    put_u32(data + 20, h);
    put_u32(data + 29, crc(data + 12, 17));
    norn_status s = decode(data, n);
    norni_free(data);
    return s;
}

static void bounds_the_size(void **state) {
    WORKS(decode_resized(9, 7));
    FAILS(decode_resized(16385, 1), NORN_UNSUPPORTED, "16385x1 pixels (wanted at most 16384 each way)");
    FAILS(decode_resized(1, 2000000000), NORN_UNSUPPORTED, "1x2000000000 pixels");
    FAILS(decode_resized(16384, 16384), NORN_PARSE, "bytes cannot hold 16384x16384 pixels");
    FAILS(decode_resized(0, 7), NORN_PARSE, "damaged PNG");
    FAILS(decode_resized(0xffffffff, 7), NORN_PARSE, "damaged PNG");
    FAILS(decode_resized(9, 8), NORN_PARSE, "damaged PNG");
    assert_true(peak_megabytes() < 1024);
}

static void names_other_formats(void **state) {
    norn_tensor *t;
    put_file(temporary_path("a.png"), "\xff\xd8\xff\xe0", 4);
    FAILS(norn_tensor_load(temporary_path("a.png"), &t), NORN_UNSUPPORTED,
          "a.png: looks like JPEG (wanted PNG)");
    put_file(temporary_path("a.png"), "", 0);
    FAILS(norn_tensor_load(temporary_path("a.png"), &t), NORN_PARSE, "a.png: does not begin as a PNG does");
    FAILS(norni_png_load(temporary_path("none.png"), 0, &t), NORN_IO, "none.png: cannot open");
}

static void stands_damage(void **state) {
    static const char *const files[] = {
        "png/grey1.png",          "png/grey16_trns.png", "png/rgb8_adam7.png",  "png/palette4_trns.png",
        "png/palette1_adam7.png", "png/greya16.png",     "png/rgba16_adam7.png"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t n;
        unsigned char *data = get_file(data_path(files[i]), &n);
        damage(data, n, 1500, true, decode);
        norni_free(data);
    }
}

/* Checksums hide most flipped bits from the code behind them; here they are put right again. */
static void stands_damage_behind_checksums(void **state) {
    static const char *const files[] = {"png/grey4_trns.png", "png/palette8_trns.png", "png/rgba8_adam7.png"};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        size_t n;
        unsigned char *data = get_file(data_path(files[f]), &n), *copy = malloc(n);
        for (int i = 0; i < 3000; i++) {
            memcpy(copy, data, n);
            for (uint32_t k = 0, flips = 1 + random_u32() % 3; k < flips; k++)
                copy[8 + random_u32() % (n - 8)] ^= (unsigned char)(1u << random_u32() % 8);
            for (size_t at = 8; at + 12 <= n;) {
                size_t len = (size_t)copy[at] << 24 | (size_t)copy[at + 1] << 16 | (size_t)copy[at + 2] << 8 |
                             copy[at + 3];
                if (len > n - at - 12)
                    break;
                put_u32(copy + at + 8 + len, crc(copy + at + 4, len + 4));
                at += 12 + len;
            }
            norn_status s = decode(copy, n);
            assert_true(s == NORN_OK || s == NORN_PARSE || s == NORN_UNSUPPORTED);
        }
        free(copy);
        norni_free(data);
    }
    assert_true(peak_megabytes() < 2048);
}

static norn_status load_starved(void) {
    norn_tensor *t;
    norn_status s = norni_png_load(data_path("png/palette4_trns.png"), 1, &t);
    norn_tensor_free(t);
    return s;
}

static void survives_without_memory(void **state) {
    starve(load_starved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_every_kind),      cmocka_unit_test(converts_channels),
        cmocka_unit_test(bounds_the_size),         cmocka_unit_test(names_other_formats),
        cmocka_unit_test(stands_damage),           cmocka_unit_test(stands_damage_behind_checksums),
        cmocka_unit_test(survives_without_memory),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
