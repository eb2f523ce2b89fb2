#include "measure/scene.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "sparse/coords.h"

namespace rarefy::cli::bench {
namespace {

/// Points around the sensor from one direction on, finite ones only.
std::vector<std::size_t> by_direction(const Scan& scan) {
  std::vector<std::size_t> order(static_cast<std::size_t>(scan.size()));
  std::iota(order.begin(), order.end(), std::size_t{0});
  const float* xyz = scan.xyz.data();
  std::erase_if(order, [&](std::size_t p) {
    return !std::isfinite(xyz[3 * p]) || !std::isfinite(xyz[3 * p + 1]) || !std::isfinite(xyz[3 * p + 2]);
  });
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::atan2(xyz[3 * a + 1], xyz[3 * a]) < std::atan2(xyz[3 * b + 1], xyz[3 * b]);
  });
  return order;
}

}  // namespace

std::vector<float> make_scene(const Scan& scan, std::int64_t points, double voxel) {
  const std::vector<std::size_t> order = by_direction(scan);
  RAREFY_CHECK(!order.empty(), UsageError, "the scan has no finite points: nothing to make a scene of");
  float reach = 1.0f;
  for (const std::size_t p : order) reach = std::max({reach, std::abs(scan.xyz[3 * p]), std::abs(scan.xyz[3 * p + 1])});
  // Whole numbers of the coarsest voxels apart: every copy falls into voxels as the scan does.
  const double step = std::ceil((2.0 * reach + 1.0) / (64 * voxel)) * 64 * voxel;
  const auto per_copy = static_cast<std::int64_t>(order.size());
  const std::int64_t copies = (points + per_copy - 1) / per_copy;
  const auto side = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(copies))));
  const double half = 0.5 * static_cast<double>(side + 1) * step;
  RAREFY_CHECK(half / voxel < static_cast<double>(key_layout(3).limit), UsageError,
               "{} copies of the scan do not fit the range of coordinates at {} m", copies, voxel);
  std::vector<float> scene;
  scene.reserve(static_cast<std::size_t>(4 * points));
  for (std::int64_t i = 0; i < points; ++i) {
    const std::int64_t copy = i / per_copy;
    const std::size_t p = order[static_cast<std::size_t>(i % per_copy)];
    const double x = (static_cast<double>(copy % side) - std::floor(0.5 * static_cast<double>(side))) * step;
    const double y = (static_cast<double>(copy / side) - std::floor(0.5 * static_cast<double>(side))) * step;
    scene.push_back(static_cast<float>(scan.xyz[3 * p] + x));
    scene.push_back(static_cast<float>(scan.xyz[3 * p + 1] + y));
    scene.push_back(scan.xyz[3 * p + 2]);
    scene.push_back(scan.intensity.empty() ? 0.0f : scan.intensity[p]);
  }
  return scene;
}

}  // namespace rarefy::cli::bench
