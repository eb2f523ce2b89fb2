#include "support/random_sites.h"

#include <algorithm>
#include <array>
#include <set>

namespace rarefy::test {

std::vector<std::int32_t> random_rows(Rng& rng, const SiteOptions& options) {
  using Row = std::array<std::int32_t, 1 + kMaxDims>;
  const KeyLayout layout = key_layout(options.dims);
  std::set<Row> rows;
  const std::int64_t clusters = rng.integer(0, 3);
  for (std::int64_t c = 0; c < clusters && options.batches > 0; ++c) {
    // A cluster is a box; small boxes with many tries become full blocks, one try is a lone site.
    Row low{};
    std::array<std::int64_t, kMaxDims> extent{};
    for (int a = 0; a < options.dims; ++a) {
      extent[a] = rng.integer(1, 8);
      const std::int64_t first = (-layout.limit + options.stride[a] - 1) / options.stride[a];
      const std::int64_t last = (layout.limit - 1) / options.stride[a] - extent[a] + 1;
      std::int64_t at = rng.integer(-12, 8);
      if (options.anywhere && rng.chance(0.3)) at = rng.chance(0.5) ? first : last;
      low[1 + a] = static_cast<std::int32_t>(at);
    }
    const std::int64_t batch = rng.integer(0, options.batches - 1);
    const std::int64_t tries = rng.chance(0.2) ? 1 : rng.integer(1, options.most_rows);
    for (std::int64_t t = 0; t < tries && static_cast<std::int64_t>(rows.size()) < options.most_rows; ++t) {
      Row row = low;
      row[0] = static_cast<std::int32_t>(rng.chance(0.8) ? batch : rng.integer(0, options.batches - 1));
      for (int a = 0; a < options.dims; ++a) {
        row[1 + a] = static_cast<std::int32_t>((row[1 + a] + rng.integer(0, extent[a] - 1)) * options.stride[a]);
      }
      rows.insert(row);
    }
  }
  std::vector<Row> shuffled(rows.begin(), rows.end());
  for (std::size_t i = shuffled.size(); i > 1; --i) {
    std::swap(shuffled[i - 1], shuffled[static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(i) - 1))]);
  }
  std::vector<std::int32_t> values;
  for (const Row& row : shuffled) values.insert(values.end(), row.begin(), row.begin() + 1 + options.dims);
  return values;
}

Coords random_coords(Rng& rng, const SiteOptions& options) {
  Coords coords;
  make_coords(random_rows(rng, options), options.dims, options.stride, options.batches, coords);
  return coords;
}

}  // namespace rarefy::test
