#include <algorithm>

#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/block.h"
#include "kernels/cuda/geometry/search.h"
#include "kernels/cuda/geometry/unique.h"

namespace rarefy::cuda::geometry {
namespace {

__device__ bool is_head(const SortedKeys& from, std::int64_t i) {
  const std::int64_t count = from.count == nullptr ? from.size : *from.count;
  if (i >= count) return false;
  const std::uint64_t key = from.keys[i];
  return key != kNone && (i == 0 || (from.keys[i - 1] & from.mask) != (key & from.mask));
}

__global__ void __launch_bounds__(kTile) count_heads_kernel(SortedKeys from, std::int32_t* tile_counts) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const int heads = __syncthreads_count(is_head(from, i));
  if (threadIdx.x == 0) tile_counts[blockIdx.x] = heads;
}

__global__ void __launch_bounds__(kTile)
    write_unique_kernel(SortedKeys from, const std::int32_t* tile_counts, std::uint64_t* keys, std::int32_t* count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const TilePlace place = tile_place(tile_counts, static_cast<int>(gridDim.x), static_cast<int>(blockIdx.x));
  const bool head = is_head(from, i);
  const std::int32_t row = place.before + block_rank(head);
  if (head) keys[row] = from.keys[i] & from.mask;
  if (i >= place.total && i < from.size) keys[i] = kNone;
  if (i == 0) *count = place.total;
}

__global__ void store_count_kernel(std::int32_t* count, std::int32_t rows) {
  count[0] = rows;
  count[1] = 0;
}

struct CountList {
  const std::int32_t* counts[kMostCounts];
};

__global__ void gather_counts_kernel(const __grid_constant__ CountList list, std::int32_t* host) {
  host[threadIdx.x] = list.counts[threadIdx.x / 2][threadIdx.x % 2];
}

}  // namespace

std::int64_t tiles_of(std::int64_t size) { return blocks_for(size, kTile); }

void count_heads(const SortedKeys& from, Stream stream, std::int32_t* tile_counts) {
  count_heads_kernel<<<blocks_for(from.size, kTile), kTile, 0, stream>>>(from, tile_counts);
  check_launch("counting sites");
}

void write_unique(const SortedKeys& from, const std::int32_t* tile_counts, Stream stream, std::uint64_t* keys,
                  std::int32_t* count) {
  write_unique_kernel<<<blocks_for(from.size, kTile), kTile, 0, stream>>>(from, tile_counts, keys, count);
  check_launch("writing sites");
}

void store_count(std::int32_t* count, std::int32_t rows, Stream stream) {
  store_count_kernel<<<1, 1, 0, stream>>>(count, rows);
  check_launch("writing the number of sites");
}

void gather_counts(std::span<const std::int32_t* const> counts, Stream stream, std::int32_t* host) {
  CountList list;
  std::copy(counts.begin(), counts.end(), list.counts);
  gather_counts_kernel<<<1, static_cast<unsigned>(2 * counts.size()), 0, stream>>>(list, host);
  check_launch("reading the numbers of sites");
}

}  // namespace rarefy::cuda::geometry
