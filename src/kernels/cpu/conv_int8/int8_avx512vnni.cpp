#include <immintrin.h>

#include "kernels/cpu/conv_int8/tiles.h"

namespace rarefy::conv_int8_cpu {
namespace {

struct Avx512Vnni {
  using Reg = __m512i;
  using Real = __m512;
  using Mask = __mmask16;
  using Weight = std::int8_t;
  static constexpr int kLanes = 16;
  static constexpr int kMaxVectors = 4;
  static constexpr int kGroup = 4;
  static constexpr int kRows[4] = {12, 12, 8, 6};

  static RAREFY_INLINE Reg zero() { return _mm512_setzero_si512(); }
  static RAREFY_INLINE Reg load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static RAREFY_INLINE void store(std::int32_t* p, Reg r) { _mm512_storeu_si512(p, r); }
  static RAREFY_INLINE Reg add(Reg a, Reg b) { return _mm512_add_epi32(a, b); }

  template <int R, int NV>
  static RAREFY_INLINE void add_products(const std::uint8_t* const (&x)[R], const Weight* w, std::int64_t channels,
                                         Reg (&acc)[R][NV]) {
    for (std::int64_t c = 0; c < channels; c += kGroup, w += NV * 64) {
      Reg b[NV];
      RAREFY_UNROLL for (int v = 0; v < NV; ++v) b[v] = _mm512_loadu_si512(w + v * 64);
      RAREFY_UNROLL for (int r = 0; r < R; ++r) {
        std::int32_t four;
        __builtin_memcpy(&four, x[r] + c, 4);
        const Reg a = _mm512_set1_epi32(four);
        RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], a, b[v]);
      }
    }
  }

  static RAREFY_INLINE Mask mask(int n) { return static_cast<Mask>((1u << n) - 1u); }
  static RAREFY_INLINE Real to_real(Reg r) { return _mm512_maskz_cvtepi32_ps(0xFFFF, r); }
  static RAREFY_INLINE Real set(float v) { return _mm512_set1_ps(v); }
  static RAREFY_INLINE Real load_real(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static RAREFY_INLINE Real load_bytes(const std::uint8_t* p, Mask m) {
    return to_real(_mm512_maskz_cvtepu8_epi32(0xFFFF, _mm_maskz_loadu_epi8(m, p)));
  }
  static RAREFY_INLINE Real mul(Real a, Real b) { return _mm512_mul_ps(a, b); }
  static RAREFY_INLINE Real plus(Real a, Real b) { return _mm512_add_ps(a, b); }
  static RAREFY_INLINE Real max(Real a, Real b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }
  static RAREFY_INLINE Real min(Real a, Real b) { return _mm512_maskz_min_ps(0xFFFF, a, b); }
  static RAREFY_INLINE Real leaky_relu(Real r, Real slope) {
    return _mm512_mask_mul_ps(r, _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_LT_OQ), r, slope);
  }
  static RAREFY_INLINE void store_real(float* p, Real r, Mask m) { _mm512_mask_storeu_ps(p, m, r); }
  static RAREFY_INLINE void store_bytes(std::uint8_t* p, Real r, std::int32_t zero, Mask m) {
    const Reg q = _mm512_add_epi32(_mm512_maskz_cvtps_epi32(0xFFFF, r), _mm512_set1_epi32(zero));
    _mm512_mask_cvtepi32_storeu_epi8(p, m, q);
  }
};

}  // namespace

extern const Int8Kernels kInt8_avx512vnni;
const Int8Kernels kInt8_avx512vnni = make_kernels<Avx512Vnni>();

}  // namespace rarefy::conv_int8_cpu
