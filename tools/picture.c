/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures as inputs. */
#include "feeds.h"
#include "output.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool is_picture(const char *path) {
    size_t n = strlen(path);
    if (n > 4 && !strcasecmp(path + n - 4, ".png"))
        return true;
    unsigned char first[4] = {0};
    FILE *f = fopen(path, "rb");
    size_t got = f ? fread(first, 1, sizeof first, f) : 0;
    if (f)
        fclose(f);
    return got == sizeof first && !memcmp(first, "\x89PNG", 4);
}

/* Where the axes of a picture lie in an input; -1: none. Sizes that the input leaves open are -1. */
typedef struct {
    int rank, c_axis, h_axis, w_axis; /* flat: w_axis alone, of all elements */
    int64_t c, h, w;
    bool flat;
} layout;

static bool channels(int64_t n) {
    return n == 1 || n == 3 || n == 4;
}

static bool find_layout(const norn_value *input, const sizes *s, int64_t pixels, layout *l) {
    int64_t d[4] = {0};
    int rank = norn_value_rank(input);
    if (rank < 1 || rank > 4)
        return false;
    for (int i = 0; i < rank; i++) {
        char name[256];
        value_size_text(input, i, name, sizeof name);
        d[i] = norn_value_dim(input, i);
        d[i] = d[i] >= 0 ? d[i] : sizes_find(s, name);
    }
    *l = (layout){.rank = rank, .c_axis = -1, .h_axis = rank - 2, .w_axis = rank - 1, .c = 1};
    int64_t all = d[rank - 1];
    if (rank <= 2 && (rank == 1 || d[0] <= 1) && all > 1 && (all == pixels || all == 3 * pixels)) {
        l->flat = true;
        l->c = all / pixels;
        return true;
    }
    if (rank == 1)
        return false;
    if (rank == 4 || (rank == 3 && (d[0] == 3 || d[0] == 4 || (d[0] > 1 && channels(d[2]))))) {
        int c = rank - 3;
        bool last = channels(d[rank - 1]) && !channels(d[c]) && d[c] >= 0;
        l->c_axis = last ? rank - 1 : c;
        l->h_axis = last ? c : rank - 2;
        l->w_axis = last ? rank - 2 : rank - 1;
        l->c = d[l->c_axis];
        if (l->c >= 0 && !channels(l->c))
            return false;
    }
    int axes = 2 + (l->c_axis >= 0);
    if (rank > axes && d[0] > 1) /* a picture is a batch of one */
        return false;
    l->h = d[l->h_axis];
    l->w = d[l->w_axis];
    return true;
}

/* A sample of the picture at a place given in pixels, between neighbours by proportion. */
static double sample(const unsigned char *p, int64_t h, int64_t w, int64_t c, double y, double x, int64_t k) {
    y = y < 0 ? 0 : y > (double)(h - 1) ? (double)(h - 1) : y;
    x = x < 0 ? 0 : x > (double)(w - 1) ? (double)(w - 1) : x;
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    double fy = y - (double)y0, fx = x - (double)x0;
    double top = p[(y0 * w + x0) * c + k] * (1 - fx) + p[(y0 * w + x1) * c + k] * fx;
    double bottom = p[(y1 * w + x0) * c + k] * (1 - fx) + p[(y1 * w + x1) * c + k] * fx;
    return top * (1 - fy) + bottom * fy;
}

static norn_status fill(const layout *l, const norn_value *input, const norn_tensor *picture,
                        norn_tensor **out) {
    const int64_t *from = norn_tensor_dims(picture);
    const unsigned char *p = norn_tensor_data(picture);
    int64_t dims[4] = {1, 1, 1, 1}, strides[4] = {0}, h = l->h, w = l->w, c = l->c;
    norn_dtype t = norn_value_dtype(input);
    if (l->flat)
        dims[l->rank - 1] = c * h * w;
    else {
        dims[l->h_axis] = h;
        dims[l->w_axis] = w;
        if (l->c_axis >= 0)
            dims[l->c_axis] = c;
    }
    norn_status s = norn_tensor_new(NULL, t, l->rank, dims, NULL, out);
    if (s != NORN_OK)
        return s;
    for (int64_t i = l->rank - 1, n = 1; i >= 0; n *= dims[i], i--)
        strides[i] = n;
    int64_t sy = l->flat ? w : strides[l->h_axis], sx = l->flat ? 1 : strides[l->w_axis];
    int64_t sc = l->flat ? h * w : l->c_axis >= 0 ? strides[l->c_axis] : 0;
    double ky = (double)from[0] / (double)h, kx = (double)from[1] / (double)w;
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++)
            for (int64_t k = 0; k < c; k++) { /* centres of pixels fall on centres of areas */
                double v = sample(p, from[0], from[1], c, ((double)y + 0.5) * ky - 0.5,
                                  ((double)x + 0.5) * kx - 0.5, k);
                norn_tensor_set(*out, y * sy + x * sx + k * sc, t == NORN_U8 ? floor(v + 0.5) : v / 255);
            }
    return NORN_OK;
}

static int no_layout(const char *path, const norn_value *input) {
    char *type = NULL;
    norn_value_type_text(input, &type);
    int code =
        fail_text(NORN_SHAPE,
                  "%s: input '%s' is %s, which takes no picture (wanted [N,C,H,W], [C,H,W], [H,W] or as many "
                  "elements as pixels, with 1, 3 or 4 channels and a batch of 1)",
                  path, norn_value_name(input), type ? type : "?");
    norn_text_free(type);
    return code;
}

int picture_feed(const char *path, const norn_value *input, const sizes *s, bool resize, norn_tensor **out) {
    norn_tensor *picture;
    layout l;
    *out = NULL;
    norn_status st = norn_picture_load(path, 0, &picture);
    if (st != NORN_OK)
        return fail(st);
    int64_t h = norn_tensor_dims(picture)[0], w = norn_tensor_dims(picture)[1],
            stored = norn_tensor_dims(picture)[2];
    norn_tensor_free(picture);
    norn_dtype t = norn_value_dtype(input);
    if (t != NORN_F32 && t != NORN_F16 && t != NORN_F64 && t != NORN_BF16 && t != NORN_U8)
        return fail_text(NORN_DTYPE, "%s: input '%s' has type %s (a picture becomes float or uint8)", path,
                         norn_value_name(input), norn_dtype_name(t));
    if (!find_layout(input, s, h * w, &l))
        return no_layout(path, input);
    if (l.c < 0)
        l.c = stored < 3 ? 1 : 3;
    if (l.flat || l.h < 0)
        l.h = h;
    if (l.flat || l.w < 0)
        l.w = w;
    if ((l.h != h || l.w != w) && !resize)
        return fail_text(
            NORN_SHAPE,
            "%s: the picture is %lld x %lld pixels (input '%s' wants %lld x %lld); --resize scales it", path,
            (long long)w, (long long)h, norn_value_name(input), (long long)l.w, (long long)l.h);
    if (l.h < 1 || l.w < 1)
        return no_layout(path, input);
    if (l.h != h || l.w != w)
        note("%s: scaled from %lld x %lld to %lld x %lld pixels (bilinear)", path, (long long)w, (long long)h,
             (long long)l.w, (long long)l.h);
    st = norn_picture_load(path, (int)l.c, &picture);
    if (st == NORN_OK)
        st = fill(&l, input, picture, out);
    norn_tensor_free(picture);
    return st == NORN_OK ? 0 : fail(st);
}
