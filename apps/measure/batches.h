#pragma once
/// The same points as batches of different evenness.
#include <cstdint>
#include <string>
#include <vector>

#include "data/scan.h"

namespace rarefy::cli::bench {

/// How points are shared out: `begin` holds the first point of each sample, and the end.
struct Split {
  std::string name;
  std::vector<std::int64_t> begin;

  std::int64_t samples() const { return static_cast<std::int64_t>(begin.size()) - 1; }
};

/// A scan's finite points (x, y, z, intensity) in the order of their direction, so that any run of them is a sector
/// with the occupancy of the scan.
std::vector<float> sectors_of(const Scan& scan);

/// "one scan"; "even": 8 samples; "uneven": one sample with 70 % of the points, 60 with the rest; "events": as many
/// equal samples as events of `event` points fit (at least one).
/// @throws UsageError for fewer than 100 points
std::vector<Split> splits_of(std::int64_t points, std::int64_t event);

}  // namespace rarefy::cli::bench
