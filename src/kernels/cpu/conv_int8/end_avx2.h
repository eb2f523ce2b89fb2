#pragma once
/// What both AVX2 variants share: sums, and the end of rows.
#include <immintrin.h>

#include "kernels/cpu/conv_int8/tiles.h"

namespace rarefy::conv_int8_cpu {
namespace {

struct Avx2Common {
  using Reg = __m256i;
  using Real = __m256;
  using Mask = int;  // number of columns: AVX2 has no masks for bytes
  static constexpr int kLanes = 8;

  static RAREFY_INLINE Reg zero() { return _mm256_setzero_si256(); }
  static RAREFY_INLINE Reg load(const std::int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static RAREFY_INLINE void store(std::int32_t* p, Reg r) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), r); }
  static RAREFY_INLINE Reg add(Reg a, Reg b) { return _mm256_add_epi32(a, b); }

  static RAREFY_INLINE Mask mask(int n) { return n; }
  static RAREFY_INLINE Real to_real(Reg r) { return _mm256_cvtepi32_ps(r); }
  static RAREFY_INLINE Real set(float v) { return _mm256_set1_ps(v); }
  static RAREFY_INLINE Real load_real(const float* p, Mask n) {
    if (n == kLanes) return _mm256_loadu_ps(p);
    float part[kLanes] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return _mm256_loadu_ps(part);
  }
  static RAREFY_INLINE Real load_bytes(const std::uint8_t* p, Mask n) {
    std::int64_t eight = 0;
    if (n == kLanes) {
      __builtin_memcpy(&eight, p, 8);
    } else {
      for (int i = n; i-- > 0;) eight = (eight << 8) | p[i];
    }
    return to_real(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(eight)));
  }
  static RAREFY_INLINE Real mul(Real a, Real b) { return _mm256_mul_ps(a, b); }
  static RAREFY_INLINE Real plus(Real a, Real b) { return _mm256_add_ps(a, b); }
  static RAREFY_INLINE Real max(Real a, Real b) { return _mm256_max_ps(a, b); }
  static RAREFY_INLINE Real min(Real a, Real b) { return _mm256_min_ps(a, b); }
  static RAREFY_INLINE Real leaky_relu(Real r, Real slope) {
    return _mm256_blendv_ps(r, _mm256_mul_ps(r, slope), _mm256_cmp_ps(r, _mm256_setzero_ps(), _CMP_LT_OQ));
  }
  static RAREFY_INLINE void store_real(float* p, Real r, Mask n) {
    if (n == kLanes) return _mm256_storeu_ps(p, r);
    float part[kLanes];
    _mm256_storeu_ps(part, r);
    for (int i = 0; i < n; ++i) p[i] = part[i];
  }
  static RAREFY_INLINE void store_bytes(std::uint8_t* p, Real r, std::int32_t zero, Mask n) {
    const Reg q = _mm256_add_epi32(_mm256_cvtps_epi32(r), _mm256_set1_epi32(zero));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    const std::int64_t eight = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    if (n == kLanes) {
      __builtin_memcpy(p, &eight, 8);
    } else {
      for (int i = 0; i < n; ++i) p[i] = static_cast<std::uint8_t>(eight >> (8 * i));
    }
  }
};

}  // namespace
}  // namespace rarefy::conv_int8_cpu
