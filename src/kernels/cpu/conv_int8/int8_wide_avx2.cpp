// Values of 8 bits: both sides as int16, vpmaddwd is exact.
#include "kernels/cpu/conv_int8/end_avx2.h"

namespace rarefy::conv_int8_cpu {
namespace {

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
        RAREFY_UNROLL for (int v = 0; v < NV; ++v)
          b[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + v * 16));
        RAREFY_UNROLL for (int r = 0; r < R; ++r) {
          std::int32_t two;
          __builtin_memcpy(&two, wide[r] + c, 4);
          const Reg a = _mm256_set1_epi32(two);
          RAREFY_UNROLL for (int v = 0; v < NV; ++v)
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(a, b[v]));
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

extern const Int8Kernels kInt8_avx2;
const Int8Kernels kInt8_avx2 = make_kernels<Avx2Wide>();

}  // namespace rarefy::conv_int8_cpu
