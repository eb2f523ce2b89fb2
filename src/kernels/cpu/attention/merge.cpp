#include <algorithm>

#include "base/check.h"
#include "kernels/token_merge.h"

namespace rarefy {
namespace {

constexpr std::int64_t kPartRows = 256;

void check(std::int64_t from, std::int64_t to, Matrix<const float> x, Matrix<const float> weights, Matrix<float> y) {
  RAREFY_CHECK(x.rows == from && weights.rows == from && weights.cols == 1 && y.rows == to && y.cols == x.cols,
               ShapeError,
               "{} rows become {}: features are {} x {}, weights {} x {}, the result {} x {}: they do not fit", from,
               to, x.rows, x.cols, weights.rows, weights.cols, y.rows, y.cols);
}

template <class F>
void for_rows(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kPartRows - 1) / kPartRows, [&](std::int64_t part, int) {
    for (std::int64_t r = part * kPartRows; r < std::min(rows, (part + 1) * kPartRows); ++r) f(r);
  });
}

/// y += weight x of the rows that became `target`; the sum of their weights.
float add_rows(const RowIndex& index, std::int64_t target, Matrix<const float> x, Matrix<const float> weights,
               float* y) {
  const auto t = static_cast<std::size_t>(target);
  float total = 0.0f;
  for (std::int32_t i = index.point_begin[t]; i < index.point_begin[t + 1]; ++i) {
    const std::int32_t row = index.point_order[static_cast<std::size_t>(i)];
    const float weight = weights(row, 0);
    const float* from = x.row(row);
    for (std::int64_t c = 0; c < x.cols; ++c) y[c] += weight * from[c];
    total += weight;
  }
  return total;
}

bool is_alone(const RowIndex& index, std::int64_t target) {
  const auto t = static_cast<std::size_t>(target);
  return index.point_begin[t + 1] - index.point_begin[t] == 1;
}

}  // namespace

void merge_rows(const RowIndex& merged, Matrix<const float> x, Matrix<const float> weights, Executor& executor,
                Matrix<float> y) {
  check(static_cast<std::int64_t>(merged.voxel_of_point.size()), merged.voxels(), x, weights, y);
  for_rows(y.rows, executor, [&](std::int64_t r) {
    float* to = y.row(r);
    if (is_alone(merged, r)) {
      const std::int32_t only =
          merged.point_order[static_cast<std::size_t>(merged.point_begin[static_cast<std::size_t>(r)])];
      std::copy_n(x.row(only), x.cols, to);
      return;
    }
    std::fill_n(to, y.cols, 0.0f);
    const float total = add_rows(merged, r, x, weights, to);
    const float scale = total == 0.0f ? 0.0f : 1.0f / total;
    for (std::int64_t c = 0; c < y.cols; ++c) to[c] *= scale;
  });
}

void fuse_rows(const RowIndex& kept, const RowIndex& place, Matrix<const float> x, Matrix<const float> weights,
               Executor& executor, Matrix<float> y) {
  check(static_cast<std::int64_t>(place.voxel_of_point.size()), place.voxels(), x, weights, y);
  for_rows(y.rows, executor, [&](std::int64_t r) {
    const std::int32_t from = kept.voxel_of_point[static_cast<std::size_t>(r)];
    if (from >= 0) {
      std::copy_n(x.row(from), x.cols, y.row(r));
      return;
    }
    std::fill_n(y.row(r), y.cols, 0.0f);
    (void)add_rows(place, r, x, weights, y.row(r));
  });
}

}  // namespace rarefy
