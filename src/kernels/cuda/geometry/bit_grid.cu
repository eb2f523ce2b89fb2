#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/bit_grid.h"
#include "kernels/cuda/geometry/block.h"
#include "kernels/cuda/geometry/search.h"

namespace rarefy::cuda::geometry {
namespace {

__device__ std::uint32_t word_of(const BitGrid& grid, std::int64_t words, std::int64_t word) {
  return word < words ? grid.words[word] : 0;
}

__global__ void __launch_bounds__(kTile)
    count_cells_kernel(BitGrid grid, std::int64_t words, std::int32_t* tile_counts) {
  const std::int64_t word = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const BlockPlace place = block_place(__popc(word_of(grid, words, word)));
  if (threadIdx.x == 0) tile_counts[blockIdx.x] = place.total;
}

__device__ std::uint64_t key_of_cell(const BitGrid& grid, const KeyLayout& layout, std::uint32_t cell) {
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  std::uint64_t key = 0;
  for (int a = layout.dims - 1, shift = 0; a >= 0; --a, shift += layout.axis_bits) {
    const auto cells = static_cast<std::uint32_t>(grid.cells[a]);
    const std::int64_t position = static_cast<std::int64_t>(cell % cells) * grid.stride[a];
    key |= static_cast<std::uint64_t>(position + bias) << shift;
    cell /= cells;
  }
  return key | static_cast<std::uint64_t>(cell) << (layout.dims * layout.axis_bits);
}

__global__ void __launch_bounds__(kTile)
    write_cells_kernel(const __grid_constant__ BitGrid grid, std::int64_t words, KeyLayout layout,
                       const std::int32_t* tile_counts, std::int64_t capacity, std::uint64_t* keys,
                       std::int32_t* count) {
  const std::int64_t word = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const TilePlace place = tile_place(tile_counts, static_cast<int>(gridDim.x), static_cast<int>(blockIdx.x));
  std::uint32_t bits = word_of(grid, words, word);
  std::int32_t row = place.before + block_place(__popc(bits)).before;
  const auto first = static_cast<std::uint32_t>(word * BitGrid::kWordBits);
  for (; bits != 0; bits &= bits - 1)
    keys[row++] = key_of_cell(grid, layout, first + static_cast<std::uint32_t>(__ffs(static_cast<int>(bits)) - 1));
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * kTile;
  for (std::int64_t i = place.total + word; i < capacity; i += threads) keys[i] = kNone;
  if (word == 0) *count = place.total;
}

}  // namespace

std::int64_t tiles_of(const BitGrid& grid) { return blocks_for(grid.word_count(), kTile); }

void count_cells(const BitGrid& grid, Stream stream, std::int32_t* tile_counts) {
  const std::int64_t words = grid.word_count();
  count_cells_kernel<<<blocks_for(words, kTile), kTile, 0, stream>>>(grid, words, tile_counts);
  check_launch("counting cells");
}

void write_cells(const BitGrid& grid, const KeyLayout& layout, const std::int32_t* tile_counts, std::int64_t capacity,
                 Stream stream, std::uint64_t* keys, std::int32_t* count) {
  const std::int64_t words = grid.word_count();
  write_cells_kernel<<<blocks_for(words, kTile), kTile, 0, stream>>>(grid, words, layout, tile_counts, capacity, keys,
                                                                     count);
  check_launch("writing the sites of cells");
}

}  // namespace rarefy::cuda::geometry
