#include <immintrin.h>

#include "kernels/cpu/conv_half/rows.h"

namespace rarefy::conv_half_cpu {
namespace {

struct Avx512 {
  using Reg = __m512;
  static constexpr int kLanes = 16;

  static RAREFY_INLINE Reg set(float v) { return _mm512_set1_ps(v); }
  static RAREFY_INLINE Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static RAREFY_INLINE void store(float* p, Reg r) { _mm512_storeu_ps(p, r); }
  // Masks of all lanes: the unmasked forms trip a warning in g++ 12's own header.
  static RAREFY_INLINE Reg widen(const std::uint16_t* p) {
    return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static RAREFY_INLINE void narrow(std::uint16_t* p, Reg r) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtps_ph(0xFFFF, r, _MM_FROUND_TO_NEAREST_INT));
  }
  static RAREFY_INLINE Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  // The second operand is the result when either is NaN.
  static RAREFY_INLINE Reg relu(Reg r) { return _mm512_maskz_max_ps(0xFFFF, _mm512_setzero_ps(), r); }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) {
    return _mm512_mask_mul_ps(r, _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_LT_OQ), r, slope);
  }
};

}  // namespace

extern const HalfKernels kHalf_avx512;
const HalfKernels kHalf_avx512 = make_kernels<Avx512>();

}  // namespace rarefy::conv_half_cpu
