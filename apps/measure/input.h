#pragma once
/// What benchmarks compute on.
#include <cstdint>
#include <vector>

#include "data/scan.h"
#include "rarefy/executor.h"
#include "rarefy/session.h"
#include "sparse/coords.h"

namespace rarefy::cli::bench {

/// x, y, z, intensity per point (zero when the scan has none).
std::vector<float> interleaved(const Scan& scan);
/// Such points as the input of a graph; they must outlive it.
PointView view_of(const std::vector<float>& points);
/// The voxels of a scan. @param edge  metres
Coords voxels_of(const Scan& scan, double edge, Executor& executor);
/// The sites after `times` halvings.
Coords halved(Coords sites, int times, Executor& executor);
/// Uniform in -1 .. 1.
std::vector<float> random_floats(std::int64_t count, std::uint64_t seed);

}  // namespace rarefy::cli::bench
