/* Encoders of BERT's and XLM-R's kind, with products in 8 bits, bfloat16 or float32: one call runs one batch.
 *
 * In 8 bits, rows of activations are unsigned 8-bit integers, each row with a scale of its own; columns of weights are signed ones,
 * each column with a scale of its own. Everything a row needs comes from that row, or in attention from its text: a
 * text has the same bits alone and in any batch. */
#ifndef BGE_KERNELS_H
#define BGE_KERNELS_H

#include <stdint.h>

#define BGE_LAYOUT 1 /* of the structures and of packed weights */

/* A product. `weight` lies in panels of 64 columns: [out / 64][in / 4][64][4] in 8 bits, [out / 64][in / 2][64][2] in
 * bfloat16, [out / 64][in][64] in float32. `offset` is what the zero point of the rows adds to every column: zero * sum of the column. */
typedef struct {
  const int8_t *weight;
  const float *scale;    /* (out); in 8 bits alone, as offset */
  const float *bias;     /* (out) */
  const int32_t *offset; /* (out) */
} bge_product;

/* A product of few rows in float32, in panels of 32 columns: [out / 32][in][32]. Weights are float32 beside products in
 * float32, else float16, and so are the rows of the vocabulary. */
typedef struct {
  const void *weight;
  const float *bias; /* (out), or null */
} bge_rows;

typedef struct {
  const float *gamma;
  const float *beta;
} bge_norm;

/* A layer that computes all rows. `rows` and `middle` multiply channels before they are rounded to 8 bits, (hidden)
 * each; null otherwise. */
typedef struct {
  const float *rows;
  const float *middle;
  bge_product attention; /* query, key and value side by side: hidden -> 3 * hidden */
  bge_product output;
  bge_product up;
  bge_product down;
  bge_norm attention_norm;
  bge_norm norm;
  float attention_epsilon;
  float epsilon;
} bge_layer;

/* A layer that computes the first row of every text, in float32. Where one query meets all keys, q (x K)^T = (q K^T)
 * x^T and p (x V) = (p x) V: `key` is (heads) products of width -> hidden, `value` (heads) products of hidden -> width. */
typedef struct {
  bge_rows query;
  bge_rows key;
  bge_rows value;
  bge_rows output;
  bge_rows up;
  bge_rows down;
  bge_norm attention_norm;
  bge_norm norm;
  float attention_epsilon;
  float epsilon;
} bge_first_row;

typedef struct {
  int32_t hidden;
  int32_t heads;
  int32_t inner;
  int32_t layers;     /* those that compute all rows */
  int32_t activation; /* 0: GELU by the error function, 1: GELU by tanh, 2: ReLU */
  int32_t padding_id; /* XLM-R counts positions from here; -1: positions are 0, 1, 2, ... */
  int32_t vocabulary;
  int32_t positions;
  int32_t types;
  int32_t labels; /* 0: no classifier */
  float epsilon;  /* of the norm behind the embeddings */
  const void *word_rows;
  const float *position_rows;
  const float *type_rows;
  bge_norm norm;
  const bge_layer *layer;
  const bge_first_row *last; /* null: the answer is all rows */
  bge_rows dense;            /* the classifier: out(tanh(dense(row))) */
  bge_rows out;              /* columns padded to 32 */
} bge_encoder;

/* One batch. All arrays are (texts, width), row by row. */
typedef struct {
  const int64_t *ids;
  const int64_t *mask;  /* 1: a token, 0: padding */
  const int64_t *types; /* null: type 0 */
  int64_t texts;
  int64_t width;
  float *answer; /* (texts, width, hidden), (texts, hidden) or (texts, labels) */
} bge_batch;

/* Answers of bge_run. */
enum { BGE_DONE = 0, BGE_BAD_ID = 1, BGE_BAD_TYPE = 2, BGE_BAD_POSITION = 3, BGE_BAD_KERNEL = 4 };

#ifdef BGE_KERNELS_INSIDE
typedef struct bge_pool bge_pool;
typedef void bge_task(void *context, int thread, int threads);
void bge_parallel(bge_pool *pool, bge_task *task, void *context, int threads);
int bge_threads(const bge_pool *pool);
void bge_meet(bge_pool *pool, int threads);
#define BGE_KERNEL(name)                                                                                     \
  int bge_run_##name(const bge_encoder *encoder, const bge_batch *batch, void *workspace, bge_pool *pool);   \
  int64_t bge_workspace_##name(const bge_encoder *encoder, int64_t texts, int64_t width, int threads)
BGE_KERNEL(avx2);
BGE_KERNEL(avx2vnni);
BGE_KERNEL(avx512);
BGE_KERNEL(avx512bf16);
BGE_KERNEL(bfloat16);
BGE_KERNEL(float32avx2);
BGE_KERNEL(float32avx512);
#endif

#endif
