#pragma once
/// Random test cases that can be repeated: a failure prints the seed of its case, RAREFY_SEED=<seed> runs that case
/// alone. RAREFY_QUICK (set by `./dev test fast` and by the sanitizer stages) runs a fifth of them.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>

#include "base/rng.h"

namespace rarefy::test {

/// `full`, or `quick` where RAREFY_QUICK asks for less.
inline int quick_or(int quick, int full) {
  const char* wish = std::getenv("RAREFY_QUICK");
  return wish != nullptr && *wish != '\0' ? quick : full;
}

/// Calls f(Rng&) for `n` cases with different, fixed seeds (or for the one seed of RAREFY_SEED); stops at the first
/// case that fails or throws. Use EXPECT_* and ASSERT_* inside f as usual.
template <class F>
void for_random_cases(int n, F&& f) {
  const char* wish = std::getenv("RAREFY_SEED");
  const bool one = wish != nullptr && *wish != '\0';
  const int count = one ? 1 : quick_or((n + 4) / 5, n);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t seed =
        one ? std::strtoull(wish, nullptr, 0) : mix64(0xCA5E5ull + static_cast<std::uint64_t>(i));
    testing::ScopedTrace trace(__FILE__, __LINE__, "to repeat this case alone: RAREFY_SEED=" + std::to_string(seed));
    Rng rng(seed);
    try {
      f(rng);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "the case threw: " << error.what();
    }
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace rarefy::test
