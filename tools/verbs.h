/* SPDX-License-Identifier: Apache-2.0 */
/* Every verb; norn.c lists them in the order of the help. */
#ifndef NORN_TOOLS_VERBS_H
#define NORN_TOOLS_VERBS_H
#include "options.h"

extern const verb verb_devices, verb_run, verb_train, verb_verify, verb_show, verb_convert, verb_bench,
    verb_version, verb_plan, verb_tune, verb_grad, verb_solve;

#endif
