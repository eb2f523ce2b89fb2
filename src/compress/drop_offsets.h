#pragma once
/// Kernel offsets that rarely matter are left out of convolutions.
///
/// In a LiDAR scan most offsets of a 3x3x3 kernel meet few neighbours, and some of those that do carry small weights.
/// The energy of an offset in a layer is estimated as pairs times trace(W' M W): how often it meets a neighbour, times
/// the mean square of what its weight W makes of a row, M being the second moments of the layer's input. Offsets go in
/// the order of energy (as a share of their layer's) per multiply-add, until a share of the work is left out. Layers
/// over one kernel map keep the same offsets, so that the map shrinks with them, and an offset goes together with its
/// opposite, because symmetric kernels are searched twice as fast. The centre stays. What is left is exact: the same
/// numbers as with those weights set to zero.
#include <map>
#include <string>
#include <vector>

#include "rarefy/model.h"
#include "rarefy/session.h"

namespace rarefy::compress {

/// One kernel map whose layers may lose offsets, and what was seen of them.
struct OffsetGroup {
  std::string map;                                 ///< name of its node
  std::vector<std::string> layers;                 ///< that read it
  std::vector<std::vector<std::int64_t>> offsets;  ///< in the order of the weights
  std::vector<double> energy;                      ///< by offset: sum over the layers of its share of their energy
  std::vector<double> macs;                        ///< by offset, over all scans
};

/// Looks at the convolutions from a space to itself whose map no other op reads, and whose weights are theirs alone.
/// @param scans  inputs of the model
/// @throws UsageError without scans; UnsupportedError when there is no such convolution
std::vector<OffsetGroup> offset_energies(const Model& model, const std::vector<Inputs>& scans,
                                         Executor* executor = nullptr);

/// The model without the offsets that matter least.
/// @param ratio  share of the multiply-adds of these convolutions that is left out, 0 <= ratio < 1; at most so much
/// @throws UsageError for a ratio outside [0, 1); groups of another model
Model drop_offsets(const Model& model, const std::vector<OffsetGroup>& groups, double ratio);

}  // namespace rarefy::compress
