#pragma once
/// Chains of multiply-adds, one function per instruction set. Includes nothing but <cstdint>: see tiles.h.
#include <cstdint>

namespace rarefy::conv_cpu {

/// Multiply-adds of one round of a chain function: kChains vectors.
inline constexpr int kChains = 12;

/// Runs `rounds` rounds of kChains independent vector multiply-adds and returns their sum, so that nothing is optimised
/// away.
using ChainFunction = float (*)(std::int64_t rounds, float factor, float term);
float run_chains_avx512(std::int64_t rounds, float factor, float term);
float run_chains_avx2(std::int64_t rounds, float factor, float term);
float run_chains_portable(std::int64_t rounds, float factor, float term);

}  // namespace rarefy::conv_cpu
