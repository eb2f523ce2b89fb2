#include "oracle/sparse.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace rarefy::oracle {
namespace {

std::vector<Site> all_offsets(const KernelShape& kernel);

/// Offsets of a kernel along one axis, in units of the input's stride.
std::vector<std::int64_t> axis_offsets(const KernelShape& kernel, int axis) {
  std::vector<std::int64_t> offsets;
  if (!kernel.offsets.empty()) {
    for (const Site& offset : all_offsets(kernel)) offsets.push_back(offset[1 + axis]);
    return offsets;
  }
  for (std::int64_t step = 0; step < kernel.size[axis]; ++step) {
    if (kernel.rule == CoordinateRule::padded) {
      offsets.push_back(step * kernel.dilation[axis] - kernel.padding[axis]);
    } else if (kernel.size[axis] % 2 == 1) {
      offsets.push_back((step - kernel.size[axis] / 2) * kernel.dilation[axis]);
    } else {
      offsets.push_back(step * kernel.dilation[axis]);
    }
  }
  return offsets;
}

/// All offsets, last axis fastest; entry 0 (batch) and unused axes are 0.
std::vector<Site> all_offsets(const KernelShape& kernel) {
  std::vector<Site> result{Site{}};
  if (!kernel.offsets.empty()) {
    result.clear();
    for (std::size_t i = 0; i < kernel.offsets.size(); i += kernel.dims) {
      result.emplace_back();
      for (int a = 0; a < kernel.dims; ++a)
        result.back()[1 + a] = kernel.offsets[i + a] * kernel.dilation[a] -
                               (kernel.rule == CoordinateRule::padded ? kernel.padding[a] : 0);
    }
    return result;
  }
  for (int a = 0; a < kernel.dims; ++a) {
    std::vector<Site> longer;
    for (const Site& prefix : result) {
      for (const std::int64_t offset : axis_offsets(kernel, a)) {
        longer.push_back(prefix);
        longer.back()[1 + a] = offset;
      }
    }
    result = longer;
  }
  return result;
}

Site moved(Site site, const Site& offset, const Extent& unit, int dims, int sign) {
  for (int a = 0; a < dims; ++a) site[1 + a] += sign * offset[1 + a] * unit[a];
  return site;
}

}  // namespace

std::vector<Site> sites(const Coords& coords) {
  const std::size_t width = static_cast<std::size_t>(coords.dims) + 1;
  std::vector<std::int32_t> rows(coords.keys.size() * width);
  write_coords(coords, rows.data());
  std::vector<Site> result(coords.keys.size(), Site{});
  for (std::size_t r = 0; r < result.size(); ++r) std::copy_n(rows.data() + r * width, width, result[r].begin());
  return result;
}

std::vector<Pair> pairs(const KernelMap& map) {
  std::vector<Pair> result;
  for (std::int64_t s = 0; s < map.blocks() * map.volume; ++s) {
    for (std::int64_t p = map.begin[s]; p < map.begin[s + 1]; ++p) {
      result.push_back({s / map.volume, s % map.volume, map.out_row[p], map.in_row[p]});
    }
  }
  return result;
}

std::vector<Pair> kernel_pairs(const std::vector<Site>& in, const std::vector<Site>& out, const KernelShape& kernel,
                               const Extent& in_stride) {
  std::map<Site, std::int64_t> row_of;
  for (std::size_t i = 0; i < in.size(); ++i) row_of[in[i]] = static_cast<std::int64_t>(i);
  const std::vector<Site> offsets = all_offsets(kernel);
  std::vector<Pair> result;
  for (std::size_t o = 0; o < out.size(); ++o) {
    for (std::size_t k = 0; k < offsets.size(); ++k) {
      const auto found = row_of.find(moved(out[o], offsets[k], in_stride, kernel.dims, 1));
      if (found == row_of.end()) continue;
      const auto row = static_cast<std::int64_t>(o);
      result.push_back({row / 256, static_cast<std::int64_t>(k), row, found->second});
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<Site> downsample(const std::vector<Site>& in, const KernelShape& kernel, const Extent& in_stride) {
  std::set<Site> result;
  if (kernel.rule == CoordinateRule::block) {
    for (Site site : in) {
      for (int a = 0; a < kernel.dims; ++a) {
        const std::int64_t stride = std::int64_t{in_stride[a]} * kernel.stride[a];
        while (site[1 + a] % stride != 0) --site[1 + a];
      }
      result.insert(site);
    }
    return {result.begin(), result.end()};
  }
  if (in.empty()) return {};
  const std::set<Site> present(in.begin(), in.end());
  const std::vector<Site> offsets = all_offsets(kernel);
  Site low = in[0];
  Site high = in[0];
  for (const Site& site : in) {
    for (std::size_t f = 0; f < site.size(); ++f) {
      low[f] = std::min(low[f], site[f]);
      high[f] = std::max(high[f], site[f]);
    }
  }
  std::vector<Site> candidates{Site{}};
  for (int f = 0; f <= kernel.dims; ++f) {
    std::vector<Site> longer;
    for (const Site& prefix : candidates) {
      const std::int64_t reach = f == 0 ? 0 : 64 * in_stride[f - 1];
      const std::int64_t stride = f == 0 ? 1 : std::int64_t{in_stride[f - 1]} * kernel.stride[f - 1];
      for (std::int64_t v = low[f] - reach; v <= high[f] + reach; ++v) {
        if (v % stride != 0) continue;
        const std::int64_t cells = f == 0 ? 0 : kernel.cells[f - 1];
        if (cells > 0 && (v < 0 || v / stride >= cells)) continue;
        // Keep what some input can reach along this axis alone, or the box of four dimensions is too large to try.
        bool reachable = f == 0;
        if (f > 0) {
          for (const std::int64_t offset : axis_offsets(kernel, f - 1)) {
            for (const Site& site : in) reachable |= site[f] == v + offset * in_stride[f - 1];
          }
        }
        if (!reachable) continue;
        longer.push_back(prefix);
        longer.back()[f] = v;
      }
    }
    candidates = longer;
  }
  for (const Site& site : candidates) {
    for (const Site& offset : offsets) {
      if (present.count(moved(site, offset, in_stride, kernel.dims, 1)) != 0) result.insert(site);
    }
  }
  return {result.begin(), result.end()};
}

std::vector<Site> generate(const std::vector<Site>& in, const KernelShape& kernel, const Extent& in_stride) {
  Extent unit = in_stride;
  for (int a = 0; a < kernel.dims; ++a) unit[a] /= kernel.stride[a];
  std::set<Site> result;
  for (const Site& site : in) {
    for (const Site& offset : all_offsets(kernel)) result.insert(moved(site, offset, unit, kernel.dims, 1));
  }
  return {result.begin(), result.end()};
}

VoxelMap voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin,
                  const VoxelizeOptions& options) {
  VoxelMap result;
  const std::int64_t limit = key_layout(options.dims).limit;
  for (std::size_t b = 0; b + 1 < sample_begin.size(); ++b) {
    std::vector<std::pair<Site, std::int64_t>> kept;
    Site low;
    low.fill(std::int64_t{1} << 40);
    for (std::int64_t p = sample_begin[b]; p < sample_begin[b + 1]; ++p) {
      Site site{};
      site[0] = static_cast<std::int64_t>(b);
      bool finite = true;
      bool inside = true;
      for (int a = 0; a < options.dims; ++a) {
        const float x = points(p, a);
        finite = finite && std::isfinite(x);
        inside = inside && x >= options.crop_min[a] && x < options.crop_max[a];
        const float moved_x = x - options.origin[a];
        const float quotient = moved_x / options.voxel_size[a];
        const float rounded = options.rounding == Rounding::floor ? std::floor(quotient) : std::rint(quotient);
        inside = inside && rounded >= static_cast<double>(-limit) && rounded < static_cast<double>(limit);
        site[1 + a] = inside ? static_cast<std::int64_t>(rounded) : 0;
      }
      result.not_finite += !finite;
      result.outside += finite && !inside;
      if (!finite || !inside) continue;
      kept.emplace_back(site, p);
      for (int a = 0; a < options.dims; ++a) low[1 + a] = std::min(low[1 + a], site[1 + a]);
    }
    for (auto& [site, p] : kept) {
      bool fits = true;
      for (int a = 0; a < options.dims && options.rounding == Rounding::round_minus_min; ++a) {
        site[1 + a] -= low[1 + a];
        fits = fits && site[1 + a] < limit;
      }
      result.outside += !fits;
      if (fits) result.voxels[site].push_back(p);
    }
  }
  return result;
}

}  // namespace rarefy::oracle
