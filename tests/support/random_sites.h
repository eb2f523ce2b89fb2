#pragma once
/// Random coordinates: clusters anywhere in the valid range, lone sites, full blocks, several samples, none.
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "sparse/coords.h"

namespace rarefy::test {

struct SiteOptions {
  int dims = 3;
  Extent stride{1, 1, 1, 1};
  std::int64_t batches = 1;
  std::int64_t most_rows = 400;
  bool anywhere = true;  ///< clusters may lie at the ends of the valid range; else near the origin
};

/// Rows (batch, x, ...), shuffled, free of duplicates.
std::vector<std::int32_t> random_rows(Rng& rng, const SiteOptions& options);
Coords random_coords(Rng& rng, const SiteOptions& options);

}  // namespace rarefy::test
