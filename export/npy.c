/* SPDX-License-Identifier: Apache-2.0 */
#include "export/npy.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include <string.h>
#include <unistd.h>

/* Version 1 headers end below 64 KiB. The later versions exist for records with very many fields, which are
 * refused anyway, so the same bound serves. */
enum { MAGIC_BYTES = 6, HEADER_MAX = 65536, ALIGN = 64 };

typedef struct {
    norn_dtype dtype;
    bool swap, fortran;
    int rank;
    int64_t dims[NORN_MAX_RANK];
} npy_header;

/* --- the header: a Python dict literal with three fixed keys -----------------------------------------------
 */

typedef struct {
    const char *start, *p, *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static norn_status wanted(const cursor *c, const char *what) {
    char got[24] = "the end";
    if (c->p < c->end) {
        int n = 0;
        got[n++] = '\'';
        for (const char *q = c->p; q < c->end && n < 18; q++)
            got[n++] = *q >= 32 && *q < 127 ? *q : '?';
        got[n++] = '\'';
        got[n] = 0;
    }
    return norni_fail(NORN_PARSE, "header, byte %zu: %s (wanted %s)", (size_t)(c->p - c->start), got, what);
}

static bool take(cursor *c, const char *word) {
    skip_space(c);
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return false;
    c->p += n;
    return true;
}

/* A quoted string without escapes: *s points into the header. */
static norn_status read_string(cursor *c, const char *what, const char **s, size_t *n) {
    skip_space(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"'))
        return wanted(c, what);
    char quote = *c->p++;
    *s = c->p;
    while (c->p < c->end && *c->p != quote) {
        if (*c->p == '\\' || *c->p == '\n')
            return wanted(c, "a plain string");
        c->p++;
    }
    if (c->p == c->end)
        return wanted(c, "a closing quote");
    *n = (size_t)(c->p++ - *s);
    return NORN_OK;
}

static norn_status unsupported_type(const char *s, size_t n, const char *what) {
    char shown[40];
    size_t k = 0;
    for (; k < n && k < sizeof shown - 1; k++)
        shown[k] = s[k] >= 32 && s[k] < 127 ? s[k] : '?';
    shown[k] = 0;
    return norni_fail(NORN_UNSUPPORTED,
                      "element type '%s': %s (wanted bool, an integer, or a float of 2, 4 or 8 bytes)", shown,
                      what);
}

/* '<f4', '|u1', '>i8': byte order, kind, bytes. */
static norn_status read_descr(cursor *c, npy_header *h) {
    static const struct {
        char kind, bytes;
        norn_dtype dtype;
    } types[] = {{'b', '1', NORN_BOOL}, {'i', '1', NORN_I8},  {'i', '2', NORN_I16}, {'i', '4', NORN_I32},
                 {'i', '8', NORN_I64},  {'u', '1', NORN_U8},  {'u', '2', NORN_U16}, {'u', '4', NORN_U32},
                 {'u', '8', NORN_U64},  {'f', '2', NORN_F16}, {'f', '4', NORN_F32}, {'f', '8', NORN_F64}};
    const char *s;
    size_t n;
    skip_space(c);
    if (c->p < c->end && (*c->p == '[' || *c->p == '('))
        return unsupported_type(c->p, (size_t)(c->end - c->p), "records are not supported");
    NORNI_TRY(read_string(c, "an element type such as '<f4'", &s, &n));
    char order = n && strchr("<>=|", s[0]) ? s[0] : 0;
    const char *t = order ? s + 1 : s;
    size_t m = order ? n - 1 : n;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (m == 2 && t[0] == types[i].kind && t[1] == types[i].bytes) {
            bool one_byte = t[1] == '1';
            if (!one_byte && (order == 0 || order == '|'))
                return norni_fail(NORN_PARSE, "element type '%.*s': no byte order (wanted '<' or '>')",
                                  (int)n, s);
            h->dtype = types[i].dtype;
            h->swap = !one_byte && order != '=' && (order == '>') != norni_host_is_big_endian();
            return NORN_OK;
        }
    switch (m ? t[0] : 0) {
    case 'O':
        return unsupported_type(s, n, "Python objects (pickles) are never read");
    case 'S':
    case 'a':
    case 'U':
    case 'T':
        return unsupported_type(s, n, "strings are not supported");
    case 'V':
        return unsupported_type(
            s, n, "raw bytes, how types that NumPy lacks (bfloat16, float8) are saved; convert first");
    case 'c':
        return unsupported_type(s, n, "complex numbers are not supported");
    case 'm':
    case 'M':
        return unsupported_type(s, n, "dates and durations are not supported");
    default:
        return unsupported_type(s, n, "not supported");
    }
}

static norn_status read_shape(cursor *c, npy_header *h) {
    if (!take(c, "("))
        return wanted(c, "the shape as a tuple");
    for (bool comma = true;; comma = take(c, ",")) {
        if (take(c, ")")) {
            if (h->rank == 1 && !comma) {
                c->p--;
                return wanted(c, "',': a tuple of one size is written (n,)");
            }
            return NORN_OK;
        }
        if (!comma)
            return wanted(c, "',' or ')'");
        if (c->p == c->end || *c->p < '0' || *c->p > '9')
            return wanted(c, "a size of 0 or more, or ')'");
        const char *at = c->p;
        int64_t v = 0;
        for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
            int digit = *c->p - '0';
            if (v > (INT64_MAX - digit) / 10) {
                c->p = at;
                return wanted(c, "a size below 2^63");
            }
            v = v * 10 + digit;
        }
        if (c->p < c->end && *c->p == 'L') /* as Python 2 wrote long integers */
            c->p++;
        if (h->rank == NORN_MAX_RANK)
            return norni_fail(NORN_SHAPE, "more than %d axes", NORN_MAX_RANK);
        h->dims[h->rank++] = v;
    }
}

static norn_status parse_header(const char *text, size_t n, npy_header *h) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    cursor c = {text, text, text + n};
    bool seen[3] = {false, false, false};
    memset(h, 0, sizeof *h);
    if (!take(&c, "{"))
        return wanted(&c, "'{'");
    for (bool comma = true; !take(&c, "}"); comma = take(&c, ",")) {
        const char *key;
        size_t len;
        int k = 0;
        if (!comma)
            return wanted(&c, "',' or '}'");
        skip_space(&c);
        cursor at = c;
        NORNI_TRY(read_string(&c, "a key or '}'", &key, &len));
        while (k < 3 && (strlen(keys[k]) != len || memcmp(keys[k], key, len) != 0))
            k++;
        if (k == 3 || seen[k])
            return wanted(&at, "the keys 'descr', 'fortran_order' and 'shape', each once");
        seen[k] = true;
        if (!take(&c, ":"))
            return wanted(&c, "':'");
        if (k == 0)
            NORNI_TRY(read_descr(&c, h));
        else if (k == 2)
            NORNI_TRY(read_shape(&c, h));
        else if (take(&c, "True"))
            h->fortran = true;
        else if (!take(&c, "False"))
            return wanted(&c, "True or False");
    }
    for (int k = 0; k < 3; k++)
        if (!seen[k])
            return norni_fail(NORN_PARSE, "header: has no '%s'", keys[k]);
    skip_space(&c);
    return c.p == c.end ? NORN_OK : wanted(&c, "the end of the header");
}

/* --- reading
 * ------------------------------------------------------------------------------------------------ */

/* The tensor holds the file's elements, that is, the transposed array packed. */
static norn_status from_fortran(norn_tensor *t, const npy_header *h, norn_tensor **out) {
    int64_t strides[NORN_MAX_RANK];
    norn_tensor *view = norni_tensor_ref(t);
    if (!view)
        return norni_nomem();
    norni_strides(h->rank, t->dims, strides);
    for (int i = 0; i < h->rank; i++) {
        view->dims[i] = h->dims[i];
        view->strides[i] = strides[h->rank - 1 - i];
    }
    norn_status s = norni_tensor_pack(view, out);
    norn_tensor_free(view);
    return s;
}

static norn_status read_payload(const norni_source *src, const npy_header *h, uint64_t left,
                                norn_tensor **out) {
    char shape[128];
    int64_t dims[NORN_MAX_RANK];
    int64_t elems = norni_elems(h->rank, h->dims);
    size_t bytes = elems < 0 ? SIZE_MAX : norni_dtype_bytes(h->dtype, elems);
    norni_shape_text(h->rank, h->dims, shape);
    if (bytes > SIZE_MAX / 4)
        return norni_fail(NORN_PARSE,
                          "shape %s of %s is larger than any memory, and %llu bytes of data follow", shape,
                          norni_dtype_name(h->dtype), (unsigned long long)left);
    if (bytes != left)
        return norni_fail(NORN_PARSE, "%llu bytes of data (wanted %zu for shape %s of %s)",
                          (unsigned long long)left, bytes, shape, norni_dtype_name(h->dtype));
    for (int i = 0; i < h->rank; i++)
        dims[i] = h->fortran ? h->dims[h->rank - 1 - i] : h->dims[i];
    norn_tensor *t;
    NORNI_TRY(norni_tensor_host(h->dtype, h->rank, dims, &t));
    unsigned char *data = norni_tensor_data(t);
    norn_status s = src->read(src->ctx, data, bytes);
    if (s == NORN_OK && h->swap)
        norni_swap_bytes(data, (size_t)elems, bytes / (size_t)(elems ? elems : 1));
    if (s == NORN_OK && h->dtype == NORN_BOOL)
        for (size_t i = 0; i < bytes; i++)
            data[i] = data[i] != 0;
    if (s == NORN_OK && h->fortran && h->rank > 1) {
        s = from_fortran(t, h, out);
    } else if (s == NORN_OK) {
        *out = t;
        return NORN_OK;
    }
    norn_tensor_free(t);
    return s;
}

norn_status norni_npy_read(const norni_source *src, norn_tensor **out) {
    unsigned char head[12];
    *out = NULL;
    if (src->bytes < MAGIC_BYTES + 4)
        return norni_fail(NORN_PARSE, "%llu bytes: too short for a .npy file",
                          (unsigned long long)src->bytes);
    NORNI_TRY(src->read(src->ctx, head, MAGIC_BYTES + 2));
    if (memcmp(head, "\x93NUMPY", MAGIC_BYTES) != 0)
        return norni_fail(NORN_PARSE, "does not begin as a .npy file does");
    unsigned major = head[6], minor = head[7];
    if (major < 1 || major > 3 || minor != 0)
        return norni_fail(NORN_UNSUPPORTED, ".npy version %u.%u (wanted 1.0, 2.0 or 3.0)", major, minor);
    size_t size_bytes = major == 1 ? 2 : 4, before = MAGIC_BYTES + 2 + size_bytes;
    if (src->bytes < before)
        return norni_fail(NORN_PARSE, "%llu bytes: too short for a .npy file",
                          (unsigned long long)src->bytes);
    NORNI_TRY(src->read(src->ctx, head + 8, size_bytes));
    size_t n = head[8] | (size_t)head[9] << 8;
    if (size_bytes == 4)
        n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (n > src->bytes - before)
        return norni_fail(NORN_PARSE, "a header of %zu bytes, and %llu follow", n,
                          (unsigned long long)(src->bytes - before));
    if (n > HEADER_MAX)
        return norni_fail(NORN_UNSUPPORTED, "a header of %zu bytes (wanted at most %d)", n, HEADER_MAX);
    char *text = norni_alloc(n + 1);
    if (!text)
        return norni_nomem();
    npy_header h;
    norn_status s = src->read(src->ctx, text, n);
    if (s == NORN_OK)
        s = parse_header(text, n, &h);
    norni_free(text);
    return s == NORN_OK ? read_payload(src, &h, src->bytes - before - n, out) : s;
}

static norn_status read_file(void *fd, void *data, size_t bytes) {
    return norni_fd_read(*(int *)fd, data, bytes);
}

norn_status norni_npy_load(const char *path, norn_tensor **out) {
    int fd;
    norni_source src = {read_file, &fd, 0};
    *out = NULL;
    NORNI_TRY(norni_file_open(path, &fd, &src.bytes));
    norn_status s = norni_npy_read(&src, out);
    close(fd);
    return norni_prefix(s, "%s", path);
}

/* --- writing
 * ------------------------------------------------------------------------------------------------ */

static const char *descr(norn_dtype t) {
    switch (t) {
    case NORN_BOOL:
        return "b1";
    case NORN_I8:
        return "i1";
    case NORN_I16:
        return "i2";
    case NORN_I32:
        return "i4";
    case NORN_I64:
        return "i8";
    case NORN_U8:
        return "u1";
    case NORN_U16:
        return "u2";
    case NORN_U32:
        return "u4";
    case NORN_U64:
        return "u8";
    case NORN_F16:
        return "f2";
    case NORN_F32:
        return "f4";
    case NORN_F64:
        return "f8";
    default:
        return NULL;
    }
}

norn_status norni_npy_header(norn_dtype dtype, int rank, const int64_t *dims, norni_str *out) {
    const char *d = descr(dtype);
    if (!d)
        return norni_fail(NORN_UNSUPPORTED,
                          "NumPy has no element type for %s; convert to float or an integer first",
                          norni_dtype_name(dtype));
    char order = d[1] == '1' ? '|' : norni_host_is_big_endian() ? '>' : '<';
    norni_str text = {0};
    norni_str_addf(&text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order, d);
    for (int i = 0; i < rank; i++)
        norni_str_addf(&text, i ? ", %lld" : "%lld", (long long)dims[i]);
    norni_str_add(&text, rank == 1 ? ",), }" : "), }");
    /* Spaces and a newline bring the data to a multiple of 64 bytes. With NORN_MAX_RANK axes the text stays
     * far below the 65535 bytes that version 1.0 can count. */
    while ((MAGIC_BYTES + 4 + text.n + 1) % ALIGN && !text.failed)
        norni_str_add(&text, " ");
    norni_str_add(&text, "\n");
    char head[] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(text.n & 255), (char)(text.n >> 8)};
    norni_str_addn(out, head, sizeof head);
    if (!text.failed)
        norni_str_addn(out, text.s, text.n);
    bool failed = text.failed || out->failed;
    norni_str_free(&text);
    return failed ? norni_nomem() : NORN_OK;
}

norn_status norni_tensor_packed(const norn_tensor *t, norn_tensor **out) {
    *out = NULL;
    if (!norni_tensor_is_host(t))
        return norni_fail(NORN_ARG,
                          "the tensor is on a device (wanted host memory; norn_tensor_copy brings it there)");
    if (!norni_tensor_contiguous(t))
        return norni_tensor_pack(t, out);
    *out = norni_tensor_ref(t);
    return *out ? NORN_OK : norni_nomem();
}

norn_status norni_npy_save(const norn_tensor *t, const char *path) {
    norn_tensor *packed;
    norni_str head = {0};
    NORNI_TRY(norni_prefix(norni_tensor_packed(t, &packed), "%s", path));
    norn_status s = norni_prefix(norni_npy_header(t->dtype, t->rank, t->dims, &head), "%s", path);
    if (s == NORN_OK) {
        norni_piece pieces[] = {{head.s, head.n}, {norni_tensor_data(packed), norni_tensor_bytes(packed)}};
        s = norni_file_write(path, pieces, 2);
    }
    norni_str_free(&head);
    norn_tensor_free(packed);
    return s;
}
