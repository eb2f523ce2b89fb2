#pragma once
/// 16-bit floating point numbers (IEEE 754 binary16) to and from fp32, with the bits that x86 (F16C) gives.
#include <bit>
#include <cstdint>

#include "rarefy/tensor.h"

namespace rarefy {

/// The largest finite Half.
inline constexpr float kLargestHalf = 65504.0f;

/// Exact. A NaN keeps its sign and payload and becomes quiet.
constexpr float widen(Half h) {
  const std::uint32_t sign = (h.bits & 0x8000u) << 16, rest = h.bits & 0x7FFFu;
  if (rest > 0x7C00u) return std::bit_cast<float>(sign | 0x7FC00000u | (rest & 0x3FFu) << 13);
  if (rest == 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u);
  if (rest >= 0x0400u)
    return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));  // 112: the biases' difference
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(rest) * 0x1p-24f));
}

/// To nearest, ties to even; 65520 and more become infinity. A NaN keeps its sign and the upper part of its payload.
constexpr Half narrow(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value), rest = bits & 0x7FFFFFFFu;
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const auto half = [sign](std::uint32_t magnitude) { return Half{static_cast<std::uint16_t>(sign | magnitude)}; };
  if (rest > 0x7F800000u) return half(0x7E00u | ((rest >> 13) & 0x3FFu));
  if (rest >= 0x477FF000u) return half(0x7C00u);
  if (rest >= 0x38800000u) return half((rest - (112u << 23) + 0xFFFu + ((rest >> 13) & 1u)) >> 13);
  // Below 2^-14 halves are multiples of 2^-24, as are floats in [0.5, 1): the addition rounds.
  return half(std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest) + 0.5f) - 0x3F000000u);
}

}  // namespace rarefy
