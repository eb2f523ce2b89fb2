#pragma once
/// Device code for numbering what survives in an array, without a scan over all of it: one kernel counts per tile, the
/// next adds up the counts of the tiles before its own. For .cu files.
#include <cstdint>

namespace rarefy::cuda::geometry {

inline constexpr int kTile = 512;  ///< entries, and threads, of a tile

struct TilePlace {
  std::int32_t before = 0;  ///< counts of the tiles before this one, added up
  std::int32_t total = 0;   ///< of all tiles
};

/// All kTile threads of the block must call it.
__device__ inline TilePlace tile_place(const std::int32_t* __restrict__ counts, int tiles, int tile) {
  constexpr int kWarps = kTile / 32;
  __shared__ std::int32_t sums[2][kWarps];
  TilePlace place;
  for (int t = static_cast<int>(threadIdx.x); t < tiles; t += kTile) {
    const std::int32_t count = counts[t];
    place.total += count;
    place.before += t < tile ? count : 0;
  }
  place.total = __reduce_add_sync(~0U, place.total);
  place.before = __reduce_add_sync(~0U, place.before);
  const unsigned warp = threadIdx.x / 32;
  if (threadIdx.x % 32 == 0) {
    sums[0][warp] = place.before;
    sums[1][warp] = place.total;
  }
  __syncthreads();
  place = {};
  for (int w = 0; w < kWarps; ++w) {
    place.before += sums[0][w];
    place.total += sums[1][w];
  }
  return place;
}

/// How many threads of the block before this one have the flag. All kTile threads must call it, once per kernel.
__device__ inline std::int32_t block_rank(bool flag) {
  constexpr unsigned kWarps = kTile / 32;
  __shared__ std::int32_t counts[kWarps];
  const unsigned ballot = __ballot_sync(~0U, flag);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) counts[warp] = __popc(ballot);
  __syncthreads();
  std::int32_t rank = __popc(ballot & ((1U << lane) - 1));
  for (unsigned w = 0; w < kWarps; ++w) rank += w < warp ? counts[w] : 0;
  return rank;
}

}  // namespace rarefy::cuda::geometry
