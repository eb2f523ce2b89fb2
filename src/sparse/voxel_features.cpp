#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "sparse/shares.h"
#include "sparse/voxelize.h"

namespace rarefy {
namespace {

constexpr std::int64_t kPartRows = 2048;

/// Calls f(begin, end) for fixed shares of `rows` rows.
template <class F>
void for_rows(Executor& executor, std::int64_t rows, F f) {
  executor.parallel_for((rows + kPartRows - 1) / kPartRows,
                        [&](std::int64_t part, int) { f(part * kPartRows, std::min((part + 1) * kPartRows, rows)); });
}

/// The same for voxels, whose shares hold about as many points.
template <class F>
void for_voxels(const Voxels& voxels, Executor& executor, F f) {
  for_equal_shares(std::span<const std::int32_t>(voxels.point_begin), executor, f);
}

void check_shape(const char* what, std::int64_t rows, std::int64_t cols, std::int64_t want_rows,
                 std::int64_t want_cols) {
  RAREFY_CHECK(rows == want_rows && cols == want_cols, ShapeError, "{} must be [{}, {}], got [{}, {}]", what, want_rows,
               want_cols, rows, cols);
}

std::int64_t points_of(const Voxels& voxels) { return static_cast<std::int64_t>(voxels.voxel_of_point.size()); }

std::span<const std::int32_t> points_of_voxel(const Voxels& voxels, std::int64_t v) {
  const auto begin = static_cast<std::size_t>(voxels.point_begin[static_cast<std::size_t>(v)]);
  const auto end = static_cast<std::size_t>(voxels.point_begin[static_cast<std::size_t>(v) + 1]);
  return {voxels.point_order.data() + begin, end - begin};
}

/// Whether `x` replaces `best` as the maximum: NaN wins and stays, ties keep the first.
bool wins(float x, float best) { return x > best || (std::isnan(x) && !std::isnan(best)); }

void reduce_voxel(std::span<const std::int32_t> points, Matrix<const float> x, Reduction reduction, float* y) {
  const auto cols = x.cols;
  if (points.empty()) {
    std::fill_n(y, cols, 0.0f);
    return;
  }
  std::copy_n(x.row(points[0]), cols, y);
  if (reduction == Reduction::first || points.size() == 1) return;
  for (const std::int32_t p : points.subspan(1)) {
    const float* row = x.row(p);
    if (reduction == Reduction::mean || reduction == Reduction::sum) {
      for (std::int64_t c = 0; c < cols; ++c) y[c] += row[c];
    } else {
      for (std::int64_t c = 0; c < cols; ++c) y[c] = wins(row[c], y[c]) ? row[c] : y[c];
    }
  }
  if (reduction == Reduction::mean) {
    const auto count = static_cast<float>(points.size());
    for (std::int64_t c = 0; c < cols; ++c) y[c] /= count;
  }
}

void reduce_voxel_gradient(std::span<const std::int32_t> points, Matrix<const float> x, const float* gy,
                           Reduction reduction, Matrix<float> gx) {
  if (points.empty()) return;
  const auto cols = gx.cols;
  if (reduction == Reduction::mean || reduction == Reduction::sum) {
    const float count = reduction == Reduction::mean ? static_cast<float>(points.size()) : 1.0f;
    for (const std::int32_t p : points) {
      float* row = gx.row(p);
      for (std::int64_t c = 0; c < cols; ++c) row[c] = gy[c] / count;
    }
    return;
  }
  for (const std::int32_t p : points) std::fill_n(gx.row(p), cols, 0.0f);
  if (reduction == Reduction::first) {
    std::copy_n(gy, cols, gx.row(points[0]));
    return;
  }
  for (std::int64_t c = 0; c < cols; ++c) {
    std::int32_t winner = points[0];
    for (const std::int32_t p : points) winner = wins(x(p, c), x(winner, c)) ? p : winner;
    gx(winner, c) = gy[c];
  }
}

}  // namespace

void reduce_to_voxels(const Voxels& voxels, Matrix<const float> x, Reduction reduction, Executor& executor,
                      Matrix<float> y) {
  check_shape("features of the points", x.rows, x.cols, points_of(voxels), x.cols);
  check_shape("features of the voxels", y.rows, y.cols, voxels.voxels(), x.cols);
  for_voxels(voxels, executor, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t v = begin; v < end; ++v) reduce_voxel(points_of_voxel(voxels, v), x, reduction, y.row(v));
  });
}

void reduce_to_voxels_gradient(const Voxels& voxels, Matrix<const float> x, Matrix<const float> y_gradient,
                               Reduction reduction, Executor& executor, Matrix<float> x_gradient) {
  check_shape("the gradient of the voxels", y_gradient.rows, y_gradient.cols, voxels.voxels(), x_gradient.cols);
  check_shape("the gradient of the points", x_gradient.rows, x_gradient.cols, points_of(voxels), x_gradient.cols);
  if (reduction == Reduction::max) {
    check_shape("features of the points", x.rows, x.cols, x_gradient.rows, x_gradient.cols);
  }
  for_rows(executor, x_gradient.rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      if (voxels.voxel_of_point[static_cast<std::size_t>(p)] < 0) std::fill_n(x_gradient.row(p), x_gradient.cols, 0.0f);
    }
  });
  for_voxels(voxels, executor, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t v = begin; v < end; ++v) {
      reduce_voxel_gradient(points_of_voxel(voxels, v), x, y_gradient.row(v), reduction, x_gradient);
    }
  });
}

void gather_rows(std::span<const std::int32_t> index, Matrix<const float> x, float fill, Executor& executor,
                 Matrix<float> y) {
  check_shape("the gathered rows", y.rows, y.cols, static_cast<std::int64_t>(index.size()), x.cols);
  for_rows(executor, y.rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int32_t from = index[static_cast<std::size_t>(p)];
      RAREFY_ASSERT(from < x.rows);
      if (from >= 0) {
        std::copy_n(x.row(from), x.cols, y.row(p));
      } else {
        std::fill_n(y.row(p), y.cols, fill);
      }
    }
  });
}

void gather_rows_gradient(const Voxels& voxels, Matrix<const float> y_gradient, Executor& executor,
                          Matrix<float> x_gradient) {
  check_shape("the gradient of the gathered rows", y_gradient.rows, y_gradient.cols, points_of(voxels),
              x_gradient.cols);
  check_shape("the gradient of the voxels", x_gradient.rows, x_gradient.cols, voxels.voxels(), x_gradient.cols);
  for_voxels(voxels, executor, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t v = begin; v < end; ++v) {
      float* sum = x_gradient.row(v);
      const auto points = points_of_voxel(voxels, v);
      if (points.empty()) {
        std::fill_n(sum, x_gradient.cols, 0.0f);
        continue;
      }
      std::copy_n(y_gradient.row(points[0]), x_gradient.cols, sum);
      for (const std::int32_t p : points.subspan(1)) {
        const float* row = y_gradient.row(p);
        for (std::int64_t c = 0; c < x_gradient.cols; ++c) sum[c] += row[c];
      }
    }
  });
}

}  // namespace rarefy
