/// Interpolation between grids: by hand, against hats around the centres of cells in double, and its transpose.
#include "kernels/resize.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Floats = std::vector<float>;

Floats resized(const GridResize& r, std::int64_t images, std::int64_t cols, const Floats& x,
               Executor& executor = serial_executor()) {
  Floats y(static_cast<std::size_t>(images * r.to_height * r.to_width * cols));
  resize_grid(r, {x.data(), images * r.height * r.width, cols}, executor,
              {y.data(), images * r.to_height * r.to_width, cols});
  return y;
}

Floats gradient(const GridResize& r, std::int64_t images, std::int64_t cols, const Floats& gy,
                Executor& executor = serial_executor()) {
  Floats gx(static_cast<std::size_t>(images * r.height * r.width * cols), 7.0f);
  resize_grid_gradient(r, {gy.data(), images * r.to_height * r.to_width, cols}, executor,
                       {gx.data(), images * r.height * r.width, cols});
  return gx;
}

TEST(Resize, by_hand) {
  EXPECT_EQ(resized({1, 2, 1, 4}, 1, 1, {0, 4}), (Floats{0, 1, 3, 4}));
  EXPECT_EQ(resized({2, 1, 4, 1}, 2, 1, {0, 4, 8, 8}), (Floats{0, 1, 3, 4, 8, 8, 8, 8}));
  EXPECT_EQ(resized({1, 4, 1, 2}, 1, 1, {0, 1, 3, 4}), (Floats{0.5f, 3.5f}));
  EXPECT_EQ(resized({1, 1, 2, 2}, 1, 2, {5, 6}), (Floats{5, 6, 5, 6, 5, 6, 5, 6}));
  EXPECT_EQ(gradient({1, 2, 1, 4}, 1, 1, {1, 1, 1, 1}), (Floats{2, 2}));
  EXPECT_EQ(resized({3, 2, 3, 2}, 1, 1, {1, 2, 3, 4, 5, 6}), (Floats{1, 2, 3, 4, 5, 6}));
}

/// How much of cell `from` is in cell `to`.
double weight(std::int64_t to, std::int64_t to_size, std::int64_t from, std::int64_t from_size) {
  const double at =
      (static_cast<double>(to) + 0.5) * static_cast<double>(from_size) / static_cast<double>(to_size) - 0.5;
  const double inside = std::min(std::max(at, 0.0), static_cast<double>(from_size - 1));
  return std::max(0.0, 1.0 - std::abs(inside - static_cast<double>(from)));
}

TEST(Resize, equals_the_oracle_and_its_gradient_is_the_transpose) {
  const auto pool = make_thread_pool(3);
  test::for_random_cases(50, [&](Rng& rng) {
    const GridResize r{rng.integer(1, 12), rng.integer(1, 12), rng.integer(1, 30), rng.integer(1, 30)};
    const std::int64_t images = rng.integer(0, 3), cols = rng.integer(1, 19);
    Floats x(static_cast<std::size_t>(images * r.height * r.width * cols)),
        gy(static_cast<std::size_t>(images * r.to_height * r.to_width * cols));
    for (auto* values : {&x, &gy})
      for (float& value : *values) value = static_cast<float>(rng.normal());
    const Floats y = resized(r, images, cols, x), gx = gradient(r, images, cols, gy);
    double forward = 0.0, backward = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t cell = at / cols % (r.to_height * r.to_width), image = at / cols / (r.to_height * r.to_width);
      double expected = 0.0;
      for (std::int64_t a = 0; a < r.height; ++a)
        for (std::int64_t b = 0; b < r.width; ++b)
          expected += weight(cell / r.to_width, r.to_height, a, r.height) *
                      weight(cell % r.to_width, r.to_width, b, r.width) *
                      x[static_cast<std::size_t>(((image * r.height + a) * r.width + b) * cols + at % cols)];
      ASSERT_NEAR(y[i], expected, 1e-5);
      forward += static_cast<double>(y[i]) * gy[i];
    }
    for (std::size_t i = 0; i < x.size(); ++i) backward += static_cast<double>(x[i]) * gx[i];
    EXPECT_NEAR(forward, backward, 1e-5 * static_cast<double>(1 + y.size()));
    EXPECT_EQ(resized(r, images, cols, x, *pool), y);
    EXPECT_EQ(gradient(r, images, cols, gy, *pool), gx);
  });
}

TEST(Resize, names_rows_that_do_not_fit) {
  const Floats x(7);
  Floats y(16);
  test::expect_error<ShapeError>(
      [&] {
        resize_grid({2, 2, 4, 4}, {x.data(), 7, 1}, serial_executor(), {y.data(), 16, 1});
      },
      {"7 rows on grids of 2 x 2", "16 rows on grids of 4 x 4"});
}

}  // namespace
}  // namespace rarefy
