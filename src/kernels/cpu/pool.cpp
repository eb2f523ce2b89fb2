#include "kernels/pool.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/cpu/channelwise/select.h"

namespace rarefy {

using channelwise_cpu::ChannelwiseKernels;
using channelwise_cpu::pairs_of;
using channelwise_cpu::PoolJob;
using channelwise_cpu::rows_of;

namespace {

constexpr std::int64_t kBlock = KernelMap::kBlockRows;

void check_shapes(const KernelMap& map, Matrix<const float> x, Matrix<const float> y) {
  RAREFY_CHECK(x.cols == y.cols, ShapeError, "pooling keeps the channels: the input has {}, the output {}", x.cols,
               y.cols);
  RAREFY_CHECK(x.rows == map.in_rows && y.rows == map.out_rows, ShapeError,
               "the kernel map goes from {} rows to {}, features from {} to {}", map.in_rows, map.out_rows, x.rows,
               y.rows);
}

/// Block by block: f(job, k) for the pairs of each offset, then end(row, number of its pairs) for each output row.
template <class F, class End>
void for_blocks(Matrix<const float> x, const KernelMap& map, Executor& executor, Matrix<float> y, F f, End end) {
  executor.parallel_for(map.blocks(), [&](std::int64_t b, int) {
    std::array<std::int32_t, kBlock> seen{};
    PoolJob job{};
    job.x = rows_of(x);
    job.y = rows_of(y);
    job.cols = y.cols;
    job.first_row = b * kBlock;
    job.seen = seen.data();
    for (std::int64_t k = 0; k < map.volume; ++k) {
      job.pairs = pairs_of(map, b, k);
      f(job, k);
    }
    for (std::int64_t r = b * kBlock; r < std::min(y.rows, (b + 1) * kBlock); ++r) {
      const std::int32_t count = seen[static_cast<std::size_t>(r - b * kBlock)];
      if (count == 0) std::fill_n(y.row(r), y.cols, 0.0f);
      end(r, count);
    }
  });
}

constexpr auto kNothing = [](std::int64_t, std::int32_t) {};

}  // namespace

void pool_forward(cpu::Isa isa, Matrix<const float> x, const KernelMap& map, Pooling pooling, Executor& executor,
                  Matrix<float> y, std::int32_t* winner) {
  check_shapes(map, x, y);
  const ChannelwiseKernels& kernels = channelwise_cpu::channelwise_kernels(isa);
  if (pooling == Pooling::max) {
    const auto keep_largest = [&](PoolJob& job, std::int64_t k) {
      job.winner = winner;
      job.offset = static_cast<std::int32_t>(k);
      kernels.max(job);
    };
    for_blocks(x, map, executor, y, keep_largest, kNothing);
    return;
  }
  const auto add = [&](PoolJob& job, std::int64_t) { kernels.sum(job); };
  if (pooling == Pooling::sum) return for_blocks(x, map, executor, y, add, kNothing);
  for_blocks(x, map, executor, y, add, [&](std::int64_t r, std::int32_t count) {
    const auto divisor = static_cast<float>(std::max(1, count));
    float* row = y.row(r);
    for (std::int64_t c = 0; c < y.cols; ++c) row[c] /= divisor;
  });
}

void pool_gradient(cpu::Isa isa, Matrix<const float> y_gradient, const KernelMap& map, const KernelMap& adjoint,
                   WeightOrder order, Pooling pooling, const std::int32_t* winner, Executor& executor,
                   AlignedBuffer& scratch, Matrix<float> x_gradient) {
  check_shapes(map, x_gradient, y_gradient);
  check_shapes(adjoint, y_gradient, x_gradient);
  const ChannelwiseKernels& kernels = channelwise_cpu::channelwise_kernels(isa);
  if (pooling == Pooling::max) {
    RAREFY_CHECK(winner != nullptr || y_gradient.empty(), UsageError,
                 "the gradient of a maximum needs to know where it was: keep `winner`");
    const auto pass = [&](PoolJob& job, std::int64_t k) {
      job.winner = const_cast<std::int32_t*>(winner);
      job.offset = static_cast<std::int32_t>(order == WeightOrder::transposed_flipped ? map.volume - 1 - k : k);
      kernels.max_gradient(job);
    };
    for_blocks(y_gradient, adjoint, executor, x_gradient, pass, kNothing);
    return;
  }
  float* scale = nullptr;
  if (pooling == Pooling::mean) {
    scale = scratch.reserve_for<float>(std::max<std::int64_t>(1, map.out_rows));
    executor.parallel_for(map.blocks(), [&](std::int64_t b, int) {
      const std::int64_t begin = b * kBlock, end = std::min(map.out_rows, begin + kBlock);
      std::fill(scale + begin, scale + end, 0.0f);
      const std::int64_t* range = map.begin.data() + b * map.volume;
      for (std::int64_t p = range[0]; p < range[map.volume]; ++p)
        scale[map.out_row[static_cast<std::size_t>(p)]] += 1.0f;
      for (std::int64_t r = begin; r < end; ++r) scale[r] = scale[r] > 0.0f ? 1.0f / scale[r] : 0.0f;
    });
  }
  const auto add = [&](PoolJob& job, std::int64_t) {
    job.scale = scale;
    kernels.sum(job);
  };
  for_blocks(y_gradient, adjoint, executor, x_gradient, add, kNothing);
}

}  // namespace rarefy
