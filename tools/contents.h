/* SPDX-License-Identifier: Apache-2.0 */
/* Data sets of models with sequences and optionals: the model is loaded anew for what the inputs of a set hold. */
#ifndef NORN_TOOLS_CONTENTS_H
#define NORN_TOOLS_CONTENTS_H
#include "case.h"
#include "compare.h"

typedef struct {
    norn_session *session;
    const norn_model *model; /* as the file has it */
    const char *path;        /* of the file */
    const norn_plan_options *plan;
    const tolerance *tolerance;
} contents_test;

/* Operators that norn does not have, with commas between, newly allocated; NULL for none. */
char *missing_operators(const norn_graph *g);
/* Whether a model has to be loaded so: it has such inputs or outputs, or operators that norn lacks (those on sequences, when it
 * does not know what they hold). */
bool contents_wanted(const norn_model *m);
/* Runs the data set in a folder. *reason says why it is not CASE_OK, newly allocated; host nodes and the largest error go to
 * `r`. */
case_status contents_run(const contents_test *t, const char *folder, case_result *r, char **reason);

#endif
