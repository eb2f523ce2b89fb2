#pragma once
/// Kernel maps on the device: per offset and output row the input row, or -1. The same pairs as on the CPU
/// (sparse/kernel_map.h).
///
/// Sorted form, for implicit GEMM: the K offsets are cut into `splits` ranges of at most 32; per range, output rows are
/// sorted by the mask of offsets under which they have a pair (equal masks keep their order), so that tiles of
/// neighbouring rows can skip offsets. Source: TorchSparse++, MICRO 2023, section 3; spconv 2 (mask split implicit
/// GEMM).
#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"
#include "kernels/cuda/sites.h"
#include "sparse/kernel_map.h"
#include "sparse/point_voxel.h"

namespace rarefy::cuda {

/// What kernels see of a map. Pointers to device memory.
struct MapView {
  static constexpr int kMaskRows = 32;    ///< rows that share one mask
  static constexpr int kMostSplits = 12;  ///< 7 x 7 x 7 offsets in ranges of 32
  std::int64_t in_rows = 0;
  std::int64_t out_rows = 0;
  std::int64_t ld = 0;  ///< columns of the tables: out_rows rounded up to a multiple of 128; columns beyond hold -1
  int volume = 0;       ///< K
  int splits = 1;       ///< range s is offsets [first(s), first(s + 1))
  const std::int32_t* in_row = nullptr;  ///< [K, ld] column i of offset k: input row, or -1
  const std::int32_t* order = nullptr;   ///< [splits, ld] output row of column i in range s; null = i; beyond: -1
  const std::uint32_t* masks =
      nullptr;  ///< [splits, ld / kMaskRows] bit k - first(s): some of these columns has a pair

  int first(int split) const { return split * volume / splits; }
};

struct DeviceMap {
  std::int64_t in_rows = 0;
  std::int64_t out_rows = 0;
  std::int64_t ld = 0;
  int volume = 0;
  int splits = 0;       ///< of the sorted form; 0: there is none
  DeviceBuffer in_row;  ///< int32 [K, ld], columns in the order of the output rows
  DeviceBuffer pairs;   ///< int64 [1] their number
  DeviceBuffer sorted;  ///< int32 [K, ld]
  DeviceBuffer order;   ///< int32 [splits, ld]
  DeviceBuffer masks;   ///< uint32 [splits, ld / 32]
  DeviceBuffer scratch;

  MapView plain() const;    ///< rows in their own order; masks are those of `masks` only when not sorted: null
  MapView by_mask() const;  ///< the sorted form
  std::int64_t memory_bytes() const;
};

/// For building many maps with the launches of one: most maps take less time than their launches.
struct MapRequest {
  const Sites* in = nullptr;
  const Sites* out = nullptr;
  KernelShape kernel;
  DeviceMap* map = nullptr;
};
void build_kernel_maps(std::span<const MapRequest> requests, Stream stream);
struct TransposeRequest {
  const DeviceMap* from = nullptr;  ///< none of the other requests' `to`
  DeviceMap* to = nullptr;
};
void transpose_maps(std::span<const TransposeRequest> requests, Stream stream);

/// As rarefy::build_kernel_map; sites' rows must be known to the host.
void build_kernel_map(const Sites& in, const Sites& out, const KernelShape& kernel, Stream stream, DeviceMap& map);
/// As rarefy::transpose_map.
void transpose_map(const DeviceMap& map, Stream stream, DeviceMap& out);
/// Makes the sorted form. @param splits  at least 1 and enough for 32 offsets each (raised silently to that)
void sort_map(DeviceMap& map, int splits, Stream stream);
/// The same for many maps, with the launches of one: as long as the ranges' masks together take few bits, one sort puts
/// all of them in order. @param splits  one number per map
void sort_maps(std::span<DeviceMap* const> maps, std::span<const int> splits, Stream stream, DeviceBuffer& scratch);
/// The number of splits that is fastest, by measurement, enough for 32 offsets each.
int default_splits(std::int64_t out_rows, std::int64_t volume);

/// Copies numbers of 8 bytes (such as the pairs of maps) from anywhere on the device to page-locked memory by one
/// launch. Does not wait.
void gather_numbers(std::span<std::int64_t* const> numbers, Stream stream, std::int64_t* host);

/// For rarefy::locate and make_interpolation: positions are sites (point positions: float32 [P, >= dims], divided by
/// voxel_size).
struct DevicePositions {
  const Sites* sites = nullptr;
  Matrix<const float> points = {};
  const std::int32_t* sample_of_point = nullptr;  ///< [P] on the device; null = all in sample 0
  std::array<float, kMaxDims> voxel_size{1, 1, 1, 1};
};
/// rows: int32 [P], -1 where there is no such site.
void locate(const DevicePositions& from, const Sites& to, Stream stream, std::int32_t* rows);
/// row: int32 [P, 2^D], weight: float [P, 2^D], as rarefy::Interpolation.
void make_interpolation(const DevicePositions& at, const Sites& to, MissingNeighbours missing, Stream stream,
                        std::int32_t* row, float* weight);

/// Inverse of an index: positions (ascending) of each target row, as Voxels.point_order and point_begin. For means over
/// located rows and the gradient of gather.
/// @param index int32 [P] on the device; begin int32 [targets + 1], order int32 [P] (first begin[targets] are used)
void invert_index(const std::int32_t* index, std::int64_t count, std::int64_t targets, Stream stream,
                  DeviceBuffer& scratch, std::int32_t* begin, std::int32_t* order);

}  // namespace rarefy::cuda
