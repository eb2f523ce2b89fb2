// The pairs of a map one after another, offset by offset: what gather_scatter goes through.
#include "kernels/cuda/conv/launch.h"
#include "kernels/cuda/conv/tile.h"

namespace rarefy::cuda::conv_gpu {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

__global__ void __launch_bounds__(kThreads) count_pairs_kernel(const __grid_constant__ Conv p, std::int32_t* segment) {
  const std::int32_t* row = p.in_row + blockIdx.y * p.ld;
  int pairs = 0;
  for (int at = 0; at < kSegment; at += kThreads) {
    const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kSegment + at + threadIdx.x;
    pairs += __syncthreads_count(col < p.ld && row[col] >= 0 ? 1 : 0);
  }
  if (threadIdx.x == 0) segment[blockIdx.y * gridDim.x + blockIdx.x] = pairs;
}

/// One block. Counts of the segments of an offset become the places of their first pairs, from the offset's begin on.
__global__ void __launch_bounds__(1024)
    begin_pairs_kernel(std::int32_t* segment, int segments, int volume, std::int32_t* begin) {
  const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) >> 5;
  for (int k = warp; k < volume; k += 32) {
    int before = 0;
    for (int first = 0; first < segments; first += 32) {
      const int s = first + lane, count = s < segments ? segment[k * segments + s] : 0;
      int sum = count;
      for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(0xFFFFFFFFU, sum, step);
        if (lane >= step) sum += other;
      }
      if (s < segments) segment[k * segments + s] = before + sum - count;
      before += __shfl_sync(0xFFFFFFFFU, sum, 31);
    }
    if (lane == 0) begin[k] = before;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  int place = 0;
  for (int k = 0; k < volume; ++k) {
    const int pairs = begin[k];
    begin[k] = place;
    place += (pairs + kPairTile - 1) / kPairTile * kPairTile;
  }
  begin[volume] = place;
}

__global__ void __launch_bounds__(kThreads)
    place_pairs_kernel(const __grid_constant__ Conv p, const __grid_constant__ PairTables tables) {
  __shared__ int counts[kWarps];
  const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) >> 5;
  const std::int64_t k = blockIdx.y;
  int split = 0;
  while (k >= first_offset(p, split + 1)) ++split;
  int place = tables.begin[k] + tables.segment[k * gridDim.x + blockIdx.x];
  for (int at = 0; at < kSegment; at += kThreads) {
    const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kSegment + at + threadIdx.x;
    const std::int32_t in = col < p.ld ? p.in_row[k * p.ld + col] : -1;
    const std::uint32_t some = __ballot_sync(0xFFFFFFFFU, in >= 0);
    if (lane == 0) counts[warp] = __popc(some);
    __syncthreads();
    int mine = place + __popc(some & ((1U << lane) - 1U));
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) mine += counts[w];
      place += counts[w];
    }
    __syncthreads();
    if (in >= 0) tables.pair_in[mine] = in;
    const std::int64_t out = col < p.ld ? out_row(p, split, col) : -1;
    if (out >= 0) tables.position[k * p.out.rows + out] = in >= 0 ? mine : -1;
  }
  if (blockIdx.x != 0) return;
  const int last = tables.begin[k + 1] / kPairTile;
  for (int tile = tables.begin[k] / kPairTile + static_cast<int>(threadIdx.x); tile < last; tile += kThreads)
    tables.tile_offset[tile] = static_cast<std::int32_t>(k);
}

dim3 blocks(const Conv& p) { return {static_cast<unsigned>(segments(p.ld)), static_cast<unsigned>(p.volume)}; }

}  // namespace

void count_pairs(const Conv& p, const PairTables& tables, Stream stream) {
  launch("count_pairs_kernel", &count_pairs_kernel, blocks(p), kThreads, 0, stream, p, tables.segment);
  launch("begin_pairs_kernel", &begin_pairs_kernel, dim3(1), 1024, 0, stream, tables.segment,
         static_cast<int>(segments(p.ld)), p.volume, tables.begin);
}

void place_pairs(const Conv& p, const PairTables& tables, std::int64_t places, Stream stream) {
  fill_bytes(tables.pair_in, 0xFF, places * static_cast<std::int64_t>(sizeof(std::int32_t)), stream);
  launch("place_pairs_kernel", &place_pairs_kernel, blocks(p), kThreads, 0, stream, p, tables);
}

}  // namespace rarefy::cuda::conv_gpu
