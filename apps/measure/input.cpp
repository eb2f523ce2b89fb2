#include "measure/input.h"

#include "base/rng.h"
#include "sparse/kernel_map.h"
#include "sparse/voxelize.h"

namespace rarefy::cli::bench {

std::vector<float> interleaved(const Scan& scan) {
  std::vector<float> points(static_cast<std::size_t>(4 * scan.size()));
  for (std::size_t i = 0; i < points.size() / 4; ++i) {
    for (std::size_t axis = 0; axis < 3; ++axis) points[4 * i + axis] = scan.xyz[3 * i + axis];
    points[4 * i + 3] = scan.intensity.empty() ? 0.0f : scan.intensity[i];
  }
  return points;
}

PointView view_of(const std::vector<float>& points) {
  return {.data = points.data(),
          .count = static_cast<std::int64_t>(points.size() / 4),
          .stride_bytes = 16,
          .fields = {.x = 0, .y = 4, .z = 8, .intensity = 12}};
}

Coords voxels_of(const Scan& scan, double edge, Executor& executor) {
  const auto size = static_cast<float>(edge);
  Voxels voxels;
  const std::int64_t begin[] = {0, scan.size()};
  voxelize({scan.xyz.data(), scan.size(), 3}, begin, {.dims = 3, .voxel_size = {size, size, size, 1}}, executor,
           voxels);
  return std::move(voxels.coords);
}

Coords halved(Coords sites, int times, Executor& executor) {
  const KernelShape halve{.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}};
  for (int i = 0; i < times; ++i) {
    Coords coarse;
    downsample(sites, halve, executor, coarse);
    sites = std::move(coarse);
  }
  return sites;
}

std::vector<float> random_floats(std::int64_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

}  // namespace rarefy::cli::bench
