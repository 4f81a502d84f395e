/* The encoder itself. Compiled once for each instruction set; vectors.h hides which. */
#define BGE_KERNELS_INSIDE
#include "bge_kernels.h"
#include "vectors.h"

#include <stddef.h>
#include <string.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define INLINE static inline __attribute__((always_inline))

enum { PANEL = 64, ROW_PANEL = 32 };
enum { BLOCK_ROWS = 120 };  /* rows that pass from attention to the next layer while they are in the cache */
enum { KEYS = 512 };        /* keys that a block of queries meets at a time */
enum { QUERIES = 24 };      /* in such a block */
enum { FIRST_ROWS = 24 };   /* texts that share the reading of a last layer's weights */
enum { SYMMETRIC_ZERO = 128, GELU_ZERO = 32 };

static const float LOWEST_SCORE = -1e9f; /* of padding: exp() of it is an exact 0 */

INLINE long most(long a, long b) { return a > b ? a : b; }
INLINE long least(long a, long b) { return a < b ? a : b; }

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static void normalise(float *row, const bge_norm *norm, float epsilon, long n) {
  vf sum = zero_f();
  for (long i = 0; i < n; i += VF) sum += load_f(row + i);
  const float mean = sum_f(sum) / (float)n;
  const vf means = same_f(mean);
  vf squares = zero_f();
  for (long i = 0; i < n; i += VF) {
    const vf d = load_f(row + i) - means;
    squares += d * d;
  }
  const vf factor = same_f(1.0f / __builtin_sqrtf(sum_f(squares) / (float)n + epsilon));
  for (long i = 0; i < n; i += VF)
    store_f(row + i, (load_f(row + i) - means) * factor * load_f(norm->gamma + i) + load_f(norm->beta + i));
}

#if defined BGE_FLOAT32 || defined BGE_BFLOAT16

/* Rows that meet weights need neither a scale nor factors. */
#ifdef BGE_FLOAT32
typedef float narrow_t;
#else
typedef uint16_t narrow_t;
#endif

static float round_symmetric(const float *row, const float *factor, narrow_t *to, long n) {
  (void)factor;
#ifdef BGE_FLOAT32
  memcpy(to, row, (size_t)n * sizeof(float));
#else
  for (long i = 0; i < n; i += 2 * VF) store_pairs(to + i, row + i);
#endif
  return 1.0f;
}

static float round_one_sided(const float *row, narrow_t *to, long n) { return round_symmetric(row, NULL, to, n); }

#else

typedef uint8_t narrow_t;

/* Round a row to 8 bits around 128; returns the scale. `factor` multiplies channels first, or is null. */
static float round_symmetric(const float *row, const float *factor, narrow_t *to, long n) {
  vf most = same_f(1e-6f);
  for (long i = 0; i < n; i += VF) {
    vf x = load_f(row + i);
    if (factor) x *= load_f(factor + i);
    most = max_f(most, max_f(x, -x));
  }
  const float scale = highest_f(most) * (1.0f / 127.0f);
  const vf inverse = same_f(1.0f / scale);
  for (long i = 0; i < n; i += VF) {
    vf x = load_f(row + i);
    if (factor) x *= load_f(factor + i);
    store_bytes(to + i, x * inverse, SYMMETRIC_ZERO);
  }
  return scale;
}

/* The same for what an activation has made: nowhere far below 0, so the zero point is 32. */
static float round_one_sided(const float *row, narrow_t *to, long n) {
  vf most = load_f(row);
  for (long i = VF; i < n; i += VF) most = max_f(most, load_f(row + i));
  const float needed = highest_f(most) * (1.0f / (255 - GELU_ZERO)), least = 0.17f / GELU_ZERO;
  const float scale = needed > least ? needed : least;
  const vf inverse = same_f(1.0f / scale);
  for (long i = 0; i < n; i += VF) store_bytes(to + i, load_f(row + i) * inverse, GELU_ZERO);
  return scale;
}

#endif

/* erf(z) / z for |z| <= 3.92 as a polynomial in 2 (z / 3.92)^2 - 1, lowest power first: minimax, fitted by linear
 * programming over 6,000 points, 2e-8 off. Beyond, erf is 1 in float32. */
static const float ERF[] = {
    0.360736817f, -0.180108637f, 0.134084269f, -0.109178498f,
    0.0906023085f, -0.0740301684f, 0.0583584942f, -0.0433746874f,
    0.0298208352f, -0.0201804284f, 0.0140048927f, -0.00737195695f,
    0.0020871223f, -0.00161868823f, 0.00204576598f, -0.000775413238f};

INLINE vf gelu(vf x) {
  const vf z = max_f(min_f(x * same_f(0.70710678f), same_f(3.92f)), same_f(-3.92f));
  const vf w = fma_f(z * z, same_f(2.0f / (3.92f * 3.92f)), same_f(-1.0f));
  vf y = same_f(ERF[15]);
  for (int power = 14; power >= 0; power--) y = fma_f(y, w, same_f(ERF[power]));
  const vf erf = max_f(min_f(z * y, same_f(1.0f)), same_f(-1.0f));
  const vf half = x * same_f(0.5f);
  return half * erf + half;
}

INLINE vf tanh_f(vf x) {
  const vf e = exp_f(max_f(same_f(-15.0f), min_f(same_f(15.0f), x)) * same_f(2.0f));
  return (e - same_f(1.0f)) / (e + same_f(1.0f));
}

INLINE vf gelu_by_tanh(vf x) {
  const vf inside = x * (same_f(0.7978845608f) + same_f(0.7978845608f * 0.044715f) * x * x);
  return same_f(0.5f) * x * (same_f(1.0f) + tanh_f(inside));
}

INLINE vf activated(vf x, int activation) {
  if (activation == 0) return gelu(x);
  if (activation == 1) return gelu_by_tanh(x);
  if (activation == 2) return max_f(zero_f(), x);
  return x;
}

/* ---- products of narrow rows ---------------------------------------------------------------------------------------- */

#if defined BGE_FLOAT32 || defined BGE_BFLOAT16

typedef vf sums;
INLINE sums begin(const bge_product *by, long column) { return load_f(by->bias + column); }
#ifdef BGE_FLOAT32
INLINE sums add(sums sum, vi rows, vi weights) { return fma_f((vf)rows, (vf)weights, sum); }
#else
INLINE sums add(sums sum, vi rows, vi weights) { return dot_pairs(sum, rows, weights); }
#endif
INLINE vf end(sums sum, const bge_product *by, long column, float scale) {
  (void)by, (void)column, (void)scale;
  return sum;
}

#else

typedef vi sums;
INLINE sums begin(const bge_product *by, long column) { return -load_i(by->offset + column); }
INLINE sums add(sums sum, vi rows, vi weights) { return dot_bytes(sum, rows, weights); }
INLINE vf end(sums sum, const bge_product *by, long column, float scale) {
  return whole_to_f(sum) * load_f(by->scale + column) * same_f(scale) + load_f(by->bias + column);
}

#endif

typedef struct {
  const bge_product *by;
  const narrow_t *rows; /* (.., in) */
  const float *scales; /* of the rows */
  float *out;
  const float *added; /* with the rows of `out`, or null */
  long in;
  long width; /* of a row of `out` */
  int activation; /* -1: none */
} product;

/* Rows `row` to `row + mr`, TILE_VECTORS vectors of columns from `column` on. */
INLINE void product_tile(const product *p, long row, long column, const int mr) {
  const long bytes = p->in * (long)sizeof(narrow_t);
  const uint8_t *a = (const uint8_t *)p->rows + row * bytes;
  const int8_t *b = p->by->weight + column / PANEL * PANEL * bytes + column % PANEL * 4;
  sums sum[TILE_ROWS][TILE_VECTORS];
  for (int j = 0; j < TILE_VECTORS; j++)
    for (int i = 0; i < mr; i++) sum[i][j] = begin(p->by, column + j * VF);
  for (long k = 0; k < bytes; k += 4, b += 4 * PANEL) {
    vi w[TILE_VECTORS];
    for (int j = 0; j < TILE_VECTORS; j++) w[j] = load_bytes(b + j * VB);
    for (int i = 0; i < mr; i++) {
      const vi x = same_bytes(a + i * bytes + k);
      for (int j = 0; j < TILE_VECTORS; j++) sum[i][j] = add(sum[i][j], x, w[j]);
    }
  }
  for (int j = 0; j < TILE_VECTORS; j++)
    for (int i = 0; i < mr; i++) {
      const long at = (row + i) * p->width + column + j * VF;
      vf y = activated(end(sum[i][j], p->by, column + j * VF, p->scales[row + i]), p->activation);
      if (p->added) y += load_f(p->added + at);
      store_f(p->out + at, y);
    }
}

/* Rows [row, rows) of columns [column, columns), in whole panels. */
static void multiply(const product *p, long row, long rows, long column, long columns) {
  for (; column < columns; column += TILE_VECTORS * VF) {
    long r = row;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS) product_tile(p, r, column, TILE_ROWS);
    switch (rows - r) {
    case 1: product_tile(p, r, column, 1); break;
    case 2: product_tile(p, r, column, 2); break;
    case 3: product_tile(p, r, column, 3); break;
    case 4: product_tile(p, r, column, least(4, TILE_ROWS)); break;
    case 5: product_tile(p, r, column, least(5, TILE_ROWS)); break;
    default: break;
    }
  }
}

/* ---- products of float32 rows ------------------------------------------------------------------------------- */

#ifdef BGE_FLOAT32
typedef float stored; /* the vocabulary, and the weights of a last layer */
INLINE vf load_stored(const stored *from) { return load_f(from); }
#else
typedef uint16_t stored;
INLINE vf load_stored(const stored *from) { return load_half(from); }
#endif

typedef struct {
  const stored *weight;
  const float *bias;
  const float *rows;
  float *out;
  const float *added;
  long in;
  long stride; /* of a row of `rows` */
  long width;  /* of a row of `out` */
  int activation;
} row_product;

INLINE void row_tile(const row_product *p, long row, long column, const int mr) {
  enum { NR = ROW_PANEL / VF };
  const float *a = p->rows + row * p->stride;
  const stored *b = p->weight + column * p->in;
  vf sum[ROW_ROWS][NR];
  for (int j = 0; j < NR; j++)
    for (int i = 0; i < mr; i++) sum[i][j] = zero_f();
  for (long k = 0; k < p->in; k++, b += ROW_PANEL) {
    vf w[NR];
    for (int j = 0; j < NR; j++) w[j] = load_stored(b + j * VF);
    for (int i = 0; i < mr; i++) {
      const vf x = same_f(a[i * p->stride + k]);
      for (int j = 0; j < NR; j++) sum[i][j] = fma_f(x, w[j], sum[i][j]);
    }
  }
  for (int j = 0; j < NR; j++)
    for (int i = 0; i < mr; i++) {
      const long at = (row + i) * p->width + column + j * VF;
      vf y = sum[i][j];
      if (p->bias) y += load_f(p->bias + column + j * VF);
      y = activated(y, p->activation);
      if (p->added) y += load_f(p->added + at);
      store_f(p->out + at, y);
    }
}

static void multiply_rows(const row_product *p, long rows, long column, long columns) {
  for (; column < columns; column += ROW_PANEL) {
    long r = 0;
    for (; r + ROW_ROWS <= rows; r += ROW_ROWS) row_tile(p, r, column, ROW_ROWS);
    for (; r < rows; r++) row_tile(p, r, column, 1);
  }
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* What one thread needs for one head of one text. */
typedef struct {
  float *keys;   /* [keys / 64][width][64], or pairs of bfloat16 [keys / 64][width / 2][64] */
  float *values; /* [keys][width], or pairs of bfloat16 [keys / 2][width] */
  float *scores; /* [QUERIES][KEYS] */
  float *sums;   /* [QUERIES][width] */
} attention_space;

typedef struct {
  const float *rows; /* (tokens, 3 * hidden): query, key, value */
  const int64_t *mask; /* of the text, or null if it has no holes */
  float *out;        /* (tokens, hidden) */
  long tokens;
  long hidden;
  long width; /* of the head */
} attention;

INLINE long padded_keys(long tokens) { return (tokens + PANEL - 1) / PANEL * PANEL; }

/* Keys as panels of 64 columns. */
static void pack_keys(const attention *a, const attention_space *s) {
  const long stride = 3 * a->hidden, units = KEY_UNITS(a->width);
  for (long t = 0; t < a->tokens; t += VF) {
    float *to = s->keys + t / PANEL * PANEL * units + t % PANEL;
    const long count = least(a->tokens - t, VF);
    for (long d = 0; d < units; d += VF) transpose_keys(a->rows + a->hidden + t * stride, stride, count, d, to + d * PANEL, PANEL);
  }
}

/* Scores of `mr` queries and `nr` vectors of keys. */
INLINE void score_tile(const float *queries, long stride, const float *keys, long units, float *to, const int mr, const int nr) {
  vf sum[SCORE_ROWS][SCORE_VECTORS];
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nr; j++) sum[i][j] = zero_f();
  for (long d = 0; d < units; d++, keys += PANEL) {
    vf k[SCORE_VECTORS];
    for (int j = 0; j < nr; j++) k[j] = load_f(keys + j * VF);
    for (int i = 0; i < mr; i++) {
      const vf q = same_f(queries[i * stride + d]);
      for (int j = 0; j < nr; j++) sum[i][j] = dot_units(sum[i][j], q, k[j]);
    }
  }
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nr; j++) store_f(to + i * KEYS + j * VF, sum[i][j]);
}

#define WITH_ROWS(call, count)                                                                               \
  switch (count) {                                                                                           \
  case 1: call(1); break;                                                                                    \
  case 2: call(2); break;                                                                                    \
  case 3: call(3); break;                                                                                    \
  case 4: call(4); break;                                                                                    \
  case 5: call(5); break;                                                                                    \
  default: call(6); break;                                                                                   \
  }

static void scores(const attention_space *s, const float *queries, long stride, long rows, long units, long first, long keys) {
  for (long t = 0; t < keys; t += SCORE_VECTORS * VF) {
    const float *k = s->keys + (first + t) / PANEL * PANEL * units + (first + t) % PANEL;
    const long vectors = (keys - t + VF - 1) / VF;
    for (long r = 0; r < rows; r += SCORE_ROWS) {
      const long count = least(rows - r, SCORE_ROWS);
      const float *q = queries + r * stride;
      float *to = s->scores + r * KEYS + t;
      if (vectors >= SCORE_VECTORS) {
#define CALL(n) score_tile(q, stride, k, units, to, n, SCORE_VECTORS)
        WITH_ROWS(CALL, count)
#undef CALL
      } else {
        for (long v = 0; v < vectors; v++) {
#define CALL(n) score_tile(q, stride, k + v * VF, units, to + v * VF, n, 1)
          WITH_ROWS(CALL, count)
#undef CALL
        }
      }
    }
  }
}

/* exp(score - highest) in place; returns the sum. */
INLINE float weigh(float *row, long keys, float highest) {
  const vf most = same_f(highest);
  vf sum = zero_f();
  for (long t = 0; t < keys; t += VF) {
    const vf e = exp_f(load_f(row + t) - most);
    sum += e;
    store_f(row + t, e);
  }
  return sum_f(sum);
}

/* sums += weights * values for `mr` queries and `nr` vectors of a head's width. */
INLINE void mix_tile(const float *weights, const float *values, long steps, float *sums, long width, const int mr, const int nr) {
  vf sum[SCORE_ROWS][SCORE_VECTORS];
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nr; j++) sum[i][j] = load_f(sums + i * width + j * VF);
  for (long t = 0; t < steps; t++) {
    vf v[SCORE_VECTORS];
    for (int j = 0; j < nr; j++) v[j] = load_f(values + t * width + j * VF);
    for (int i = 0; i < mr; i++) {
      const vf w = same_f(weights[i * KEYS + t]);
      for (int j = 0; j < nr; j++) sum[i][j] = dot_units(sum[i][j], w, v[j]);
    }
  }
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nr; j++) store_f(sums + i * width + j * VF, sum[i][j]);
}

INLINE void mix_columns(const attention_space *s, const float *values, long rows, long steps, long width, const int nr) {
  for (long d = 0; d < width; d += nr * VF)
    for (long r = 0; r < rows; r += SCORE_ROWS) {
      const long count = least(rows - r, SCORE_ROWS);
      const float *w = s->scores + r * KEYS;
      float *to = s->sums + r * width + d;
#define CALL(n) mix_tile(w, values + d, steps, to, width, n, nr)
      WITH_ROWS(CALL, count)
#undef CALL
    }
}

static void mix(const attention_space *s, const float *values, long rows, long steps, long width) {
  if (width % (SCORE_VECTORS * VF) == 0)
    mix_columns(s, values, rows, steps, width, SCORE_VECTORS);
  else
    mix_columns(s, values, rows, steps, width, MIX_VECTORS);
}

/* One head of one text; softmax goes through the keys block by block (Milakov and Gimelshein 2018). */
static void attend(const attention *a, const attention_space *s) {
  const long stride = 3 * a->hidden, width = a->width, units = KEY_UNITS(width);
  pack_keys(a, s);
  pack_values(a->rows + 2 * a->hidden, stride, a->tokens, width, s->values);
  float queries[QUERIES * 64] __attribute__((aligned(64)));
  for (long first = 0; first < a->tokens; first += QUERIES) {
    const long rows = least(a->tokens - first, QUERIES);
    float highest[QUERIES], total[QUERIES];
    for (long r = 0; r < rows; r++) {
      highest[r] = 3.0f * LOWEST_SCORE;
      total[r] = 0.0f;
      to_units(queries + r * units, a->rows + (first + r) * stride, width);
      for (long d = 0; d < width; d += VF) store_f(s->sums + r * width + d, zero_f());
    }
    for (long key = 0; key < a->tokens; key += KEYS) {
      const long keys = least(a->tokens - key, KEYS);
      const long padded = (keys + VF - 1) / VF * VF;
      scores(s, queries, units, rows, units, key, keys);
      for (long r = 0; r < rows; r++) {
        float *row = s->scores + r * KEYS;
        for (long t = keys; t < padded; t++) row[t] = 2.0f * LOWEST_SCORE;
        if (a->mask)
          for (long t = 0; t < keys; t++) row[t] += a->mask[key + t] ? 0.0f : LOWEST_SCORE;
        vf most = load_f(row);
        for (long t = VF; t < padded; t += VF) most = max_f(most, load_f(row + t));
        const float seen = highest_f(most);
        if (seen > highest[r]) {
          if (key > 0) {
            const float less = exp_one(highest[r] - seen);
            total[r] *= less;
            for (long d = 0; d < width; d += VF)
              store_f(s->sums + r * width + d, load_f(s->sums + r * width + d) * same_f(less));
          }
          highest[r] = seen;
        }
        total[r] += weigh(row, padded, highest[r]);
        WEIGHTS_TO_UNITS(row, padded);
      }
      mix(s, s->values + VALUE_STEPS(key) * width, rows, VALUE_STEPS(keys), width);
    }
    for (long r = 0; r < rows; r++) {
      const vf factor = same_f(1.0f / total[r]);
      float *to = a->out + (first + r) * a->hidden;
      for (long d = 0; d < width; d += VF) store_f(to + d, load_f(s->sums + r * width + d) * factor);
    }
  }
}

/* ---- a batch ------------------------------------------------------------------------------------------------------- */

typedef struct {
  int32_t *ids;       /* (tokens) */
  int32_t *positions; /* (tokens) */
  int32_t *types;     /* (tokens) */
  int64_t *start;     /* (texts + 1): the first token of every text */
  int64_t *holes;     /* (texts): whether there is padding in the midst of it */
  float *rows;        /* (tokens, hidden) */
  float *middle;      /* (tokens, hidden) */
  float *attention;   /* (tokens, 3 * hidden) */
  float *context;     /* (tokens, hidden) */
  float *inner;       /* (block, inner) */
  narrow_t *narrow;      /* (tokens, hidden) */
  float *scales;      /* (tokens) */
  narrow_t *block_narrow;  /* (block, inner) */
  float *block_scales;  /* (block) */
  char *own;          /* of every thread */
  size_t own_size;
} space;

typedef struct {
  const bge_encoder *encoder;
  const bge_batch *batch;
  bge_pool *pool;
  int threads;
  long tokens;
  long block;
  space at;
} batch_run;

typedef struct {
  char *next;
} region;

static void *take(region *r, size_t bytes) {
  char *at = r->next;
  r->next += (bytes + 63) / 64 * 64;
  return at;
}

/* Lays out the workspace from `base` on; returns where it ends. */
static char *lay_out(space *at, const bge_encoder *e, long texts, long tokens, long width, long block, int threads, char *base) {
  region r = {base};
  const size_t hidden = (size_t)e->hidden, head = hidden / (size_t)e->heads, t = (size_t)tokens, b = (size_t)block;
  at->ids = take(&r, t * sizeof(int32_t));
  at->positions = take(&r, t * sizeof(int32_t));
  at->types = take(&r, t * sizeof(int32_t));
  at->start = take(&r, (size_t)(texts + 1) * sizeof(int64_t));
  at->holes = take(&r, (size_t)texts * sizeof(int64_t));
  at->rows = take(&r, t * hidden * sizeof(float));
  at->middle = take(&r, t * hidden * sizeof(float));
  at->attention = take(&r, t * 3 * hidden * sizeof(float));
  at->context = take(&r, t * hidden * sizeof(float));
  at->inner = take(&r, b * (size_t)e->inner * sizeof(float));
  at->narrow = take(&r, t * hidden * sizeof(narrow_t));
  at->scales = take(&r, t * sizeof(float));
  at->block_narrow = take(&r, b * (size_t)most(e->inner, e->hidden) * sizeof(narrow_t));
  at->block_scales = take(&r, b * sizeof(float));
  const size_t keys = (size_t)padded_keys(width);
  size_t own = keys * head * sizeof(float) * 2 + (size_t)QUERIES * (KEYS + 64) * sizeof(float) + 256;
  if (e->last) {
    const size_t first = ((size_t)e->heads * (hidden * 2 + keys)) * sizeof(float) + 256;
    own = own > first ? own : first;
  }
  at->own_size = (own + 63) / 64 * 64;
  at->own = take(&r, at->own_size * (size_t)threads);
  return r.next;
}

static attention_space own_space(const batch_run *run, int me, long width) {
  const bge_encoder *e = run->encoder;
  const size_t head = (size_t)(e->hidden / e->heads), keys = (size_t)padded_keys(width);
  region r = {run->at.own + run->at.own_size * (size_t)me};
  attention_space s;
  s.keys = take(&r, keys * head * sizeof(float));
  s.values = take(&r, keys * head * sizeof(float));
  s.scores = take(&r, QUERIES * KEYS * sizeof(float));
  s.sums = take(&r, QUERIES * head * sizeof(float));
  return s;
}

static void meet(const batch_run *run) {
  if (run->threads > 1) bge_meet(run->pool, run->threads);
}

/* The share of thread `me` in `count` things, in units. */
static void share(long count, long unit, int me, int threads, long *first, long *end) {
  const long units = (count + unit - 1) / unit;
  *first = least(units * me / threads * unit, count);
  *end = least(units * (me + 1) / threads * unit, count);
}

static void multiply_shared(const product *p, long rows, long columns, int me, int threads) {
  long first, end;
  if (rows >= 64L * threads) {  /* few enough columns stay in the cache of each thread */
    share(rows, TILE_ROWS, me, threads, &first, &end);
    multiply(p, first, end, 0, columns);
  } else {
    share(columns, PANEL, me, threads, &first, &end);
    multiply(p, 0, rows, first, end);
  }
}

static void row_shared(const row_product *p, long rows, long columns, int me, int threads) {
  long first, end;
  share(columns, ROW_PANEL, me, threads, &first, &end);
  multiply_rows(p, rows, first, end);
}

static void embed(const batch_run *run, int me) {
  const bge_encoder *e = run->encoder;
  const long n = e->hidden;
  long first, end;
  share(run->tokens, 1, me, run->threads, &first, &end);
  for (long t = first; t < end; t++) {
    const stored *word = (const stored *)e->word_rows + (long)run->at.ids[t] * n;
    const float *position = e->position_rows + (long)run->at.positions[t] * n;
    float *row = run->at.rows + t * n;
    for (long i = 0; i < n; i += VF) store_f(row + i, load_stored(word + i) + load_f(position + i));
    if (e->type_rows) {
      const float *type = e->type_rows + (long)run->at.types[t] * n;
      for (long i = 0; i < n; i += VF) store_f(row + i, load_f(row + i) + load_f(type + i));
    }
    normalise(row, &e->norm, e->epsilon, n);
    if (e->layers) run->at.scales[t] = round_symmetric(row, e->layer[0].rows, run->at.narrow + t * n, n);
  }
}

static void attend_all(const batch_run *run, int me) {
  const bge_encoder *e = run->encoder;
  const long width = e->hidden / e->heads, tasks = run->batch->texts * e->heads;
  const attention_space s = own_space(run, me, run->batch->width);
  long first, end;
  share(tasks, 1, me, run->threads, &first, &end);
  for (long task = first; task < end; task++) {
    const long text = task / e->heads, head = task % e->heads, start = run->at.start[text];
    const attention a = {
      .rows = run->at.attention + start * 3 * e->hidden + head * width,
      .mask = run->at.holes[text] ? run->batch->mask + text * run->batch->width : NULL,
      .out = run->at.context + start * e->hidden + head * width,
      .tokens = run->at.start[text + 1] - start,
      .hidden = e->hidden,
      .width = width,
    };
    attend(&a, &s);
  }
}

/* From attention's results to the next layer's input, for the rows [row, row + rows). */
static void feed_forward(const batch_run *run, int me, const bge_layer *layer, long row, long rows) {
  const bge_encoder *e = run->encoder;
  const space *at = &run->at;
  const bge_layer *next = layer + 1 < e->layer + e->layers ? layer + 1 : NULL;
  const long n = e->hidden, inner = e->inner;
  const int threads = run->threads;
  float *values = at->rows + row * n, *middle = at->middle + row * n;
  long first, end;
  share(rows, 1, me, threads, &first, &end);
  for (long r = first; r < end; r++)
    at->block_scales[r] = round_symmetric(at->context + (row + r) * n, NULL, at->block_narrow + r * n, n);
  meet(run);
  const product output = {&layer->output, at->block_narrow, at->block_scales, middle, values, n, n, -1};
  multiply_shared(&output, rows, n, me, threads);
  meet(run);
  for (long r = first; r < end; r++) {
    normalise(middle + r * n, &layer->attention_norm, layer->attention_epsilon, n);
    at->block_scales[r] = round_symmetric(middle + r * n, layer->middle, at->block_narrow + r * n, n);
  }
  meet(run);
  const product up = {&layer->up, at->block_narrow, at->block_scales, at->inner, NULL, n, inner, e->activation};
  multiply_shared(&up, rows, inner, me, threads);
  meet(run);
  for (long r = first; r < end; r++)
    at->block_scales[r] = round_one_sided(at->inner + r * inner, at->block_narrow + r * inner, inner);
  meet(run);
  const product down = {&layer->down, at->block_narrow, at->block_scales, values, middle, inner, n, -1};
  multiply_shared(&down, rows, n, me, threads);
  meet(run);
  for (long r = first; r < end; r++) {
    normalise(values + r * n, &layer->norm, layer->epsilon, n);
    if (next) at->scales[row + r] = round_symmetric(values + r * n, next->rows, at->narrow + (row + r) * n, n);
  }
  meet(run);
}

static void all_rows(const batch_run *run, int me, long number) {
  const bge_encoder *e = run->encoder;
  const bge_layer *layer = e->layer + number;
  const product asked = {&layer->attention, run->at.narrow, run->at.scales, run->at.attention, NULL, e->hidden, 3 * e->hidden, -1};
  multiply_shared(&asked, run->tokens, 3 * e->hidden, me, run->threads);
  meet(run);
  attend_all(run, me);
  meet(run);
  for (long row = 0; row < run->tokens; row += run->block)
    feed_forward(run, me, layer, row, least(run->block, run->tokens - row));
}

/* Heads [head, heads) of the one query of a text: seen (heads, hidden) and mixed (heads, hidden) are its space. */
static void attend_first(const batch_run *run, long text, const float *query, float *context, float *own, long head, long heads) {
  const bge_encoder *e = run->encoder;
  const bge_first_row *last = e->last;
  const long n = e->hidden, width = n / e->heads, start = run->at.start[text], tokens = run->at.start[text + 1] - start;
  const long keys = padded_keys(run->batch->width);
  const float *rows = run->at.rows + start * n;
  const int64_t *mask = run->at.holes[text] ? run->batch->mask + text * run->batch->width : NULL;
  float *seen = own, *mixed = own + e->heads * n, *weights = mixed + e->heads * n;
  for (long h = head; h < heads; h++) {
    const row_product key = {(const stored *)last->key.weight + h * width * n, NULL, query + h * width, seen + h * n, NULL, width, width, n, -1};
    multiply_rows(&key, 1, 0, n);
  }
  for (long t = 0; t < tokens; t++) {
    const float lower = mask && !mask[t] ? LOWEST_SCORE : 0.0f;
    for (long h = head; h < heads; h++) {
      vf sum = zero_f();
      for (long i = 0; i < n; i += VF) sum = fma_f(load_f(rows + t * n + i), load_f(seen + h * n + i), sum);
      weights[h * keys + t] = sum_f(sum) + lower;
    }
  }
  for (long h = head; h < heads; h++) {
    float *w = weights + h * keys, highest = w[0];
    const long padded = (tokens + VF - 1) / VF * VF;
    for (long t = 1; t < tokens; t++) highest = w[t] > highest ? w[t] : highest;
    for (long t = tokens; t < padded; t++) w[t] = highest + LOWEST_SCORE;
    const float factor = 1.0f / weigh(w, padded, highest);
    for (long t = 0; t < tokens; t++) w[t] *= factor;
  }
  for (long h = head; h < heads; h++) {
    for (long i = 0; i < n; i += 4 * VF) {
      vf sum[4] = {zero_f(), zero_f(), zero_f(), zero_f()};
      for (long t = 0; t < tokens; t++) {
        const vf w = same_f(weights[h * keys + t]);
        for (int j = 0; j < 4; j++) sum[j] = fma_f(w, load_f(rows + t * n + i + j * VF), sum[j]);
      }
      for (int j = 0; j < 4; j++) store_f(mixed + h * n + i + j * VF, sum[j]);
    }
    const row_product value = {(const stored *)last->value.weight + h * width * n, NULL, mixed + h * n, context + h * width, NULL, n, n, n, -1};
    multiply_rows(&value, 1, 0, width);
  }
}

/* The last layer and the classifier, for the texts [text, text + texts). */
static void first_rows(const batch_run *run, int me, long text, long texts) {
  const bge_encoder *e = run->encoder;
  const bge_first_row *last = e->last;
  const space *at = &run->at;
  const long n = e->hidden, inner = e->inner;
  const int threads = run->threads;
  /* What earlier layers have left is not needed any more. */
  float *rows = at->middle, *query = rows + FIRST_ROWS * n, *context = at->attention, *middle = at->context;
  float *raised = at->inner, *lowered = at->context + FIRST_ROWS * n;
  long first, end;
  share(texts, 1, me, threads, &first, &end);
  for (long r = first; r < end; r++) memcpy(rows + r * n, at->rows + at->start[text + r] * n, (size_t)n * sizeof(float));
  meet(run);
  row_shared(&(row_product){(const stored *)last->query.weight, last->query.bias, rows, query, NULL, n, n, n, -1}, texts, n, me, threads);
  meet(run);
  long head, heads;
  float *own = (float *)(at->own + at->own_size * (size_t)me);
  share(texts * e->heads, 1, me, threads, &first, &end);
  for (long task = first; task < end;) {
    const long r = task / e->heads;
    head = task % e->heads;
    heads = least(e->heads, head + end - task);
    attend_first(run, text + r, query + r * n, context + r * n, own, head, heads);
    task += heads - head;
  }
  meet(run);
  row_shared(&(row_product){(const stored *)last->output.weight, last->output.bias, context, middle, rows, n, n, n, -1}, texts, n, me, threads);
  meet(run);
  share(texts, 1, me, threads, &first, &end);
  for (long r = first; r < end; r++) normalise(middle + r * n, &last->attention_norm, last->attention_epsilon, n);
  meet(run);
  row_shared(&(row_product){(const stored *)last->up.weight, last->up.bias, middle, raised, NULL, n, n, inner, e->activation}, texts, inner, me, threads);
  meet(run);
  row_shared(&(row_product){(const stored *)last->down.weight, last->down.bias, raised, lowered, middle, inner, inner, n, -1}, texts, n, me, threads);
  meet(run);
  for (long r = first; r < end; r++) {
    normalise(lowered + r * n, &last->norm, last->epsilon, n);
    if (!e->labels) memcpy(run->batch->answer + (text + r) * n, lowered + r * n, (size_t)n * sizeof(float));
  }
  meet(run);
  if (!e->labels) return;
  row_shared(&(row_product){(const stored *)e->dense.weight, e->dense.bias, lowered, query, NULL, n, n, n, -1}, texts, n, me, threads);
  meet(run);
  const long labels = (e->labels + ROW_PANEL - 1) / ROW_PANEL * ROW_PANEL;
  for (long r = first; r < end; r++) {
    float *row = query + r * n;
    for (long i = 0; i < n; i += VF) store_f(row + i, tanh_f(load_f(row + i)));
    row_product out = {(const stored *)e->out.weight, e->out.bias, row, rows + r * n, NULL, n, n, labels, -1};
    multiply_rows(&out, 1, 0, labels);
    memcpy(run->batch->answer + (text + r) * e->labels, rows + r * n, (size_t)e->labels * sizeof(float));
  }
  meet(run);
}

static void give_rows(const batch_run *run, int me) {
  const long n = run->encoder->hidden, width = run->batch->width;
  long first, end;
  share(run->batch->texts, 1, me, run->threads, &first, &end);
  for (long text = first; text < end; text++) {
    const long start = run->at.start[text], tokens = run->at.start[text + 1] - start;
    float *to = run->batch->answer + text * width * n;
    memcpy(to, run->at.rows + start * n, (size_t)(tokens * n) * sizeof(float));
    memset(to + tokens * n, 0, (size_t)((width - tokens) * n) * sizeof(float));
  }
}

static void whole_batch(void *context, int me, int threads) {
  batch_run *run = context;
  (void)threads;
  embed(run, me);
  meet(run);
  for (long number = 0; number < run->encoder->layers; number++) all_rows(run, me, number);
  if (!run->encoder->last) {
    give_rows(run, me);
    return;
  }
  for (long text = 0; text < run->batch->texts; text += FIRST_ROWS)
    first_rows(run, me, text, least(FIRST_ROWS, run->batch->texts - text));
}

/* Tokens without the padding behind them. */
static int read_batch(batch_run *run) {
  const bge_encoder *e = run->encoder;
  const bge_batch *b = run->batch;
  long t = 0;
  for (long text = 0; text < b->texts; text++) {
    const int64_t *ids = b->ids + text * b->width, *mask = b->mask + text * b->width;
    long tokens = b->width, real = 0, counted = 0;
    while (tokens > 1 && !mask[tokens - 1]) tokens--;
    run->at.start[text] = t;
    for (long i = 0; i < tokens; i++, t++) {
      const int64_t type = b->types ? b->types[text * b->width + i] : 0;
      long position = i;
      if (e->padding_id >= 0) position = ids[i] == e->padding_id ? e->padding_id : e->padding_id + ++counted;
      if (ids[i] < 0 || ids[i] >= e->vocabulary) return BGE_BAD_ID;
      if (e->type_rows && (type < 0 || type >= e->types)) return BGE_BAD_TYPE;
      if (position >= e->positions) return BGE_BAD_POSITION;
      run->at.ids[t] = (int32_t)ids[i];
      run->at.types[t] = (int32_t)type;
      run->at.positions[t] = (int32_t)position;
      real += mask[i] != 0;
    }
    run->at.holes[text] = real < tokens;
  }
  run->at.start[b->texts] = t;
  run->tokens = t;
  return BGE_DONE;
}

/* The first rows borrow the space of all rows, which must then hold enough of them. */
static long room_for(long texts, long width) { return most(texts * width, 2 * FIRST_ROWS); }
static long block_rows(long tokens, int threads) {
  return most(FIRST_ROWS, threads > 1 ? least(tokens, 4 * BLOCK_ROWS) : least(tokens, BLOCK_ROWS));
}

int64_t JOIN(bge_workspace, BGE_VARIANT)(const bge_encoder *encoder, int64_t texts, int64_t width, int threads) {
  space at;
  const long tokens = room_for(texts, width);
  char *base = (char *)64;
  return lay_out(&at, encoder, texts, tokens, width, block_rows(tokens, threads), threads, base) - base;
}

int JOIN(bge_run, BGE_VARIANT)(const bge_encoder *encoder, const bge_batch *batch, void *workspace, bge_pool *pool) {
  /* More threads than there are panels of columns, or blocks of rows, would only meet. */
  const long useful = most(encoder->hidden / PANEL, batch->texts * batch->width / 32);
  batch_run run = {.encoder = encoder, .batch = batch, .pool = pool, .threads = (int)least(bge_threads(pool), useful)};
  const long tokens = room_for(batch->texts, batch->width);
  run.block = block_rows(tokens, run.threads);
  lay_out(&run.at, encoder, batch->texts, tokens, batch->width, run.block, run.threads, workspace);
  const int answer = read_batch(&run);
  if (answer == BGE_DONE) bge_parallel(pool, whole_batch, &run, run.threads);
  return answer;
}
