#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/sample_pieces.h"
#include "kernels/row_norm.h"

namespace rarefy {
namespace {

/// Rows of one part of the work.
constexpr std::int64_t kPartRows = 256;

SamplePieces pieces_of(const NormGroups& groups) { return {groups.sample_begin, kPartRows}; }

/// Rows of one sample in one part.
struct Block {
  std::int64_t sample = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

template <class F>
void for_blocks(const NormGroups& groups, Executor& executor, F f) {
  const SamplePieces pieces = pieces_of(groups);
  executor.parallel_for(pieces.parts(), [&](std::int64_t part, int) {
    pieces.for_part(part, [&](std::int64_t number, std::int64_t sample, std::int64_t begin, std::int64_t end) {
      f(number, Block{sample, begin, end});
    });
  });
}

/// Calls f(sample, rows, first_block, last_block) for every sample, in order.
template <class F>
void for_samples(const NormGroups& groups, F f) {
  const SamplePieces pieces = pieces_of(groups);
  for (std::int64_t s = 0; s < pieces.samples(); ++s) f(s, pieces.rows_of(s), pieces.first_of(s), pieces.last_of(s));
}

}  // namespace

std::int64_t NormGroups::blocks() const { return pieces_of(*this).limit(); }

void group_norm_statistics(Matrix<const float> x, const NormGroups& groups, double epsilon, Executor& executor,
                           double* partial, float* mean, float* inverse_deviation) {
  const std::int64_t count = groups.groups, width = x.cols / count;
  for_blocks(groups, executor, [&](std::int64_t number, const Block& block) {
    double *sum = partial + number * 2 * count, *square = sum + count;
    std::fill_n(sum, 2 * count, 0.0);
    for (std::int64_t r = block.begin; r < block.end; ++r) {
      const float* row = x.row(r);
      for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t c = k * width; c < (k + 1) * width; ++c) {
          sum[k] += row[c];
          square[k] += static_cast<double>(row[c]) * row[c];
        }
    }
  });
  for_samples(groups, [&](std::int64_t s, std::int64_t rows, std::int64_t first, std::int64_t last) {
    for (std::int64_t k = 0; k < count; ++k) {
      double sum = 0.0, square = 0.0;
      for (std::int64_t b = first; b < last; ++b) {
        sum += partial[b * 2 * count + k];
        square += partial[b * 2 * count + count + k];
      }
      const auto n = static_cast<double>(rows * width);
      const double center = rows == 0 ? 0.0 : sum / n;
      const double variance = rows == 0 ? 0.0 : std::max(0.0, square / n - center * center);
      mean[s * count + k] = static_cast<float>(center);
      inverse_deviation[s * count + k] = rows == 0 ? 0.0f : static_cast<float>(1.0 / std::sqrt(variance + epsilon));
    }
  });
}

void group_norm_apply(Matrix<const float> x, const NormGroups& groups, const float* mean,
                      const float* inverse_deviation, const float* gamma, const float* beta, Executor& executor,
                      Matrix<float> y) {
  const std::int64_t count = groups.groups, width = x.cols / count;
  for_blocks(groups, executor, [&](std::int64_t, const Block& block) {
    for (std::int64_t r = block.begin; r < block.end; ++r)
      for (std::int64_t k = 0; k < count; ++k) {
        const float m = mean[block.sample * count + k], scale = inverse_deviation[block.sample * count + k];
        for (std::int64_t c = k * width; c < (k + 1) * width; ++c) y(r, c) = (x(r, c) - m) * scale * gamma[c] + beta[c];
      }
  });
}

void group_norm_gradient(Matrix<const float> x, Matrix<const float> g, const NormGroups& groups, const float* mean,
                         const float* inverse_deviation, const float* gamma, Executor& executor, Matrix<float> gx,
                         float* g_gamma, float* g_beta) {
  const std::int64_t count = groups.groups, width = x.cols / count, cols = x.cols;
  const auto normal = [&](std::int64_t r, std::int64_t c, std::int64_t of) {
    return (static_cast<double>(x(r, c)) - mean[of]) * inverse_deviation[of];
  };
  // Per block and channel: sum of g n, then sum of g, with n = (x - mean) / deviation.
  std::vector<double> partial(static_cast<std::size_t>(groups.blocks() * 2 * cols), 0.0);
  for_blocks(groups, executor, [&](std::int64_t number, const Block& block) {
    double *sum_gn = partial.data() + number * 2 * cols, *sum_g = sum_gn + cols;
    for (std::int64_t r = block.begin; r < block.end; ++r)
      for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t c = k * width; c < (k + 1) * width; ++c) {
          sum_gn[c] += g(r, c) * normal(r, c, block.sample * count + k);
          sum_g[c] += g(r, c);
        }
  });
  // Per sample and group: means of h n and of h = g gamma.
  std::vector<double> means(static_cast<std::size_t>(groups.samples() * 2 * count), 0.0);
  std::vector<double> totals(static_cast<std::size_t>(2 * cols), 0.0);
  for_samples(groups, [&](std::int64_t s, std::int64_t rows, std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b)
      for (std::int64_t c = 0; c < 2 * cols; ++c) {
        const double value = partial[static_cast<std::size_t>(b * 2 * cols + c)];
        const std::int64_t channel = c % cols, k = channel / width;
        totals[static_cast<std::size_t>(c)] += value;
        means[static_cast<std::size_t>((2 * s + c / cols) * count + k)] +=
            value * gamma[channel] / static_cast<double>(rows * width);
      }
  });
  for (std::int64_t c = 0; c < cols; ++c) {
    g_gamma[c] = static_cast<float>(totals[static_cast<std::size_t>(c)]);
    g_beta[c] = static_cast<float>(totals[static_cast<std::size_t>(cols + c)]);
  }
  for_blocks(groups, executor, [&](std::int64_t, const Block& block) {
    for (std::int64_t r = block.begin; r < block.end; ++r)
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t of = block.sample * count + k;
        const double mean_hn = means[static_cast<std::size_t>(2 * block.sample * count + k)];
        const double mean_h = means[static_cast<std::size_t>((2 * block.sample + 1) * count + k)];
        for (std::int64_t c = k * width; c < (k + 1) * width; ++c) {
          const double h = static_cast<double>(g(r, c)) * gamma[c];
          gx(r, c) = static_cast<float>((h - mean_h - normal(r, c, of) * mean_hn) * inverse_deviation[of]);
        }
      }
  });
}

}  // namespace rarefy
