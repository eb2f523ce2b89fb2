// Figures of a real scan that other implementations agree on. Needs RAREFY_DATA.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "sparse/kernel_map.h"
#include "sparse/voxelize.h"

namespace rarefy {
namespace {

std::vector<float> read_floats(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  std::vector<float> values(static_cast<std::size_t>(file.tellg()) / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

TEST(RealScan, has_the_known_numbers_of_voxels_and_pairs) {
  const char* data = std::getenv("RAREFY_DATA");
  if (data == nullptr) GTEST_SKIP() << "needs a real scan: set RAREFY_DATA to a folder with lidar/kitti/velodyne";
  const std::string path = std::string(data) + "/lidar/kitti/velodyne/000001.bin";
  const std::vector<float> values = read_floats(path);
  if (values.empty()) GTEST_SKIP() << "no scan at " << path;
  const auto points = static_cast<std::int64_t>(values.size() / 4);
  ASSERT_EQ(points, 120268);

  Voxels voxels;
  const std::int64_t sample_begin[] = {0, points};
  voxelize({values.data(), points, 4}, sample_begin, {}, serial_executor(), voxels);
  constexpr std::int64_t kVoxels[] = {90695, 64066, 37870, 18295, 7527};
  constexpr std::int64_t kPairs[] = {301213, 330888, 273098, 165613, 77581};
  const KernelShape down{.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}};
  Coords level = voxels.coords;
  for (int l = 0; l < 5; ++l) {
    EXPECT_EQ(level.rows(), kVoxels[l]) << "level " << l;
    KernelMap map;
    build_kernel_map(level, level, {}, serial_executor(), map);
    EXPECT_EQ(map.pairs(), kPairs[l]) << "level " << l;
    Coords next;
    downsample(level, down, serial_executor(), next);
    build_kernel_map(level, next, down, serial_executor(), map);
    EXPECT_EQ(map.pairs(), level.rows()) << "each site has one parent; level " << l;
    level = next;
  }
}

}  // namespace
}  // namespace rarefy
