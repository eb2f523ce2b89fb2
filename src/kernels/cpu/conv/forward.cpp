#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/conv/forward_run.h"
#include "kernels/cpu/conv/partition.h"

namespace rarefy {

using conv_cpu::ForwardRun;
using conv_cpu::kBlock;
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

/// The dataflow that a call runs in.
Dataflow settled(Dataflow wanted, const PackedWeights& weights, const KernelMap* map) {
  if (map == nullptr) return Dataflow::blocked;
  if (wanted == Dataflow::automatic) wanted = conv_cpu::choose_dataflow(weights, *map);
  const bool fits = !map->tiles.empty() && weights.in_channels <= conv_cpu::kMostStationaryChannels;
  if (wanted == Dataflow::stationary && (!fits || !conv_cpu::all_finite(weights))) return Dataflow::blocked;
  return wanted;
}

/// Units of work (blocks of rows, or tiles) of one part.
std::int64_t units_per_part(Dataflow dataflow, const KernelMap* map, std::int64_t units, std::int64_t channels) {
  constexpr std::int64_t kParts = 32, kTiles = 256;
  switch (dataflow) {
    case Dataflow::on_demand:
      return conv_cpu::blocks_on_demand(*map, channels);
    case Dataflow::stationary:
      return std::clamp<std::int64_t>(units / kParts, 1, kTiles);
    default:
      return conv_cpu::blocks_per_part(units, channels);
  }
}

}  // namespace

Dataflow conv_forward(Matrix<const float> x, const PackedWeights& weights, const KernelMap* map,
                      const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y, Dataflow wanted) {
  check_shapes(x, weights, map, epilogue, y);
  const Dataflow dataflow = settled(wanted, weights, map);
  if (y.rows == 0) return dataflow;
  ForwardRun run{x, weights, map, epilogue, y, Panels(*weights.variant->kernels, y.cols)};
  if (map != nullptr) run.start_offset = conv_cpu::covering_offset(*map);
  const std::int64_t units = dataflow == Dataflow::stationary ? map->tiles.tiles() : (y.rows + kBlock - 1) / kBlock;
  const std::int64_t step = units_per_part(dataflow, map, units, y.cols);
  const std::int64_t row_parts = (units + step - 1) / step;
  const std::int64_t splits = conv_cpu::column_parts(row_parts, run.panels.count, executor.concurrency());
  executor.parallel_for(row_parts * splits, [&](std::int64_t part, int) {
    const std::int64_t split = part % splits, first = part / splits * step;
    const std::int64_t last = std::min(units, first + step);
    ForwardRun mine = run;
    mine.first_panel = run.panels.count * split / splits;
    mine.end_panel = run.panels.count * (split + 1) / splits;
    if (map == nullptr)
      mine.linear(first * kBlock, std::min(y.rows, last * kBlock));
    else if (dataflow == Dataflow::stationary)
      mine.stationary(first, last);
    else if (dataflow == Dataflow::on_demand)
      mine.on_demand(first, last);
    else
      mine.blocked(first, last);
  });
  return dataflow;
}

}  // namespace rarefy
