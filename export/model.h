/* SPDX-License-Identifier: Apache-2.0 */
/* A model: a graph and what surrounds it in a file. Importers of every format make one. */
#ifndef NORNI_MODEL_H
#define NORNI_MODEL_H
#include "ops/ir.h"

typedef struct {
    const char *domain; /* "": ONNX's own operators */
    int64_t version;
} norni_opset;

typedef struct {
    const char *key, *value;
} norni_entry;

struct norn_model {
    norn_graph *graph;
    norni_arena *arena; /* texts and bytes */
    int ir_version;     /* 0: built here */
    int64_t model_version;
    const char *producer, *producer_version, *domain, *doc; /* NULL: the file has none */
    NORNI_VEC(norni_opset) opsets;
    NORNI_VEC(norni_entry) metadata;
    NORNI_VEC(const char *) warnings;
    NORNI_VEC(const char *) inlined;  /* functions of the file whose calls became their nodes; each once */
    size_t warnings_dropped;          /* beyond the first 100, */
    char *warnings_rest;              /* and the line that says so */
    bool certified;                   /* the certificate in the metadata is of this model: it is written */
    NORNI_VEC(norn_form) input_forms; /* of the file's graph; those that the graph here has */
    NORNI_VEC(norn_form) output_forms;
    norni_extra extra, graph_extra; /* fields of an ONNX model and graph that have no place above */
};

/* Key of a certificate in the metadata (bench/certificate.c). A model that is saved anew is not what was certified. */
#define NORNI_CERTIFICATE "norn.certificate"

/* A model without a graph yet. */
norn_status norni_model_make(norn_model **out);
norn_status norni_model_add_metadata(norn_model *m, const char *key, const char *value);
/* Adds a line to the model's warnings. Out of memory loses it. */
void norni_model_warn(norn_model *m, const char *fmt, ...) NORNI_PRINTF(2, 3);
/* The version that a model imports of a domain's operators; 0: none. */
int64_t norni_model_opset_of(const norn_model *m, const char *domain);

#endif
