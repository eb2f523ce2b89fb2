#pragma once
/// Coordinates on the device: the same sorted keys, in the same order, as on the CPU (sparse/coords.h), made by radix
/// sort. All work is queued on the stream; nothing here waits for the device unless it says so.
///
/// How many rows there are is decided on the device. Until the host has read it (`read_rows`), `rows` is -1 and
/// `capacity` bounds it; kernels read the count from device memory.
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/device.h"
#include "rarefy/tensor.h"
#include "sparse/coords.h"
#include "sparse/kernel_map.h"
#include "sparse/voxelize.h"

namespace rarefy::cuda {

/// A sorted set of sites. Rows at and beyond the count hold ~0, up to `capacity`.
struct Sites {
  int dims = 3;
  Extent stride{1, 1, 1, 1};
  std::int64_t batches = 1;
  std::int64_t capacity = 0;
  std::int64_t rows = -1;  ///< -1: known on the device only
  DeviceBuffer keys;       ///< uint64 [capacity]
  DeviceBuffer count;      ///< int32 [2]: rows; number of sites that left the range of valid coordinates
  DeviceBuffer scratch;    ///< working memory
  DeviceBuffer unsorted;   ///< uint64, working memory

  const std::uint64_t* key() const { return keys.as<std::uint64_t>(); }
  std::int64_t memory_bytes() const {
    return keys.capacity() + count.capacity() + scratch.capacity() + unsorted.capacity();
  }
};

/// What voxelization made of points, as Voxels (sparse/voxelize.h) on the device.
struct PointVoxels {
  Sites sites;                  ///< [V]
  std::int64_t points = 0;      ///< P
  DeviceBuffer voxel_of_point;  ///< int32 [P], -1: dropped
  DeviceBuffer point_order;     ///< int32 [kept] points sorted by voxel, in input order within a voxel
  DeviceBuffer point_begin;     ///< int32 [V + 1]
  DeviceBuffer counters;        ///< int32 [2]: not finite, outside
  DeviceBuffer scratch[4];      ///< working memory
  std::int64_t memory_bytes() const;
};

/// As rarefy::voxelize, bit for bit, for Rounding::floor and round_minus_min.
/// @param points  float32 on the device, [P, >= dims]; row_stride in elements
/// @param sample_begin  [B+1] on the host; copied before the call returns
/// @throws UsageError as on the CPU
void voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin, const VoxelizeOptions& options,
              Stream stream, PointVoxels& out);

/// As rarefy::reduce_to_voxels, the same bits: x [P, C] and y [V, C] float32 on the device. Grid sized by the capacity
/// of the sites; rows beyond the count are not touched. Not for sums.
void reduce_to_voxels(const PointVoxels& voxels, Matrix<const float> x, Reduction reduction, Stream stream,
                      Matrix<float> y);

/// Sites of caller's rows (batch, x, y, ...) int32 [N, 1 + dims] on the device, in any order.
/// @param order  int32 [N] on the device, or null: receives the row of the input that became row i
/// Waits for the device. @throws InputError as make_coords: out of range, off the stride, or two equal rows (named).
void make_sites(const std::int32_t* rows, std::int64_t count, int dims, const Extent& stride, std::int64_t batches,
                Stream stream, Sites& out, std::int32_t* order);

/// As rarefy::downsample, both rules. Sites out of range are counted in out.count[1].
void downsample(const Sites& in, const KernelShape& kernel, Stream stream, Sites& out);
/// As rarefy::generate.
void generate(const Sites& in, const KernelShape& kernel, Stream stream, Sites& out);
/// The capacity that `out` of the above gets, from the rows of `in` that the host knows of (else its capacity): those
/// rows under the block rule, or times the most outputs of one input, and no more than the kernel's `cells`.
std::int64_t downsampled_capacity(const Sites& in, const KernelShape& kernel);
std::int64_t generated_capacity(const Sites& in, const KernelShape& kernel);

/// Queues copies of all counts to the host, waits once, and sets `rows`.
/// @throws InputError when sites left the range of valid coordinates.
void read_rows(std::span<Sites* const> sites, PinnedBuffer& buffer, Stream stream);

/// Copies keys to the host as Coords (batch_begin included). Waits.
void to_host(const Sites& sites, Stream stream, Coords& out);
/// The other way round. `from` may go once the call returns.
void to_device(const Coords& from, Stream stream, Sites& out);

}  // namespace rarefy::cuda
