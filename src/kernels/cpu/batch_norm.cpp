#include "kernels/batch_norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/check.h"

// The next loop's iterations do not depend on each other, though its pointers may be equal.
#if defined(__clang__)
#define RAREFY_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define RAREFY_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace rarefy {
namespace {

/// Rows whose sums are formed in one go; sums of blocks are added in their order.
constexpr std::int64_t kBlockRows = 1024;

std::int64_t blocks_of(std::int64_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

/// out [width] = sum over blocks of partial, where f(begin, end, sums) adds rows [begin, end) to `sums` [width].
template <class F>
std::vector<double> sum_rows(std::int64_t rows, std::int64_t width, Executor& executor, const F& f) {
  const std::int64_t blocks = blocks_of(rows);
  std::vector<double> partial(static_cast<std::size_t>(std::max<std::int64_t>(1, blocks) * width), 0.0);
  executor.parallel_for(blocks, [&](std::int64_t b, int) {
    f(b * kBlockRows, std::min(rows, (b + 1) * kBlockRows), partial.data() + b * width);
  });
  for (std::int64_t b = 1; b < blocks; ++b) {
    for (std::int64_t c = 0; c < width; ++c)
      partial[static_cast<std::size_t>(c)] += partial[static_cast<std::size_t>(b * width + c)];
  }
  partial.resize(static_cast<std::size_t>(width));
  return partial;
}

/// One row of batch_norm_apply; the choices are compile-time, so that the loop has no branch and is vectorised. `to`
/// may equal `from` or `add`.
template <Activation kActivation, bool kAdd>
void apply_row(const float* from, const float* add, const float* mean, const float* scale, const float* beta,
               float slope, std::int64_t n, float* to) {
  RAREFY_INDEPENDENT
  for (std::int64_t c = 0; c < n; ++c) {
    float v = (from[c] - mean[c]) * scale[c] + beta[c];
    if constexpr (kAdd) v += add[c];
    if constexpr (kActivation == Activation::relu) v = v < 0.0f ? 0.0f : v;
    if constexpr (kActivation == Activation::leaky_relu) v = v < 0.0f ? v * slope : v;
    to[c] = v;
  }
}

using ApplyRow = void (*)(const float*, const float*, const float*, const float*, const float*, float, std::int64_t,
                          float*);

template <bool kAdd>
ApplyRow apply_row_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return &apply_row<Activation::none, kAdd>;
    case Activation::relu:
      return &apply_row<Activation::relu, kAdd>;
    case Activation::leaky_relu:
      return &apply_row<Activation::leaky_relu, kAdd>;
  }
  return &apply_row<Activation::none, kAdd>;
}

/// gx = a * g + (b * (x - mean) + d) on one row; `to` may equal `g`.
void gradient_row(const float* g, const float* x, const float* mean, const float* a, const float* b, const float* d,
                  std::int64_t n, float* to) {
  RAREFY_INDEPENDENT
  for (std::int64_t c = 0; c < n; ++c) to[c] = a[c] * g[c] + (b[c] * (x[c] - mean[c]) + d[c]);
}

}  // namespace

void column_sums(Matrix<const float> g, Executor& executor, float* sums) {
  const auto total = sum_rows(g.rows, g.cols, executor, [&](std::int64_t begin, std::int64_t end, double* s) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* row = g.row(r);
      for (std::int64_t c = 0; c < g.cols; ++c) s[c] += row[c];
    }
  });
  for (std::int64_t c = 0; c < g.cols; ++c) sums[c] = static_cast<float>(total[static_cast<std::size_t>(c)]);
}

void batch_norm_statistics(Matrix<const float> x, Executor& executor, float* mean, float* variance) {
  const std::int64_t n = x.cols;
  if (x.rows == 0) {
    std::fill(mean, mean + n, 0.0f);
    std::fill(variance, variance + n, 0.0f);
    return;
  }
  // Moments about the first row: no cancellation when the mean is far from zero.
  const float* origin = x.row(0);
  const auto sums = sum_rows(x.rows, 2 * n, executor, [&](std::int64_t begin, std::int64_t end, double* s) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* row = x.row(r);
      for (std::int64_t c = 0; c < n; ++c) {
        const double d = static_cast<double>(row[c]) - origin[c];
        s[c] += d;
        s[n + c] += d * d;
      }
    }
  });
  const auto rows = static_cast<double>(x.rows);
  for (std::int64_t c = 0; c < n; ++c) {
    const double shift = sums[static_cast<std::size_t>(c)] / rows;
    const double square = sums[static_cast<std::size_t>(n + c)] / rows - shift * shift;
    mean[c] = static_cast<float>(origin[c] + shift);
    variance[c] = static_cast<float>(square < 0.0 ? 0.0 : square);  // NaN passes
  }
}

void batch_norm_apply(Matrix<const float> x, const float* mean, const float* variance, const float* gamma,
                      const float* beta, float epsilon, Matrix<const float> residual, Activation activation,
                      float slope, Executor& executor, Matrix<float> y) {
  RAREFY_CHECK(x.rows == y.rows && x.cols == y.cols, ShapeError, "batch norm input is [{}, {}], output [{}, {}]",
               x.rows, x.cols, y.rows, y.cols);
  RAREFY_CHECK(residual.data == nullptr || (residual.rows == y.rows && residual.cols == y.cols), ShapeError,
               "residual is [{}, {}], the output [{}, {}]", residual.rows, residual.cols, y.rows, y.cols);
  const bool add = residual.data != nullptr;
  const ApplyRow row = add ? apply_row_of<true>(activation) : apply_row_of<false>(activation);
  executor.parallel_for(blocks_of(x.rows), [&](std::int64_t b, int) {
    const std::int64_t end = std::min(x.rows, (b + 1) * kBlockRows);
    std::array<float, 256> scale;  // of some columns, on the stack: inference allocates nothing
    for (std::int64_t first = 0; first < x.cols; first += 256) {
      const std::int64_t n = std::min<std::int64_t>(256, x.cols - first);
      for (std::int64_t c = 0; c < n; ++c) {
        const double deviation = std::sqrt(static_cast<double>(variance[first + c]) + epsilon);
        scale[static_cast<std::size_t>(c)] = static_cast<float>(gamma[first + c] / deviation);
      }
      for (std::int64_t r = b * kBlockRows; r < end; ++r) {
        row(x.row(r) + first, add ? residual.row(r) + first : nullptr, mean + first, scale.data(), beta + first, slope,
            n, y.row(r) + first);
      }
    }
  });
}

void batch_norm_gradient(Matrix<const float> x, Matrix<const float> g, const float* mean, const float* variance,
                         const float* gamma, float epsilon, Executor& executor, Matrix<float> gx, float* g_gamma,
                         float* g_beta) {
  RAREFY_CHECK(x.rows == g.rows && x.cols == g.cols && gx.rows == g.rows && gx.cols == g.cols, ShapeError,
               "batch norm gradient: input [{}, {}], gradient [{}, {}], result [{}, {}]", x.rows, x.cols, g.rows,
               g.cols, gx.rows, gx.cols);
  const std::int64_t n = x.cols;
  // With xhat = (x - mean) * s: g_beta = sum g, g_gamma = sum g * xhat,
  // gx = gamma * s * (g - g_beta / N - xhat * g_gamma / N). Ioffe and Szegedy 2015, section 3.
  const auto sums = sum_rows(x.rows, 2 * n, executor, [&](std::int64_t begin, std::int64_t end, double* s) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* rx = x.row(r);
      const float* rg = g.row(r);
      for (std::int64_t c = 0; c < n; ++c) {
        const double d = rg[c];
        s[c] += d;
        s[n + c] += d * (static_cast<double>(rx[c]) - mean[c]);
      }
    }
  });
  const double rows = static_cast<double>(std::max<std::int64_t>(1, x.rows));
  std::vector<float> a(static_cast<std::size_t>(n)), b(a), d(a);  // gx = a * g + b * (x - mean) + d
  for (std::int64_t c = 0; c < n; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double s = 1.0 / std::sqrt(static_cast<double>(variance[c]) + epsilon);
    const double sum_g = sums[i];
    const double sum_gx = sums[static_cast<std::size_t>(n + c)] * s;
    g_beta[c] = static_cast<float>(sum_g);
    g_gamma[c] = static_cast<float>(sum_gx);
    a[i] = static_cast<float>(gamma[c] * s);
    b[i] = static_cast<float>(-gamma[c] * s * s * sum_gx / rows);
    d[i] = static_cast<float>(-gamma[c] * s * sum_g / rows);
  }
  executor.parallel_for(blocks_of(x.rows), [&](std::int64_t block, int) {
    const std::int64_t end = std::min(x.rows, (block + 1) * kBlockRows);
    for (std::int64_t r = block * kBlockRows; r < end; ++r) {
      gradient_row(g.row(r), x.row(r), mean, a.data(), b.data(), d.data(), n, gx.row(r));
    }
  });
}

}  // namespace rarefy
