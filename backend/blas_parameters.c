/* SPDX-License-Identifier: Apache-2.0 */
/* CLBlast's parameters for products: which there are, which values its kernels compute with (as its own tuners constrain
 * them), and the call that sets them. */
#include "backend/blas.h"
#include "backend/internal.h"
#include <clblast_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POWER(name, lo, hi)                                                                                  \
    { name, NORNI_BLAS_POWER, lo, hi }
#define FLAG(name)                                                                                           \
    { name, NORNI_BLAS_FLAG, 0, 1 }

/* Tiles and work-groups: what CLBlast's tuners try on every device, since wider vectors and larger tiles of a work-item were
 * seen to write out of bounds, or to compile for minutes. XgemmDirect takes any operand; Xgemm wants them copied, padded or transposed before, which the
 * four others do, and is taken for m n k of XGEMM_MIN_INDIRECT_SIZE cubed and more. */
enum { GEMMK, KREG, KWG, KWI, MDIMA, MDIMC, MWG, NDIMB, NDIMC, NWG, SA, SB, STRM, STRN, VWM, VWN };
enum { KWID, MDIMAD, MDIMCD, NDIMBD, NDIMCD, PADA, PADB, VWMD, VWND, WGD };
const norni_blas_kernel norni_blas_kernels[NORNI_BLAS_KERNELS] = {
    {"Xgemm",
     16,
     {FLAG("GEMMK"), POWER("KREG", 1, 4), POWER("KWG", 1, 32), POWER("KWI", 1, 2), POWER("MDIMA", 4, 32),
      POWER("MDIMC", 4, 32), POWER("MWG", 16, 128), POWER("NDIMB", 4, 32), POWER("NDIMC", 4, 32),
      POWER("NWG", 16, 128), FLAG("SA"), FLAG("SB"), FLAG("STRM"), FLAG("STRN"), POWER("VWM", 1, 4),
      POWER("VWN", 1, 4)}},
    {"XgemmDirect",
     10,
     {POWER("KWID", 1, 16), POWER("MDIMAD", 4, 32), POWER("MDIMCD", 4, 32), POWER("NDIMBD", 4, 32),
      POWER("NDIMCD", 4, 32), FLAG("PADA"), FLAG("PADB"), POWER("VWMD", 1, 4), POWER("VWND", 1, 4),
      POWER("WGD", 8, 64)}},
    {"GemmRoutine", 1, {{"XGEMM_MIN_INDIRECT_SIZE", NORNI_BLAS_NUMBER, 0, 1 << 16}}},
    {"Copy",
     4,
     {POWER("COPY_DIMX", 1, 64), POWER("COPY_DIMY", 1, 64), POWER("COPY_VW", 1, 8), POWER("COPY_WPT", 1, 8)}},
    {"Pad",
     4,
     {POWER("PAD_DIMX", 1, 64), POWER("PAD_DIMY", 1, 64), POWER("PAD_WPTX", 1, 4), POWER("PAD_WPTY", 1, 4)}},
    {"Transpose",
     4,
     {POWER("TRA_DIM", 4, 64), FLAG("TRA_PAD"), FLAG("TRA_SHUFFLE"), POWER("TRA_WPT", 1, 16)}},
    {"Padtranspose", 3, {FLAG("PADTRA_PAD"), POWER("PADTRA_TILE", 4, 64), POWER("PADTRA_WPT", 1, 16)}},
};

enum { MOST_ELEMS = 64 };

static bool multiple(int64_t of, int64_t n) {
    return n > 0 && of % n == 0;
}

static const char *group(const norn_device *d, int64_t x, int64_t y) {
    bool fits = (size_t)(x * y) <= d->max_work_group && (size_t)x <= d->max_work_item[0] &&
                (size_t)y <= d->max_work_item[1];
    return fits ? NULL : "a larger work-group than the device has";
}

static const char *local(const norn_device *d, norn_dtype t, int64_t elems) {
    return (uint64_t)elems * norni_dtype_bytes(t, 1) <= d->local_bytes
               ? NULL
               : "more local memory than the device has";
}

static const char *xgemm(const norn_device *d, norn_dtype t, const int *v) {
    if (!multiple(v[KWG], v[KWI]))
        return "KWG is no multiple of KWI";
    if (!multiple(v[MWG], (int64_t)v[MDIMC] * v[VWM]) || !multiple(v[MWG], (int64_t)v[MDIMA] * v[VWM]))
        return "MWG is no multiple of MDIMC VWM and MDIMA VWM";
    if (!multiple(v[NWG], (int64_t)v[NDIMC] * v[VWN]) || !multiple(v[NWG], (int64_t)v[NDIMB] * v[VWN]))
        return "NWG is no multiple of NDIMC VWN and NDIMB VWN";
    int64_t threads = (int64_t)v[MDIMC] * v[NDIMC];
    if (v[GEMMK]) {
        if (v[MDIMA] != v[MDIMC] || v[NDIMB] != v[NDIMC] || v[KWG] != 1 || v[KWI] != 1 || v[SA] || v[SB] ||
            v[STRM] || v[STRN] || !multiple(v[KREG], v[VWN]))
            return "kernel 1 has neither local memory nor strides, and KREG is a multiple of VWN";
    } else if (v[KREG] != 1 || !multiple(threads, v[MDIMA]) || !multiple(threads, v[NDIMB]) ||
               !multiple(v[KWG], threads / v[MDIMA]) || !multiple(v[KWG], threads / v[NDIMB])) {
        return "KWG is no multiple of what a work-group loads at a time";
    }
    if ((v[MWG] / v[MDIMC]) * (v[NWG] / v[NDIMC]) > MOST_ELEMS)
        return "the tile of a work-item is too large";
    const char *why = group(d, v[MDIMC], v[NDIMC]);
    return why ? why : local(d, t, (int64_t)v[KWG] * (v[SA] * v[MWG] + v[SB] * v[NWG]));
}

static const char *direct(const norn_device *d, norn_dtype t, const int *v) {
    int64_t threads = (int64_t)v[MDIMCD] * v[NDIMCD], w = v[WGD];
    if (!multiple(w, v[KWID]))
        return "WGD is no multiple of KWID";
    if (!multiple(w, (int64_t)v[MDIMCD] * v[VWMD]) || !multiple(w, (int64_t)v[NDIMCD] * v[VWND]) ||
        !multiple(w, (int64_t)v[MDIMAD] * v[VWMD]) || !multiple(w, (int64_t)v[NDIMBD] * v[VWND]))
        return "WGD is no multiple of the work-items' vectors";
    if (!multiple(threads, v[MDIMAD]) || !multiple(threads, v[NDIMBD]) || !multiple(w, threads / v[MDIMAD]) ||
        !multiple(w, threads / v[NDIMBD]))
        return "WGD is no multiple of what a work-group loads at a time";
    if ((w / v[MDIMCD]) * (w / v[NDIMCD]) > MOST_ELEMS)
        return "the tile of a work-item is too large";
    const char *why = group(d, v[MDIMCD], v[NDIMCD]);
    return why ? why : local(d, t, w * (w + v[PADA]) + w * (w + v[PADB]));
}

static bool in_range(const norni_blas_parameter *p, int v) {
    return v >= p->lo && v <= p->hi && (p->kind != NORNI_BLAS_POWER || (v & (v - 1)) == 0);
}

const char *norni_blas_illegal(const norn_device *d, norn_dtype t, int kernel, const int *v) {
    const norni_blas_kernel *k = &norni_blas_kernels[kernel];
    const char *why = NULL;
    for (int i = 0; i < k->n; i++)
        if (!in_range(&k->p[i], v[i]))
            return "a value out of its range";
    if (kernel == NORNI_BLAS_XGEMM)
        return xgemm(d, t, v);
    if (kernel == NORNI_BLAS_DIRECT)
        return direct(d, t, v);
    if (!strcmp(k->name, "Copy") || !strcmp(k->name, "Pad"))
        return group(d, v[0], v[1]);
    if (!strcmp(k->name, "Transpose")) { /* TRA_DIM, TRA_PAD, TRA_SHUFFLE, TRA_WPT */
        why = group(d, v[0], v[0]);
        return why ? why : local(d, t, (int64_t)v[3] * v[3] * v[0] * (v[0] + v[1]));
    }
    if (!strcmp(k->name, "Padtranspose")) { /* PADTRA_PAD, PADTRA_TILE, PADTRA_WPT */
        int64_t side = (int64_t)v[1] * v[2];
        why = group(d, v[1], v[1]);
        return why ? why : local(d, t, side * (side + v[0]));
    }
    return NULL;
}

bool norni_blas_values_parse(int kernel, const char *text, int *values) {
    const norni_blas_kernel *k = &norni_blas_kernels[kernel];
    for (int i = 0; i < k->n; i++) {
        size_t n = strlen(k->p[i].name);
        char *end;
        if (strncmp(text, k->p[i].name, n) != 0 || text[n] != '=')
            return false;
        text += n + 1;
        if (*text < '0' || *text > '9')
            return false;
        long v = strtol(text, &end, 10);
        if (v > 1 << 20 || *end != (i + 1 < k->n ? ' ' : 0))
            return false;
        values[i] = (int)v;
        text = end + (*end == ' ');
    }
    return true;
}

void norni_blas_values_print(int kernel, const int *values, char *out, size_t bytes) {
    const norni_blas_kernel *k = &norni_blas_kernels[kernel];
    size_t n = 0;
    for (int i = 0; i < k->n && n < bytes; i++)
        n += (size_t)snprintf(out + n, bytes - n, "%s%s=%d", i ? " " : "", k->p[i].name, values[i]);
}

norn_status norni_blas_override(norn_context *ctx, norn_dtype t, int kernel, const int *values) {
    const norni_blas_kernel *k = &norni_blas_kernels[kernel];
    const char *names[NORNI_BLAS_PARAMETERS];
    size_t v[NORNI_BLAS_PARAMETERS];
    NORNI_TRY(norni_context_check(ctx, "CLBlast"));
    if (ctx->host || (t != NORN_F32 && t != NORN_F64))
        return norni_fail(NORN_UNSUPPORTED, "CLBlast: no parameters for %s on device '%s'",
                          norni_dtype_name(t), ctx->device.name);
    const char *why = norni_blas_illegal(&ctx->device, t, kernel, values);
    if (why)
        return norni_fail(NORN_ARG, "CLBlast: %s: %s", k->name, why);
    for (int i = 0; i < k->n; i++) {
        names[i] = k->p[i].name;
        v[i] = (size_t)values[i];
    }
    CLBlastPrecision precision = t == NORN_F32 ? CLBlastPrecisionSingle : CLBlastPrecisionDouble;
    int e = NORNI_CL((int)CLBlastOverrideParameters(ctx->id, k->name, precision, (size_t)k->n, names, v));
    if (e == CLBlastMissingOverrideParameter || e == CLBlastInvalidOverrideKernel)
        return norni_fail(NORN_UNSUPPORTED, "%s has other parameters of %s", norni_blas_name(), k->name);
    return e == CL_SUCCESS ? NORN_OK
                           : norni_cl_fail(&ctx->device, e, "CLBlastOverrideParameters", "%s", k->name);
}

bool norni_blas_first(norn_context *ctx, norn_dtype t) {
    unsigned bit = 1u << ((unsigned)t & 31);
    bool first = !(ctx->blas_types & bit);
    ctx->blas_types |= bit;
    return first;
}
