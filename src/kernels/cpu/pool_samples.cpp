#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/cpu/channelwise/select.h"
#include "kernels/cpu/sample_pieces.h"
#include "kernels/pool.h"

namespace rarefy {

using channelwise_cpu::ChannelwiseKernels;
using channelwise_cpu::rows_of;

namespace {

/// Rows of one part of the work.
constexpr std::int64_t kPartRows = 1024;

std::int64_t parts_of(std::int64_t rows) { return (rows + kPartRows - 1) / kPartRows; }

std::int64_t samples_of(std::span<const std::int64_t> begin) {
  return begin.empty() ? 0 : static_cast<std::int64_t>(begin.size()) - 1;
}

void check_shapes(Matrix<const float> rows, std::span<const std::int64_t> begin, Matrix<const float> samples) {
  const std::int64_t total = begin.empty() ? 0 : begin.back();
  RAREFY_CHECK(rows.cols == samples.cols, ShapeError, "pooling keeps the channels: rows have {}, samples {}", rows.cols,
               samples.cols);
  RAREFY_CHECK(rows.rows == total && samples.rows == samples_of(begin), ShapeError,
               "{} samples with {} rows in all: the features of the rows have {}, those of the samples {}",
               samples_of(begin), total, rows.rows, samples.rows);
}

/// Partial results of the pieces.
struct Partial {
  float* value;          ///< [pieces, C]
  std::int32_t* winner;  ///< [pieces, C] or null
};

/// The pieces of one sample, in order, together.
void combine(const Partial& partial, const SamplePieces& pieces, std::int64_t sample, Pooling pooling, Matrix<float> y,
             std::int32_t* winner) {
  const std::int64_t cols = y.cols, rows = pieces.rows_of(sample);
  const std::int64_t first = pieces.first_of(sample), last = pieces.last_of(sample);
  for (std::int64_t c = 0; c < cols; ++c) {
    if (pooling != Pooling::max) {
      double sum = 0.0;
      for (std::int64_t p = first; p < last; ++p) sum += static_cast<double>(partial.value[p * cols + c]);
      y(sample, c) = static_cast<float>(pooling == Pooling::mean ? sum / static_cast<double>(rows) : sum);
      continue;
    }
    std::int64_t best = first;
    for (std::int64_t p = first + 1; p < last; ++p) {
      const float x = partial.value[p * cols + c], most = partial.value[best * cols + c];
      if (x > most || (std::isnan(x) && !std::isnan(most))) best = p;
    }
    y(sample, c) = partial.value[best * cols + c];
    if (winner != nullptr) winner[sample * cols + c] = partial.winner[best * cols + c];
  }
}

}  // namespace

void pool_samples(cpu::Isa isa, Matrix<const float> x, std::span<const std::int64_t> begin, Pooling pooling,
                  Executor& executor, AlignedBuffer& scratch, Matrix<float> y, std::int32_t* winner) {
  check_shapes(x, begin, y);
  const ChannelwiseKernels& kernels = channelwise_cpu::channelwise_kernels(isa);
  const SamplePieces pieces{begin, kPartRows};
  const std::int64_t cols = y.cols, size = pieces.limit() * cols;
  Partial partial{scratch.reserve_for<float>(std::max<std::int64_t>(1, winner == nullptr ? size : 2 * size)), nullptr};
  if (winner != nullptr) partial.winner = reinterpret_cast<std::int32_t*>(partial.value + size);
  executor.parallel_for(pieces.parts(), [&](std::int64_t part, int) {
    pieces.for_part(part, [&](std::int64_t piece, std::int64_t, std::int64_t first, std::int64_t last) {
      const std::int64_t at = piece * cols;
      const channelwise_cpu::ColumnJob job{{x.row(first), x.row_stride},
                                           last - first,
                                           cols,
                                           partial.value + at,
                                           winner == nullptr ? nullptr : partial.winner + at,
                                           static_cast<std::int32_t>(first)};
      (pooling == Pooling::max ? kernels.column_max : kernels.column_sum)(job);
    });
  });
  executor.parallel_for(pieces.samples(), [&](std::int64_t s, int) {
    if (pieces.rows_of(s) > 0) return combine(partial, pieces, s, pooling, y, winner);
    std::fill_n(y.row(s), cols, 0.0f);
    if (winner != nullptr) std::fill_n(winner + s * cols, cols, -1);
  });
}

void pool_samples_gradient(Matrix<const float> y_gradient, std::span<const std::int64_t> begin, Pooling pooling,
                           const std::int32_t* winner, Executor& executor, Matrix<float> x_gradient) {
  if (pooling != Pooling::max) {
    broadcast_samples(y_gradient, begin, pooling == Pooling::mean ? Share::equal : Share::whole, executor, x_gradient);
    return;
  }
  check_shapes(x_gradient, begin, y_gradient);
  RAREFY_CHECK(winner != nullptr || y_gradient.empty(), UsageError,
               "the gradient of a maximum needs to know where it was: keep `winner`");
  executor.parallel_for(parts_of(x_gradient.rows), [&](std::int64_t part, int) {
    for (std::int64_t r = part * kPartRows; r < std::min((part + 1) * kPartRows, x_gradient.rows); ++r)
      std::fill_n(x_gradient.row(r), x_gradient.cols, 0.0f);
  });
  for (std::int64_t s = 0; s < y_gradient.rows; ++s)
    for (std::int64_t c = 0; c < y_gradient.cols; ++c)
      if (const std::int32_t row = winner[s * y_gradient.cols + c]; row >= 0) x_gradient(row, c) = y_gradient(s, c);
}

void broadcast_samples(Matrix<const float> x, std::span<const std::int64_t> begin, Share share, Executor& executor,
                       Matrix<float> y) {
  check_shapes(y, begin, x);
  const SamplePieces pieces{begin, kPartRows};
  executor.parallel_for(pieces.parts(), [&](std::int64_t part, int) {
    pieces.for_part(part, [&](std::int64_t, std::int64_t s, std::int64_t first, std::int64_t last) {
      const float* from = x.row(s);
      const auto rows = static_cast<float>(pieces.rows_of(s));
      for (std::int64_t r = first; r < last; ++r) {
        float* to = y.row(r);
        if (share == Share::whole) {
          std::copy_n(from, x.cols, to);
        } else {
          for (std::int64_t c = 0; c < x.cols; ++c) to[c] = from[c] / rows;
        }
      }
    });
  });
}

}  // namespace rarefy
