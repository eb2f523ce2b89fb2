// Every half, and many floats, against arithmetic that knows nothing of bits.
#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/random_cases.h"

namespace rarefy::test {
namespace {

/// The number that a half stands for, by the definition of the format.
double meaning(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const double sign = (bits >> 15) != 0 ? -1.0 : 1.0;
  if (exponent == 31)
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

/// The half that `value` is rounded to: multiples of the step of its binade, ties to even.
double rounded(float value) {
  if (!std::isfinite(value) || value == 0.0f) return value;
  int exponent = 0;
  (void)std::frexp(value, &exponent);  // value = f * 2^exponent, f in [0.5, 1)
  const double step = std::ldexp(1.0, std::max(exponent - 11, -24));
  const double result = std::nearbyint(value / step) * step;
  return std::abs(result) > 65504.0 ? std::copysign(std::numeric_limits<double>::infinity(), value) : result;
}

void expect_rounded(float value) {
  const double found = meaning(narrow(value).bits), wanted = rounded(value);
  ASSERT_EQ(found, wanted) << value;
  ASSERT_EQ(std::signbit(found), std::signbit(wanted)) << value;
}

TEST(Half, every_one_is_widened_exactly_and_comes_back) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const double wanted = meaning(half.bits), found = widen(half);
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(found)) << bits;
      ASSERT_EQ(narrow(widen(half)).bits, bits | 0x0200u) << "quiet, sign and payload kept";
      continue;
    }
    ASSERT_EQ(found, wanted) << bits;
    ASSERT_EQ(std::signbit(found), bits >> 15 != 0) << bits;
    ASSERT_EQ(narrow(widen(half)), half) << bits;
  }
}

TEST(Half, floats_are_rounded_to_nearest_even) {
  for (std::uint32_t bits = 0; bits < 0x7C00; ++bits) {  // at, just below and just above each middle
    const auto a = static_cast<float>(meaning(static_cast<std::uint16_t>(bits)));
    const double next = bits + 1 == 0x7C00 ? 65536.0 : meaning(static_cast<std::uint16_t>(bits + 1));
    const auto middle = static_cast<float>((static_cast<double>(a) + next) / 2);
    for (const float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) {
      expect_rounded(value);
      expect_rounded(-value);
    }
  }
  for_random_cases(1, [](Rng& rng) {
    for (int i = 0; i < 1'000'000; ++i) {
      const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(rng.integer(0, 0xFFFFFFFFll)));
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(meaning(narrow(value).bits)));
      } else {
        expect_rounded(value);
      }
    }
  });
}

TEST(Half, what_is_too_large_is_infinite_and_what_is_too_small_is_zero) {
  EXPECT_EQ(widen(narrow(kLargestHalf)), kLargestHalf);
  EXPECT_EQ(widen(narrow(65519.996f)), kLargestHalf);
  EXPECT_EQ(widen(narrow(65520.0f)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(widen(narrow(-1e30f)), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(narrow(std::numeric_limits<float>::denorm_min()).bits, 0);
  EXPECT_EQ(narrow(-0x1p-25f).bits, 0x8000) << "a tie, to even";
  EXPECT_EQ(narrow(0x1.000002p-25f).bits, 1);
}

}  // namespace
}  // namespace rarefy::test
