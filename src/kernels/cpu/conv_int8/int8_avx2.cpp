#include <immintrin.h>

#include "kernels/cpu/conv_int8/tiles.h"

namespace rarefy::conv_int8_cpu {
namespace {

/// What both schemes share: sums, and the end of rows.
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

/// Values of 7 bits: 127 * 63 * 4 = 32,004 fits an int16, so that two vpmaddubsw may be added before they are widened.
struct Avx2Seven : Avx2Common {
  using Weight = std::int8_t;
  static constexpr int kMaxVectors = 2;
  static constexpr int kGroup = 4;
  static constexpr int kRows[2] = {8, 5};

  template <int R, int NV>
  static RAREFY_INLINE void add_products(const std::uint8_t* const (&x)[R], const Weight* w, std::int64_t channels,
                                         Reg (&acc)[R][NV]) {
    const Reg ones = _mm256_set1_epi16(1);
    std::int64_t c = 0;
    for (; c + kGroup < channels; c += 2 * kGroup, w += 2 * NV * 32) {
      RAREFY_UNROLL for (int r = 0; r < R; ++r) {
        const Reg a0 = four(x[r] + c), a1 = four(x[r] + c + kGroup);
        RAREFY_UNROLL for (int v = 0; v < NV; ++v) {
          const Reg sum = _mm256_add_epi16(_mm256_maddubs_epi16(a0, weights(w + v * 32)),
                                           _mm256_maddubs_epi16(a1, weights(w + (NV + v) * 32)));
          acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(sum, ones));
        }
      }
    }
    if (c < channels) {
      RAREFY_UNROLL for (int r = 0; r < R; ++r) {
        const Reg a = four(x[r] + c);
        RAREFY_UNROLL for (int v = 0; v < NV; ++v) {
          const Reg sum = _mm256_maddubs_epi16(a, weights(w + v * 32));
          acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(sum, ones));
        }
      }
    }
  }

 private:
  static RAREFY_INLINE Reg weights(const Weight* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }
  static RAREFY_INLINE Reg four(const std::uint8_t* p) {
    std::int32_t bytes;
    __builtin_memcpy(&bytes, p, 4);
    return _mm256_set1_epi32(bytes);
  }
};

/// Values of 8 bits: both sides as int16, vpmaddwd is exact.
struct Avx2Wide : Avx2Common {
  using Weight = std::int16_t;
  static constexpr int kMaxVectors = 2;
  static constexpr int kGroup = 2;
  static constexpr int kRows[2] = {8, 6};
  static constexpr std::int64_t kChunk = 128;  // input channels that are widened at a time

  template <int R, int NV>
  static RAREFY_INLINE void add_products(const std::uint8_t* const (&x)[R], const Weight* w, std::int64_t channels,
                                         Reg (&acc)[R][NV]) {
    alignas(32) std::int16_t wide[R][kChunk];
    for (std::int64_t first = 0; first < channels; first += kChunk) {
      const std::int64_t n = channels - first < kChunk ? channels - first : kChunk;
      RAREFY_UNROLL for (int r = 0; r < R; ++r) widen(x[r] + first, n, wide[r]);
      for (std::int64_t c = 0; c < n; c += kGroup, w += NV * 16) {
        Reg b[NV];
        RAREFY_UNROLL for (int v = 0; v < NV; ++v) b[v] =
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + v * 16));
        RAREFY_UNROLL for (int r = 0; r < R; ++r) {
          std::int32_t two;
          __builtin_memcpy(&two, wide[r] + c, 4);
          const Reg a = _mm256_set1_epi32(two);
          RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] =
              _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(a, b[v]));
        }
      }
    }
  }

 private:
  static RAREFY_INLINE void widen(const std::uint8_t* from, std::int64_t n, std::int16_t* to) {
    std::int64_t c = 0;
    for (; c + 16 <= n; c += 16)
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + c),
                         _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + c))));
    for (; c < n; ++c) to[c] = from[c];
    if (n % 2 != 0) to[n] = 0;
  }
};

}  // namespace

extern const Int8Kernels kInt8_avx2_seven;
const Int8Kernels kInt8_avx2_seven = make_kernels<Avx2Seven>();
extern const Int8Kernels kInt8_avx2;
const Int8Kernels kInt8_avx2 = make_kernels<Avx2Wide>();

}  // namespace rarefy::conv_int8_cpu
