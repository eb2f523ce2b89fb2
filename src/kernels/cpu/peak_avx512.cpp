#include <immintrin.h>

#include "kernels/cpu/peak_chains.h"

namespace rarefy::conv_cpu {

float run_chains_avx512(std::int64_t rounds, float factor, float term) {
  const __m512 a = _mm512_set1_ps(factor);
  const __m512 b = _mm512_set1_ps(term);
  __m512 acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = _mm512_fmadd_ps(acc[i], a, b);
  }
  __m512 sum = acc[0];
  for (int i = 1; i < kChains; ++i) sum = _mm512_add_ps(sum, acc[i]);
  float lanes[16];
  _mm512_storeu_ps(lanes, sum);
  float total = 0.0f;
  for (float lane : lanes) total += lane;
  return total;
}

}  // namespace rarefy::conv_cpu
