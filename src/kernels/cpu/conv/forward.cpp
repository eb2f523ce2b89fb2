#include <algorithm>
#include <array>
#include <functional>

#include "base/check.h"
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/conv/partition.h"

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
using conv_cpu::PanelJob;
using conv_cpu::Panels;

namespace {

void check_shapes(Matrix<const float> x, const PackedWeights& w, const KernelMap* map, const ConvEpilogue& epilogue,
                  Matrix<float> y) {
  RAREFY_CHECK(w.variant != nullptr, UsageError, "convolution weights were never packed: call pack_weights first");
  RAREFY_CHECK(runs_here(*w.variant), UnsupportedError, "weights are packed for {}, which this CPU lacks",
               w.variant->name);
  RAREFY_CHECK(x.cols == w.in_channels, ShapeError, "convolution weights expect {} input channels, features have {}",
               w.in_channels, x.cols);
  RAREFY_CHECK(y.cols == w.out_channels, ShapeError, "convolution weights make {} output channels, the output has {}",
               w.out_channels, y.cols);
  RAREFY_CHECK(x.row_stride >= x.cols && y.row_stride >= y.cols, ShapeError,
               "row strides {} (input, {} columns) and {} (output, {} columns) make rows overlap", x.row_stride, x.cols,
               y.row_stride, y.cols);
  const Matrix<const float>& residual = epilogue.residual;
  RAREFY_CHECK(residual.data == nullptr || (residual.rows == y.rows && residual.cols == y.cols), ShapeError,
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

/// Columns [first, last) of rows [begin, end) start as bias + residual.
void begin_rows(const ConvEpilogue& epilogue, Matrix<float> y, std::int64_t begin, std::int64_t end, std::int64_t first,
                std::int64_t last) {
  const std::int64_t n = last - first;
  const float* bias = epilogue.bias == nullptr ? nullptr : epilogue.bias + first;
  for (std::int64_t r = begin; r < end; ++r) {
    float* to = y.row(r) + first;
    if (epilogue.residual.data != nullptr) {
      const float* from = epilogue.residual.row(r) + first;
      if (bias != nullptr) {
        for (std::int64_t c = 0; c < n; ++c) to[c] = from[c] + bias[c];
      } else if (from != to) {
        std::copy(from, from + n, to);
      }
    } else if (bias != nullptr) {
      std::copy(bias, bias + n, to);
    } else {
      std::fill(to, to + n, 0.0f);
    }
  }
}

Ending ending_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return Ending::none;
    case Activation::relu:
      return Ending::relu;
    case Activation::leaky_relu:
      return Ending::leaky_relu;
  }
  return Ending::none;
}

/// What a part works on: everything that parts of one call share, and which panels are its own.
struct ForwardRun {
  Matrix<const float> x;
  const PackedWeights& weights;
  const KernelMap* map;
  const ConvEpilogue& epilogue;
  Matrix<float> y;
  Panels panels;
  std::int64_t first_panel = 0;
  std::int64_t end_panel = panels.count;

  std::int64_t first_column() const { return panels.first_channel(first_panel); }
  std::int64_t end_column() const { return std::min(y.cols, panels.first_channel(end_panel)); }
  const conv_cpu::ConvKernels& kernels() const { return *weights.variant->kernels; }
  Ending ending() const { return ending_of(epilogue.activation); }

  PanelJob job() const {
    PanelJob j{};
    j.x = x.data;
    j.x_stride = x.row_stride;
    j.y = y.data;
    j.y_stride = y.row_stride;
    j.start = y.data;
    j.start_stride = y.row_stride;
    j.in_channels = weights.in_channels;
    j.slope = epilogue.slope;
    return j;
  }

  /// A job whose sums start from the bias or the residual (not both) or from zero.
  PanelJob starting_job() const {
    PanelJob j = job();
    if (epilogue.residual.data != nullptr) {
      j.start = epilogue.residual.data;
      j.start_stride = epilogue.residual.row_stride;
    } else {
      j.start = epilogue.bias;
      j.start_stride = 0;
    }
    return j;
  }

  /// The panels of the pairs of offset k.
  void multiply(PanelJob job, std::int64_t k) const {
    // Output rows of an offset ascend strictly.
    RAREFY_ASSERT(std::adjacent_find(job.pairs.out_row, job.pairs.out_row + job.pairs.count, std::greater_equal<>()) ==
                  job.pairs.out_row + job.pairs.count);
    const auto* w = static_cast<const float*>(weights.data.data()) + k * weights.in_channels * panels.padded_channels();
    const float* const start = job.start;
    float* const y0 = job.y;
    const Pairs next = job.next;
    for (std::int64_t p = first_panel; p < end_panel; ++p) {
      const std::int64_t first = panels.first_channel(p);
      job.weights = w + first * weights.in_channels;
      job.y = y0 + first;
      job.start = start == nullptr ? nullptr : start + first;
      job.vectors = panels.vectors_of(p);
      job.tail = panels.tail_of(p);
      job.next = p + 1 < end_panel ? Pairs{} : next;
      kernels().forward(job);
    }
  }

  /// Rows [begin, end) of a linear layer: bias or residual, product and activation in one go.
  void linear(std::int64_t begin, std::int64_t end) const {
    PanelJob j = job();
    j.ending = ending();
    const bool both = epilogue.bias != nullptr && epilogue.residual.data != nullptr;
    if (both) begin_rows(epilogue, y, begin, end, first_column(), end_column());
    for (std::int64_t r = begin; r < end; r += kBlock) {
      j.x = x.row(r);
      j.y = y.row(r);
      if (both) {
        j.start = j.y;
      } else if (epilogue.residual.data != nullptr) {
        j.start = epilogue.residual.row(r);
        j.start_stride = epilogue.residual.row_stride;
      } else {
        j.start = epilogue.bias;
        j.start_stride = 0;
      }
      j.pairs = {kIdentity.data(), kIdentity.data(), std::min(kBlock, end - r)};
      multiply(j, 0);
    }
  }

  /// Blocks [first, last) of a map: offset by offset over all of them, so that weights are read once per part.
  void mapped(std::int64_t first, std::int64_t last) const {
    std::array<std::int32_t, kMostBlocks> begun;  // offsets that started the sums of each block
    const bool both = epilogue.bias != nullptr && epilogue.residual.data != nullptr;
    for (std::int64_t b = first; b < last; ++b) {
      const std::int32_t k = both ? -1 : covering_offset(*map, b);
      begun[static_cast<std::size_t>(b - first)] = k;
      if (k < 0) {
        begin_rows(epilogue, y, b * kBlock, std::min((b + 1) * kBlock, y.rows), first_column(), end_column());
      } else {
        PanelJob j = starting_job();
        j.pairs = pairs_of(*map, b, k);
        multiply(j, k);
      }
    }
    PanelJob j = job();
    std::int64_t k_of_job = 0;
    for (std::int64_t k = 0; k < map->volume; ++k) {
      for (std::int64_t b = first; b < last; ++b) {
        const Pairs pairs = pairs_of(*map, b, k);
        if (pairs.count == 0 || begun[static_cast<std::size_t>(b - first)] == k) continue;
        if (j.pairs.count > 0) {  // one job behind, so that each knows the next
          j.next = pairs;
          multiply(j, k_of_job);
        }
        j.pairs = pairs;
        k_of_job = k;
      }
    }
    if (j.pairs.count > 0) {
      j.next = {};
      multiply(j, k_of_job);
    }
    if (epilogue.activation != Activation::none) {
      const std::int64_t begin = first * kBlock, end = std::min(last * kBlock, y.rows);
      kernels().end_rows({y.row(begin) + first_column(), y.row_stride, end - begin, end_column() - first_column(),
                          ending(), epilogue.slope});
    }
  }
};

}  // namespace

void conv_forward(Matrix<const float> x, const PackedWeights& weights, const KernelMap* map,
                  const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y) {
  check_shapes(x, weights, map, epilogue, y);
  if (y.rows == 0) return;
  const ForwardRun run{x, weights, map, epilogue, y, Panels(*weights.variant->kernels, y.cols)};
  const std::int64_t blocks = (y.rows + kBlock - 1) / kBlock;
  const std::int64_t step = blocks_per_part(blocks, y.cols);
  const std::int64_t row_parts = (blocks + step - 1) / step;
  const std::int64_t splits = column_parts(row_parts, run.panels.count, executor.concurrency());
  executor.parallel_for(row_parts * splits, [&](std::int64_t part, int) {
    const std::int64_t split = part % splits, first = part / splits * step;
    const std::int64_t last = std::min(blocks, first + step);
    ForwardRun mine = run;
    mine.first_panel = run.panels.count * split / splits;
    mine.end_panel = run.panels.count * (split + 1) / splits;
    if (map == nullptr) {
      mine.linear(first * kBlock, std::min(y.rows, last * kBlock));
    } else {
      mine.mapped(first, last);
    }
  });
}

}  // namespace rarefy
