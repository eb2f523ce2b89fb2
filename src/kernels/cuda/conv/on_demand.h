#pragma once
/// Fetch on demand: a block keeps the sums of 128 output rows in shared memory. Offset by offset it lists the rows that
/// have a pair, fetches and multiplies these only, in batches of up to 64, and adds to their sums. A row occurs once
/// per offset and warps own columns, so that nothing is added to twice at a time.
#include "kernels/cuda/conv/launch.h"
#include "kernels/cuda/conv/tile.h"

namespace rarefy::cuda::conv_gpu {

template <class Element_, int kCols_, int kStages_, int kBlocks_, bool kAny_>
struct OnDemand {
  using E = Element_;
  static constexpr int kRows = 128, kCols = kCols_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr bool kAny = kAny_;
  static constexpr int kThreads = 128, kWarps = 4, kWarpCols = kCols / kWarps;
  static constexpr int kBatch = 64, kListed = 32;  // rows of a batch; offsets whose pairs are listed at a time
  static constexpr int kChunk = 2 * kStep<E>;
  static constexpr int kStride = (kCols + kPad) * kBytes<E>;
  static constexpr int kRowsBytes = kBatch * kRowBytes, kStageBytes = kRowsBytes + kChunk * kStride;
  static constexpr int kSumsAt = kStages * kStageBytes, kInsAt = kSumsAt + kRows * (kCols + kPad) * 4;
  static constexpr int kOutsAt = kInsAt + kListed * kRows * 4, kBallotsAt = kOutsAt + kListed * kRows;
  static constexpr int kBatchesAt = kBallotsAt + kListed * (kRows / 32) * 4;
  static constexpr int kSharedBytes = kBatchesAt + (kListed * (kRows / kBatch) * 2 + 1) * 4;
  static_assert(kWarpCols % 16 == 0 && kStageBytes % 128 == 0);
};

/// The pairs of up to 32 offsets and their batches, in shared memory.
struct Lists {
  std::int32_t* ins;       ///< input row of a pair
  std::uint8_t* outs;      ///< row of the tile of a pair
  std::uint32_t* ballots;  ///< [offsets, 4]
  std::uint32_t* offset;   ///< of a batch
  std::uint32_t* range;    ///< of a batch: its first pair, and their number << 16
  std::uint32_t* batches;  ///< their number
};

/// Inclusive sums over the lanes of a warp.
__device__ inline int sum_of_lanes(int v, int lane) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFFU, v, step);
    if (lane >= step) v += other;
  }
  return v;
}

/// Lists offsets [first, first + offsets), at most 32. All threads call it. @return the number of batches
template <class S>
__device__ inline int list_batches(const Conv& p, int first, int offsets, std::int64_t row0, const Lists& lists) {
  constexpr int kGroups = S::kRows / 32;
  const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) >> 5;
  const auto look_up = [&](int k, std::int32_t(&rows)[kGroups]) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const std::int64_t row = row0 + g * 32 + lane;
      if (p.in_row != nullptr)
        rows[g] = __ldg(p.in_row + (first + k) * p.row_ld + row);
      else
        rows[g] = row < p.out.rows ? static_cast<std::int32_t>(row) : -1;
    }
  };
  for (int k = warp; k < offsets; k += S::kWarps) {
    std::int32_t rows[kGroups];
    look_up(k, rows);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const std::uint32_t some = __ballot_sync(0xFFFFFFFFU, rows[g] >= 0);
      if (lane == 0) lists.ballots[k * kGroups + g] = some;
    }
  }
  __syncthreads();
  int pairs = 0;
  if (lane < offsets) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) pairs += __popc(lists.ballots[lane * kGroups + g]);
  }
  const int begin = sum_of_lanes(pairs, lane) - pairs;
  for (int k = warp; k < offsets; k += S::kWarps) {
    int at = __shfl_sync(0xFFFFFFFFU, begin, k);
    std::int32_t rows[kGroups];
    look_up(k, rows);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const std::uint32_t some = lists.ballots[k * kGroups + g];
      if (rows[g] >= 0) {
        const int place = at + __popc(some & ((1U << lane) - 1U));
        lists.ins[place] = rows[g];
        lists.outs[place] = static_cast<std::uint8_t>(g * 32 + lane);
      }
      at += __popc(some);
    }
  }
  if (warp == 0) {
    const int mine = (pairs + S::kBatch - 1) / S::kBatch, until = sum_of_lanes(mine, lane);
    for (int b = 0; b < mine; ++b) {
      const int from = begin + b * S::kBatch, rows = min(S::kBatch, pairs - b * S::kBatch);
      lists.offset[until - mine + b] = static_cast<std::uint32_t>(first + lane);
      lists.range[until - mine + b] = static_cast<std::uint32_t>(from | rows << 16);
    }
    if (lane == 31) *lists.batches = static_cast<std::uint32_t>(until);
  }
  __syncthreads();
  return static_cast<int>(*lists.batches);
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks) on_demand_kernel(const __grid_constant__ Conv p) {
  using E = typename S::E;
  constexpr int kFragments = S::kWarpCols / 8, kBlocks16 = S::kBatch / 16, kRowStep = S::kThreads / 4;
  unsigned char* shared = dynamic_shared();
  auto* tile = reinterpret_cast<float*>(shared + S::kSumsAt);
  Lists lists;
  lists.ins = reinterpret_cast<std::int32_t*>(shared + S::kInsAt);
  lists.outs = shared + S::kOutsAt;
  lists.ballots = reinterpret_cast<std::uint32_t*>(shared + S::kBallotsAt);
  lists.offset = reinterpret_cast<std::uint32_t*>(shared + S::kBatchesAt);
  lists.range = lists.offset + S::kListed * (S::kRows / S::kBatch);
  lists.batches = lists.range + S::kListed * (S::kRows / S::kBatch);
  const SharedAddress stages = shared_address(shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread & 31, warp_col = (thread >> 5) * S::kWarpCols;
  const int col_tiles = (p.out.channels + S::kCols - 1) / S::kCols;
  const int row_tile = static_cast<int>(blockIdx.x) / col_tiles;
  const std::int64_t row0 = static_cast<std::int64_t>(row_tile) * S::kRows;
  const int col0 = (static_cast<int>(blockIdx.x) - row_tile * col_tiles) * S::kCols;
  const int split = static_cast<int>(blockIdx.y);
  const int chunks = (p.in_channels + S::kChunk - 1) / S::kChunk;
  const auto* x = static_cast<const unsigned char*>(p.x);
  const auto* weights = static_cast<const unsigned char*>(p.weights);
  const auto steps_of = [&](int chunk) {
    return min(2, (p.in_channels - chunk * S::kChunk + kStep<E> - 1) / kStep<E>);
  };
  const auto copy = [&](int stage, int batch, int chunk) {
    const SharedAddress to = stages + stage * S::kStageBytes;
    const int steps = steps_of(chunk), channel = chunk * S::kChunk, piece = thread & 3;
    const int first = static_cast<int>(lists.range[batch] & 0xFFFFU),
              count = static_cast<int>(lists.range[batch] >> 16);
    if (piece < 2 * steps) {
      const int at = channel * kBytes<E> + piece * 16;
      const int bytes = min(max(p.in_channels * kBytes<E> - at, 0), 16);
#pragma unroll
      for (int row = thread >> 2; row < S::kBatch; row += kRowStep) {
        if (row >= (count + 15) / 16 * 16) continue;
        const bool some = row < count && bytes > 0;
        copy_piece<S::kAny>(to + row_piece(row, piece),
                            some ? x + (lists.ins[first + row] * p.x_stride * kBytes<E> + at) : x, some ? bytes : 0,
                            p.copy_bytes);
      }
    }
    const std::int64_t weight_row = static_cast<std::int64_t>(lists.offset[batch]) * p.in_padded + channel;
    const auto* from = weights + (weight_row * p.out_padded + col0) * kBytes<E>;
    copy_weights<E, S::kCols, S::kThreads>(to + S::kRowsBytes, from, from + kStep<E> * p.out_padded * kBytes<E>,
                                           steps > 1, p.out_padded, p.out_padded - col0);
  };

  for (int i = thread; i < S::kRows * (S::kCols + kPad); i += S::kThreads) tile[i] = 0.0f;
  const int lane_cols = column_offset<E, S::kStride>(lane) + warp_col * kBytes<E> + S::kRowsBytes;
  float sums[kBlocks16][kFragments][4] = {};
  const int last = first_offset(p, split + 1);
  for (int first = first_offset(p, split); first < last; first += S::kListed) {
    const int batches = list_batches<S>(p, first, min(S::kListed, last - first), row0, lists);
    int copy_batch = 0, copy_chunk = 0;
    const auto copy_next = [&](int stage) {
      if (copy_batch < batches) {
        copy(stage, copy_batch, copy_chunk);
        if (++copy_chunk == chunks) {
          copy_chunk = 0;
          ++copy_batch;
        }
      }
      commit_copies();
    };
    for (int stage = 0; stage < S::kStages - 1; ++stage) copy_next(stage);
    int stage = 0, free_stage = S::kStages - 1, batch = 0, chunk = 0;
    while (batch < batches) {
      wait_for_copies<S::kStages - 2>();
      __syncthreads();  // this chunk has arrived for all, and all are done with the one before it
      copy_next(free_stage);
      free_stage = stage;
      const SharedAddress from = stages + stage * S::kStageBytes;
      const int steps = steps_of(chunk), pairs = static_cast<int>(lists.range[batch] >> 16);
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        if (s >= steps) continue;
        std::uint32_t b[kFragments / 2][4];
#pragma unroll
        for (int f = 0; f < kFragments / 2; ++f)
          load_columns<E, S::kStride>(b[f], from + lane_cols + s * kStep<E> * S::kStride + f * 16 * kBytes<E>);
#pragma unroll
        for (int m = 0; m < kBlocks16; ++m) {
          if (m * 16 >= pairs) continue;
          std::uint32_t a[4];
          load_rows<E>(a, from + row_offset(m * 16, s, lane));
#pragma unroll
          for (int f = 0; f < kFragments / 2; ++f) {
            E::multiply(sums[m][2 * f], a, b[f][0], b[f][1]);
            E::multiply(sums[m][2 * f + 1], a, b[f][2], b[f][3]);
          }
        }
      }
      if (++chunk == chunks) {
        const int begin = static_cast<int>(lists.range[batch] & 0xFFFFU);
#pragma unroll
        for (int m = 0; m < kBlocks16; ++m) {
          if (m * 16 >= pairs) continue;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int row = m * 16 + half * 8 + (lane >> 2);
            if (row < pairs) {
              float* to = tile + lists.outs[begin + row] * (S::kCols + kPad) + warp_col + (lane & 3) * 2;
#pragma unroll
              for (int f = 0; f < kFragments; ++f) {
                auto* at = reinterpret_cast<float2*>(to + f * 8);
                const float2 before = *at;
                *at = make_float2(before.x + sums[m][f][2 * half], before.y + sums[m][f][2 * half + 1]);
              }
            }
#pragma unroll
            for (int f = 0; f < kFragments; ++f) sums[m][f][2 * half] = sums[m][f][2 * half + 1] = 0.0f;
          }
        }
        chunk = 0;
        ++batch;
      }
      stage = stage + 1 == S::kStages ? 0 : stage + 1;
    }
    wait_for_copies<0>();
    __syncthreads();  // before the lists and the stages are written again
  }
  store_tile<E, S::kRows, S::kCols, S::kThreads>(p, split, split, row0, col0, tile);
}

template <class S>
void launch_on_demand(const Conv& p, Stream stream) {
  launch("on_demand_kernel", &on_demand_kernel<S>,
         dim3(blocks_for(p.out.rows, S::kRows) * blocks_for(p.out.channels, S::kCols), static_cast<unsigned>(p.splits)),
         S::kThreads, S::kSharedBytes, stream, p);
}

template <class E>
void on_demand(const Conv& p, Stream stream) {
  if (p.copy_bytes < 16) return launch_on_demand<OnDemand<E, 64, 3, 2, true>>(p, stream);
  if (p.out.channels <= 64) return launch_on_demand<OnDemand<E, 64, 3, 2, false>>(p, stream);
  return launch_on_demand<OnDemand<E, 128, 3, 2, false>>(p, stream);
}

}  // namespace rarefy::cuda::conv_gpu
