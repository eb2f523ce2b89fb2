#include "measure/batches.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "measure/scene.h"

namespace rarefy::cli::bench {
namespace {

/// Appends `count` samples of equal size up to point `end`.
void share_out(std::int64_t end, std::int64_t count, std::vector<std::int64_t>& begin) {
  const std::int64_t first = begin.back();
  for (std::int64_t i = 1; i <= count; ++i) begin.push_back(first + (end - first) * i / count);
}

}  // namespace

std::vector<float> sectors_of(const Scan& scan) {
  std::int64_t finite = 0;
  for (std::size_t p = 0; p < scan.xyz.size(); p += 3)
    finite += std::isfinite(scan.xyz[p]) && std::isfinite(scan.xyz[p + 1]) && std::isfinite(scan.xyz[p + 2]) ? 1 : 0;
  return make_scene(scan, finite, 1.0);  // a single copy: it lies where the scan lies
}

std::vector<Split> splits_of(std::int64_t points, std::int64_t event) {
  RAREFY_CHECK(points >= 100, UsageError, "the scan has {} finite points: too few to make batches of", points);
  constexpr std::int64_t kEven = 8, kTiny = 60;
  std::vector<Split> splits{{"one scan", {0}}, {"even", {0}}, {"uneven", {0}}, {"events", {0}}};
  share_out(points, 1, splits[0].begin);
  share_out(points, kEven, splits[1].begin);
  share_out(points * 7 / 10, 1, splits[2].begin);
  share_out(points, std::min(kTiny, points * 3 / 10), splits[2].begin);
  share_out(points, std::max<std::int64_t>(1, (points + event / 2) / event), splits[3].begin);
  return splits;
}

}  // namespace rarefy::cli::bench
