#include "bench_cuda.h"
#include "data/formats/formats.h"
#include "kernels/cuda/kernel_map.h"
#include "kernels/cuda/sites.h"
#include "measure/input.h"

namespace rarefy::bench_cuda {
namespace {

constexpr int kLevels = 5;

KernelShape kernel_of(std::int32_t size, std::int32_t stride) {
  KernelShape kernel;
  kernel.size = {size, size, size, 1};
  kernel.stride = {stride, stride, stride, 1};
  return kernel;
}

/// The levels of CenterPoint: sites on a grid from 0, padded kernels, rows read before each level.
void bench_padded(Matrix<const float> points, const Options& options, cuda::Stream stream, Json& json, Json& ms) {
  VoxelizeOptions grid;
  grid.voxel_size = {0.075f, 0.075f, 0.2f, 1.0f};
  grid.origin = grid.crop_min = {-54.0f, -54.0f, -5.0f, 0.0f};
  grid.crop_max = {54.0f, 54.0f, 3.0f, 1.0f};
  const std::vector<std::int64_t> begin{0, points.rows};
  cuda::PointVoxels voxels;
  cuda::voxelize(points, begin, grid, stream, voxels);
  cuda::PinnedBuffer pinned;
  std::vector<cuda::Sites> levels(3);
  const auto level = [&](std::size_t l) { return l == 0 ? &voxels.sites : &levels[l - 1]; };
  cuda::Sites* const finest[] = {level(0)};
  cuda::read_rows(finest, pinned, stream);
  ms["downsample_padded"] = device_ms(
      [&] {
        Extent cells{1440, 1440, 41, 0};
        for (std::size_t l = 1; l <= levels.size(); ++l) {
          KernelShape kernel = kernel_of(3, 2);
          kernel.rule = CoordinateRule::padded;
          kernel.padding = {1, 1, l == levels.size() ? 0 : 1, 0};
          for (std::size_t a = 0; a < 3; ++a)
            kernel.cells[a] = cells[a] = (cells[a] + 2 * kernel.padding[a] - 3) / 2 + 1;
          cuda::downsample(*level(l - 1), kernel, stream, *level(l));
          cuda::Sites* const made[] = {level(l)};
          cuda::read_rows(made, pinned, stream);
        }
      },
      options.repetitions, stream);
  for (std::size_t l = 0; l <= levels.size(); ++l) json["padded_rows"].push_back(level(l)->rows);
}

}  // namespace

Json bench_geometry(const Options& options, const std::string& path) {
  const Scan scan = load_scan(path, {});
  const std::vector<float> points = cli::bench::interleaved(scan);
  const std::int64_t count = scan.size();
  const std::vector<std::int64_t> begin{0, count};
  const cuda::OwnStream own;
  const cuda::Stream stream = own.get();
  cuda::DeviceBuffer on_device, features;
  const auto bytes = static_cast<std::int64_t>(points.size() * sizeof(float));
  on_device.reserve(bytes);
  const auto time = [&](const std::function<void()>& work) { return device_ms(work, options.repetitions, stream); };
  Json json = {{"points", count}}, ms = Json::object();
  ms["upload"] = time([&] { cuda::copy_to_device(on_device.data(), points.data(), bytes, stream); });
  const Matrix<const float> matrix(on_device.as<float>(), count, 4);
  cuda::PointVoxels voxels;
  ms["voxelize"] = time([&] { cuda::voxelize(matrix, begin, {}, stream, voxels); });
  const Matrix<float> means(features.reserve_for<float>(count * 4), count, 4);
  ms["reduce"] = time([&] { cuda::reduce_to_voxels(voxels, matrix, Reduction::mean, stream, means); });
  std::vector<cuda::Sites> coarser(kLevels - 1);
  const auto sites = [&](int level) -> cuda::Sites& {
    return level == 0 ? voxels.sites : coarser[static_cast<std::size_t>(level - 1)];
  };
  ms["downsample"] = time([&] {
    for (int l = 1; l < kLevels; ++l) cuda::downsample(sites(l - 1), kernel_of(2, 2), stream, sites(l));
  });
  cuda::PinnedBuffer pinned;
  std::vector<cuda::Sites*> all;
  for (int l = 0; l < kLevels; ++l) all.push_back(&sites(l));
  cuda::read_rows(all, pinned, stream);
  for (int l = 0; l < kLevels; ++l) json["rows"].push_back(sites(l).rows);
  std::vector<cuda::DeviceMap> same(kLevels), down(kLevels - 1), up(kLevels - 1);
  const auto at = [](int l) { return static_cast<std::size_t>(l); };
  ms["maps"] = time([&] {
    for (int l = 0; l < kLevels; ++l) cuda::build_kernel_map(sites(l), sites(l), kernel_of(3, 1), stream, same[at(l)]);
  });
  ms["strided_maps"] = time([&] {
    for (int l = 0; l + 1 < kLevels; ++l) {
      cuda::build_kernel_map(sites(l), sites(l + 1), kernel_of(2, 2), stream, down[at(l)]);
      cuda::transpose_map(down[at(l)], stream, up[at(l)]);
    }
  });
  for (const int splits : {1, 2, 3})
    ms["sort_" + std::to_string(splits)] = time([&] {
      for (auto& map : same) cuda::sort_map(map, splits, stream);
    });
  ms["sort_strided"] = time([&] {
    for (auto* maps : {&down, &up})
      for (auto& map : *maps) cuda::sort_map(map, 1, stream);
  });
  // As a network does it: all maps at once, with the splits that are fastest.
  std::vector<cuda::MapRequest> built;
  std::vector<cuda::TransposeRequest> transposed;
  std::vector<cuda::DeviceMap*> maps;
  std::vector<int> splits;
  for (int l = 0; l < kLevels; ++l) built.push_back({&sites(l), &sites(l), kernel_of(3, 1), &same[at(l)]});
  for (int l = 0; l + 1 < kLevels; ++l) built.push_back({&sites(l), &sites(l + 1), kernel_of(2, 2), &down[at(l)]});
  for (int l = 0; l + 1 < kLevels; ++l) transposed.push_back({&down[at(l)], &up[at(l)]});
  for (auto* group : {&same, &down, &up})
    for (auto& map : *group) {
      maps.push_back(&map);
      splits.push_back(cuda::default_splits(map.out_rows, map.volume));
    }
  cuda::DeviceBuffer scratch;
  ms["build_together"] = time([&] {
    cuda::build_kernel_maps(built, stream);
    cuda::transpose_maps(transposed, stream);
  });
  ms["sort_together"] = time([&] { cuda::sort_maps(maps, splits, stream, scratch); });
  bench_padded(matrix, options, stream, json, ms);
  json["ms"] = std::move(ms);
  return json;
}

}  // namespace rarefy::bench_cuda
