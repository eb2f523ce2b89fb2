#include "kernels/batch_norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/norm/kernels.h"

namespace rarefy {
namespace norm_cpu {
extern const NormKernels kNorm_portable;
#if defined(__x86_64__)
extern const NormKernels kNorm_avx2;
extern const NormKernels kNorm_avx512;
#endif
}  // namespace norm_cpu

namespace {

using norm_cpu::NormKernels;
using norm_cpu::OutputRows;
using norm_cpu::Rows;

/// Rows whose sums are formed in one go; sums of blocks are added in their order.
constexpr std::int64_t kBlockRows = 1024;

std::int64_t blocks_of(std::int64_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

/// The loops for the best instruction set that this CPU has and RAREFY_ISA allows.
const NormKernels& select_kernels() {
#if defined(__x86_64__)
  const cpu::Isa isa = cpu::allowed_isa();
  if (isa == cpu::Isa::avx512) return norm_cpu::kNorm_avx512;
  if (isa == cpu::Isa::avx2) return norm_cpu::kNorm_avx2;
#endif
  return norm_cpu::kNorm_portable;
}

/// Rows from `begin` on; of an empty matrix, none.
Rows rows_from(Matrix<const float> m, std::int64_t begin) {
  return m.data == nullptr ? Rows{} : Rows{m.row(begin), m.row_stride};
}
OutputRows output_from(Matrix<float> m, std::int64_t begin) {
  return m.data == nullptr ? OutputRows{} : OutputRows{m.row(begin), m.row_stride};
}

/// out [width] = sum over blocks of partial, where f(begin, rows, sums) adds that many rows to `sums` [width].
template <class F>
std::vector<double> sum_rows(std::int64_t rows, std::int64_t width, Executor& executor, const F& f) {
  const std::int64_t blocks = blocks_of(rows);
  std::vector<double> partial(static_cast<std::size_t>(std::max<std::int64_t>(1, blocks) * width), 0.0);
  executor.parallel_for(blocks, [&](std::int64_t b, int) {
    f(b * kBlockRows, std::min(kBlockRows, rows - b * kBlockRows), partial.data() + b * width);
  });
  for (std::int64_t b = 1; b < blocks; ++b) {
    for (std::int64_t c = 0; c < width; ++c)
      partial[static_cast<std::size_t>(c)] += partial[static_cast<std::size_t>(b * width + c)];
  }
  partial.resize(static_cast<std::size_t>(width));
  return partial;
}

norm_cpu::Ending ending_of(Activation activation) {
  if (activation == Activation::relu) return norm_cpu::Ending::relu;
  return activation == Activation::leaky_relu ? norm_cpu::Ending::leaky_relu : norm_cpu::Ending::none;
}

/// gx = a * h + b * (x - mean) + d, where h is the gradient before the ReLU.
struct GradientFactors {
  std::vector<float> a, b, d;
};

/// With xhat = (x - mean) * s: g_beta = sum h, g_gamma = sum h * xhat,
/// gx = gamma * s * (h - g_beta / N - xhat * g_gamma / N). Ioffe and Szegedy 2015, section 3.
GradientFactors gradient_factors(const std::vector<double>& sums, std::int64_t rows, const float* variance,
                                 const float* gamma, float epsilon, float* g_gamma, float* g_beta) {
  const std::size_t n = sums.size() / 2;
  const double count = static_cast<double>(std::max<std::int64_t>(1, rows));
  GradientFactors f{std::vector<float>(n), std::vector<float>(n), std::vector<float>(n)};
  for (std::size_t c = 0; c < n; ++c) {
    const double s = 1.0 / std::sqrt(static_cast<double>(variance[c]) + epsilon);
    const double sum_h = sums[c];
    const double sum_hx = sums[n + c] * s;
    g_beta[c] = static_cast<float>(sum_h);
    g_gamma[c] = static_cast<float>(sum_hx);
    f.a[c] = static_cast<float>(gamma[c] * s);
    f.b[c] = static_cast<float>(-gamma[c] * s * s * sum_hx / count);
    f.d[c] = static_cast<float>(-gamma[c] * s * sum_h / count);
  }
  return f;
}

}  // namespace

void column_sums(Matrix<const float> g, Executor& executor, float* sums) {
  const NormKernels& kernels = select_kernels();
  const auto total = sum_rows(g.rows, g.cols, executor, [&](std::int64_t begin, std::int64_t rows, double* s) {
    kernels.column_sums({rows_from(g, begin), rows, g.cols, nullptr, s});
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
  const NormKernels& kernels = select_kernels();
  const float* origin = x.row(0);
  const auto sums = sum_rows(x.rows, 2 * n, executor, [&](std::int64_t begin, std::int64_t rows, double* s) {
    kernels.moments({rows_from(x, begin), rows, n, origin, s});
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
  const NormKernels& kernels = select_kernels();
  executor.parallel_for(blocks_of(x.rows), [&](std::int64_t b, int) {
    constexpr std::int64_t kColumns = 256;
    std::array<float, kColumns> scale;  // of some columns, on the stack: inference allocates nothing
    const std::int64_t begin = b * kBlockRows, rows = std::min(kBlockRows, x.rows - begin);
    for (std::int64_t first = 0; first < x.cols; first += kColumns) {
      const std::int64_t n = std::min(kColumns, x.cols - first);
      for (std::int64_t c = 0; c < n; ++c) {
        const double deviation = std::sqrt(static_cast<double>(variance[first + c]) + epsilon);
        scale[static_cast<std::size_t>(c)] = static_cast<float>(gamma[first + c] / deviation);
      }
      Rows added = rows_from(residual, begin);
      if (added) added.data += first;
      kernels.apply({{x.row(begin) + first, x.row_stride},
                     added,
                     {y.row(begin) + first, y.row_stride},
                     rows,
                     n,
                     mean + first,
                     scale.data(),
                     beta + first,
                     ending_of(activation),
                     slope});
    }
  });
}

void batch_norm_gradient(Matrix<const float> x, Matrix<const float> g, const NormFollowers& followers,
                         const float* mean, const float* variance, const float* gamma, float epsilon,
                         Executor& executor, Matrix<float> gx, float* g_gamma, float* g_beta) {
  const auto fits = [&](std::int64_t rows, std::int64_t cols, const char* what) {
    RAREFY_CHECK(rows == x.rows && cols == x.cols, ShapeError,
                 "batch norm gradient: the input is [{}, {}], the {} [{}, {}]", x.rows, x.cols, what, rows, cols);
  };
  const Matrix<const float>& output = followers.relu_output;
  const Matrix<float>& passed_on = followers.residual_gradient;
  fits(g.rows, g.cols, "gradient");
  fits(gx.rows, gx.cols, "result");
  if (output.data != nullptr) fits(output.rows, output.cols, "output of the ReLU");
  if (passed_on.data != nullptr) fits(passed_on.rows, passed_on.cols, "gradient of the residual");
  const NormKernels& kernels = select_kernels();
  const std::int64_t n = x.cols;
  const auto sums = sum_rows(x.rows, 2 * n, executor, [&](std::int64_t begin, std::int64_t rows, double* s) {
    kernels.gradient_sums({rows_from(x, begin), rows_from(g, begin), rows_from(output, begin), rows, n, mean, s});
  });
  const GradientFactors f = gradient_factors(sums, x.rows, variance, gamma, epsilon, g_gamma, g_beta);
  executor.parallel_for(blocks_of(x.rows), [&](std::int64_t block, int) {
    const std::int64_t begin = block * kBlockRows;
    kernels.gradient({rows_from(x, begin), rows_from(g, begin), rows_from(output, begin), output_from(gx, begin),
                      output_from(passed_on, begin), std::min(kBlockRows, x.rows - begin), n, mean, f.a.data(),
                      f.b.data(), f.d.data()});
  });
}

}  // namespace rarefy
