#pragma once
/// The rows of the comparison.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/scan.h"
#include "peers/contest.h"
#include "rarefy/executor.h"
#include "sparse/coords.h"

namespace rarefy::peer {

struct Options {
  std::vector<std::string> kinds;
  std::vector<std::int64_t> channels{32, 64, 128, 256};
  std::vector<int> levels{0, 3};
  std::vector<double> widths{0.5, 1.0};
  double voxel = 0.05;
  int threads = 1;
  bool cached = true;  ///< inference also with the voxels and maps of the run before
};

bool wants(const Options& options, const std::string& kind);

/// What both sides compute on; made when first asked for.
class Input {
 public:
  Input(Scan scan, double voxel, int threads);
  /// [N, 4] batch, x, y, z of the voxels after `level` halvings.
  const std::vector<std::int32_t>& sites(int level);
  static constexpr std::int64_t kBoxCells = 64 * 64 * 32;
  /// Those of the box of 64 x 64 x 32 cells that holds most.
  std::vector<std::int32_t> box_of_sites(int level);
  /// x, y, z, intensity of each point.
  const std::vector<float>& points() const { return points_; }
  std::int64_t point_count() const { return static_cast<std::int64_t>(points_.size()) / 4; }
  double voxel() const { return voxel_; }

 private:
  Scan scan_;
  double voxel_;
  std::unique_ptr<Executor> executor_;
  std::vector<float> points_;
  std::map<int, std::vector<std::int32_t>> sites_;
};

/// convolution, gradient, map, dense: one 3x3x3 layer.
void add_layer_rows(const Options& options, const std::shared_ptr<Input>& input, std::vector<Contest>& rows);
/// inference, integers, training: MinkUNet.
void add_network_rows(const Options& options, const std::shared_ptr<Input>& input, std::vector<Contest>& rows);

}  // namespace rarefy::peer
