#pragma once
/// Parts of the kernels: copies into shared memory, fragments, the offsets of a tile, the store of its sums.
#include "kernels/cuda/conv/element.h"
#include "kernels/cuda/conv/epilogue.h"

namespace rarefy::cuda::conv_gpu {

/// Columns of padding behind rows of shared memory: 16-bit rows are read by 8 x 16 bytes whose banks differ as the
/// number of 16 bytes is odd; 32-bit rows by 4 x 8 words, whose banks differ as the row is 8 words more than 32 n.
inline constexpr int kPad = 8;

/// Copies `bytes` (0..16) to shared memory and clears the rest of the 16.
template <bool kAny>
__device__ inline void copy_piece(SharedAddress to, const unsigned char* from, int bytes, int copy_bytes) {
  if constexpr (!kAny) {
    copy_16(to, from, bytes);
  } else if (copy_bytes == 8) {
#pragma unroll
    for (int at = 0; at < 16; at += 8) copy_8(to + at, from + (bytes > at ? at : 0), min(max(bytes - at, 0), 8));
  } else if (copy_bytes >= 4) {
#pragma unroll
    for (int at = 0; at < 16; at += 4) copy_4(to + at, from + (bytes > at ? at : 0), min(max(bytes - at, 0), 4));
  } else {
    const auto* values = reinterpret_cast<const std::uint16_t*>(from);
    std::uint32_t words[4];
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      words[w] = bytes > 4 * w ? values[2 * w] : 0U;
      if (bytes > 4 * w + 2) words[w] |= static_cast<std::uint32_t>(values[2 * w + 1]) << 16;
    }
    store_16(to, make_uint4(words[0], words[1], words[2], words[3]));
  }
}

/// Two steps of weights (rows of kCols columns) to shared memory, the second where `both`. Columns beyond are cleared.
template <class E, int kCols, int kThreads>
__device__ inline void copy_weights(SharedAddress to, const unsigned char* first, const unsigned char* second,
                                    bool both, int stride, int columns) {
  constexpr int kPieces = kCols * kBytes<E> / 16, kAll = 2 * kStep<E> * kPieces;
#pragma unroll
  for (int from = 0; from < kAll; from += kThreads) {
    const int i = from + static_cast<int>(threadIdx.x);
    const int row = i / kPieces, piece = i - row * kPieces;
    const bool later = row >= kStep<E>;
    if ((later && !both) || (kAll % kThreads != 0 && i >= kAll)) continue;
    const bool inside = piece * (16 / kBytes<E>) < columns;
    const unsigned char* at = later ? second : first;
    if (inside) at += static_cast<std::int64_t>(later ? row - kStep<E> : row) * stride * kBytes<E> + piece * 16;
    copy_16(to + row * (kCols + kPad) * kBytes<E> + piece * 16, at, inside ? 16 : 0);
  }
}

/// Where this lane reads 16 columns of one step of an operand that lies [inner][column].
template <class E, int kStride>
__device__ inline int column_offset(int lane) {
  if constexpr (kHalf<E>) return (lane & 15) * kStride + (lane >> 4) * 16;
  return (lane & 3) * kStride + (lane >> 2) * 4;
}
/// Words 0 and 1: the fragment of the first 8 columns, 2 and 3: of the next 8. Words 0, 2, 1, 3 make a fragment of 16
/// rows of the transposed operand.
template <class E, int kStride>
__device__ inline void load_columns(std::uint32_t (&r)[4], SharedAddress at) {
  if constexpr (kHalf<E>) {
    load_transposed(r, at);
  } else {
    r[0] = load_word(at);
    r[1] = load_word(at + 4 * kStride);
    r[2] = load_word(at + 32);
    r[3] = load_word(at + 4 * kStride + 32);
  }
}

/// For operands in float32 that nobody rounded before.
template <class E>
__device__ inline void round_words(std::uint32_t (&r)[4]) {
  if constexpr (!kHalf<E>) {
#pragma unroll
    for (int i = 0; i < 4; ++i) r[i] = round_tf32(r[i]);
  }
}

/// Bytes of a gathered row in shared memory: two steps. Its four 16-byte pieces are exchanged by the row's number, so
/// that eight rows that are read together lie in different banks.
inline constexpr int kRowBytes = 64;
__device__ inline int row_piece(int row, int piece) { return row * kRowBytes + (piece ^ ((row >> 1) & 3)) * 16; }
/// Where this lane reads 16 rows from `row` on (a multiple of 16) in the given step.
__device__ inline int row_offset(int row, int step, int lane) {
  return row_piece(row + (lane & 15), step * 2 + (lane >> 4));
}
template <class E>
__device__ inline void load_rows(std::uint32_t (&a)[4], SharedAddress at) {
  load_matrices(a, at);
  round_words<E>(a);
}

/// An offset under which some row of a tile has a pair: the offset, and one bit per 32 rows.
__device__ inline int offset_of(std::uint32_t entry) { return static_cast<int>(entry & 0xFFFFU); }
__device__ inline bool has_group(std::uint32_t entry, int group) { return (entry >> (16 + group) & 1U) != 0; }

__host__ __device__ inline int first_offset(const Conv& p, int split) { return split * p.volume / p.splits; }

/// Lists those offsets in `active` (as many words as a split has offsets), ascending. All threads call it.
template <int kRows, int kThreads>
__device__ inline int find_active(const Conv& p, int split, std::int64_t row0, std::uint32_t* active,
                                  std::uint32_t* count) {
  constexpr int kGroups = kRows / 32, kWarps = kThreads / 32;
  constexpr std::uint32_t kAllGroups = (1U << kGroups) - 1U;
  const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) >> 5;
  if (p.in_row == nullptr || p.tile_offset != nullptr) {
    const std::int32_t offset = p.tile_offset == nullptr ? 0 : p.tile_offset[row0 / kPairTile];
    if (threadIdx.x == 0) {
      active[0] = static_cast<std::uint32_t>(max(offset, 0)) | kAllGroups << 16;
      *count = offset < 0 ? 0U : 1U;
    }
    __syncthreads();
    return static_cast<int>(*count);
  }
  const int first = first_offset(p, split), offsets = first_offset(p, split + 1) - first;
  const auto inside = [&](int group) { return kRows <= 128 || row0 + group * 32 < p.ld; };  // ld: a multiple of 128
  if (p.masks != nullptr) {
    if (warp == 0 && lane < offsets) {  // at most 32 of them
      std::uint32_t bits = 0;
#pragma unroll
      for (int g = 0; g < kGroups; ++g)
        if (inside(g)) bits |= (p.masks[(split * p.ld + row0) / 32 + g] >> lane & 1U) << g;
      active[lane] = bits;
    }
  } else {
    for (int k = warp; k < offsets; k += kWarps) {
      std::int32_t rows[kGroups];
#pragma unroll
      for (int g = 0; g < kGroups; ++g)
        rows[g] = inside(g) ? p.in_row[(first + k) * p.row_ld + row0 + g * 32 + lane] : -1;
      std::uint32_t bits = 0;
#pragma unroll
      for (int g = 0; g < kGroups; ++g) bits |= (__ballot_sync(0xFFFFFFFFU, rows[g] >= 0) != 0 ? 1U : 0U) << g;
      if (lane == 0) active[k] = bits;
    }
  }
  __syncthreads();
  if (warp == 0) {
    int found = 0;
    for (int base = 0; base < offsets; base += 32) {
      const int k = base + lane;
      const std::uint32_t bits = k < offsets ? active[k] : 0U;
      const std::uint32_t some = __ballot_sync(0xFFFFFFFFU, bits != 0);  // all have read: places below may be written
      if (bits != 0)
        active[found + __popc(some & ((1U << lane) - 1U))] = static_cast<std::uint32_t>(first + k) | bits << 16;
      found += __popc(some);
    }
    if (lane == 0) *count = static_cast<std::uint32_t>(found);
  }
  __syncthreads();
  return static_cast<int>(*count);
}

/// Two neighbouring steps of the work of a block: which offset of its list, which step of that offset's channels.
struct Steps {
  int unit;
  int offset[2], step[2];
  __device__ Steps(int first, int steps) : unit(first) {
    offset[0] = first / steps;
    step[0] = first - offset[0] * steps;
    second(steps);
  }
  __device__ void second(int steps) {
    const bool ends = step[0] + 1 == steps;
    offset[1] = offset[0] + (ends ? 1 : 0);
    step[1] = ends ? 0 : step[0] + 1;
  }
  __device__ void advance(int steps) {
    unit += 2;
    step[0] = step[1] + 1;
    offset[0] = offset[1];
    if (step[0] == steps) {
      step[0] = 0;
      ++offset[0];
    }
    second(steps);
  }
};

/// The output row of row `row` of a split; -1: none.
__device__ inline std::int64_t out_row(const Conv& p, int split, std::int64_t row) {
  if (row >= p.out.rows) return -1;
  return p.order != nullptr ? p.order[split * p.ld + row] : row;
}

/// Ends a tile of sums that lies in shared memory, rows kCols + kPad floats apart: into y, or into the partial sums.
template <class E, int kRows, int kCols, int kThreads>
__device__ inline void store_tile(const Conv& p, int part, int split, std::int64_t row0, int col0, const float* sums) {
  constexpr int kEnds = kCols / kEnd;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kEnds; i += kThreads) {
    const int row = i / kEnds, col = (i - row * kEnds) * kEnd;
    const std::int64_t to = out_row(p, split, row0 + row);
    if (to < 0 || col0 + col >= p.out.channels) continue;
    const float4* from = reinterpret_cast<const float4*>(sums + row * (kCols + kPad) + col);
    const float4 a = from[0], b = from[1];
    if (p.partial != nullptr) {
      auto* at = reinterpret_cast<float4*>(p.partial + (part * p.out.rows + to) * p.out_padded + col0 + col);
      at[0] = a;
      at[1] = b;
    } else {
      float v[kEnd] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
      end<E>(p.out, to, col0 + col, v);
    }
  }
}

}  // namespace rarefy::cuda::conv_gpu
