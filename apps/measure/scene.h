#pragma once
/// Scenes of any size from one scan.
#include <cstdint>
#include <vector>

#include "data/scan.h"

namespace rarefy::cli::bench {

/// About `points` points as x, y, z, intensity: whole copies of the scan side by side on a square grid, and a sector of
/// one more. Each copy and each sector has the occupancy of the scan: voxels, pairs and multiply-adds grow in
/// proportion.
/// @throws UsageError  an empty scan, or more copies than fit the range of coordinates at `voxel` metres
std::vector<float> make_scene(const Scan& scan, std::int64_t points, double voxel);

}  // namespace rarefy::cli::bench
