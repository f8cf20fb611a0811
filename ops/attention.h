/* SPDX-License-Identifier: Apache-2.0 */
/* Scaled dot product attention (Vaswani et al., "Attention is all you need", 2017): what Attention and norn.AttentionCore
 * share.
 *
 *     s = c(scale q k') + bias,   c(s) = softcap tanh(s / softcap) where softcap > 0
 *     p = softmax s along the keys; 0 (blind_nan: NaN) for a query that may see no key,   y = p v
 *
 * Query i sees key j where lo <= j - i <= hi, and where bias is not -inf. q is [B, H, Sq, D], k [B, G, Sk, D], v
 * [B, G, Sk, E]; H / G neighbouring heads of q share one of k and v. */
#ifndef NORNI_ATTENTION_H
#define NORNI_ATTENTION_H
#include "ops/op.h"

/* Bounds that do not bind. */
#define NORNI_ATTENTION_LO (-(int64_t)INT32_MAX)
#define NORNI_ATTENTION_HI ((int64_t)INT32_MAX)

typedef struct {
    float scale; /* NaN: 1 / sqrt(D) */
    float softcap;
    int64_t lo, hi;
    norn_dtype precision; /* of the softmax; UNDEFINED: that of q */
    int64_t blind_nan;    /* 1: a query that may see no key gets NaN, as a softmax of -inf alone does */
} norni_attention_attrs;

/* The host reference sees a tensor as [b, head, position, element] by strides in elements. */
typedef struct {
    const norn_tensor *t;
    int64_t b, h, s;
} norni_attention_view;

typedef struct {
    int64_t batch, heads, groups, queries, past, keys, d, e; /* keys: without past ones */
    int64_t mask_keys;                                       /* keys from this one on are masked */
    norni_attention_view q, k, v, past_k, past_v, y;
    const norn_tensor *mask, *nonpad,
        *scores; /* mask broadcasts to [B, H, Sq, <= past + keys]; nonpad: [B] */
    double scale, softcap;
    int64_t lo, hi;   /* of j - i */
    bool from_nonpad; /* lo and hi count from nonpad - Sq */
    bool blind_nan;
    int mode; /* what is put into scores: 0 q k', 1 after c, 2 with bias, 3 p */
} norni_attention_reference;

norn_status norni_attention_eval(const norni_attention_reference *r);

/* The nodes of one evaluation. scores (may be NULL) is set to what `mode` says. */
norn_value *norni_attention_nodes(norn_graph *g, const norni_attention_attrs *a, norn_value *q, norn_value *k,
                                  norn_value *v, norn_value *bias, int mode, norn_value **scores);
/* 0 where query i sees key j, else -inf: of type t, [1, 1, Sq, Sk], or [B, 1, Sq, Sk] where `offset` [B, 1, 1, 1] is added to
 * lo and hi. lo or hi may be unbound. */
norn_value *norni_attention_window(norn_graph *g, norn_dtype t, norn_value *queries, norn_value *keys,
                                   int64_t lo, int64_t hi, norn_value *offset);

#endif
