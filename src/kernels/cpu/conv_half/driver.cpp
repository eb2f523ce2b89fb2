#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/conv_half.h"
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/conv/partition.h"
#include "kernels/cpu/conv_half/kernels.h"

namespace rarefy {

using conv_cpu::blocks_per_part;
using conv_cpu::column_parts;
using conv_cpu::covering_offset;
using conv_cpu::Ending;
using conv_cpu::kBlock;
using conv_cpu::kIdentity;
using conv_cpu::kMostBlocks;
using conv_cpu::Pairs;
using conv_cpu::pairs_of;
using conv_cpu::Panels;

namespace {

struct Shape {
  bool none;
  std::int64_t rows, cols, row_stride;
};
template <class Rows>
Shape shape_of(const Rows& any) {
  return std::visit([](const auto& m) { return Shape{m.data == nullptr, m.rows, m.cols, m.row_stride}; }, any);
}

void check_shapes(const Shape& x, const HalfWeights& w, const KernelMap* map, const Shape& residual, const Shape& y) {
  RAREFY_CHECK(w.variant != nullptr, UsageError, "16-bit weights were never packed: call pack_half_weights first");
  RAREFY_CHECK(runs_here(*w.variant), UnsupportedError, "16-bit weights are packed for {}, which this CPU lacks",
               w.variant->name);
  RAREFY_CHECK(x.cols == w.in_channels, ShapeError, "16-bit weights expect {} input channels, features have {}",
               w.in_channels, x.cols);
  RAREFY_CHECK(y.cols == w.out_channels, ShapeError, "16-bit weights make {} output channels, the output has {}",
               w.out_channels, y.cols);
  RAREFY_CHECK(x.row_stride >= x.cols && y.row_stride >= y.cols, ShapeError,
               "row strides {} (input, {} columns) and {} (output, {} columns) make rows overlap", x.row_stride, x.cols,
               y.row_stride, y.cols);
  RAREFY_CHECK(residual.none || (residual.rows == y.rows && residual.cols == y.cols), ShapeError,
               "residual is [{}, {}], the output [{}, {}]", residual.rows, residual.cols, y.rows, y.cols);
  if (map == nullptr) {
    RAREFY_CHECK(w.volume == 1, ShapeError, "a convolution without a kernel map has one offset, the weights have {}",
                 w.volume);
    RAREFY_CHECK(x.rows == y.rows, ShapeError, "a linear layer keeps its rows: input has {}, output {}", x.rows,
                 y.rows);
    return;
  }
  RAREFY_CHECK(w.volume == map->volume, ShapeError, "weights have {} offsets, the kernel map {}", w.volume,
               map->volume);
  RAREFY_CHECK(x.rows == map->in_rows && y.rows == map->out_rows, ShapeError,
               "the kernel map goes from {} rows to {}, features from {} to {}", map->in_rows, map->out_rows, x.rows,
               y.rows);
}

Ending ending_of(Activation activation) {
  if (activation == Activation::relu) return Ending::relu;
  return activation == Activation::leaky_relu ? Ending::leaky_relu : Ending::none;
}

/// What the sums of some rows start from: themselves, a bias (stride 0), or null = zero.
struct Start {
  const float* data;
  std::ptrdiff_t stride;
};

/// What a part works on: everything that parts of one call share, which panels are its own, and its working memory.
struct Run {
  const FloatRows& x;
  const HalfWeights& weights;
  const KernelMap* map;
  const HalfEpilogue& epilogue;
  const FloatRowsOut& y;
  Panels panels;
  std::int64_t first_panel = 0;
  std::int64_t end_panel = panels.count;
  Matrix<float> sums = {};        ///< of the part's rows; those rows of y where y is fp32
  std::int64_t first_row = 0;     ///< row of y that the first row of sums belongs to
  float* rows = nullptr;          ///< [kBlock, C_in] widened rows of one job
  float* wide = nullptr;          ///< widened panels of one offset
  std::int64_t wide_offset = -1;  ///< which

  const conv_half_cpu::HalfKernels& kernels() const { return *weights.variant->rows; }
  std::int64_t first_column() const { return panels.first_channel(first_panel); }
  std::int64_t end_column() const { return std::min(weights.out_channels, panels.first_channel(end_panel)); }
  float* sums_of(std::int64_t row) const { return sums.data + (row - first_row) * sums.row_stride; }

  void widen_rows(const Matrix<const Half>& from, std::int64_t first, const std::int32_t* row, std::int64_t count,
                  Matrix<float> to) const {
    kernels().widen_rows({&from.row(first)->bits, from.row_stride, row, count, to.cols, to.data, to.row_stride});
  }

  /// Own columns of rows [begin, last) start as bias + residual.
  void begin_rows(std::int64_t begin, std::int64_t last) const {
    const std::int64_t column = first_column(), n = end_column() - column;
    const float* bias = epilogue.bias == nullptr ? nullptr : epilogue.bias + column;
    const auto* real = std::get_if<Matrix<const float>>(&epilogue.residual);
    const auto* halves = std::get_if<Matrix<const Half>>(&epilogue.residual);
    if (halves != nullptr && halves->data != nullptr) {
      for (std::int64_t r = begin; r < last; r += kBlock)
        widen_rows(halves->columns(column, n), r, kIdentity.data(), std::min(kBlock, last - r),
                   {sums_of(r) + column, kBlock, n, sums.row_stride});
    } else {
      for (std::int64_t r = begin; r < last; ++r) {
        float* const to = sums_of(r) + column;
        if (real == nullptr || real->data == nullptr) {
          std::fill_n(to, n, 0.0f);
        } else if (real->row(r) + column != to) {
          std::copy_n(real->row(r) + column, n, to);
        }
      }
    }
    for (std::int64_t r = begin; bias != nullptr && r < last; ++r) {
      float* const to = sums_of(r) + column;
      for (std::int64_t c = 0; c < n; ++c) to[c] += bias[c];
    }
  }

  /// Makes the weights of offset k those that are multiplied.
  void take_offset(std::int64_t k) {
    if (wide_offset == k) return;
    const auto* packed = static_cast<const Half*>(weights.data.data());
    const Half* w = packed + k * weights.in_channels * panels.padded_channels();
    for (std::int64_t p = first_panel; p < end_panel; ++p) {
      const std::int64_t first = panels.first_channel(p);
      kernels().widen_panel({&(w + first * weights.in_channels)->bits, weights.factor.data() + first,
                             weights.in_channels, std::int64_t{panels.vectors_of(p)} * panels.lanes,
                             wide + first * weights.in_channels});
    }
    wide_offset = k;
  }

  /// Own panels of some pairs of offset k, whose rows count from `x_row` and `y_row`.
  void multiply(Pairs pairs, std::int64_t k, std::int64_t x_row, std::int64_t y_row, Start start) {
    take_offset(k);
    conv_cpu::PanelJob j{};
    if (const auto* halves = std::get_if<Matrix<const Half>>(&x)) {
      widen_rows(*halves, x_row, pairs.in_row, pairs.count, {rows, kBlock, weights.in_channels});
      pairs.in_row = kIdentity.data();
      j.x = rows;
      j.x_stride = weights.in_channels;
    } else {
      const auto& real = std::get<Matrix<const float>>(x);
      j.x = real.row(x_row);
      j.x_stride = real.row_stride;
    }
    j.y_stride = sums.row_stride;
    j.start_stride = start.stride;
    j.pairs = pairs;
    j.in_channels = weights.in_channels;
    for (std::int64_t p = first_panel; p < end_panel; ++p) {
      const std::int64_t first = panels.first_channel(p);
      j.weights = wide + first * weights.in_channels;
      j.y = sums_of(y_row) + first;
      j.start = start.data == nullptr ? nullptr : start.data + first;
      j.vectors = panels.vectors_of(p);
      j.tail = panels.tail_of(p);
      weights.variant->products->forward(j);
    }
  }

  /// Rows [begin, last) leave the part.
  void finish(std::int64_t begin, std::int64_t last) const {
    const std::int64_t column = first_column(), n = end_column() - column;
    const Ending ending = ending_of(epilogue.activation);
    if (const auto* halves = std::get_if<Matrix<Half>>(&y)) {
      kernels().end_rows({sums_of(begin) + column, sums.row_stride, last - begin, n, ending, epilogue.slope,
                          &(halves->row(begin) + column)->bits, halves->row_stride});
    } else if (ending != Ending::none) {
      weights.variant->products->end_rows(
          {sums_of(begin) + column, sums.row_stride, last - begin, n, ending, epilogue.slope});
    }
  }

  bool has_residual() const { return !shape_of(epilogue.residual).none; }
  Start from_sums(std::int64_t row) const { return {sums_of(row), sums.row_stride}; }
  Start from_bias() const { return {epilogue.bias, 0}; }

  void linear(std::int64_t begin, std::int64_t last) {
    if (has_residual()) begin_rows(begin, last);
    for (std::int64_t r = begin; r < last; r += kBlock)
      multiply({kIdentity.data(), kIdentity.data(), std::min(kBlock, last - r)}, 0, r, r,
               has_residual() ? from_sums(r) : from_bias());
    finish(begin, last);
  }

  /// Blocks [first, last) of a map: offset by offset over all of them, so that weights are widened once per part.
  void mapped(std::int64_t first, std::int64_t last) {
    const std::int64_t begin = first * kBlock, end_row = std::min(last * kBlock, map->out_rows);
    std::array<std::int32_t, kMostBlocks> begun;  // offsets that started the sums of each block
    for (std::int64_t b = first; b < last; ++b) {
      const std::int32_t k = has_residual() ? -1 : covering_offset(*map, b);
      begun[static_cast<std::size_t>(b - first)] = k;
      if (k < 0) {
        begin_rows(b * kBlock, std::min((b + 1) * kBlock, end_row));
      } else {
        multiply(pairs_of(*map, b, k), k, 0, 0, from_bias());
      }
    }
    for (std::int64_t k = 0; k < map->volume; ++k) {
      for (std::int64_t b = first; b < last; ++b) {
        const Pairs pairs = pairs_of(*map, b, k);
        if (pairs.count > 0 && begun[static_cast<std::size_t>(b - first)] != k) multiply(pairs, k, 0, 0, from_sums(0));
      }
    }
    finish(begin, end_row);
  }
};

}  // namespace

void conv_half(FloatRows x, const HalfWeights& weights, const KernelMap* map, const HalfEpilogue& epilogue,
               Executor& executor, AlignedBuffer& scratch, FloatRowsOut y) {
  const Shape to = shape_of(y);
  check_shapes(shape_of(x), weights, map, shape_of(epilogue.residual), to);
  if (to.rows == 0) return;
  const Run run{x, weights, map, epilogue, y, Panels(*weights.variant->products, to.cols)};
  const std::int64_t padded = run.panels.padded_channels();
  const std::int64_t blocks = (to.rows + kBlock - 1) / kBlock;
  const std::int64_t step = blocks_per_part(blocks, padded);
  const std::int64_t row_parts = (blocks + step - 1) / step;
  const std::int64_t splits = column_parts(row_parts, run.panels.count, executor.concurrency());
  const auto* real_y = std::get_if<Matrix<float>>(&y);
  const auto aligned = [](std::int64_t floats) { return (floats + 15) / 16 * 16; };
  const std::int64_t sums = real_y != nullptr ? 0 : aligned(step * kBlock * padded);
  const std::int64_t rows = std::holds_alternative<Matrix<const float>>(x) ? 0 : aligned(kBlock * weights.in_channels);
  const std::int64_t all = sums + rows + aligned(weights.in_channels * padded);
  auto* memory = scratch.reserve_for<float>(all * executor.concurrency());
  executor.parallel_for(row_parts * splits, [&](std::int64_t part, int worker) {
    const std::int64_t split = part % splits, first = part / splits * step;
    const std::int64_t last = std::min(blocks, first + step), end_row = std::min(to.rows, last * kBlock);
    Run mine = run;
    mine.first_panel = run.panels.count * split / splits;
    mine.end_panel = run.panels.count * (split + 1) / splits;
    mine.first_row = first * kBlock;
    float* const own = memory + worker * all;
    mine.sums = real_y == nullptr ? Matrix<float>{own, step * kBlock, padded}
                                  : Matrix<float>{real_y->row(mine.first_row), step * kBlock, to.cols, to.row_stride};
    mine.rows = own + sums;
    mine.wide = mine.rows + rows;
    if (map == nullptr) {
      mine.linear(mine.first_row, end_row);
    } else {
      mine.mapped(first, last);
    }
  });
}

}  // namespace rarefy
