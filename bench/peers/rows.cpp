#include "peers/rows.h"

#include <algorithm>
#include <array>

#include "measure/input.h"

namespace rarefy::peer {

bool wants(const Options& options, const std::string& kind) {
  return std::find(options.kinds.begin(), options.kinds.end(), kind) != options.kinds.end();
}

Input::Input(Scan scan, double voxel, int threads)
    : scan_(std::move(scan)),
      voxel_(voxel),
      executor_(make_thread_pool(threads)),
      points_(cli::bench::interleaved(scan_)) {}

const std::vector<std::int32_t>& Input::sites(int level) {
  std::vector<std::int32_t>& rows = sites_[level];
  if (rows.empty()) {
    const Coords coords = cli::bench::halved(cli::bench::voxels_of(scan_, voxel_, *executor_), level, *executor_);
    rows.resize(static_cast<std::size_t>(4 * coords.rows()));
    write_coords(coords, rows.data());
  }
  return rows;
}

std::vector<std::int32_t> Input::box_of_sites(int level) {
  using Cell = std::array<std::int32_t, 3>;  // of 32 x 32 x 32 sites
  const std::vector<std::int32_t>& all = sites(level);
  const auto cell_of = [&](std::size_t r) {
    return Cell{all[r + 1] >> (5 + level), all[r + 2] >> (5 + level), all[r + 3] >> (5 + level)};
  };
  std::map<Cell, std::int64_t> boxes;  // by their lowest cell
  for (std::size_t r = 0; r < all.size(); r += 4) {
    const Cell c = cell_of(r);
    for (const std::int32_t x : {0, 1})
      for (const std::int32_t y : {0, 1}) ++boxes[{c[0] - x, c[1] - y, c[2]}];
  }
  const Cell best = std::max_element(boxes.begin(), boxes.end(), [](const auto& a, const auto& b) {
                      return a.second < b.second;
                    })->first;
  const auto in_pair = [](std::int32_t cell, std::int32_t low) { return cell == low || cell == low + 1; };
  std::vector<std::int32_t> inside;
  for (std::size_t r = 0; r < all.size(); r += 4) {
    const Cell c = cell_of(r);
    const auto row = all.begin() + static_cast<std::ptrdiff_t>(r);
    if (in_pair(c[0], best[0]) && in_pair(c[1], best[1]) && c[2] == best[2]) inside.insert(inside.end(), row, row + 4);
  }
  return inside;
}

}  // namespace rarefy::peer
