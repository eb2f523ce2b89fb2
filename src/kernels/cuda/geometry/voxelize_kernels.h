#pragma once
/// The steps of voxelization on the device.
#include <array>
#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"
#include "sparse/coords.h"

namespace rarefy::cuda::geometry {

/// Keys of a box of positions: order-preserving, with no more bits than the box needs, so that sorting takes few
/// passes. Never all ones: that is no site.
struct KeyPacking {
  int dims = 0;
  Extent low{};  ///< smallest position of the box
  std::array<int, kMaxDims> shift{};
  std::array<std::uint32_t, kMaxDims> mask{};
  int batch_shift = 0;
};
/// Both ends are within the valid range.
KeyPacking pack_box(int dims, const Extent& low, const Extent& high);

struct PointSet {
  const float* points = nullptr;
  std::int64_t rows = 0;
  std::int64_t row_stride = 0;
  const std::int32_t* sample_begin = nullptr;  ///< [samples + 1] on the device
  std::int64_t samples = 0;
};

struct Grid {
  std::array<float, kMaxDims> voxel_size{};
  std::array<float, kMaxDims> origin{};
  std::array<float, kMaxDims> crop_min{};
  std::array<float, kMaxDims> crop_max{};
  float limit = 0.0f;  ///< of valid positions, as KeyLayout::limit
};

enum class Rule : std::uint8_t { floor, round };

/// keys[p]: the voxel of point p in the box, or all ones; index[p] = p. Adds to counters: not finite, outside.
/// @param minima  [samples, dims] set to the smallest field (position - low) of those kept; rule round only, preset to
/// all ones
void quantize(const PointSet& points, const Grid& grid, Rule rule, const KeyPacking& packing, Stream stream,
              std::uint64_t* keys, std::int32_t* index, std::int32_t* counters, std::uint32_t* minima);
/// Moves each sample so that its minima become 0. Positions above `highest` are dropped, and counted as outside.
void subtract_minima(const KeyPacking& from, const KeyPacking& to, std::uint32_t highest, const std::uint32_t* minima,
                     std::int64_t count, Stream stream, std::uint64_t* keys, std::int32_t* counters);

struct SortedPoints {
  const std::uint64_t* keys = nullptr;  ///< [P] sorted, packed
  const std::int32_t* order = nullptr;  ///< [P] the points that they are of
  std::int64_t size = 0;                ///< P
};
struct VoxelTables {
  std::uint64_t* keys = nullptr;           ///< [P] of sites, unpacked; all ones beyond the count
  std::int32_t* count = nullptr;           ///< [2]
  std::int32_t* point_begin = nullptr;     ///< [P + 1]
  std::int32_t* voxel_of_point = nullptr;  ///< [P]
};
/// @param tile_counts  of the sorted keys, by count_heads
void write_voxels(const SortedPoints& from, const KeyPacking& packing, const KeyLayout& layout,
                  const std::int32_t* tile_counts, Stream stream, const VoxelTables& to);

/// Copies host values to the device as arguments of launches: the host's memory may go at once, nothing waits, and a
/// captured graph keeps the values.
void store_begins(std::span<const std::int64_t> begins, Stream stream, std::int32_t* to);

}  // namespace rarefy::cuda::geometry
