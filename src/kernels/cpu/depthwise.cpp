#include "kernels/depthwise.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/channelwise/select.h"
#include "kernels/cpu/conv/kernels.h"

namespace rarefy {

using channelwise_cpu::ChannelwiseKernels;
using channelwise_cpu::pairs_of;
using channelwise_cpu::rows_of;

namespace {

constexpr std::int64_t kBlock = KernelMap::kBlockRows;

void check_shapes(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y, const KernelMap& map) {
  RAREFY_CHECK(runs_here(variant), UnsupportedError, "kernel variant {} needs instructions that this CPU lacks",
               variant.name);
  RAREFY_CHECK(x.cols == y.cols, ShapeError,
               "a depthwise convolution keeps its channels: the input has {}, the output {}", x.cols, y.cols);
  RAREFY_CHECK(x.rows == map.in_rows && y.rows == map.out_rows, ShapeError,
               "the kernel map goes from {} rows to {}, features from {} to {}", map.in_rows, map.out_rows, x.rows,
               y.rows);
}

/// Rows [begin, end) start as bias + residual.
void begin_rows(const ConvEpilogue& epilogue, Matrix<float> y, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    float* to = y.row(r);
    if (epilogue.residual.data == nullptr) {
      std::fill(to, to + y.cols, 0.0f);
    } else if (epilogue.residual.row(r) != to) {
      std::copy_n(epilogue.residual.row(r), y.cols, to);
    }
    if (epilogue.bias == nullptr) continue;
    for (std::int64_t c = 0; c < y.cols; ++c) to[c] += epilogue.bias[c];
  }
}

conv_cpu::Ending ending_of(Activation activation) {
  if (activation == Activation::relu) return conv_cpu::Ending::relu;
  return activation == Activation::leaky_relu ? conv_cpu::Ending::leaky_relu : conv_cpu::Ending::none;
}

}  // namespace

void depthwise_forward(const ConvVariant& variant, Matrix<const float> x, const float* weights, WeightOrder order,
                       const KernelMap& map, const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y) {
  check_shapes(variant, x, y, map);
  const Matrix<const float>& residual = epilogue.residual;
  RAREFY_CHECK(residual.data == nullptr || (residual.rows == y.rows && residual.cols == y.cols), ShapeError,
               "residual is [{}, {}], the output [{}, {}]", residual.rows, residual.cols, y.rows, y.cols);
  const ChannelwiseKernels& kernels = channelwise_cpu::channelwise_kernels(variant.needs);
  executor.parallel_for(map.blocks(), [&](std::int64_t b, int) {
    const std::int64_t begin = b * kBlock, end = std::min(y.rows, begin + kBlock);
    begin_rows(epilogue, y, begin, end);
    for (std::int64_t k = 0; k < map.volume; ++k) {
      const std::int64_t from = order == WeightOrder::transposed_flipped ? map.volume - 1 - k : k;
      kernels.multiply({rows_of(x), rows_of(y), pairs_of(map, b, k), weights + from * x.cols, x.cols});
    }
    if (epilogue.activation != Activation::none)
      variant.kernels->end_rows(
          {y.row(begin), y.row_stride, end - begin, y.cols, ending_of(epilogue.activation), epilogue.slope});
  });
}

void depthwise_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                               const KernelMap& map, Executor& executor, AlignedBuffer& scratch,
                               float* weight_gradient) {
  check_shapes(variant, x, y_gradient, map);
  const ChannelwiseKernels& kernels = channelwise_cpu::channelwise_kernels(variant.needs);
  // Slices of the blocks, each with sums of its own, which are added in order: bits do not depend on threads.
  constexpr std::int64_t kSlices = 32;
  const std::int64_t blocks = map.blocks(), slices = std::min(kSlices, blocks), size = map.volume * x.cols;
  float* partial = scratch.reserve_for<float>(slices * size);
  executor.parallel_for(slices, [&](std::int64_t s, int) {
    float* sums = partial + s * size;
    std::fill(sums, sums + size, 0.0f);
    for (std::int64_t b = blocks * s / slices; b < blocks * (s + 1) / slices; ++b)
      for (std::int64_t k = 0; k < map.volume; ++k)
        kernels.product_sum({rows_of(x), rows_of(y_gradient), pairs_of(map, b, k), sums + k * x.cols, x.cols});
  });
  for (std::int64_t i = 0; i < size; ++i) {
    double sum = 0.0;
    for (std::int64_t s = 0; s < slices; ++s) sum += static_cast<double>(partial[s * size + i]);
    weight_gradient[i] = static_cast<float>(sum);
  }
}

}  // namespace rarefy
