/* Vectors of one instruction set, under names that say what they do. Defines, besides the functions:
 *
 * VF            floats in a vector
 * VB            bytes in a vector
 * TILE_ROWS     rows, and TILE_VECTORS vectors of columns, that an 8-bit product holds in registers
 * ROW_ROWS     rows that a product of float32 rows holds
 * SCORE_ROWS    queries, and SCORE_VECTORS vectors of keys, that attention holds
 * MIX_VECTORS   vectors of a head's width
 *
 * Attention reads in units of 32 bits: one float, or with AVX512-BF16 two neighbouring numbers in bfloat16. */
#ifndef BGE_VECTORS_H
#define BGE_VECTORS_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE_ static inline __attribute__((always_inline))

#ifdef __AVX512F__

typedef __m512 vf;
typedef int32_t vi __attribute__((vector_size(64)));
enum { VF = 16, VB = 64, TILE_ROWS = 6, TILE_VECTORS = 4, ROW_ROWS = 8, SCORE_ROWS = 6, SCORE_VECTORS = 4, MIX_VECTORS = 2 };

INLINE_ vf zero_f(void) { return _mm512_setzero_ps(); }
INLINE_ vf same_f(float x) { return _mm512_set1_ps(x); }
INLINE_ vf load_f(const float *p) { return _mm512_loadu_ps(p); }
INLINE_ void store_f(float *p, vf x) { _mm512_storeu_ps(p, x); }
/* If one is NaN, b: the constant of a clamp goes first. */
INLINE_ vf max_f(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE_ vf min_f(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE_ vf fma_f(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE_ float sum_f(vf x) { return _mm512_reduce_add_ps(x); }
INLINE_ float highest_f(vf x) { return _mm512_reduce_max_ps(x); }
INLINE_ vf whole_to_f(vi x) { return _mm512_cvtepi32_ps((__m512i)x); }
INLINE_ vi load_i(const int32_t *p) { return (vi)_mm512_loadu_si512(p); }
INLINE_ vi load_bytes(const int8_t *p) { return (vi)_mm512_loadu_si512(p); }
INLINE_ vi same_bytes(const uint8_t *p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return (vi)_mm512_set1_epi32(four);
}
#ifdef __AVX512VNNI__
INLINE_ vi dot_bytes(vi sum, vi rows, vi weights) {
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)rows, (__m512i)weights);
}
#endif
INLINE_ vf load_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

/* Rounds to the nearest whole number, adds `zero` and stores what lies in 0 to 255. */
INLINE_ void store_bytes(uint8_t *p, vf x, int zero) {
  const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero));
  _mm_storeu_si128((__m128i *)p, _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512())));
}

INLINE_ vf whole_f(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE_ vf times_power(vf x, vf n) { return _mm512_scalef_ps(x, n); }
/* y, and 0 where a < b. */
INLINE_ vf unless_less(vf y, vf a, vf b) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), y); }

/* 16 x 16 units. */
INLINE_ void transpose_units(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

#else

typedef __m256 vf;
typedef int32_t vi __attribute__((vector_size(32)));
#ifdef __AVXVNNI__
enum { TILE_ROWS = 6 };
#else
enum { TILE_ROWS = 4 };
#endif
enum { VF = 8, VB = 32, TILE_VECTORS = 2, ROW_ROWS = 2, SCORE_ROWS = 6, SCORE_VECTORS = 2, MIX_VECTORS = 2 };

INLINE_ vf zero_f(void) { return _mm256_setzero_ps(); }
INLINE_ vf same_f(float x) { return _mm256_set1_ps(x); }
INLINE_ vf load_f(const float *p) { return _mm256_loadu_ps(p); }
INLINE_ void store_f(float *p, vf x) { _mm256_storeu_ps(p, x); }
INLINE_ vf max_f(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE_ vf min_f(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE_ vf fma_f(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE_ float sum_f(vf x) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
INLINE_ float highest_f(vf x) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
INLINE_ vf whole_to_f(vi x) { return _mm256_cvtepi32_ps((__m256i)x); }
INLINE_ vi load_i(const int32_t *p) { return (vi)_mm256_loadu_si256((const __m256i *)p); }
INLINE_ vi load_bytes(const int8_t *p) { return (vi)_mm256_loadu_si256((const __m256i *)p); }
INLINE_ vi same_bytes(const uint8_t *p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return (vi)_mm256_set1_epi32(four);
}
/* Without VNNI, neighbouring products are added in 16 bits: weights are chosen so that no pair exceeds them. */
INLINE_ vi dot_bytes(vi sum, vi rows, vi weights) {
#ifdef __AVXVNNI__
  return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)rows, (__m256i)weights);
#else
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)rows, (__m256i)weights);
  return (vi)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}
INLINE_ vf load_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

INLINE_ void store_bytes(uint8_t *p, vf x, int zero) {
  const __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(zero));
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}

INLINE_ vf whole_f(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE_ vf times_power(vf x, vf n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return x * _mm256_castsi256_ps(exponent);
}
INLINE_ vf unless_less(vf y, vf a, vf b) { return _mm256_and_ps(y, _mm256_cmp_ps(a, b, _CMP_NLT_UQ)); }

/* 8 x 8 units. */
INLINE_ void transpose_units(__m256i r[8]) {
  __m256i t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

#endif

/* exp(x) for x <= 88, and an exact 0 below -87.3. Cody and Waite's reduction, a polynomial of degree 6 (Taylor's would
 * do with 7; these are Cephes' coefficients of expf). NaN stays NaN. */
INLINE_ vf exp_f(vf x) {
  const vf within = max_f(same_f(-87.3f), x);
  const vf n = whole_f(within * same_f(1.44269504f));
  const vf r = fma_f(n, same_f(2.12194440e-4f), fma_f(n, same_f(-0.693359375f), within));
  vf y = same_f(1.9875691500e-4f);
  y = fma_f(y, r, same_f(1.3981999507e-3f));
  y = fma_f(y, r, same_f(8.3334519073e-3f));
  y = fma_f(y, r, same_f(4.1665795894e-2f));
  y = fma_f(y, r, same_f(1.6666665459e-1f));
  y = fma_f(y, r, same_f(5.0000001201e-1f));
  y = fma_f(y, r * r, r) + same_f(1.0f);
  return unless_less(times_power(y, n), x, same_f(-87.3f));
}

INLINE_ float exp_one(float x) {
  float all[VF];
  store_f(all, exp_f(same_f(x)));
  return all[0];
}

#ifdef __AVX512BF16__

/* 2 VF floats as bfloat16. */
INLINE_ void store_pairs(uint16_t *to, const float *from) {
  _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(load_f(from + VF), load_f(from)));
}
INLINE_ vf dot_pairs(vf sum, vi rows, vi weights) { return _mm512_dpbf16_ps(sum, (__m512bh)rows, (__m512bh)weights); }

/* Two numbers in bfloat16 a unit. */
#define KEY_UNITS(width) ((width) / 2)
#define VALUE_STEPS(keys) (((keys) + 1) / 2)
#define WEIGHTS_TO_UNITS(row, padded) weights_to_units(row, padded)

INLINE_ vf dot_units(vf sum, vf a, vf b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

INLINE_ __m512i pairs_of(const float *p) { return (__m512i)_mm512_cvtne2ps_pbh(load_f(p + VF), load_f(p)); }

INLINE_ void to_units(float *to, const float *from, long width) {
  for (long d = 0; d < width; d += 2 * VF) _mm512_storeu_si512(to + d / 2, pairs_of(from + d));
}

INLINE_ void transpose_keys(const float *from, long stride, long count, long unit, float *to, long to_stride) {
  __m512i r[VF];
  for (int i = 0; i < VF; i++) r[i] = i < count ? pairs_of(from + i * stride + 2 * unit) : _mm512_setzero_si512();
  transpose_units(r);
  for (int i = 0; i < VF; i++) _mm512_storeu_si512(to + i * to_stride, r[i]);
}

/* Rows 2 t and 2 t + 1 side by side. */
INLINE_ void pack_values(const float *from, long stride, long tokens, long width, float *to) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                         20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (long t = 0; t < tokens; t += 2)
    for (long d = 0; d < width; d += VF) {
      const vf below = load_f(from + t * stride + d);
      const vf above = t + 1 < tokens ? load_f(from + (t + 1) * stride + d) : zero_f();
      const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(above, below);
      _mm512_storeu_si512(to + t / 2 * width + d, _mm512_permutexvar_epi16(order, both));
    }
}

/* In place: what is written lies before what is read next. */
INLINE_ void weights_to_units(float *row, long padded) {
  for (long t = 0; t < padded; t += 2 * VF) {
    const vf above = t + VF < padded ? load_f(row + t + VF) : zero_f();
    _mm512_storeu_si512(row + t / 2, (__m512i)_mm512_cvtne2ps_pbh(above, load_f(row + t)));
  }
}

#else

#define KEY_UNITS(width) (width)
#define VALUE_STEPS(keys) (keys)
#define WEIGHTS_TO_UNITS(row, padded) ((void)0)

INLINE_ vf dot_units(vf sum, vf a, vf b) { return fma_f(a, b, sum); }

/* Side by side: rows of all heads lie pages apart. */
INLINE_ void pack_values(const float *from, long stride, long tokens, long width, float *to) {
  for (long t = 0; t < tokens; t++)
    for (long d = 0; d < width; d += VF) store_f(to + t * width + d, load_f(from + t * stride + d));
}

INLINE_ void to_units(float *to, const float *from, long width) {
  for (long d = 0; d < width; d += VF) store_f(to + d, load_f(from + d));
}

#ifdef __AVX512F__
#define UNITS_OF(p) _mm512_castps_si512(load_f(p))
#define NO_UNITS _mm512_setzero_si512()
#define UNITS __m512i
#define STORE_UNITS(p, x) _mm512_storeu_si512(p, x)
#else
#define UNITS_OF(p) _mm256_castps_si256(load_f(p))
#define NO_UNITS _mm256_setzero_si256()
#define UNITS __m256i
#define STORE_UNITS(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#endif

INLINE_ void transpose_keys(const float *from, long stride, long count, long unit, float *to, long to_stride) {
  UNITS r[VF];
  for (int i = 0; i < VF; i++) r[i] = i < count ? UNITS_OF(from + i * stride + unit) : NO_UNITS;
  transpose_units(r);
  for (int i = 0; i < VF; i++) STORE_UNITS(to + i * to_stride, r[i]);
}

#endif

#endif
