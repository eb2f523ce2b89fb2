#include "kernels/cuda/error.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 128;  // divides ld: warps are whole

/// As MapView::first.
__device__ int first_of(const Ranges& ranges, int split) { return split * ranges.volume / ranges.splits; }

__device__ std::uint32_t low_bits(int count) { return count >= 32 ? ~0U : (1U << count) - 1; }

__global__ void __launch_bounds__(kThreads) make_masks_kernel(const std::int32_t* __restrict__ in_row, Ranges ranges,
                                                              std::uint32_t* keys, std::int32_t* index) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= ranges.rows) return;
  const int split = static_cast<int>(blockIdx.y), first = first_of(ranges, split);
  const int count = first_of(ranges, split + 1) - first;
  const std::int32_t* entry = in_row + first * ranges.ld + row;
  std::uint32_t mask = 0;
#pragma unroll 8
  for (int k = 0; k < count; ++k) mask |= (entry[k * ranges.ld] >= 0 ? 1U : 0U) << k;
  std::uint32_t key = ~mask & low_bits(ranges.bits);
  if (ranges.numbered && ranges.bits < 32) key |= static_cast<std::uint32_t>(split) << ranges.bits;
  keys[split * ranges.rows + row] = key;
  index[split * ranges.rows + row] = static_cast<std::int32_t>(row);
}

__global__ void __launch_bounds__(kThreads)
    apply_order_kernel(const std::int32_t* __restrict__ in_row, Ranges ranges, const std::uint32_t* keys,
                       const std::int32_t* index, SortedMap to) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int split = static_cast<int>(blockIdx.y), first = first_of(ranges, split);
  const int count = first_of(ranges, split + 1) - first;
  std::int32_t row = -1;
  std::uint32_t mask = 0;
  if (column < ranges.rows) {
    row = index[split * ranges.rows + column];
    mask = ~keys[split * ranges.rows + column] & low_bits(count);
  }
  to.order[split * ranges.ld + column] = row;
  const std::uint32_t any = __reduce_or_sync(~0U, mask);
  if (threadIdx.x % 32 == 0) to.masks[(split * ranges.ld + column) / 32] = any;
  const std::int32_t* from = in_row + first * ranges.ld + row;
  std::int32_t* entry = to.in_row + first * ranges.ld + column;
#pragma unroll 4
  for (int k = 0; k < count; ++k) entry[k * ranges.ld] = (mask >> k & 1) != 0 ? from[k * ranges.ld] : -1;
}

}  // namespace

void make_masks(const std::int32_t* in_row, const Ranges& ranges, Stream stream, std::uint32_t* keys,
                std::int32_t* index) {
  const dim3 blocks(blocks_for(ranges.rows, kThreads), static_cast<unsigned>(ranges.splits));
  make_masks_kernel<<<blocks, kThreads, 0, stream>>>(in_row, ranges, keys, index);
  check_launch("making the masks of a kernel map");
}

void apply_order(const std::int32_t* in_row, const Ranges& ranges, const std::uint32_t* keys, const std::int32_t* index,
                 Stream stream, const SortedMap& to) {
  const dim3 blocks(blocks_for(ranges.ld, kThreads), static_cast<unsigned>(ranges.splits));
  apply_order_kernel<<<blocks, kThreads, 0, stream>>>(in_row, ranges, keys, index, to);
  check_launch("sorting a kernel map");
}

}  // namespace rarefy::cuda::geometry
