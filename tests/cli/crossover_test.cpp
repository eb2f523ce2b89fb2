// Sparse against dense: what is measured is what it says.
#include "measure/crossover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rarefy/error.h"
#include "sparse/kernel_map.h"

namespace rarefy::test {
namespace {

using namespace cli::bench;

TEST(Crossover, lies_between_the_densities_where_the_order_changes) {
  const std::vector<double> densities{0.1, 0.4, 1.0};
  EXPECT_EQ(crossing(densities, {1, 2, 3}, 4), std::nullopt);
  EXPECT_EQ(crossing(densities, {5, 6, 7}, 4), 0.1);
  EXPECT_NEAR(*crossing(densities, {1, 3, 9}, 2), 0.2, 1e-9);  // half-way in the logarithm: sqrt(0.1 * 0.4)
  EXPECT_NEAR(*crossing(densities, {1, 2, 6}, 2), 0.4, 1e-9);
}

TEST(Crossover, patterns_have_their_density_and_neighbours) {
  const auto neighbours = [](Pattern pattern, double density) {
    const Coords sites = occupied(3, 20, density, pattern);
    EXPECT_EQ(sites.rows(), std::max(1.0, std::round(density * 8000)));
    KernelMap map;
    build_kernel_map(sites, sites, {}, serial_executor(), map);
    return static_cast<double>(map.pairs()) / static_cast<double>(sites.rows());
  };
  EXPECT_NEAR(neighbours(Pattern::uniform, 0.1), 1 + 26 * 0.1 * 0.93, 0.3);
  EXPECT_GT(neighbours(Pattern::surface, 0.03), 4);
  EXPECT_LT(neighbours(Pattern::surface, 0.03), 10);
  EXPECT_EQ(neighbours(Pattern::surface, 1.0), neighbours(Pattern::uniform, 1.0));
  EXPECT_EQ(neighbours(Pattern::surface, 1e-9), 1);
}

/// Plain loops over the cells of a line, a square or a cube.
class Loops : public DenseConvolution {
 public:
  explicit Loops(float wrong) : wrong_(wrong) {}
  void prepare(const DenseProblem& p) override { problem_ = p; }
  void run() override {
    const DenseProblem& p = problem_;
    y_.assign(static_cast<std::size_t>(p.cells() * p.channels), wrong_);
    const std::int64_t low = p.kernel % 2 == 1 ? -(p.kernel / 2) : 0;
    for (std::int64_t cell = 0; cell < p.cells(); ++cell) {
      for (std::int64_t k = 0; k < p.volume(); ++k) {
        std::int64_t from = 0, unit = 1, rest = cell, offset = k;
        bool inside = true;
        for (int a = 0; a < p.dims; ++a, unit *= p.extent, rest /= p.extent, offset /= p.kernel) {
          const std::int64_t at = rest % p.extent + offset % p.kernel + low;
          inside = inside && at >= 0 && at < p.extent;
          from += at * unit;
        }
        if (inside) add(cell, from, k);
      }
    }
  }
  std::vector<float> result() override { return y_; }
  std::string name() const override { return "plain loops"; }

 private:
  void add(std::int64_t cell, std::int64_t from, std::int64_t k) {
    const std::int64_t n = problem_.channels;
    for (std::int64_t c = 0; c < n; ++c) {
      for (std::int64_t j = 0; j < n; ++j)
        y_[static_cast<std::size_t>(cell * n + j)] += problem_.x[from * n + c] * problem_.weights[(k * n + c) * n + j];
    }
  }
  DenseProblem problem_;
  float wrong_;
  std::vector<float> y_;
};

TEST(Crossover, both_sides_compute_the_same) {
  for (const int dims : {1, 2, 3}) {
    for (const int kernel : {2, 3}) {
      Loops loops(0);
      int rows = 0;
      measure_crossover({.kernels = {kernel},
                         .channels = {2},
                         .threads = {1},
                         .patterns = {Pattern::surface},
                         .densities = {0.5, 1.0},
                         .dims = dims},
                        &loops, [&](const CrossoverRow& row) {
                          ++rows;
                          EXPECT_EQ(row.times.size(), 2u);
                        });
      EXPECT_EQ(rows, 1) << dims;
    }
  }
}

TEST(Crossover, refuses_to_time_different_computations) {
  Loops loops(0.01f);
  try {
    measure_crossover({.channels = {2}, .densities = {1.0}}, &loops, [](const CrossoverRow&) { FAIL(); });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("plain loops"));
    EXPECT_THAT(error.what(), testing::HasSubstr("not the same"));
  }
}

}  // namespace
}  // namespace rarefy::test
