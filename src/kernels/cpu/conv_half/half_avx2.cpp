#include <immintrin.h>

#include "kernels/cpu/conv_half/rows.h"

namespace rarefy::conv_half_cpu {
namespace {

struct Avx2 {
  using Reg = __m256;
  static constexpr int kLanes = 8;

  static RAREFY_INLINE Reg set(float v) { return _mm256_set1_ps(v); }
  static RAREFY_INLINE Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static RAREFY_INLINE void store(float* p, Reg r) { _mm256_storeu_ps(p, r); }
  static RAREFY_INLINE Reg widen(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static RAREFY_INLINE void narrow(std::uint16_t* p, Reg r) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(r, _MM_FROUND_TO_NEAREST_INT));
  }
  static RAREFY_INLINE Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  // The second operand is the result when either is NaN.
  static RAREFY_INLINE Reg relu(Reg r) { return _mm256_max_ps(_mm256_setzero_ps(), r); }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) {
    return _mm256_blendv_ps(r, _mm256_mul_ps(r, slope), _mm256_cmp_ps(r, _mm256_setzero_ps(), _CMP_LT_OQ));
  }
};

}  // namespace

extern const HalfKernels kHalf_avx2;
const HalfKernels kHalf_avx2 = make_kernels<Avx2>();

}  // namespace rarefy::conv_half_cpu
