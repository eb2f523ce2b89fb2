#pragma once
/// Slow, obvious versions of what src/sparse does: maps and nested loops, no keys, no order to rely on.
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "sparse/kernel_map.h"
#include "sparse/voxelize.h"

namespace rarefy::oracle {

/// (batch, x, y, z, t) in finest units; unused axes are 0. Ordered as rows of a sparse tensor are.
using Site = std::array<std::int64_t, 1 + kMaxDims>;

/// Sites of coordinates, read through write_coords.
std::vector<Site> sites(const Coords& coords);

/// The pairs of a kernel map, in the order of KernelMap.
struct Pair {
  std::int64_t block;
  std::int64_t offset;
  std::int64_t out;
  std::int64_t in;
  auto operator<=>(const Pair&) const = default;
};
std::vector<Pair> pairs(const KernelMap& map);
std::vector<Pair> kernel_pairs(const std::vector<Site>& in, const std::vector<Site>& out, const KernelShape& kernel,
                               const Extent& in_stride);

/// Output sites of a strided convolution: the padded rule tries every site of the box that outputs could be in.
std::vector<Site> downsample(const std::vector<Site>& in, const KernelShape& kernel, const Extent& in_stride);
/// Sites of a generative transposed convolution.
std::vector<Site> generate(const std::vector<Site>& in, const KernelShape& kernel, const Extent& in_stride);

/// Voxels with their points, in input order.
struct VoxelMap {
  std::map<Site, std::vector<std::int64_t>> voxels;
  std::int64_t not_finite = 0;
  std::int64_t outside = 0;
};
VoxelMap voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin,
                  const VoxelizeOptions& options);

}  // namespace rarefy::oracle
