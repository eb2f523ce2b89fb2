#include <immintrin.h>

#include "kernels/cpu/conv/tiles.h"

namespace rarefy::conv_cpu {
namespace {

alignas(32) constexpr std::int32_t kMaskBits[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

struct Avx2 {
  using Reg = __m256;
  struct Mask {
    __m256i lanes;
    bool full;  // masked stores are microcoded on some CPUs: whole vectors take the plain path
  };
  static constexpr int kLanes = 8;
  static constexpr int kMaxVectors = 2;
  static constexpr int kForwardRows[2] = {8, 6};
  static constexpr int kGradientRows[2] = {12, 6};
  static constexpr bool kStationaryProven = true;

  static RAREFY_INLINE Reg zero() { return _mm256_setzero_ps(); }
  static RAREFY_INLINE Reg set(float value) { return _mm256_set1_ps(value); }
  static RAREFY_INLINE Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static RAREFY_INLINE void store(float* p, Reg r) { _mm256_storeu_ps(p, r); }
  static RAREFY_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static RAREFY_INLINE Mask mask(int n) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMaskBits + 8 - n)), n == 8};
  }
  static RAREFY_INLINE Reg load(const float* p, Mask m) {
    return m.full ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, m.lanes);
  }
  static RAREFY_INLINE void store(float* p, Reg r, Mask m) {
    if (m.full) {
      _mm256_storeu_ps(p, r);
    } else {
      _mm256_maskstore_ps(p, m.lanes, r);
    }
  }
  // The second operand is the result when either is NaN.
  static RAREFY_INLINE Reg relu(Reg r) { return _mm256_max_ps(_mm256_setzero_ps(), r); }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) {
    const __m256 negative = _mm256_cmp_ps(r, _mm256_setzero_ps(), _CMP_LT_OQ);
    return _mm256_blendv_ps(r, _mm256_mul_ps(r, slope), negative);
  }
};

}  // namespace

extern const ConvKernels kConv_avx2;
const ConvKernels kConv_avx2 = make_kernels<Avx2>();

}  // namespace rarefy::conv_cpu
