/* SPDX-License-Identifier: Apache-2.0 */
/* The attribute engine. An operator keeps its attributes in a plain struct and describes it by a table;
 * import, export, text, hashing, defaults and range checks all read that table, so that no operator parses
 * anything. */
#ifndef NORNI_ATTR_H
#define NORNI_ATTR_H
#include "ops/ir.h"

typedef enum {
    NORNI_ATTR_INT,     /* int64_t */
    NORNI_ATTR_FLOAT,   /* float */
    NORNI_ATTR_STRING,  /* const char * */
    NORNI_ATTR_TENSOR,  /* norn_tensor * */
    NORNI_ATTR_INTS,    /* norni_ints */
    NORNI_ATTR_FLOATS,  /* norni_floats */
    NORNI_ATTR_STRINGS, /* norni_strings */
    NORNI_ATTR_ENUM,    /* int: index into a list of words; a string in the file */
    NORNI_ATTR_DTYPE,   /* norn_dtype: an integer in the file */
    NORNI_ATTR_GRAPH    /* norni_subgraph *, counted; text does not have it */
} norni_attr_kind;

/* A graph that belongs to a node (ops/control.h). */
typedef struct norni_subgraph norni_subgraph;
norni_subgraph *norni_subgraph_ref(norni_subgraph *s);
void norni_subgraph_free(norni_subgraph *s);
int norni_subgraph_nodes(const norni_subgraph *s);

/* n -1: absent. */
typedef struct {
    int n;
    const int64_t *v;
} norni_ints;
typedef struct {
    int n;
    const float *v;
} norni_floats;
typedef struct {
    int n;
    const char *const *v;
} norni_strings;

/* Absent optional scalars. */
#define NORNI_NO_INT   INT64_MIN
#define NORNI_NO_FLOAT ((float)NAN)

typedef enum {
    NORNI_ATTR_REQUIRED = 1,
    NORNI_ATTR_OPTIONAL = 2, /* has no default: an absent one stays absent */
    NORNI_ATTR_OLD = 4 /* only in opsets before the current form; never set in a graph (see norni_moved) */
} norni_attr_flags;

typedef struct {
    const char *name;
    norni_attr_kind kind;
    size_t offset;
    unsigned flags;
    int64_t def_int; /* INT, ENUM, DTYPE */
    float def_float;
    const char *const *words; /* ENUM: the legal strings, NULL-terminated */
    int64_t lo, hi;           /* INT, INTS: legal range when lo < hi */
    int since; /* first opset version that has it, or that NORNI_ATTR_OLD does not have; 0: says nothing */
} norni_attr;

/* Tables are written with these; `s` is the struct, `f` the field, which bears the attribute's name. */
#define NORNI_A(s, f, k, ...)                                                                                \
    { .name = #f, .kind = NORNI_ATTR_##k, .offset = offsetof(s, f), __VA_ARGS__ }
#define NORNI_A_INT(s, f, def, ...)        NORNI_A(s, f, INT, .def_int = (def), __VA_ARGS__)
#define NORNI_A_FLOAT(s, f, def, ...)      NORNI_A(s, f, FLOAT, .def_float = (def), __VA_ARGS__)
#define NORNI_A_INTS(s, f, ...)            NORNI_A(s, f, INTS, .flags = NORNI_ATTR_OPTIONAL, __VA_ARGS__)
#define NORNI_A_ENUM(s, f, list, def, ...) NORNI_A(s, f, ENUM, .words = (list), .def_int = (def), __VA_ARGS__)
#define NORNI_A_END                                                                                          \
    { .name = NULL }

/* Old attributes that became inputs: one table serves import (the attribute becomes a constant input) and
 * export to older opsets (a constant input becomes the attribute again). */
typedef struct {
    const char *attr; /* an attribute with NORNI_ATTR_OLD */
    int input;        /* its input now; NULL-terminated by attr */
    int since;        /* first opset version with the input */
    norn_dtype dtype; /* of the input; NORN_UNDEFINED: that of input 0 */
} norni_moved;

/* An attribute as a file or text gives it. */
typedef struct {
    norni_attr_kind kind;
    int64_t i;
    float f;
    const char *s;
    norn_tensor *t;
    norni_subgraph *g;
    norni_ints ints;
    norni_floats floats;
    norni_strings strings;
} norni_attr_value;

/* Defaults for every attribute into zeroed memory of op->attrs_bytes. */
void norni_attrs_default(const norn_op *op, void *attrs);
/* The default of one attribute (absent, where it has none), in place of its value. */
void norni_attr_reset(const norni_attr *a, void *attrs);
/* Sets one attribute; pointers are copied into the arena. Errors name the attribute, what it got and what it
 * wanted. */
norn_status norni_attrs_set(const norn_op *op, void *attrs, norni_arena *arena, const char *name,
                            const norni_attr_value *v);
/* Required attributes are there. `seen`: a bit for each attribute that was set. */
norn_status norni_attrs_complete(const norn_op *op, uint64_t seen);
const norni_attr *norni_attr_find(const norn_op *op, const char *name);
/* The value of an attribute; false when it is absent or has its default. */
bool norni_attr_get(const norni_attr *a, const void *attrs, norni_attr_value *v);
/* A deep copy into another arena; tensors are counted references. */
norn_status norni_attrs_copy(const norn_op *op, void *to, const void *from, norni_arena *arena);
void norni_attrs_release(const norn_op *op, void *attrs);
bool norni_attrs_equal(const norn_op *op, const void *a, const void *b);
uint64_t norni_attrs_hash(const norn_op *op, const void *attrs, uint64_t h);
/* "<axis=1, pads=[1,1]>", nothing when all are default. */
void norni_attrs_print(norni_str *out, const norn_op *op, const void *attrs);

#endif
