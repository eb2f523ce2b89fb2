#include <algorithm>

#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/block.h"
#include "kernels/cuda/geometry/search.h"
#include "kernels/cuda/geometry/voxelize_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 256;

__device__ std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

/// Samples without points own none: the last one that begins at or before the point.
__device__ std::int32_t sample_of(const PointSet& set, std::int64_t point) {
  std::int32_t low = 0, high = static_cast<std::int32_t>(set.samples);
  while (high - low > 1) {
    const std::int32_t middle = low + (high - low) / 2;
    if (set.sample_begin[middle] <= point)
      low = middle;
    else
      high = middle;
  }
  return low;
}

struct Kept {
  bool kept = false;
  std::int32_t sample = 0;
};

/// Smallest fields per sample. Mostly a warp's points are of one sample, and one lane speaks for all.
template <int kDims>
__device__ void take_minima(const Kept& point, const std::uint32_t* field, std::uint32_t* minima) {
  const unsigned voters = __ballot_sync(~0U, point.kept);
  if (voters == 0) return;
  const std::int32_t sample = __shfl_sync(~0U, point.sample, __ffs(static_cast<int>(voters)) - 1);
  if (__all_sync(~0U, !point.kept || point.sample == sample)) {
    for (int a = 0; a < kDims; ++a) {
      const unsigned smallest = __reduce_min_sync(~0U, point.kept ? field[a] : ~0U);
      if (threadIdx.x % 32 == 0) atomicMin(minima + static_cast<std::int64_t>(sample) * kDims + a, smallest);
    }
  } else if (point.kept) {
    for (int a = 0; a < kDims; ++a) atomicMin(minima + static_cast<std::int64_t>(point.sample) * kDims + a, field[a]);
  }
}

/// All threads stay to the end: warps and blocks vote.
template <int kDims, Rule kRule>
__global__ void __launch_bounds__(kThreads)
    quantize_kernel(PointSet set, Grid grid, KeyPacking packing, std::uint64_t* keys, std::int32_t* index,
                    std::int32_t* counters, std::uint32_t* minima) {
  const std::int64_t p = thread_index();
  const bool there = p < set.rows;
  bool finite = true, inside = true;
  std::uint32_t field[kDims] = {};
  if (there) {
    const float* x = set.points + p * set.row_stride;
    for (int a = 0; a < kDims; ++a) {
      const float v = x[a];
      finite = finite && isfinite(v);
      inside = inside && v >= grid.crop_min[a] && v < grid.crop_max[a];
      float q = __fdiv_rn(__fsub_rn(v, grid.origin[a]), grid.voxel_size[a]);
      q = kRule == Rule::round ? rintf(q) : floorf(q);
      // The limit is whole: the quotient is in range exactly when its floor is.
      const bool fits = q >= -grid.limit && q < grid.limit;
      inside = inside && fits;
      field[a] = static_cast<std::uint32_t>(fits ? static_cast<std::int32_t>(q) : 0) -
                 static_cast<std::uint32_t>(packing.low[a]);
    }
  }
  Kept point{there && finite && inside, 0};
  const int not_finite = __syncthreads_count(there && !finite);
  const int outside = __syncthreads_count(there && finite && !inside);
  if (threadIdx.x == 0 && not_finite > 0) atomicAdd(counters, not_finite);
  if (threadIdx.x == 0 && outside > 0) atomicAdd(counters + 1, outside);
  if (point.kept && set.samples > 1) point.sample = sample_of(set, p);
  if constexpr (kRule == Rule::round) take_minima<kDims>(point, field, minima);
  if (!there) return;
  std::uint64_t key = static_cast<std::uint64_t>(point.sample) << packing.batch_shift;
  for (int a = 0; a < kDims; ++a) key |= static_cast<std::uint64_t>(field[a]) << packing.shift[a];
  keys[p] = point.kept ? key : kNone;
  index[p] = static_cast<std::int32_t>(p);
}

__global__ void __launch_bounds__(kThreads)
    subtract_minima_kernel(const __grid_constant__ KeyPacking from, const __grid_constant__ KeyPacking to,
                           std::uint32_t highest, const std::uint32_t* minima, std::int64_t count, std::uint64_t* keys,
                           std::int32_t* counters) {
  const std::int64_t p = thread_index();
  const std::uint64_t key = p < count ? keys[p] : kNone;
  bool fits = true;
  if (key != kNone) {
    const std::uint64_t sample = key >> from.batch_shift;
    std::uint64_t moved = sample << to.batch_shift;
    for (int a = 0; a < from.dims; ++a) {
      const std::uint32_t field = static_cast<std::uint32_t>(key >> from.shift[a]) & from.mask[a];
      const std::uint32_t position =
          field - minima[sample * static_cast<unsigned>(from.dims) + static_cast<unsigned>(a)];
      fits = fits && position <= highest;
      moved |= static_cast<std::uint64_t>(position) << to.shift[a];
    }
    keys[p] = fits ? moved : kNone;
  }
  const int outside = __syncthreads_count(!fits);
  if (threadIdx.x == 0 && outside > 0) atomicAdd(counters + 1, outside);
}

__device__ std::uint64_t unpacked(const KeyPacking& packing, const KeyLayout& layout, std::uint64_t key) {
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  std::uint64_t result = key >> packing.batch_shift;
  for (int a = 0; a < packing.dims; ++a) {
    const std::int64_t field = static_cast<std::uint32_t>(key >> packing.shift[a]) & packing.mask[a];
    result = result << layout.axis_bits | static_cast<std::uint64_t>(packing.low[a] + field + bias);
  }
  return result;
}

__global__ void __launch_bounds__(kTile)
    write_voxels_kernel(SortedPoints from, const __grid_constant__ KeyPacking packing, KeyLayout layout,
                        const std::int32_t* tile_counts, VoxelTables to) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const TilePlace place = tile_place(tile_counts, static_cast<int>(gridDim.x), static_cast<int>(blockIdx.x));
  const bool there = i < from.size;
  const std::uint64_t key = there ? from.keys[i] : kNone;
  const bool kept = key != kNone;
  const bool head = kept && (i == 0 || from.keys[i - 1] != key);
  const std::int32_t voxel = place.before + block_rank(head) + (head ? 1 : 0) - 1;
  if (there) to.voxel_of_point[from.order[i]] = kept ? voxel : -1;
  if (there && i >= place.total) to.keys[i] = kNone;
  if (head) {
    to.keys[voxel] = unpacked(packing, layout, key);
    to.point_begin[voxel] = static_cast<std::int32_t>(i);
  }
  const bool last = kept && (i + 1 == from.size || from.keys[i + 1] == kNone);
  if (last) to.point_begin[voxel + 1] = static_cast<std::int32_t>(i + 1);
  if (i != 0) return;
  if (place.total == 0) to.point_begin[0] = 0;
  to.count[0] = place.total;
  to.count[1] = 0;
}

struct Begins {
  static constexpr int kMost = 512;
  std::int32_t values[kMost];
};

__global__ void __launch_bounds__(Begins::kMost) store_begins_kernel(Begins begins, int count, std::int32_t* to) {
  if (static_cast<int>(threadIdx.x) < count) to[threadIdx.x] = begins.values[threadIdx.x];
}

using QuantizeKernel = void (*)(PointSet, Grid, KeyPacking, std::uint64_t*, std::int32_t*, std::int32_t*,
                                std::uint32_t*);
template <Rule kRule>
constexpr QuantizeKernel kQuantize[kMaxDims] = {quantize_kernel<1, kRule>, quantize_kernel<2, kRule>,
                                                quantize_kernel<3, kRule>, quantize_kernel<4, kRule>};

}  // namespace

void quantize(const PointSet& points, const Grid& grid, Rule rule, const KeyPacking& packing, Stream stream,
              std::uint64_t* keys, std::int32_t* index, std::int32_t* counters, std::uint32_t* minima) {
  const QuantizeKernel kernel =
      (rule == Rule::round ? kQuantize<Rule::round> : kQuantize<Rule::floor>)[packing.dims - 1];
  kernel<<<blocks_for(points.rows, kThreads), kThreads, 0, stream>>>(points, grid, packing, keys, index, counters,
                                                                     minima);
  check_launch("rounding points to voxels");
}

void subtract_minima(const KeyPacking& from, const KeyPacking& to, std::uint32_t highest, const std::uint32_t* minima,
                     std::int64_t count, Stream stream, std::uint64_t* keys, std::int32_t* counters) {
  subtract_minima_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(from, to, highest, minima, count, keys,
                                                                               counters);
  check_launch("moving samples to the origin");
}

void write_voxels(const SortedPoints& from, const KeyPacking& packing, const KeyLayout& layout,
                  const std::int32_t* tile_counts, Stream stream, const VoxelTables& to) {
  write_voxels_kernel<<<blocks_for(from.size, kTile), kTile, 0, stream>>>(from, packing, layout, tile_counts, to);
  check_launch("writing voxels");
}

void store_begins(std::span<const std::int64_t> begins, Stream stream, std::int32_t* to) {
  for (std::size_t first = 0; first < begins.size(); first += Begins::kMost) {
    Begins part;
    const std::size_t count = std::min<std::size_t>(Begins::kMost, begins.size() - first);
    for (std::size_t i = 0; i < count; ++i) part.values[i] = static_cast<std::int32_t>(begins[first + i]);
    store_begins_kernel<<<1, Begins::kMost, 0, stream>>>(part, static_cast<int>(count), to + first);
    check_launch("writing where samples begin");
  }
}

}  // namespace rarefy::cuda::geometry
