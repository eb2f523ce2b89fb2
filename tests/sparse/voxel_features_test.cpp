#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "sparse/voxelize.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_points.h"

namespace rarefy {
namespace {

/// A matrix with padding between its rows, which must stay untouched.
struct Padded {
  Padded(std::int64_t rows_, std::int64_t cols_, std::int64_t padding = 2)
      : rows(rows_),
        cols(cols_),
        stride(cols_ + padding),
        values(static_cast<std::size_t>(rows_ * stride), kUntouched) {}
  static constexpr float kUntouched = -12345.0f;
  std::int64_t rows, cols, stride;
  std::vector<float> values;
  Matrix<float> view() { return {values.data(), rows, cols, stride}; }
  void fill(Rng& rng) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) view()(r, c) = static_cast<float>(rng.integer(-4, 4)) * 0.5f;
    }
  }
  bool padding_untouched() const {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = cols; c < stride; ++c) {
        if (values[static_cast<std::size_t>(r * stride + c)] != kUntouched) return false;
      }
    }
    return true;
  }
};

double dot(Padded& a, Padded& b) {
  double sum = 0.0;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < a.cols; ++c) sum += static_cast<double>(a.view()(r, c)) * b.view()(r, c);
  }
  return sum;
}

std::vector<std::int32_t> members(const Voxels& voxels, std::int64_t v) {
  std::vector<std::int32_t> result;
  for (std::size_t p = 0; p < voxels.voxel_of_point.size(); ++p) {
    if (voxels.voxel_of_point[p] == v) result.push_back(static_cast<std::int32_t>(p));
  }
  return result;
}

class VoxelFeatures : public testing::Test {
 protected:
  std::unique_ptr<Executor> pool_ = make_thread_pool(4);
};

TEST_F(VoxelFeatures, reductions_equal_their_definition) {
  test::for_random_cases(60, [&](Rng& rng) {
    const test::PointCase c = test::random_point_case(rng);
    Voxels voxels;
    voxelize(c.points(), c.sample_begin, c.options, *pool_, voxels);
    const std::int64_t cols = rng.integer(0, 9);
    Padded x(c.rows, cols);
    x.fill(rng);
    for (const Reduction reduction : {Reduction::first, Reduction::mean, Reduction::max}) {
      Padded y(voxels.coords.rows(), cols);
      reduce_to_voxels(voxels, x.view(), reduction, *pool_, y.view());
      EXPECT_TRUE(y.padding_untouched());
      for (std::int64_t v = 0; v < std::min<std::int64_t>(y.rows, 50); ++v) {
        const auto points = members(voxels, v);
        for (std::int64_t col = 0; col < cols; ++col) {
          float expected = x.view()(points[0], col);
          for (std::size_t p = 1; p < points.size(); ++p) {
            const float value = x.view()(points[p], col);
            if (reduction == Reduction::mean) expected += value;
            if (reduction == Reduction::max) expected = std::max(expected, value);
          }
          if (reduction == Reduction::mean) expected /= static_cast<float>(points.size());
          EXPECT_EQ(y.view()(v, col), expected);
        }
      }
    }
  });
}

TEST_F(VoxelFeatures, gradients_are_adjoints) {
  // first and mean are linear; max is linear in a neighbourhood without ties: its gradient is checked against the pick
  // it made.
  test::for_random_cases(60, [&](Rng& rng) {
    const test::PointCase c = test::random_point_case(rng);
    Voxels voxels;
    voxelize(c.points(), c.sample_begin, c.options, *pool_, voxels);
    const std::int64_t cols = rng.integer(1, 5);
    Padded x(c.rows, cols);
    x.fill(rng);
    Padded gy(voxels.coords.rows(), cols);
    gy.fill(rng);
    for (const Reduction reduction : {Reduction::first, Reduction::mean, Reduction::max}) {
      Padded y(gy.rows, cols);
      Padded gx(c.rows, cols);
      reduce_to_voxels(voxels, x.view(), reduction, *pool_, y.view());
      reduce_to_voxels_gradient(voxels, x.view(), gy.view(), reduction, *pool_, gx.view());
      EXPECT_TRUE(gx.padding_untouched());
      const double scale = 1e-5 * static_cast<double>(c.rows + 1);
      EXPECT_NEAR(dot(y, gy), dot(x, gx), scale);
      for (std::int64_t p = 0; p < c.rows; ++p) {
        if (voxels.voxel_of_point[static_cast<std::size_t>(p)] >= 0) continue;
        for (std::int64_t col = 0; col < cols; ++col) EXPECT_EQ(gx.view()(p, col), 0.0f);
      }
    }
  });
}

TEST_F(VoxelFeatures, gradient_of_max_is_a_finite_difference) {
  test::for_random_cases(20, [&](Rng& rng) {
    const std::int64_t begin[] = {0, 12};
    float positions[12];
    for (float& p : positions) p = static_cast<float>(rng.integer(0, 3));
    Voxels voxels;
    voxelize({positions, 12, 1}, begin, {.dims = 1, .voxel_size = {1, 1, 1, 1}}, *pool_, voxels);
    Padded x(12, 1);
    for (std::int64_t p = 0; p < 12; ++p) x.view()(p, 0) = static_cast<float>((p * 7) % 12);  // no ties
    Padded gy(voxels.coords.rows(), 1);
    gy.fill(rng);
    Padded gx(12, 1);
    reduce_to_voxels_gradient(voxels, x.view(), gy.view(), Reduction::max, *pool_, gx.view());
    Padded y(gy.rows, 1);
    for (std::int64_t p = 0; p < 12; ++p) {
      double change = 0.0;
      for (const float step : {0.25f, -0.25f}) {
        x.view()(p, 0) += step;
        reduce_to_voxels(voxels, x.view(), Reduction::max, *pool_, y.view());
        x.view()(p, 0) -= step;
        change += dot(y, gy) * (step > 0 ? 1 : -1);
      }
      EXPECT_NEAR(gx.view()(p, 0), change / 0.5, 1e-6);
    }
  });
}

TEST_F(VoxelFeatures, max_keeps_nan_and_gives_ties_to_the_first) {
  const float positions[] = {0, 0, 0, 1, 1};
  const std::int64_t begin[] = {0, 5};
  Voxels voxels;
  voxelize({positions, 5, 1}, begin, {.dims = 1}, *pool_, voxels);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float x[] = {1, nan, 5, 3, 3};
  float y[2];
  reduce_to_voxels(voxels, {x, 5, 1}, Reduction::max, *pool_, {y, 2, 1});
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], 3.0f);
  const float gy[] = {2, 4};
  float gx[5];
  reduce_to_voxels_gradient(voxels, {x, 5, 1}, {gy, 2, 1}, Reduction::max, *pool_, {gx, 5, 1});
  EXPECT_THAT(gx, testing::ElementsAre(0, 2, 0, 4, 0));
}

TEST_F(VoxelFeatures, gather_and_its_gradient) {
  test::for_random_cases(60, [&](Rng& rng) {
    const test::PointCase c = test::random_point_case(rng);
    Voxels voxels;
    voxelize(c.points(), c.sample_begin, c.options, *pool_, voxels);
    const std::int64_t cols = rng.integer(1, 5);
    Padded x(voxels.coords.rows(), cols);
    x.fill(rng);
    Padded y(c.rows, cols);
    gather_rows(voxels.voxel_of_point, x.view(), 255.0f, *pool_, y.view());
    EXPECT_TRUE(y.padding_untouched());
    for (std::int64_t p = 0; p < c.rows; ++p) {
      const std::int32_t v = voxels.voxel_of_point[static_cast<std::size_t>(p)];
      for (std::int64_t col = 0; col < cols; ++col) EXPECT_EQ(y.view()(p, col), v < 0 ? 255.0f : x.view()(v, col));
    }
    gather_rows(voxels.voxel_of_point, x.view(), 0.0f, *pool_, y.view());
    Padded gy(c.rows, cols);
    gy.fill(rng);
    Padded gx(x.rows, cols);
    gather_rows_gradient(voxels, gy.view(), *pool_, gx.view());
    EXPECT_TRUE(gx.padding_untouched());
    EXPECT_NEAR(dot(y, gy), dot(x, gx), 1e-5 * static_cast<double>(c.rows + 1));
    Padded serial(x.rows, cols);
    gather_rows_gradient(voxels, gy.view(), serial_executor(), serial.view());
    EXPECT_EQ(serial.values, gx.values);
  });
}

TEST_F(VoxelFeatures, shapes_are_checked) {
  const float positions[] = {0, 1, 2};
  const std::int64_t begin[] = {0, 3};
  Voxels voxels;
  voxelize({positions, 3, 1}, begin, {.dims = 1}, *pool_, voxels);
  float x[8] = {};
  float y[8] = {};
  using test::expect_error;
  expect_error<ShapeError>(
      [&] {
        reduce_to_voxels(voxels, {x, 4, 1}, Reduction::mean, *pool_, {y, 3, 1});
      },
      {"[3, 1]", "[4, 1]"});
  expect_error<ShapeError>(
      [&] {
        reduce_to_voxels(voxels, {x, 3, 1}, Reduction::mean, *pool_, {y, 3, 2});
      },
      {"[3, 1]", "[3, 2]"});
  expect_error<ShapeError>(
      [&] {
        reduce_to_voxels_gradient(voxels, {x, 3, 1}, {y, 2, 1}, Reduction::mean, *pool_, {x, 3, 1});
      },
      {"[3, 1]", "[2, 1]"});
  expect_error<ShapeError>(
      [&] {
        reduce_to_voxels_gradient(voxels, {x, 2, 1}, {y, 3, 1}, Reduction::max, *pool_, {x, 3, 1});
      },
      {"[3, 1]", "[2, 1]"});
  expect_error<ShapeError>(
      [&] {
        gather_rows(voxels.voxel_of_point, {x, 3, 2}, 0, *pool_, {y, 3, 1});
      },
      {"[3, 2]", "[3, 1]"});
  expect_error<ShapeError>([&] { gather_rows_gradient(voxels, {x, 3, 1}, *pool_, {y, 2, 1}); }, {"[3, 1]", "[2, 1]"});
}

}  // namespace
}  // namespace rarefy
