// Voxelization, kernel maps, features between points and voxels.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>

#include "self_check/reference.h"
#include "sparse/voxelize.h"

namespace rarefy::self_check {
namespace {

/// Share of a's entries that differ from b's; 1 when there are more of one.
template <class T>
double differing(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return 1;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < a.size(); ++i) wrong += !(a[i] == b[i]);
  return a.empty() ? 0 : static_cast<double>(wrong) / static_cast<double>(a.size());
}

std::string text_of(const KernelShape& k) {
  return std::to_string(k.size[0]) + "x" + std::to_string(k.size[1]) + "x" + std::to_string(k.size[2]) +
         (k.stride[0] > 1 ? " with stride " + std::to_string(k.stride[0]) : "") +
         (k.dilation[0] > 1 ? " with dilation " + std::to_string(k.dilation[0]) : "") +
         (k.rule == CoordinateRule::padded ? ", padded" : "");
}

void check_map(const std::vector<Site>& in, const KernelShape& kernel, Check& maps, Check& sites, Check& transposed) {
  const auto pool = make_thread_pool(2);
  const Coords coords = coords_of(in);
  const bool submanifold = kernel.stride == Extent{1, 1, 1, 1};
  Coords coarse;
  if (!submanifold) {
    downsample(coords, kernel, *pool, coarse);
    sites.add(differing(sites_of(coarse), strided_sites(in, kernel)), text_of(kernel));
  }
  const Coords& out = submanifold ? coords : coarse;
  const auto expected = find_pairs(in, sites_of(out), kernel);
  for (Executor* executor : {&serial_executor(), pool.get()}) {
    KernelMap map, back;
    build_kernel_map(coords, out, kernel, *executor, map);
    maps.add(differing(pairs_of(map), expected), text_of(kernel));
    transpose_map(map, *executor, back);
    auto exchanged = expected;
    for (Pair& p : exchanged) std::swap(p.in, p.out);
    std::sort(exchanged.begin(), exchanged.end());
    transposed.add(differing(pairs_of(back), exchanged), text_of(kernel));
  }
}

constexpr float kEdge = 0.3f;

struct Cloud {
  Rows points{4000, 5};
  std::vector<std::int32_t> voxel_of_point;
  std::vector<Site> sites;

  explicit Cloud(Rng& rng) {
    points.normal(rng);
    points.view()(17, 1) = std::numeric_limits<float>::quiet_NaN();
    points.view()(18, 2) = std::numeric_limits<float>::infinity();
    points.view()(19, 0) = 1e9f;
    std::map<Site, std::vector<std::size_t>> voxels;
    for (std::size_t p = 0; p < 4000; ++p) {
      Site site{};
      bool valid = true;
      for (std::size_t a = 0; a < 3; ++a) {
        const float cell =
            std::floor(points.view()(static_cast<std::int64_t>(p), static_cast<std::int64_t>(a)) / kEdge);
        valid = valid && std::abs(cell) < 100000.0f;
        site[1 + a] = valid ? static_cast<std::int32_t>(cell) : 0;
      }
      if (valid) voxels[site].push_back(p);
    }
    voxel_of_point.assign(4000, -1);
    for (const auto& [site, members] : voxels) {
      for (const std::size_t p : members) voxel_of_point[p] = static_cast<std::int32_t>(sites.size());
      sites.push_back(site);
    }
  }
  /// Mean or maximum of the points of each voxel.
  Values reduced(Reduction reduction) {
    Values y(static_cast<std::int64_t>(sites.size()) * 5);
    std::vector<std::int64_t> seen(sites.size(), 0);
    for (std::int64_t p = 0; p < 4000; ++p) {
      const std::int64_t v = voxel_of_point[static_cast<std::size_t>(p)];
      if (v < 0) continue;
      const bool first = seen[static_cast<std::size_t>(v)]++ == 0;
      for (std::int64_t c = 0; c < 5; ++c) {
        const double value = points.view()(p, c);
        double& sum = y.value[static_cast<std::size_t>(v * 5 + c)];
        if (reduction == Reduction::mean) {
          y.add(v * 5 + c, value);
        } else if (first || (reduction == Reduction::max && value > sum)) {
          sum = value;
        }
      }
    }
    for (std::size_t i = 0; i < y.value.size() && reduction == Reduction::mean; ++i) {
      y.value[i] /= static_cast<double>(seen[i / 5]);
      y.magnitude[i] /= static_cast<double>(seen[i / 5]);
    }
    return y;
  }
};

void check_voxelization(Check& voxelization, Check& features) {
  Rng rng(0x70E1);
  Cloud cloud(rng);
  const std::int64_t begin[] = {0, 4000};
  const auto pool = make_thread_pool(2);
  for (Executor* executor : {&serial_executor(), pool.get()}) {
    Voxels voxels;
    voxelize(cloud.points.view(), begin, {.dims = 3, .voxel_size = {kEdge, kEdge, kEdge, 1}}, *executor, voxels);
    voxelization.add(differing(sites_of(voxels.coords), cloud.sites), "sites");
    voxelization.add(differing(voxels.voxel_of_point, cloud.voxel_of_point), "voxels of points");
    for (const auto& [reduction, name] :
         {std::pair(Reduction::mean, "mean"), std::pair(Reduction::max, "max"), std::pair(Reduction::first, "first")}) {
      Rows y(voxels.coords.rows(), 5);
      reduce_to_voxels(voxels, cloud.points.view(), reduction, *executor, y.view());
      features.add(y.intact() ? relative_error(y.view(), cloud.reduced(reduction)) : HUGE_VAL, name);
    }
    Rows back(4000, 3);
    Rows x(voxels.coords.rows(), 3);
    x.normal(rng);
    gather_rows(voxels.voxel_of_point, x.view(), -1.0f, *executor, back.view());
    Values expected(4000 * 3);
    for (std::int64_t p = 0; p < 4000; ++p) {
      const std::int32_t v = cloud.voxel_of_point[static_cast<std::size_t>(p)];
      for (std::int64_t c = 0; c < 3; ++c) expected.add(p * 3 + c, v < 0 ? -1.0 : double{x.view()(v, c)});
    }
    features.add(back.intact() ? relative_error(back.view(), expected) : HUGE_VAL, "back to points");
  }
}

}  // namespace

Report check_sparse() {
  Report report{"sparse", "portable", true, {}, {}};
  for (const char* name : {"kernel maps", "strided sites", "transposed maps", "voxelization"})
    report.checks.push_back({name, 0, 0, 0, {}});
  report.checks.push_back({"point features", 0, 0, 1e-6, {}});
  Rng rng(0x5BA2);
  for (int round = 0; round < 3; ++round) {
    const std::vector<Site> sites = make_sites(rng);
    for (const KernelShape& kernel : {
             KernelShape{},
             KernelShape{.size = {5, 5, 5, 1}},
             KernelShape{.size = {1, 3, 2, 1}},
             KernelShape{.dilation = {2, 2, 2, 1}},
             KernelShape{.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}},
             KernelShape{.stride = {2, 2, 2, 1}},
             KernelShape{.stride = {2, 2, 2, 1}, .padding = {1, 1, 1, 0}, .rule = CoordinateRule::padded},
         })
      check_map(sites, kernel, report.checks[0], report.checks[1], report.checks[2]);
  }
  check_voxelization(report.checks[3], report.checks[4]);
  return report;
}

}  // namespace rarefy::self_check
