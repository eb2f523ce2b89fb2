#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/attention/blocks.h"
#include "kernels/row_norm.h"

namespace rarefy {
namespace {

constexpr std::int64_t kBlockRows = 256;

struct RowMoments {
  double mean = 0.0;
  double inverse_deviation = 0.0;
};

RowMoments moments(const float* x, std::int64_t n, double epsilon) {
  double sum = 0.0, square = 0.0;
  for (std::int64_t c = 0; c < n; ++c) sum += x[c];
  const double mean = sum / static_cast<double>(n);
  for (std::int64_t c = 0; c < n; ++c) square += (x[c] - mean) * (x[c] - mean);
  return {mean, 1.0 / std::sqrt(square / static_cast<double>(n) + epsilon)};
}

template <class F>
void for_blocks(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int) {
    f(block, block * kBlockRows, std::min(rows, (block + 1) * kBlockRows));
  });
}

}  // namespace

void layer_norm(cpu::Isa isa, Matrix<const float> x, const float* gamma, const float* beta, double epsilon,
                Executor& executor, Matrix<float> y) {
  const attention_cpu::AttentionKernels& kernels = attention_cpu::attention_kernels(isa);
  constexpr std::int64_t kPartRows = 32;  // few rows are shared among threads too
  executor.parallel_for((x.rows + kPartRows - 1) / kPartRows, [&](std::int64_t part, int) {
    const std::int64_t first = part * kPartRows, rows = std::min(kPartRows, x.rows - first);
    kernels.layer_norm({x.row(first), x.row_stride, y.row(first), y.row_stride, rows, x.cols, gamma, beta, epsilon});
  });
}

void gelu(cpu::Isa isa, Matrix<const float> x, Executor& executor, Matrix<float> y) {
  const attention_cpu::AttentionKernels& kernels = attention_cpu::attention_kernels(isa);
  constexpr std::int64_t kPartRows = 16;
  executor.parallel_for((x.rows + kPartRows - 1) / kPartRows, [&](std::int64_t part, int) {
    for (std::int64_t r = part * kPartRows; r < std::min(x.rows, (part + 1) * kPartRows); ++r)
      kernels.gelu(x.row(r), y.row(r), x.cols);
  });
}

void layer_norm_gradient(Matrix<const float> x, Matrix<const float> g, const float* gamma, double epsilon,
                         Executor& executor, Matrix<float> gx, float* g_gamma, float* g_beta) {
  const std::int64_t cols = x.cols, blocks = (x.rows + kBlockRows - 1) / kBlockRows;
  std::vector<double> partial(static_cast<std::size_t>(blocks * 2 * cols), 0.0);
  for_blocks(x.rows, executor, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    double *sum_gamma = partial.data() + block * 2 * cols, *sum_beta = sum_gamma + cols;
    for (std::int64_t r = begin; r < end; ++r) {
      const float *in = x.row(r), *out = g.row(r);
      const RowMoments m = moments(in, cols, epsilon);
      // With h = g gamma and n = (x - mean) / deviation: gx = (h - mean(h) - n mean(h n)) / deviation.
      double mean_h = 0.0, mean_hn = 0.0;
      for (std::int64_t c = 0; c < cols; ++c) {
        const double n = (in[c] - m.mean) * m.inverse_deviation, h = static_cast<double>(out[c]) * gamma[c];
        mean_h += h;
        mean_hn += h * n;
        sum_gamma[c] += out[c] * n;
        sum_beta[c] += out[c];
      }
      mean_h /= static_cast<double>(cols);
      mean_hn /= static_cast<double>(cols);
      float* to = gx.row(r);
      for (std::int64_t c = 0; c < cols; ++c) {
        const double n = (in[c] - m.mean) * m.inverse_deviation, h = static_cast<double>(out[c]) * gamma[c];
        to[c] = static_cast<float>((h - mean_h - n * mean_hn) * m.inverse_deviation);
      }
    }
  });
  for (std::int64_t c = 0; c < cols; ++c) {
    double sum_gamma = 0.0, sum_beta = 0.0;
    for (std::int64_t b = 0; b < blocks; ++b) {
      sum_gamma += partial[static_cast<std::size_t>(b * 2 * cols + c)];
      sum_beta += partial[static_cast<std::size_t>(b * 2 * cols + cols + c)];
    }
    g_gamma[c] = static_cast<float>(sum_gamma);
    g_beta[c] = static_cast<float>(sum_beta);
  }
}

}  // namespace rarefy
