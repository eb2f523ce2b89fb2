// After the largest scan seen, geometry allocates nothing: every allocation of this program is counted.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sparse/kernel_map.h"
#include "sparse/voxelize.h"
#include "support/count_allocations.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

struct Geometry {
  Voxels voxels;
  Coords strided;
  Coords padded;
  Coords generated;
  KernelMap same;
  KernelMap down;
  KernelMap up;
  KernelMap dilated;

  void run(const std::vector<float>& points, Executor& executor) {
    const auto n = static_cast<std::int64_t>(points.size() / 3);
    const std::int64_t begin[] = {0, n / 2, n};
    const KernelShape halve{.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}};
    const KernelShape pad{.stride = {2, 2, 2, 1}, .padding = {1, 1, 1, 0}, .rule = CoordinateRule::padded};
    voxelize({points.data(), n, 3}, begin, {.voxel_size = {0.2f, 0.2f, 0.2f, 1.0f}}, executor, voxels);
    downsample(voxels.coords, halve, executor, strided);
    downsample(voxels.coords, pad, executor, padded);
    generate(strided, halve, executor, generated);
    build_kernel_map(voxels.coords, voxels.coords, {}, executor, same);
    build_kernel_map(voxels.coords, strided, halve, executor, down);
    transpose_map(down, executor, up);
    build_kernel_map(voxels.coords, voxels.coords, {.dilation = {1, 1, 2, 1}}, executor, dilated);
  }
};

std::vector<float> cloud(std::uint64_t seed, int points) {
  Rng rng(seed);
  std::vector<float> values;
  for (int p = 0; p < points; ++p) {  // a rough surface, so that there are neighbours
    const double x = rng.uniform(-10.0, 10.0);
    const double y = rng.uniform(-10.0, 10.0);
    for (const double v : {x, y, std::sin(x) * std::cos(y) + 0.1 * rng.normal()})
      values.push_back(static_cast<float>(v));
  }
  return values;
}

TEST(SteadyState, allocates_nothing_after_the_largest_scan) {
  const auto pool = make_thread_pool(2);
  const std::vector<float> largest = cloud(1, 20000);
  for (Executor* executor : {&serial_executor(), pool.get()}) {
    Geometry geometry;
    geometry.run(largest, *executor);
    const std::int64_t before = test::allocations.load();
    for (int round = 0; round < 3; ++round) geometry.run(largest, *executor);
    EXPECT_EQ(test::allocations.load() - before, 0);
    for (std::uint64_t seed = 2; seed < 5; ++seed) {
      const std::vector<float> smaller = cloud(seed, 8000);
      const std::int64_t here = test::allocations.load();
      geometry.run(smaller, *executor);
      EXPECT_EQ(test::allocations.load() - here, 0);
    }
  }
}

}  // namespace
}  // namespace rarefy
