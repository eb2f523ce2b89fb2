#pragma once
/// Implicit GEMM: a block sums kRows x kCols outputs in registers over all offsets under which some of its rows has a
/// pair; a pipeline of copies runs across offsets. Warps own 32 rows and skip offsets under which these have none.
#include "kernels/cuda/conv/launch.h"
#include "kernels/cuda/conv/tile.h"

namespace rarefy::cuda::conv_gpu {

template <class Element_, int kRows_, int kCols_, int kWarpCols_, int kStages_, int kBlocks_, bool kAny_ = false>
struct Implicit {
  using E = Element_;
  static constexpr int kRows = kRows_, kCols = kCols_, kWarpCols = kWarpCols_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr bool kAny = kAny_;
  static constexpr int kWarpsAcross = kCols / kWarpCols, kThreads = kRows / 32 * kWarpsAcross * 32;
  static constexpr int kStride = (kCols + kPad) * kBytes<E>;  // of weights in shared memory
  static constexpr int kRowsBytes = kRows * kRowBytes, kStageBytes = kRowsBytes + 2 * kStep<E> * kStride;
  static constexpr int kSumsBytes = kRows * (kCols + kPad) * 4;
  static constexpr int kSharedBytes = kStages * kStageBytes > kSumsBytes ? kStages* kStageBytes : kSumsBytes;
  static constexpr int kRowStep = kThreads / 4;  // four threads copy a row
  static constexpr int kCopies = kRows / kRowStep;
  static_assert(kRows % kRowStep == 0 && kCols % kWarpCols == 0 && kWarpCols % 16 == 0 && kStageBytes % 128 == 0);
};

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks) implicit_kernel(const __grid_constant__ Conv p) {
  using E = typename S::E;
  constexpr int kFragments = S::kWarpCols / 8;
  unsigned char* shared = dynamic_shared();
  auto* count = reinterpret_cast<std::uint32_t*>(shared + S::kSharedBytes);
  std::uint32_t* active = count + 1;
  const SharedAddress stages = shared_address(shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread & 31, warp = thread >> 5;
  const int warp_row = warp / S::kWarpsAcross, warp_col = (warp - warp_row * S::kWarpsAcross) * S::kWarpCols;
  const int col_tiles = (p.out.channels + S::kCols - 1) / S::kCols;
  const int row_tile = static_cast<int>(blockIdx.x) / col_tiles;
  const std::int64_t row0 = static_cast<std::int64_t>(row_tile) * S::kRows;
  const int col0 = (static_cast<int>(blockIdx.x) - row_tile * col_tiles) * S::kCols;
  const int part = static_cast<int>(blockIdx.y), split = part / p.slices, slice = part - split * p.slices;

  const int offsets = find_active<S::kRows, S::kThreads>(p, split, row0, active, count);
  const int steps = (p.in_channels + kStep<E> - 1) / kStep<E>, work = offsets * steps;
  const int begin = static_cast<int>(std::int64_t{work} * slice / p.slices);
  const int stop = static_cast<int>(std::int64_t{work} * (slice + 1) / p.slices);

  // A stage holds two steps, of one offset or of two. Copies run kStages - 1 stages ahead of the products; input rows
  // are looked up two offsets before that. Pieces 0 and 1 of a row belong to the first step, 2 and 3 to the second.
  const int piece = thread & 3, copy_row = thread >> 2, half = piece >> 1;
  const auto* x = static_cast<const unsigned char*>(p.x);
  const auto* weights = static_cast<const unsigned char*>(p.weights);
  const int hop = steps == 1 ? 2 : 1;  // from one offset of a half to its next
  int rows[S::kCopies], next_rows[S::kCopies], later_rows[S::kCopies];
  const auto look_up = [&](int i, int(&to)[S::kCopies]) {
    const std::int64_t k = i < offsets ? offset_of(active[i]) : -1;
#pragma unroll
    for (int c = 0; c < S::kCopies; ++c) {
      const std::int64_t row = row0 + copy_row + c * S::kRowStep;
      if (k < 0)
        to[c] = -1;
      else if (p.in_row == nullptr)
        to[c] = row < p.out.rows ? static_cast<int>(row) : -1;
      else
        to[c] = __ldg(p.in_row + k * p.row_ld + row);
    }
  };
  Steps copied(begin, steps), done = copied;
  const auto copy_next = [&](int stage) {
    const bool both = copied.unit + 1 < stop;
    const std::uint32_t first = active[copied.offset[0]], second = both ? active[copied.offset[1]] : first;
    const SharedAddress to = stages + stage * S::kStageBytes;
    if (half == 0 || both) {
      const int at = (half == 0 ? copied.step[0] : copied.step[1]) * 32 + (piece & 1) * 16;
      const int bytes = min(max(p.in_channels * kBytes<E> - at, 0), 16);
#pragma unroll
      for (int c = 0; c < S::kCopies; ++c) {
        const int row = copy_row + c * S::kRowStep;
        if (!has_group(half == 0 ? first : second, row >> 5)) continue;
        const bool some = rows[c] >= 0 && bytes > 0;
        copy_piece<S::kAny>(to + row_piece(row, piece), some ? x + (rows[c] * p.x_stride * kBytes<E> + at) : x,
                            some ? bytes : 0, p.copy_bytes);
      }
    }
    const auto weights_of = [&](std::uint32_t entry, int step) {
      const std::int64_t row = static_cast<std::int64_t>(offset_of(entry)) * p.in_padded + step * kStep<E>;
      return weights + (row * p.out_padded + col0) * kBytes<E>;
    };
    copy_weights<E, S::kCols, S::kThreads>(to + S::kRowsBytes, weights_of(first, copied.step[0]),
                                           weights_of(second, copied.step[1]), both, p.out_padded, p.out_padded - col0);
    const int before = half == 0 ? copied.offset[0] : copied.offset[1];
    copied.advance(steps);
    const int now = half == 0 ? copied.offset[0] : copied.offset[1];
    if (now != before) {
#pragma unroll
      for (int c = 0; c < S::kCopies; ++c) {
        rows[c] = next_rows[c];
        next_rows[c] = later_rows[c];
      }
      look_up(now + 2 * hop, later_rows);
    }
  };

  float sums[2][kFragments][4] = {};
  const int own_offset = half == 0 ? copied.offset[0] : copied.offset[1];
  look_up(own_offset, rows);
  look_up(own_offset + hop, next_rows);
  look_up(own_offset + 2 * hop, later_rows);
  for (int stage = 0; stage < S::kStages - 1; ++stage) {
    if (copied.unit < stop) copy_next(stage);
    commit_copies();
  }
  const int lane_cols = column_offset<E, S::kStride>(lane) + warp_col * kBytes<E> + S::kRowsBytes;
  int stage = 0, free_stage = S::kStages - 1;
  for (; done.unit < stop; done.advance(steps)) {
    wait_for_copies<S::kStages - 2>();
    __syncthreads();  // this stage has arrived for all, and all are done with the one before it
    if (copied.unit < stop) copy_next(free_stage);
    commit_copies();
    free_stage = stage;
    const SharedAddress from = stages + stage * S::kStageBytes;
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      if (done.unit + s >= stop || !has_group(active[done.offset[s]], warp_row)) continue;
      std::uint32_t a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) load_rows<E>(a[m], from + row_offset(warp_row * 32 + m * 16, s, lane));
#pragma unroll
      for (int f = 0; f < kFragments; f += 2) {
        std::uint32_t b[4];
        load_columns<E, S::kStride>(b, from + lane_cols + s * kStep<E> * S::kStride + f * 8 * kBytes<E>);
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          E::multiply(sums[m][f], a[m], b[0], b[1]);
          E::multiply(sums[m][f + 1], a[m], b[2], b[3]);
        }
      }
    }
    stage = stage + 1 == S::kStages ? 0 : stage + 1;
  }
  wait_for_copies<0>();
  __syncthreads();

  auto* tile = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
      float* to = tile + (warp_row * 32 + m * 16 + (lane >> 2)) * (S::kCols + kPad) + warp_col + f * 8 + (lane & 3) * 2;
      *reinterpret_cast<float2*>(to) = make_float2(sums[m][f][0], sums[m][f][1]);
      *reinterpret_cast<float2*>(to + 8 * (S::kCols + kPad)) = make_float2(sums[m][f][2], sums[m][f][3]);
    }
  }
  __syncthreads();
  store_tile<E, S::kRows, S::kCols, S::kThreads>(p, part, split, row0, col0, tile);
}

template <class S>
void launch_implicit(const Conv& p, Stream stream) {
  const auto row_tiles = blocks_for(p.out.rows, S::kRows);
  const auto col_tiles = blocks_for(p.out.channels, S::kCols);
  const int longest = (p.volume + p.splits - 1) / p.splits;
  launch("implicit_kernel", &implicit_kernel<S>,
         dim3(row_tiles * col_tiles, static_cast<unsigned>(p.splits * p.slices)), S::kThreads,
         S::kSharedBytes + 4 * (longest + 1), stream, p);
}

/// @param tile  of kTiles
template <class E>
void implicit(const Conv& p, int tile, Stream stream) {
  if (p.copy_bytes < 16) {
    if (p.out.channels <= 32) return launch_implicit<Implicit<E, 128, 32, 32, 4, 4, true>>(p, stream);
    return launch_implicit<Implicit<E, 128, 64, 32, 4, 2, true>>(p, stream);
  }
  switch (tile) {
    case 0:
      return launch_implicit<Implicit<E, 128, 128, 64, 4, 2>>(p, stream);
    case 1:
      return launch_implicit<Implicit<E, 128, 96, 48, 4, 2>>(p, stream);
    case 2:
      return launch_implicit<Implicit<E, 128, 64, 32, 3, 2>>(p, stream);
    default:
      return launch_implicit<Implicit<E, 128, 32, 32, 4, 4>>(p, stream);
  }
}

}  // namespace rarefy::cuda::conv_gpu
