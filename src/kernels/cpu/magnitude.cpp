#include <algorithm>
#include <cmath>

#include "kernels/row_norm.h"

namespace rarefy {
namespace {

constexpr std::int64_t kBlockRows = 1024;

template <class F>
void for_rows(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int) {
    for (std::int64_t r = block * kBlockRows; r < std::min(rows, (block + 1) * kBlockRows); ++r) f(r);
  });
}

/// Eight sums side by side, so that additions need not wait for each other; the order is fixed.
float sum_of_magnitudes(const float* x, std::int64_t n) {
  constexpr std::int64_t kSums = 8;
  float sums[kSums] = {};
  std::int64_t c = 0;
  for (; c + kSums <= n; c += kSums)
    for (std::int64_t i = 0; i < kSums; ++i) sums[i] += std::abs(x[c + i]);
  float rest = 0.0f;
  for (; c < n; ++c) rest += std::abs(x[c]);
  for (const float sum : sums) rest += sum;
  return rest;
}

}  // namespace

void row_magnitude(Matrix<const float> x, Executor& executor, Matrix<float> y) {
  const float share = 1.0f / static_cast<float>(std::max<std::int64_t>(1, x.cols));
  for_rows(x.rows, executor, [&](std::int64_t r) { y(r, 0) = share * sum_of_magnitudes(x.row(r), x.cols); });
}

void row_magnitude_gradient(Matrix<const float> x, Matrix<const float> g, Executor& executor, Matrix<float> gx) {
  const float share = 1.0f / static_cast<float>(std::max<std::int64_t>(1, x.cols));
  for_rows(x.rows, executor, [&](std::int64_t r) {
    const float slope = share * g(r, 0);
    for (std::int64_t c = 0; c < x.cols; ++c) gx(r, c) = x(r, c) > 0.0f ? slope : (x(r, c) < 0.0f ? -slope : 0.0f);
  });
}

}  // namespace rarefy
