#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/conv_int8.h"
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/conv/partition.h"
#include "kernels/cpu/conv_int8/kernels.h"

namespace rarefy {

using conv_cpu::blocks_per_part;
using conv_cpu::column_parts;
using conv_cpu::covering_offset;
using conv_cpu::kBlock;
using conv_cpu::kIdentity;
using conv_cpu::kMostBlocks;
using conv_cpu::Pairs;
using conv_cpu::pairs_of;
using conv_cpu::Panels;
using conv_int8_cpu::EndJob;
using conv_int8_cpu::Int8Kernels;
using conv_int8_cpu::PanelJob;

namespace {

void check_shapes(Matrix<const std::uint8_t> x, const Int8Weights& w, const KernelMap* map,
                  const Int8Epilogue& epilogue, std::int64_t y_rows, std::int64_t y_cols, std::int64_t y_stride) {
  RAREFY_CHECK(w.variant != nullptr, UsageError, "8-bit weights were never packed: call pack_int8_weights first");
  RAREFY_CHECK(runs_here(*w.variant), UnsupportedError, "8-bit weights are packed for {}, which this CPU lacks",
               w.variant->name);
  RAREFY_CHECK(epilogue.scale != nullptr, UsageError, "an 8-bit convolution needs a scale per output channel");
  RAREFY_CHECK(x.cols == w.in_channels, ShapeError, "8-bit weights expect {} input channels, features have {}",
               w.in_channels, x.cols);
  RAREFY_CHECK(y_cols == w.out_channels, ShapeError, "8-bit weights make {} output channels, the output has {}",
               w.out_channels, y_cols);
  RAREFY_CHECK(x.row_stride >= x.cols && y_stride >= y_cols, ShapeError,
               "row strides {} (input, {} columns) and {} (output, {} columns) make rows overlap", x.row_stride, x.cols,
               y_stride, y_cols);
  const auto fits = [&](std::int64_t rows, std::int64_t cols) {
    RAREFY_CHECK(rows == y_rows && cols == y_cols, ShapeError, "residual is [{}, {}], the output [{}, {}]", rows, cols,
                 y_rows, y_cols);
  };
  RAREFY_CHECK(epilogue.residual.data == nullptr || epilogue.stored_residual.data == nullptr, UsageError,
               "an 8-bit convolution adds one residual, two are given");
  if (epilogue.residual.data != nullptr) fits(epilogue.residual.rows, epilogue.residual.cols);
  if (epilogue.stored_residual.data != nullptr) fits(epilogue.stored_residual.rows, epilogue.stored_residual.cols);
  if (map == nullptr) {
    RAREFY_CHECK(w.volume == 1, ShapeError, "a convolution without a kernel map has one offset, the weights have {}",
                 w.volume);
    RAREFY_CHECK(x.rows == y_rows, ShapeError, "a linear layer keeps its rows: input has {}, output {}", x.rows,
                 y_rows);
    return;
  }
  RAREFY_CHECK(w.volume == map->volume, ShapeError, "weights have {} offsets, the kernel map {}", w.volume,
               map->volume);
  RAREFY_CHECK(x.rows == map->in_rows && y_rows == map->out_rows, ShapeError,
               "the kernel map goes from {} rows to {}, features from {} to {}", map->in_rows, map->out_rows, x.rows,
               y_rows);
}

conv_cpu::Ending ending_of(Activation activation) {
  if (activation == Activation::relu) return conv_cpu::Ending::relu;
  return activation == Activation::leaky_relu ? conv_cpu::Ending::leaky_relu : conv_cpu::Ending::none;
}

/// What a part works on: everything that parts of one call share, and which panels are its own.
struct Run {
  Matrix<const std::uint8_t> x;
  const Int8Weights& weights;
  const KernelMap* map;
  EndJob end;  ///< of all rows
  Panels panels;
  std::int64_t first_panel = 0;
  std::int64_t end_panel = panels.count;
  std::int32_t* sums = nullptr;  ///< of this part: [rows of the part, padded channels]

  const Int8Kernels& kernels() const { return *weights.variant->kernels; }

  PanelJob job(std::int64_t first_row) const {
    PanelJob j{};
    j.x = x.data;
    j.x_stride = x.row_stride;
    j.sums = sums - first_row * panels.padded_channels();
    j.sums_stride = panels.padded_channels();
    j.in_channels = weights.in_channels;
    return j;
  }

  /// The panels of the pairs of offset k.
  void multiply(PanelJob j, std::int64_t k) const {
    const Int8Kernels& kernel = kernels();
    const std::int64_t groups = (weights.in_channels + kernel.group - 1) / kernel.group;
    const std::int64_t row_bytes = groups * kernel.group * kernel.weight_bytes;  // of one output channel
    const auto* w = static_cast<const std::byte*>(weights.data.data()) + k * row_bytes * panels.padded_channels();
    const auto* correction = static_cast<const std::int32_t*>(weights.corrections.data());
    std::int32_t* const sums0 = j.sums;
    const Pairs next = j.next;
    for (std::int64_t p = first_panel; p < end_panel; ++p) {
      const std::int64_t first = panels.first_channel(p);
      j.weights = w + first * row_bytes;
      j.sums = sums0 + first;
      j.correction = correction == nullptr ? nullptr : correction + k * panels.padded_channels() + first;
      j.vectors = panels.vectors_of(p);
      j.next = p + 1 < end_panel ? Pairs{} : next;
      kernel.forward(j);
    }
  }

  /// Rows [begin, last) leave the part.
  void finish(std::int64_t begin, std::int64_t last) const {
    const std::int64_t column = panels.first_channel(first_panel);
    EndJob e = end;
    e.sums = sums + column;
    e.sums_stride = panels.padded_channels();
    e.rows = last - begin;
    e.cols = std::min(weights.out_channels, panels.first_channel(end_panel)) - column;
    e.scale += column;
    const auto move = [&](auto& pointer, std::ptrdiff_t stride) {
      if (pointer != nullptr) pointer += begin * stride + column;
    };
    move(e.bias, 0);
    move(e.residual, e.residual_stride);
    move(e.stored_residual, e.stored_residual_stride);
    move(e.y, e.y_stride);
    move(e.stored_y, e.stored_y_stride);
    kernels().end_rows(e);
  }

  void linear(std::int64_t begin, std::int64_t last) const {
    for (std::int64_t r = begin; r < last; r += kBlock) {
      PanelJob j = job(0);
      j.x = x.row(r);
      j.sums = sums + (r - begin) * panels.padded_channels();
      j.begins = true;
      j.pairs = {kIdentity.data(), kIdentity.data(), std::min(kBlock, last - r)};
      multiply(j, 0);
    }
    finish(begin, last);
  }

  /// Blocks [first, last) of a map: offset by offset over all of them, so that weights are read once per part.
  void mapped(std::int64_t first, std::int64_t last) const {
    const std::int64_t begin = first * kBlock, end_row = std::min(last * kBlock, map->out_rows);
    std::array<std::int32_t, kMostBlocks> begun;  // offsets that started the sums of each block
    for (std::int64_t b = first; b < last; ++b) {
      const std::int32_t k = covering_offset(*map, b);
      begun[static_cast<std::size_t>(b - first)] = k;
      if (k < 0) {
        const std::int64_t rows = std::min(kBlock, map->out_rows - b * kBlock);
        std::fill_n(sums + (b * kBlock - begin) * panels.padded_channels(), rows * panels.padded_channels(), 0);
      } else {
        PanelJob j = job(begin);
        j.begins = true;
        j.pairs = pairs_of(*map, b, k);
        multiply(j, k);
      }
    }
    PanelJob j = job(begin);
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
    finish(begin, end_row);
  }
};

EndJob end_of(const Int8Epilogue& epilogue) {
  EndJob e{};
  e.scale = epilogue.scale;
  e.bias = epilogue.bias;
  e.residual = epilogue.residual.data;
  e.residual_stride = epilogue.residual.row_stride;
  e.stored_residual = epilogue.stored_residual.data;
  e.stored_residual_stride = epilogue.stored_residual.row_stride;
  e.residual_scale = epilogue.residual_is.scale;
  e.residual_zero = static_cast<float>(epilogue.residual_is.zero());
  e.ending = ending_of(epilogue.activation);
  e.slope = epilogue.slope;
  return e;
}

void set_quantization(EndJob& e, const Quantization& to) {
  e.inverse_scale = 1.0f / to.scale;
  e.zero = to.zero();
  e.low = static_cast<float>(to.low() - to.zero());
  e.high = static_cast<float>(to.high() - to.zero());
}

void check_quantization(const Quantization& q) {
  RAREFY_CHECK(q.bits >= 2 && q.bits <= 8 && q.scale > 0.0f, UsageError,
               "a quantization of {} bits and scale {} is none: 2 to 8 bits, a scale above 0", q.bits, q.scale);
}

void run_parts(const Run& run, std::int64_t rows, Executor& executor, AlignedBuffer& scratch) {
  if (rows == 0) return;
  const std::int64_t blocks = (rows + kBlock - 1) / kBlock;
  const std::int64_t step = blocks_per_part(blocks, run.panels.padded_channels());
  const std::int64_t row_parts = (blocks + step - 1) / step;
  const std::int64_t splits = column_parts(row_parts, run.panels.count, executor.concurrency());
  const std::int64_t part_sums = step * kBlock * run.panels.padded_channels();
  auto* sums = scratch.reserve_for<std::int32_t>(part_sums * executor.concurrency());
  executor.parallel_for(row_parts * splits, [&](std::int64_t part, int worker) {
    const std::int64_t split = part % splits, first = part / splits * step;
    const std::int64_t last = std::min(blocks, first + step);
    Run mine = run;
    mine.first_panel = run.panels.count * split / splits;
    mine.end_panel = run.panels.count * (split + 1) / splits;
    mine.sums = sums + worker * part_sums;
    if (run.map == nullptr) {
      mine.linear(first * kBlock, std::min(rows, last * kBlock));
    } else {
      mine.mapped(first, last);
    }
  });
}

Panels panels_of(const Int8Weights& weights) {
  return {weights.variant->kernels->lanes, weights.variant->kernels->max_vectors, weights.out_channels};
}

}  // namespace

void conv_int8(Matrix<const std::uint8_t> x, const Int8Weights& weights, const KernelMap* map,
               const Int8Epilogue& epilogue, Executor& executor, AlignedBuffer& scratch, Matrix<float> y) {
  check_shapes(x, weights, map, epilogue, y.rows, y.cols, y.row_stride);
  Run run{x, weights, map, end_of(epilogue), panels_of(weights)};
  run.end.y = y.data;
  run.end.y_stride = y.row_stride;
  run_parts(run, y.rows, executor, scratch);
}

void conv_int8(Matrix<const std::uint8_t> x, const Int8Weights& weights, const KernelMap* map,
               const Int8Epilogue& epilogue, const Quantization& to, Executor& executor, AlignedBuffer& scratch,
               Matrix<std::uint8_t> y) {
  check_shapes(x, weights, map, epilogue, y.rows, y.cols, y.row_stride);
  check_quantization(to);
  Run run{x, weights, map, end_of(epilogue), panels_of(weights)};
  set_quantization(run.end, to);
  run.end.stored_y = y.data;
  run.end.stored_y_stride = y.row_stride;
  run_parts(run, y.rows, executor, scratch);
}

namespace {

constexpr std::int64_t kRowsAtATime = 1024;

template <class F>
void for_rows(std::int64_t rows, Executor& executor, const F& f) {
  executor.parallel_for((rows + kRowsAtATime - 1) / kRowsAtATime, [&](std::int64_t part, int) {
    f(part * kRowsAtATime, std::min(rows, (part + 1) * kRowsAtATime));
  });
}

void check_same_shape(std::int64_t x_rows, std::int64_t x_cols, std::int64_t y_rows, std::int64_t y_cols) {
  RAREFY_CHECK(x_rows == y_rows && x_cols == y_cols, ShapeError, "quantization from [{}, {}] to [{}, {}]", x_rows,
               x_cols, y_rows, y_cols);
}

}  // namespace

void quantize_rows(Matrix<const float> x, const Quantization& to, Executor& executor, Matrix<std::uint8_t> y) {
  check_same_shape(x.rows, x.cols, y.rows, y.cols);
  check_quantization(to);
  const Int8Kernels& kernels = *select_int8_variant(8).kernels;
  for_rows(x.rows, executor, [&](std::int64_t first, std::int64_t last) {
    EndJob e{};
    set_quantization(e, to);
    e.real = x.row(first);
    e.real_stride = x.row_stride;
    e.rows = last - first;
    e.cols = x.cols;
    e.stored_y = y.row(first);
    e.stored_y_stride = y.row_stride;
    kernels.end_rows(e);
  });
}

void dequantize_rows(Matrix<const std::uint8_t> x, const Quantization& from, Executor& executor, Matrix<float> y) {
  check_same_shape(x.rows, x.cols, y.rows, y.cols);
  check_quantization(from);
  for_rows(x.rows, executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r)
      for (std::int64_t c = 0; c < x.cols; ++c) y(r, c) = static_cast<float>(x(r, c) - from.zero()) * from.scale;
  });
}

void round_rows(Matrix<const float> x, const Quantization& to, Executor& executor, Matrix<float> y) {
  check_same_shape(x.rows, x.cols, y.rows, y.cols);
  check_quantization(to);
  const float inverse = 1.0f / to.scale, low = static_cast<float>(to.low() - to.zero()),
              high = static_cast<float>(to.high() - to.zero());
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction, rounded to even
  for_rows(x.rows, executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        float v = x(r, c) * inverse;
        v = v > low ? v : low;
        v = v < high ? v : high;
        y(r, c) = ((v + kRound) - kRound) * to.scale;
      }
    }
  });
}

}  // namespace rarefy
