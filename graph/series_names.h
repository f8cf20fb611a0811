/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORNI_SERIES_NAMES_H
#define NORNI_SERIES_NAMES_H
#include "base/alloc.h"
#include "base/status.h"
#include "base/str.h"

/* Where an item stands in the range of its step, and how large that is. */
#define NORNI_PLACE_PARAMETERS                                                                               \
    "const size_t norni_g0, const size_t norni_g1, const size_t norni_g2, const size_t norni_n0, "           \
    "const size_t norni_n1, const size_t norni_n2"

/* A kernel text with its options ("-DNAME=VALUE ...") as one of several in a program: what it defines at file level gets the
 * prefix, and the kernel NAME becomes the function PREFIXk_NAME that takes NORNI_PLACE_PARAMETERS first. */
norn_status norni_series_names(const char *options, const char *text, const char *prefix, norni_str *out);

#endif
