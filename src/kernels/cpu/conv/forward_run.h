#pragma once
/// One part of a convolution, in each dataflow. Internal to the convolution's driver.
#include <algorithm>

#include "kernels/conv.h"
#include "kernels/cpu/conv/panels.h"

namespace rarefy::conv_cpu {

/// What a part works on: everything that parts of one call share, and which panels are its own.
struct ForwardRun {
  Matrix<const float> x;
  const PackedWeights& weights;
  const KernelMap* map;
  const ConvEpilogue& epilogue;
  Matrix<float> y;
  Panels panels;
  std::int64_t start_offset =
      -1;  ///< covers all rows: its products start the sums, which saves a pass that zeroes them
  std::int64_t first_panel = 0;
  std::int64_t end_panel = panels.count;

  /// Rows [begin, end) of a linear layer: bias or residual, product and activation in one go.
  void linear(std::int64_t begin, std::int64_t end) const;
  /// Blocks [first, last) of the map: offset by offset over all of them, so that weights are read once per part.
  void blocked(std::int64_t first, std::int64_t last) const;
  /// Likewise, the pairs of an offset collected over all blocks.
  void on_demand(std::int64_t first, std::int64_t last) const;
  /// Sorted tiles [first, last) of the map.
  void stationary(std::int64_t first, std::int64_t last) const;

 private:
  std::int64_t first_column() const { return panels.first_channel(first_panel); }
  std::int64_t end_column() const { return std::min(y.cols, panels.first_channel(end_panel)); }
  const ConvKernels& kernels() const { return *weights.variant->kernels; }
  const float* weights_of(std::int64_t k) const {
    return static_cast<const float*>(weights.data.data()) + k * weights.in_channels * panels.padded_channels();
  }
  Ending ending() const;
  bool bias_and_residual() const { return epilogue.bias != nullptr && epilogue.residual.data != nullptr; }
  PanelJob job() const;
  PanelJob starting_job() const;
  void begin_rows(std::int64_t begin, std::int64_t end) const;
  void begin_blocks(std::int64_t first, std::int64_t last) const;
  void end_blocks(std::int64_t first, std::int64_t last) const;
  void multiply(PanelJob job, std::int64_t k) const;
};

/// Longest input rows of the stationary dataflow.
inline constexpr std::int64_t kMostStationaryChannels = 2048;

/// The dataflow of least expected cost. Stationary only where the map has sorted tiles.
Dataflow choose_dataflow(const PackedWeights& weights, const KernelMap& map);

/// Whether each weight is a number.
bool all_finite(const PackedWeights& weights);

}  // namespace rarefy::conv_cpu
