/* SPDX-License-Identifier: Apache-2.0 */
#include "export/image.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* All that a decoding holds. libpng leaves by longjmp, so what must be freed is here and not in local
 * variables, and the functions between setjmp and libpng own nothing. */
typedef struct {
    jmp_buf back;
    const unsigned char *data;
    size_t bytes, at;
    png_structp png;
    png_infop info;
    norn_tensor *picture; /* [h, w, c], as stored */
    uint32_t w, h;
    int c;
    bool nomem;
    norn_status status; /* a failure found by us rather than by libpng */
    char message[160];
} decoder;

static void on_error(png_structp png, png_const_charp text) {
    decoder *d = png_get_error_ptr(png);
    snprintf(d->message, sizeof d->message, "%s", text);
    longjmp(d->back, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text; /* what libpng can read past is not worth a word */
}

static void on_read(png_structp png, png_bytep out, size_t n) {
    decoder *d = png_get_io_ptr(png);
    if (n > d->bytes - d->at)
        png_error(png, "the file ends early");
    memcpy(out, d->data + d->at, n);
    d->at += n;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t n) {
    void *p = norni_alloc(n);
    if (!p)
        ((decoder *)png_get_mem_ptr(png))->nomem = true;
    return p;
}

static void on_free(png_structp png, png_voidp p) {
    (void)png;
    norni_free(p);
}

/* Text, profiles and the like have no bearing on the pixels: they are not even unpacked. */
static void skip_side_chunks(png_structp png) {
    static const char names[] =
        "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0"
        "sTER\0tEXt\0tIME\0zTXt";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep)names, (int)(sizeof names / 5));
}

static void give_up(decoder *d, norn_status s) {
    d->status = s;
    longjmp(d->back, 1);
}

/* Header and transformations; then the size of the decoded picture is known and checked. */
static void read_header(decoder *d) {
    png_structp png = d->png;
    png_set_read_fn(png, d, on_read);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff); /* ours come with a better message */
    skip_side_chunks(png);
    png_set_chunk_malloc_max(png, 0); /* what is skipped may be of any length */
    png_read_info(png, d->info);
    uint32_t w = png_get_image_width(png, d->info), h = png_get_image_height(png, d->info);
    if (w > NORNI_IMAGE_SIDE || h > NORNI_IMAGE_SIDE)
        give_up(d, norni_fail(NORN_UNSUPPORTED, "%lux%lu pixels (wanted at most %d each way)",
                              (unsigned long)w, (unsigned long)h, NORNI_IMAGE_SIDE));
    /* Before expansion: bytes of pixels as they lie in the stream, without the filter byte of each row. */
    uint64_t stream = (uint64_t)png_get_rowbytes(png, d->info) * h;
    if (stream > norni_inflated_max(d->bytes))
        give_up(d, norni_fail(NORN_PARSE, "%zu bytes cannot hold %lux%lu pixels", d->bytes, (unsigned long)w,
                              (unsigned long)h));
    png_set_expand(png); /* palettes to RGB, few bits to 8, a transparent colour to alpha */
    png_set_scale_16(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, d->info);
    d->w = w;
    d->h = h;
    d->c = png_get_channels(png, d->info);
    if (png_get_rowbytes(png, d->info) != (size_t)w * (size_t)d->c)
        png_error(png, "rows of an unexpected length");
    if ((uint64_t)w * h * (uint64_t)d->c > NORNI_IMAGE_BYTES)
        give_up(d, norni_fail(NORN_UNSUPPORTED, "%lux%lu pixels of %d bytes (wanted at most %zu bytes)",
                              (unsigned long)w, (unsigned long)h, d->c, NORNI_IMAGE_BYTES));
}

static void read_pixels(decoder *d) {
    size_t row = (size_t)d->w * (size_t)d->c;
    int64_t dims[] = {d->h, d->w, d->c};
    norn_status s = norni_tensor_host(NORN_U8, 3, dims, &d->picture);
    if (s != NORN_OK)
        give_up(d, s);
    unsigned char *pixels = norni_tensor_data(d->picture);
    int passes =
        png_get_interlace_type(d->png, d->info) == PNG_INTERLACE_ADAM7 ? PNG_INTERLACE_ADAM7_PASSES : 1;
    for (int pass = 0; pass < passes;
         pass++) /* each pass fills in the pixels of its own and leaves the others */
        for (size_t y = 0; y < d->h; y++)
            png_read_row(d->png, pixels + y * row, NULL);
    png_read_end(d->png, NULL);
}

static norn_status decode(decoder *d) {
    if (setjmp(d->back) == 0) {
        d->png =
            png_create_read_struct_2(PNG_LIBPNG_VER_STRING, d, on_error, on_warning, d, on_malloc, on_free);
        if (d->png)
            d->info = png_create_info_struct(d->png);
        if (!d->info)
            return norni_nomem();
        read_header(d);
        read_pixels(d);
        return NORN_OK;
    }
    if (d->status != NORN_OK)
        return d->status;
    return d->nomem ? norni_nomem() : norni_fail(NORN_PARSE, "damaged PNG: %s", d->message);
}

static void convert(const unsigned char *from, int fc, unsigned char *to, int tc, size_t pixels) {
    bool colour = fc >= 3, alpha = fc == 2 || fc == 4;
    for (size_t i = 0; i < pixels; i++, from += fc, to += tc) {
        unsigned r = from[0], g = colour ? from[1] : r, b = colour ? from[2] : r;
        if (tc == 1) {
            to[0] = (unsigned char)(colour ? (r * 19595u + g * 38470u + b * 7471u + 0x8000u) >> 16 : r);
            continue;
        }
        to[0] = (unsigned char)r;
        to[1] = (unsigned char)g;
        to[2] = (unsigned char)b;
        if (tc == 4)
            to[3] = alpha ? from[fc - 1] : 255;
    }
}

static norn_status not_png(const unsigned char *p, size_t n) {
    static const struct {
        const char *magic;
        size_t bytes;
        const char *name;
    } others[] = {{"\xff\xd8\xff", 3, "JPEG"}, {"GIF8", 4, "GIF"},  {"BM", 2, "BMP"},
                  {"RIFF", 4, "WebP"},         {"P5", 2, "PGM"},    {"P6", 2, "PPM"},
                  {"II*", 3, "TIFF"},          {"MM\0*", 4, "TIFF"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (n >= others[i].bytes && !memcmp(p, others[i].magic, others[i].bytes))
            return norni_fail(NORN_UNSUPPORTED, "looks like %s (wanted PNG)", others[i].name);
    return norni_fail(NORN_PARSE, "does not begin as a PNG does");
}

norn_status norni_png_decode(const void *data, size_t bytes, int channels, norn_tensor **out) {
    *out = NULL;
    if (channels != 0 && channels != 1 && channels != 3 && channels != 4)
        return norni_fail(NORN_ARG, "%d channels (wanted 0, 1, 3 or 4)", channels);
    if (bytes < 8 || memcmp(data, "\x89PNG\r\n\x1a\n", 8) != 0)
        return not_png(data, bytes);
    decoder *d = norni_alloc(sizeof *d);
    if (!d)
        return norni_nomem();
    d->data = data;
    d->bytes = bytes;
    norn_status s = decode(d);
    if (d->png)
        png_destroy_read_struct(&d->png, &d->info, NULL);
    if (s == NORN_OK && (channels == 0 || channels == d->c)) {
        *out = d->picture;
        d->picture = NULL;
    } else if (s == NORN_OK) {
        int64_t dims[] = {d->h, d->w, channels};
        s = norni_tensor_host(NORN_U8, 3, dims, out);
        if (s == NORN_OK)
            convert(norni_tensor_data(d->picture), d->c, norni_tensor_data(*out), channels,
                    (size_t)d->h * d->w);
    }
    norn_tensor_free(d->picture);
    norni_free(d);
    return s;
}

norn_status norni_png_load(const char *path, int channels, norn_tensor **out) {
    unsigned char *data;
    size_t bytes;
    *out = NULL;
    NORNI_TRY(norni_file_read(path, NORNI_IMAGE_BYTES, &data, &bytes));
    norn_status s = norni_png_decode(data, bytes, channels, out);
    norni_free(data);
    return norni_prefix(s, "%s", path);
}
