#include <immintrin.h>

#include "kernels/cpu/conv/tiles.h"

namespace rarefy::conv_cpu {
namespace {

struct Avx512 {
  using Reg = __m512;
  using Mask = __mmask16;
  static constexpr int kLanes = 16;
  static constexpr int kMaxVectors = 4;
  static constexpr int kForwardRows[4] = {8, 8, 8, 6};
  static constexpr int kGradientRows[4] = {16, 12, 8, 6};
  static constexpr bool kStationaryProven = false;

  static RAREFY_INLINE Reg zero() { return _mm512_setzero_ps(); }
  static RAREFY_INLINE Reg set(float value) { return _mm512_set1_ps(value); }
  static RAREFY_INLINE Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static RAREFY_INLINE void store(float* p, Reg r) { _mm512_storeu_ps(p, r); }
  static RAREFY_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static RAREFY_INLINE Mask mask(int n) { return static_cast<Mask>((1u << n) - 1u); }
  static RAREFY_INLINE Reg load(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static RAREFY_INLINE void store(float* p, Reg r, Mask m) { _mm512_mask_storeu_ps(p, m, r); }
  // The second operand is the result when either is NaN. (The unmasked form trips a warning in g++ 12's own header.)
  static RAREFY_INLINE Reg relu(Reg r) { return _mm512_maskz_max_ps(0xFFFF, _mm512_setzero_ps(), r); }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) {
    const __mmask16 negative = _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_mul_ps(r, negative, r, slope);
  }
};

}  // namespace

extern const ConvKernels kConv_avx512;
const ConvKernels kConv_avx512 = make_kernels<Avx512>();

}  // namespace rarefy::conv_cpu
