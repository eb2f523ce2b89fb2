#include "kernels/cuda/error.h"
#include "kernels/cuda/maps/batch_block.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = kColumns;  // divides ld: warps are whole

__device__ std::uint32_t low_bits(int count) { return count >= 32 ? ~0U : (1U << count) - 1; }

/// The column of the range that the thread works on.
__device__ std::int64_t column_in(const MaskRange& range) {
  return (static_cast<std::int64_t>(blockIdx.x) - range.first_block) * kThreads + threadIdx.x;
}

__global__ void __launch_bounds__(kThreads)
    make_masks_kernel(const __grid_constant__ Batch<MaskRange> ranges, std::uint32_t* keys, std::int32_t* index) {
  const MaskRange& range = part_of_block(ranges);
  const std::int64_t row = column_in(range);
  if (row >= range.rows) return;
  const std::int32_t* __restrict__ entry = range.in_row + row;
  std::uint32_t mask = 0;
#pragma unroll 8
  for (int k = 0; k < range.count; ++k) mask |= (entry[k * range.ld] >= 0 ? 1U : 0U) << k;
  keys[range.first_entry + row] = range.first_key + (~mask & low_bits(range.count));
  index[range.first_entry + row] = static_cast<std::int32_t>(row);
}

__global__ void __launch_bounds__(kThreads)
    apply_order_kernel(const __grid_constant__ Batch<MaskRange> ranges, const std::uint32_t* __restrict__ keys,
                       const std::int32_t* __restrict__ index) {
  const MaskRange& range = part_of_block(ranges);
  const std::int64_t column = column_in(range);
  std::int32_t row = -1;
  std::uint32_t mask = 0;
  if (column < range.rows) {
    row = index[range.first_entry + column];
    mask = ~(keys[range.first_entry + column] - range.first_key) & low_bits(range.count);
  }
  range.order[column] = row;
  const std::uint32_t any = __reduce_or_sync(~0U, mask);
  if (threadIdx.x % 32 == 0) range.masks[column / 32] = any;
  const std::int32_t* __restrict__ from = range.in_row + row;
  std::int32_t* __restrict__ entry = range.sorted_in_row + column;
#pragma unroll 4
  for (int k = 0; k < range.count; ++k) entry[k * range.ld] = (mask >> k & 1) != 0 ? from[k * range.ld] : -1;
}

}  // namespace

void make_masks(const Batch<MaskRange>& ranges, Stream stream, std::uint32_t* keys, std::int32_t* index) {
  make_masks_kernel<<<static_cast<unsigned>(ranges.blocks), kThreads, 0, stream>>>(ranges, keys, index);
  check_launch("making the masks of kernel maps");
}

void apply_order(const Batch<MaskRange>& ranges, const std::uint32_t* keys, const std::int32_t* index, Stream stream) {
  apply_order_kernel<<<static_cast<unsigned>(ranges.blocks), kThreads, 0, stream>>>(ranges, keys, index);
  check_launch("sorting kernel maps");
}

}  // namespace rarefy::cuda::geometry
