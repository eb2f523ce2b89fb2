// Values of 7 bits: 127 * 63 * 4 = 32,004 fits an int16, so that two vpmaddubsw may be added before they are widened.
#include "kernels/cpu/conv_int8/end_avx2.h"

namespace rarefy::conv_int8_cpu {
namespace {

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
  static RAREFY_INLINE Reg weights(const Weight* w) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
  }
  static RAREFY_INLINE Reg four(const std::uint8_t* p) {
    std::int32_t bytes;
    __builtin_memcpy(&bytes, p, 4);
    return _mm256_set1_epi32(bytes);
  }
};

}  // namespace

extern const Int8Kernels kInt8_avx2_seven;
const Int8Kernels kInt8_avx2_seven = make_kernels<Avx2Seven>();

}  // namespace rarefy::conv_int8_cpu
