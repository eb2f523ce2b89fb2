#pragma once
/// Weight gradients: a block sums kTile x kTile of dW[k] over the pairs of a range of output rows. Pairs are listed in
/// shared memory first, so that only rows that have one are fetched.
#include "kernels/cuda/conv/launch.h"
#include "kernels/cuda/conv/tile.h"

namespace rarefy::cuda::conv_gpu {

template <class Element_, int kTile_, int kWarpCols_, int kStages_, int kBlocks_, bool kAny_>
struct Gradient {
  using E = Element_;
  static constexpr int kTile = kTile_, kWarpCols = kWarpCols_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr bool kAny = kAny_;
  static constexpr int kWarpsAcross = kTile / kWarpCols, kThreads = kTile / 32 * kWarpsAcross * 32;
  static constexpr int kPairs = 32;                           // of a stage of the pipeline
  static constexpr int kStride = (kTile + kPad) * kBytes<E>;  // from pair to pair in shared memory
  static constexpr int kOperand = kPairs * kStride, kStageBytes = 2 * kOperand;
  static constexpr int kListed = 2048;  // output rows whose pairs are listed at a time
  static constexpr int kListAt = kStages * kStageBytes;
  static constexpr int kSharedBytes = kListAt + kListed * (4 + 2) + kListed / 32 * 4;
};

/// Lists the pairs of output rows [begin, stop), at most 2048. All threads call it. @return their number
template <class S>
__device__ inline int list_pairs(const WeightGradient& p, int k, int begin, int stop, std::int32_t* ins,
                                 std::uint16_t* outs, std::uint32_t* ballots) {
  constexpr int kGroups = S::kListed / 32, kWarps = S::kThreads / 32;
  static_assert(kGroups == 64);
  const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) >> 5;
  const auto in_of = [&](int group) -> std::int32_t {
    const int out = begin + group * 32 + lane;
    if (out >= stop) return -1;
    return p.in_row != nullptr ? __ldg(p.in_row + k * p.ld + out) : out;
  };
#pragma unroll 4
  for (int group = warp; group < kGroups; group += kWarps) {
    const std::uint32_t some = __ballot_sync(0xFFFFFFFFU, in_of(group) >= 0);
    if (lane == 0) ballots[group] = some;
  }
  __syncthreads();
  const int even = __popc(ballots[2 * lane]), odd = __popc(ballots[2 * lane + 1]);
  int sum = even + odd;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFFU, sum, step);
    if (lane >= step) sum += other;
  }
#pragma unroll 4
  for (int group = warp; group < kGroups; group += kWarps) {
    const std::uint32_t some = ballots[group];
    int at = __shfl_sync(0xFFFFFFFFU, sum - even - odd, group / 2);
    const int before = __shfl_sync(0xFFFFFFFFU, even, group / 2);
    if (group % 2 != 0) at += before;
    if ((some >> lane & 1U) == 0) continue;
    at += __popc(some & ((1U << lane) - 1U));
    ins[at] = in_of(group);
    outs[at] = static_cast<std::uint16_t>(group * 32 + lane);
  }
  const int pairs = __shfl_sync(0xFFFFFFFFU, sum, 31);
  __syncthreads();
  return pairs;
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks) gradient_kernel(const __grid_constant__ WeightGradient p) {
  using E = typename S::E;
  constexpr int kFragments = S::kWarpCols / 8, kPieces = S::kTile * kBytes<E> / 16, kSteps = S::kPairs / kStep<E>;
  unsigned char* shared = dynamic_shared();
  auto* ins = reinterpret_cast<std::int32_t*>(shared + S::kListAt);
  auto* ballots = reinterpret_cast<std::uint32_t*>(ins + S::kListed);
  auto* outs = reinterpret_cast<std::uint16_t*>(ballots + S::kListed / 32);
  const SharedAddress stages = shared_address(shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread & 31, warp = thread >> 5;
  const int warp_in = warp / S::kWarpsAcross * 32, warp_out = warp % S::kWarpsAcross * S::kWarpCols;
  const int down = (p.in_channels + S::kTile - 1) / S::kTile, across = (p.out_channels + S::kTile - 1) / S::kTile;
  const int tile = static_cast<int>(blockIdx.x) % (down * across);
  const int job = static_cast<int>(blockIdx.x) / (down * across), range = job / p.volume, k = job - range * p.volume;
  const int in0 = tile / across * S::kTile, out0 = tile % across * S::kTile;
  const bool idle = in0 + warp_in >= p.in_channels || out0 + warp_out >= p.out_channels;
  const int range_begin = range * p.range_rows;
  const int range_stop = static_cast<int>(min(static_cast<std::int64_t>(range_begin) + p.range_rows, p.rows));

  // `pairs` rows of x or g from pair `first` on; what lies beyond pairs or channels is cleared.
  const auto copy_rows = [&](SharedAddress to, const void* rows, std::int64_t stride, int channel, int channels,
                             int copy_bytes, int first, int pairs, auto&& row_of) {
#pragma unroll
    for (int i = thread; i < S::kPairs * kPieces; i += S::kThreads) {
      const int row = i / kPieces, piece = i - row * kPieces, pair = first + row;
      const int at = channel * kBytes<E> + piece * 16;
      const int bytes = pair < pairs ? min(max(channels * kBytes<E> - at, 0), 16) : 0;
      const auto* from = static_cast<const unsigned char*>(rows);
      if (bytes > 0) from += row_of(pair) * stride * kBytes<E> + at;
      copy_piece<S::kAny>(to + row * S::kStride + piece * 16, from, bytes, copy_bytes);
    }
  };

  float sums[2][kFragments][4] = {};
  const int lane_columns = column_offset<E, S::kStride>(lane);
  for (int begin = range_begin; begin < range_stop; begin += S::kListed) {
    const int pairs = list_pairs<S>(p, k, begin, min(begin + S::kListed, range_stop), ins, outs, ballots);
    const auto copy = [&](int stage, int chunk) {
      const SharedAddress to = stages + stage * S::kStageBytes;
      copy_rows(to, p.x, p.x_stride, in0, p.in_channels, p.x_copy_bytes, chunk * S::kPairs, pairs,
                [&](int pair) -> std::int64_t { return ins[pair]; });
      copy_rows(to + S::kOperand, p.g, p.g_stride, out0, p.out_channels, p.g_copy_bytes, chunk * S::kPairs, pairs,
                [&](int pair) -> std::int64_t { return begin + outs[pair]; });
    };
    const int chunks = (pairs + S::kPairs - 1) / S::kPairs;
    int copied = 0;
    for (; copied < S::kStages - 1; ++copied) {
      if (copied < chunks) copy(copied, copied);
      commit_copies();
    }
    int stage = 0, free_stage = S::kStages - 1;
    for (int chunk = 0; chunk < chunks; ++chunk, ++copied) {
      wait_for_copies<S::kStages - 2>();
      __syncthreads();  // this chunk has arrived for all, and all are done with the one before it
      if (copied < chunks) copy(free_stage, copied);
      commit_copies();
      free_stage = stage;
      if (!idle) {
        const SharedAddress from = stages + stage * S::kStageBytes + lane_columns;
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          std::uint32_t a[2][4];
#pragma unroll
          for (int m = 0; m < 2; ++m) {
            std::uint32_t r[4];
            load_columns<E, S::kStride>(r, from + s * kStep<E> * S::kStride + (warp_in + m * 16) * kBytes<E>);
            round_words<E>(r);
            a[m][0] = r[0];
            a[m][1] = r[2];
            a[m][2] = r[1];
            a[m][3] = r[3];
          }
#pragma unroll
          for (int f = 0; f < kFragments; f += 2) {
            std::uint32_t b[4];
            load_columns<E, S::kStride>(
                b, from + S::kOperand + s * kStep<E> * S::kStride + (warp_out + f * 8) * kBytes<E>);
            round_words<E>(b);
#pragma unroll
            for (int m = 0; m < 2; ++m) {
              E::multiply(sums[m][f], a[m], b[0], b[1]);
              E::multiply(sums[m][f + 1], a[m], b[2], b[3]);
            }
          }
        }
      }
      stage = stage + 1 == S::kStages ? 0 : stage + 1;
    }
    wait_for_copies<0>();
    __syncthreads();  // before the list and the stages are written again
  }

  float* to = p.sums + static_cast<std::int64_t>(job) * p.in_channels * p.out_channels;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int in = in0 + warp_in + m * 16 + (lane >> 2) + i / 2 * 8;
        const int out = out0 + warp_out + f * 8 + (lane & 3) * 2 + i % 2;
        if (in >= p.in_channels || out >= p.out_channels) continue;
        float* at = to + static_cast<std::int64_t>(in) * p.out_channels + out;
        *at = p.add ? *at + sums[m][f][i] : sums[m][f][i];
      }
    }
  }
}

template <class S>
void launch_gradient(const WeightGradient& p, Stream stream) {
  const unsigned tiles = blocks_for(p.in_channels, S::kTile) * blocks_for(p.out_channels, S::kTile);
  launch("gradient_kernel", &gradient_kernel<S>, dim3(tiles * static_cast<unsigned>(p.volume * p.ranges)), S::kThreads,
         S::kSharedBytes, stream, p);
}

/// @param tile  edge
template <class E>
void weight_gradient(const WeightGradient& p, int tile, Stream stream) {
  constexpr int kStages = kHalf<E> ? 4 : 3;
  if (p.x_copy_bytes < 16 || p.g_copy_bytes < 16)
    return launch_gradient<Gradient<E, 64, 32, kStages, 3, true>>(p, stream);
  if (tile == 128) return launch_gradient<Gradient<E, 128, 64, kStages, kHalf<E> ? 2 : 1, false>>(p, stream);
  return launch_gradient<Gradient<E, 64, 32, kStages, 3, false>>(p, stream);
}

}  // namespace rarefy::cuda::conv_gpu
