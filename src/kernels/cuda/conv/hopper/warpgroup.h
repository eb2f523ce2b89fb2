#pragma once
/// Implicit GEMM for compute capability 9.0, 16 bits: warpgroups of 128 threads gather 64 rows each into shared memory
/// and multiply them there, each at its own pace; they skip offsets under which these have no pair. They share the
/// weights of a stage, which the last one that is done with it replaces. Compiled for sm_90a only.
#include "kernels/cuda/conv/hopper/ptx.h"
#include "kernels/cuda/conv/launch.h"
#include "kernels/cuda/conv/tile.h"

namespace rarefy::cuda::conv_gpu {

/// A stage holds two units of 32 channels, of one offset or of two: per warpgroup two times 64 rows of 64 bytes, then
/// two times kCols columns of weights.
template <class Element_, int kWarpgroups_, int kCols_, int kStages_, int kBlocks_>
struct Warpgroups {
  using E = Element_;
  static constexpr int kWarpgroups = kWarpgroups_, kCols = kCols_, kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kRows = 64 * kWarpgroups, kThreads = 128 * kWarpgroups;
  static constexpr int kRowsUnit = 64 * kRowBytes, kWeightsUnit = kCols * kRowBytes;
  static constexpr int kWeightsAt = kWarpgroups * 2 * kRowsUnit, kStageBytes = kWeightsAt + 2 * kWeightsUnit;
  static constexpr int kSumsBytes = kRows * (kCols + kPad) * 4;
  static constexpr int kSharedBytes = kStages * kStageBytes > kSumsBytes ? kStages* kStageBytes : kSumsBytes;
  static constexpr int kListAt = kSharedBytes + kStages * (8 + 4);   // behind barriers and counters
  static constexpr int kRowStep = 128 / 8, kCopies = 64 / kRowStep;  // eight threads copy a row of both units
  static_assert(kCols % 32 == 0 && kStageBytes % 512 == 0 && kSharedBytes % 8 == 0);
};

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks) warpgroup_kernel(const __grid_constant__ Conv p) {
  using E = typename S::E;
  unsigned char* shared = swizzled_shared();
  auto* count = reinterpret_cast<std::uint32_t*>(shared + S::kListAt);
  std::uint32_t* active = count + 1;
  const SharedAddress stages = shared_address(shared), full = stages + S::kSharedBytes, left = full + S::kStages * 8;
  const int thread = static_cast<int>(threadIdx.x), lane = thread & 31, group = thread >> 7;
  const int col_tiles = (p.out.channels + S::kCols - 1) / S::kCols;
  const int row_tile = static_cast<int>(blockIdx.x) / col_tiles;
  const std::int64_t row0 = static_cast<std::int64_t>(row_tile) * S::kRows;
  const int col0 = (static_cast<int>(blockIdx.x) - row_tile * col_tiles) * S::kCols;
  const int part = static_cast<int>(blockIdx.y), split = part / p.slices, slice = part - split * p.slices;
  if (thread == 0) {
    for (int s = 0; s < S::kStages; ++s) {
      make_barrier(full + s * 8, 1);
      store_word(left + s * 4, 0);
    }
    show_to_products();
  }
  const int offsets = find_active<S::kRows, S::kThreads>(p, split, row0, active, count);
  const int steps = (p.in_channels + kUnit - 1) / kUnit, work = offsets * steps;
  const int begin = static_cast<int>(std::int64_t{work} * slice / p.slices);
  const int stop = static_cast<int>(std::int64_t{work} * (slice + 1) / p.slices);

  const auto copy_weights_of = [&](int stage, int unit) {
    const auto* weights = static_cast<const unsigned char*>(p.units) + static_cast<std::int64_t>(col0) * kRowBytes;
    const int bytes = min(S::kCols, p.out_padded - col0) * kRowBytes, count = min(2, stop - unit);
    arrive_expecting(full + stage * 8, count * bytes);
#pragma unroll 1
    for (int u = 0; u < count; ++u) {
      const int i = static_cast<int>(static_cast<unsigned>(unit + u) / static_cast<unsigned>(steps));
      const int step = unit + u - i * steps;
      const std::int64_t at = (static_cast<std::int64_t>(offset_of(active[i])) * steps + step) * p.out_padded;
      copy_bulk(stages + stage * S::kStageBytes + S::kWeightsAt + u * S::kWeightsUnit, weights + at * kRowBytes, bytes,
                full + stage * 8);
    }
  };
  if (thread == 0) {
    for (int s = 0; s < S::kStages && begin + 2 * s < stop; ++s) copy_weights_of(s, begin + 2 * s);
  }

  // Copies run kStages - 1 stages ahead of the products; input rows are looked up two offsets before that. Pieces 0 to
  // 3 of a row belong to the first unit, 4 to 7 to the second.
  const int piece = thread & 3, half = thread >> 2 & 1, copy_row = thread >> 3 & 15;
  const auto* x = static_cast<const unsigned char*>(p.x);
  const int stride = static_cast<int>(p.x_stride) * kBytes<E>;
  const int hop = steps == 1 ? 2 : 1;  // from one offset of a half to its next
  const std::int64_t first_row = row0 + group * 64 + copy_row;
  const SharedAddress copy_to = stages + (2 * group + half) * S::kRowsUnit + row_piece(copy_row, piece);
  const auto has_pairs = [&](std::uint32_t entry) { return (entry >> (16 + 2 * group) & 3U) != 0; };
  int rows[S::kCopies], next_rows[S::kCopies], later_rows[S::kCopies];
  const std::int32_t* own_rows = p.in_row + first_row;  // tables have a column for every row of a group with pairs
  const auto look_up = [&](int i, int(&to)[S::kCopies]) {
    const std::uint32_t entry = i < offsets ? active[i] : 0U;
    const std::int32_t* from = own_rows + static_cast<std::int64_t>(offset_of(entry)) * static_cast<int>(p.row_ld);
    if (!has_pairs(entry)) {
#pragma unroll
      for (int c = 0; c < S::kCopies; ++c) to[c] = -1;
    } else if (p.in_row != nullptr) {
#pragma unroll
      for (int c = 0; c < S::kCopies; ++c) to[c] = __ldg(from + c * S::kRowStep);
    } else {
#pragma unroll
      for (int c = 0; c < S::kCopies; ++c) {
        const std::int64_t row = first_row + c * S::kRowStep;
        to[c] = row < p.out.rows ? static_cast<int>(row) : -1;
      }
    }
  };
  Steps copied(begin, steps), done = copied;
  const auto copy_next = [&](int stage) {
    const int before = half == 0 ? copied.offset[0] : copied.offset[1];
    const int step = half == 0 ? copied.step[0] : copied.step[1];
    if (copied.unit + half < stop && has_pairs(active[before])) {
      const int at = step * kRowBytes + piece * 16;
      const bool inside = at < p.in_channels * kBytes<E>;
      const unsigned char* from = x + at;
      const SharedAddress to = copy_to + stage * S::kStageBytes;
#pragma unroll
      for (int c = 0; c < S::kCopies; ++c)
        copy_or_clear(to + c * S::kRowStep * kRowBytes, from + static_cast<std::int64_t>(rows[c]) * stride,
                      rows[c] >= 0 && inside);
    }
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

  const int own_offset = half == 0 ? copied.offset[0] : copied.offset[1];
  look_up(own_offset, rows);
  look_up(own_offset + hop, next_rows);
  look_up(own_offset + 2 * hop, later_rows);
  for (int stage = 0; stage < S::kStages - 1; ++stage) {
    if (copied.unit < stop) copy_next(stage);
    commit_copies();
  }
  float sums[S::kCols / 2] = {};
  const Operand a = operand(stages + 2 * group * S::kRowsUnit), b = operand(stages + S::kWeightsAt);
  int stage = 0, free_stage = S::kStages - 1, parity = 0;
  for (; done.unit < stop; done.advance(steps)) {
    wait_for_copies<S::kStages - 2>();
    show_to_products();
    synchronize_group(group);  // this stage's rows have arrived, and the products of the one before are done
    wait_for_phase(full + stage * 8, parity);
    const bool first = has_pairs(active[done.offset[0]]);
    const bool second = done.unit + 1 < stop && has_pairs(active[done.offset[1]]);
    const int at = stage * (S::kStageBytes / 16);
    if (first) {
      begin_products();
      E::multiply_group(sums, a + at, b + at);
      E::multiply_group(sums, a + at + 2, b + at + 2);
      commit_products();
    }
    if (second) {
      begin_products();
      E::multiply_group(sums, a + at + S::kRowsUnit / 16, b + at + S::kWeightsUnit / 16);
      E::multiply_group(sums, a + at + S::kRowsUnit / 16 + 2, b + at + S::kWeightsUnit / 16 + 2);
      commit_products();
    }
    if (copied.unit < stop) copy_next(free_stage);
    commit_copies();
    wait_for_products();
    if (lane == 0 && last_of<4 * S::kWarpgroups>(left + stage * 4) && done.unit + 2 * S::kStages < stop)
      copy_weights_of(stage, done.unit + 2 * S::kStages);
    free_stage = stage;
    if (++stage == S::kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
  wait_for_copies<0>();
  __syncthreads();

  auto* tile = reinterpret_cast<float*>(shared);
  float* to = tile + ((thread >> 5) * 16 + (lane >> 2)) * (S::kCols + kPad) + (lane & 3) * 2;
#pragma unroll
  for (int f = 0; f < S::kCols / 8; ++f) {
    *reinterpret_cast<float2*>(to + f * 8) = make_float2(sums[4 * f], sums[4 * f + 1]);
    *reinterpret_cast<float2*>(to + f * 8 + 8 * (S::kCols + kPad)) = make_float2(sums[4 * f + 2], sums[4 * f + 3]);
  }
  __syncthreads();
  store_tile<E, S::kRows, S::kCols, S::kThreads>(p, part, split, row0, col0, tile);
}

template <class S>
void launch_warpgroups(const Conv& p, Stream stream) {
  const auto row_tiles = blocks_for(p.out.rows, S::kRows);
  const auto col_tiles = blocks_for(p.out.channels, S::kCols);
  const int longest = (p.volume + p.splits - 1) / p.splits;
  launch("warpgroup_kernel", &warpgroup_kernel<S>,
         dim3(row_tiles * col_tiles, static_cast<unsigned>(p.splits * p.slices)), S::kThreads,
         S::kListAt + 4 * (longest + 1), stream, p);
}

/// @param tile  of kTiles, one for warpgroups
template <class E>
void warpgroups(const Conv& p, int tile, Stream stream) {
  switch (tile) {
    case 4:
      return launch_warpgroups<Warpgroups<E, 2, 128, 3, 2>>(p, stream);
    case 5:
      return launch_warpgroups<Warpgroups<E, 2, 96, 4, 2>>(p, stream);
    case 6:
      return launch_warpgroups<Warpgroups<E, 2, 64, 4, 2>>(p, stream);
    default:
      return launch_warpgroups<Warpgroups<E, 2, 32, 4, 2>>(p, stream);
  }
}

}  // namespace rarefy::cuda::conv_gpu
