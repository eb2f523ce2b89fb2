#pragma once
/// Actual sizes of a graph's spaces and maps, without running its network.
#include <cstdint>
#include <string>
#include <vector>

#include "data/scan.h"
#include "rarefy/graph.h"
#include "rarefy/model.h"
#include "rarefy/session.h"

namespace rarefy::cli {

struct MeasuredSizes {
  Sizes sizes;
  std::int64_t points = 0;
};
/// Runs the geometry part of the graph on a scan.
/// @throws InputError, UnsupportedError when the graph has other inputs than one of points
MeasuredSizes measure_sizes(const Model& model, const Scan& scan, int threads);

/// Sizes as they follow from voxels per level.
struct LevelSizes {
  std::vector<std::int64_t> voxels;  ///< by level (stride 1, 2, 4, ...); missing ones are estimated
  std::vector<std::int64_t> pairs;   ///< of the 3x3x3 maps by level; missing ones are estimated
  bool estimated = false;            ///< set when anything was
};
/// Fills in what is missing with the ratios of a street scan of 64 beams at 5 cm, then gives every space and map of the
/// graph its size: a map between levels with a 2x2x2 kernel has one pair per fine voxel.
/// @throws UnsupportedError naming a map whose pairs do not follow from that
Sizes sizes_of_levels(const Graph& graph, LevelSizes& levels);

/// Bytes of all stored values of a model.
std::int64_t weight_bytes(const Model& model);
/// Most memory that a process is expected to hold which runs the model once on `points` points in one thread: the
/// program, weights as stored and as packed, the points, and what a context holds. MB (10^6 bytes).
double expected_memory_mb(const Model& model, const Plan& plan, const Sizes& sizes, std::int64_t points);

}  // namespace rarefy::cli
