#include <immintrin.h>

#include "kernels/cpu/peak_chains.h"

namespace rarefy::conv_cpu {

float run_chains_avx2(std::int64_t rounds, float factor, float term) {
  const __m256 a = _mm256_set1_ps(factor);
  const __m256 b = _mm256_set1_ps(term);
  __m256 acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = _mm256_set1_ps(static_cast<float>(i));
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = _mm256_fmadd_ps(acc[i], a, b);
  }
  __m256 sum = acc[0];
  for (int i = 1; i < kChains; ++i) sum = _mm256_add_ps(sum, acc[i]);
  float lanes[8];
  _mm256_storeu_ps(lanes, sum);
  float total = 0.0f;
  for (float lane : lanes) total += lane;
  return total;
}

}  // namespace rarefy::conv_cpu
