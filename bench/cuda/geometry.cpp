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
  json["ms"] = std::move(ms);
  return json;
}

}  // namespace rarefy::bench_cuda
