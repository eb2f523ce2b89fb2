#include "base/rng.h"

#include <gtest/gtest.h>

#include "support/random_cases.h"

namespace rarefy {
namespace {

TEST(Rng, is_a_function_of_seed_and_stream) {
  Rng a(1, 2, 3);
  Rng b(1, 2, 3);
  Rng c(1, 2, 4);
  const std::uint64_t first = a.bits();
  EXPECT_EQ(first, b.bits());
  EXPECT_NE(first, c.bits());
  EXPECT_EQ(a.fork(7).bits(), b.fork(7).bits());
  EXPECT_NE(a.fork(7).bits(), a.fork(8).bits());
}

TEST(Rng, stays_in_its_ranges) {
  test::for_random_cases(20, [](Rng& rng) {
    double sum = 0.0;
    double squares = 0.0;
    for (int i = 0; i < 2000; ++i) {
      const double u = rng.uniform();
      EXPECT_TRUE(u >= 0.0 && u < 1.0) << u;
      const std::int64_t k = rng.integer(-3, 5);
      EXPECT_TRUE(k >= -3 && k <= 5) << k;
      const double g = rng.normal();
      sum += g;
      squares += g * g;
    }
    EXPECT_NEAR(sum / 2000, 0.0, 0.15);
    EXPECT_NEAR(squares / 2000, 1.0, 0.25);
  });
}

}  // namespace
}  // namespace rarefy
