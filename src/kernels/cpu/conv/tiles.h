#pragma once
/// Register tiles of the convolution kernels, written once over a vector type V that each instruction set defines.
/// Everything is in an unnamed namespace: each includer compiles its own copy with its own flags and nothing can leak.
///
/// V has: Reg, Mask, kLanes, zero(), set(float), load(p), store(p, r), fma(a, b, c) = a * b + c, mask(n),
/// load(p, mask), store(p, r, mask), relu(r), leaky_relu(r, slope) (both keep NaN); kForwardRows[v - 1],
/// kGradientRows[v - 1]: rows of a tile with v vectors; kStationaryProven: tests of stationary() passed on a CPU that
/// has V.
#include "kernels/cpu/conv/kernels.h"

#define RAREFY_INLINE inline __attribute__((always_inline))
#define RAREFY_INLINE_LAMBDA __attribute__((always_inline))
#define RAREFY_UNROLL _Pragma("GCC unroll 16")

namespace rarefy::conv_cpu {
namespace {

template <class V>
RAREFY_INLINE typename V::Reg ended(typename V::Reg r, Ending ending, typename V::Reg slope) {
  if (ending == Ending::relu) return V::relu(r);
  return ending == Ending::leaky_relu ? V::leaky_relu(r, slope) : r;
}

/// Asks for the lines of a row.
RAREFY_INLINE void prefetch_row(const float* row, std::int64_t floats) {
  const char* p = reinterpret_cast<const char*>(row);
  for (std::int64_t at = 0; at < floats * 4; at += 64) __builtin_prefetch(p + at, 0, 3);
}

/// R output rows by NV vectors. Each element is one chain of multiply-adds in the order of the input channels, so its
/// bits do not depend on how rows are grouped into tiles.
template <class V, int R, int NV>
RAREFY_INLINE void forward_tile(const PanelJob& job, std::int64_t p, typename V::Mask tail) {
  using Reg = typename V::Reg;
  constexpr int L = V::kLanes;
  const std::int32_t* in_row = job.pairs.in_row + p;
  const std::int32_t* out_row = job.pairs.out_row + p;
  const float* x[R];
  RAREFY_UNROLL for (int r = 0; r < R; ++r) x[r] = job.x + in_row[r] * job.x_stride;
  Reg acc[R][NV];
  if (job.start == nullptr) {
    RAREFY_UNROLL for (int r = 0; r < R; ++r) { RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::zero(); }
  } else {
    RAREFY_UNROLL for (int r = 0; r < R; ++r) {
      const float* start = job.start + out_row[r] * job.start_stride;
      RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) acc[r][v] = V::load(start + v * L);
      acc[r][NV - 1] = V::load(start + (NV - 1) * L, tail);
    }
  }
  const float* w = job.weights;
  const std::int64_t n = job.in_channels;
  for (std::int64_t c = 0; c < n; ++c, w += NV * L) {
    Reg b[NV];
    RAREFY_UNROLL for (int v = 0; v < NV; ++v) b[v] = V::load(w + v * L);
    RAREFY_UNROLL for (int r = 0; r < R; ++r) {
      const Reg a = V::set(x[r][c]);
      RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::fma(a, b[v], acc[r][v]);
    }
  }
  if (job.ending != Ending::none) {
    const Reg slope = V::set(job.slope);
    RAREFY_UNROLL for (int r = 0; r < R; ++r) {
      RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = ended<V>(acc[r][v], job.ending, slope);
    }
  }
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    float* y = job.y + out_row[r] * job.y_stride;
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) V::store(y + v * L, acc[r][v]);
    V::store(y + (NV - 1) * L, acc[r][NV - 1], tail);
  }
}

template <class V, int R, int NV>
RAREFY_INLINE void forward_tile_of(int rows, const PanelJob& job, std::int64_t p, typename V::Mask tail) {
  if constexpr (R > 0) {
    if (rows == R) {
      forward_tile<V, R, NV>(job, p, tail);
    } else {
      forward_tile_of<V, R - 1, NV>(rows, job, p, tail);
    }
  }
}

/// All pairs of the job in tiles of nearly equal height: 7 pairs are 4 + 3, never 6 + 1. While a tile is computed the
/// rows of the next one are fetched: rows lie anywhere, no hardware guesses them.
template <class V, int NV>
void forward_panel(const PanelJob& job) {
  constexpr int R = V::kForwardRows[NV - 1];
  const auto tail = V::mask(job.tail);
  const std::int64_t count = job.pairs.count;
  const std::int64_t tiles = (count + R - 1) / R;
  for (std::int64_t t = 0, p = 0; t < tiles; ++t) {
    const std::int64_t end = count * (t + 1) / tiles;
    const Pairs& ahead = t + 1 < tiles ? job.pairs : job.next;
    const std::int64_t first = t + 1 < tiles ? end : 0;
    const std::int64_t last = first + R < ahead.count ? first + R : ahead.count;
    for (std::int64_t q = first; q < last; ++q) prefetch_row(job.x + ahead.in_row[q] * job.x_stride, job.in_channels);
    forward_tile_of<V, R, NV>(static_cast<int>(end - p), job, p, tail);
    p = end;
  }
}

/// Without a branch, which nothing could predict.
RAREFY_INLINE const float* row_or_zeros(const StationaryJob& job, std::int64_t row) {
  const auto missing = static_cast<std::uintptr_t>(row >> 63);
  const auto there = reinterpret_cast<std::uintptr_t>(job.x) +
                     static_cast<std::uintptr_t>(row * job.x_stride * static_cast<std::int64_t>(sizeof(float)));
  return reinterpret_cast<const float*>((there & ~missing) | (reinterpret_cast<std::uintptr_t>(job.zeros) & missing));
}

/// R output rows by NV vectors over all offsets of tile t: sums are loaded and stored once. Each element is the chain
/// of multiply-adds of forward_tile, in the same order, with products of zero between them.
template <class V, int R, int NV>
RAREFY_INLINE void stationary_tile(const StationaryJob& job, std::int64_t t, typename V::Mask tail) {
  using Reg = typename V::Reg;
  constexpr int L = V::kLanes;
  const std::int32_t* out_row = job.out_row + t * kTileRows;
  Reg acc[R][NV];
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    const float* start = job.start == nullptr ? nullptr : job.start + out_row[r] * job.start_stride;
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) acc[r][v] = start == nullptr ? V::zero() : V::load(start + v * L);
    acc[r][NV - 1] = start == nullptr ? V::zero() : V::load(start + (NV - 1) * L, tail);
  }
  const std::int64_t n = job.in_channels;
  const auto multiply = [&](std::int64_t entry, std::int64_t k) RAREFY_INLINE_LAMBDA {
    const std::int32_t* in_row = job.in_row + entry * kTileRows;
    const float* x[R];
    RAREFY_UNROLL for (int r = 0; r < R; ++r) x[r] = row_or_zeros(job, in_row[r]);
    const float* w = job.weights + k * job.weights_stride;
    for (std::int64_t c = 0; c < n; ++c, w += NV * L) {
      Reg b[NV];
      RAREFY_UNROLL for (int v = 0; v < NV; ++v) b[v] = V::load(w + v * L);
      RAREFY_UNROLL for (int r = 0; r < R; ++r) {
        const Reg a = V::set(x[r][c]);
        RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::fma(a, b[v], acc[r][v]);
      }
    }
  };
  const std::uint64_t mask = job.mask[t];
  const std::uint64_t first = job.first_offset < 0 ? 0 : std::uint64_t{1} << job.first_offset;
  if ((mask & first) != 0) multiply(job.begin[t] + __builtin_popcountll(mask & (first - 1)), job.first_offset);
  std::int64_t entry = job.begin[t];
  for (std::uint64_t left = mask; left != 0; left &= left - 1, ++entry) {
    const int k = __builtin_ctzll(left);
    if (k != job.first_offset) multiply(entry, k);
  }
  const Reg slope = V::set(job.slope);
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    float* y = job.y + out_row[r] * job.y_stride;
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) V::store(y + v * L, ended<V>(acc[r][v], job.ending, slope));
    V::store(y + (NV - 1) * L, ended<V>(acc[r][NV - 1], job.ending, slope), tail);
  }
}

template <class V, int R, int NV>
RAREFY_INLINE void stationary_tile_of(int rows, const StationaryJob& job, std::int64_t t, typename V::Mask tail) {
  if constexpr (R > 0) {
    if (rows == R) {
      stationary_tile<V, R, NV>(job, t, tail);
    } else {
      stationary_tile_of<V, R - 1, NV>(rows, job, t, tail);
    }
  }
}

template <class V, int NV>
void stationary_panel(const StationaryJob& job) {
  const auto tail = V::mask(job.tail);
  for (std::int64_t t = job.first; t < job.last; ++t) {
    if (t + 1 < job.last)
      for (std::int64_t i = job.begin[t + 1] * kTileRows; i < job.begin[t + 2] * kTileRows; ++i)
        __builtin_prefetch(row_or_zeros(job, job.in_row[i]), 0, 3);
    int rows = 0;
    while (rows < kTileRows && job.out_row[t * kTileRows + rows] >= 0) ++rows;
    stationary_tile_of<V, kTileRows, NV>(rows, job, t, tail);
  }
}

template <class V>
void end_rows(const EndingJob& job) {
  constexpr int L = V::kLanes;
  const auto slope = V::set(job.slope);
  const std::int64_t whole = job.cols / L * L;
  const auto tail = V::mask(job.cols > whole ? static_cast<int>(job.cols - whole) : L);
  for (std::int64_t r = 0; r < job.rows; ++r) {
    float* y = job.y + r * job.y_stride;
    for (std::int64_t c = 0; c < whole; c += L) V::store(y + c, ended<V>(V::load(y + c), job.ending, slope));
    if (whole < job.cols) V::store(y + whole, ended<V>(V::load(y + whole, tail), job.ending, slope), tail);
  }
}

/// R input channels by NV vectors of output channels, over all pairs of the job.
template <class V, int R, int NV>
RAREFY_INLINE void gradient_tile(const GradientJob& job, std::int64_t c, std::int64_t line, typename V::Mask tail) {
  using Reg = typename V::Reg;
  constexpr int L = V::kLanes;
  Reg acc[R][NV];
  float* gw = job.gw + c * job.gw_stride;
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) acc[r][v] = V::load(gw + r * job.gw_stride + v * L);
    acc[r][NV - 1] = V::load(gw + r * job.gw_stride + (NV - 1) * L, tail);
  }
  // Each tile fetches one cache line of each row of the next chunk: a burst of all of them would stall.
  const std::int64_t x_line = line < job.in_channels ? line : job.in_channels - 1;
  const std::int64_t gy_line = line + job.gy_first < job.gy_channels ? line + job.gy_first : job.gy_channels - 1;
  for (std::int64_t p = 0; p < job.count; ++p) {
    __builtin_prefetch(job.next_x[p] + x_line, 0, 3);
    __builtin_prefetch(job.next_gy[p] + gy_line, 0, 3);
    const float* x = job.x[p] + c;
    const float* g = job.gy[p];
    __asm__("" : "+r"(x));  // or g++ keeps c + r of each r in a register of its own, more than there are
    Reg b[NV];
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) b[v] = V::load(g + v * L);
    b[NV - 1] = V::load(g + (NV - 1) * L, tail);
    RAREFY_UNROLL for (int r = 0; r < R; ++r) {
      const Reg a = V::set(x[r]);
      RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::fma(a, b[v], acc[r][v]);
    }
  }
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) V::store(gw + r * job.gw_stride + v * L, acc[r][v]);
    V::store(gw + r * job.gw_stride + (NV - 1) * L, acc[r][NV - 1], tail);
  }
}

template <class V, int R, int NV>
RAREFY_INLINE void gradient_tile_of(int rows, const GradientJob& job, std::int64_t c, std::int64_t line,
                                    typename V::Mask tail) {
  if constexpr (R > 0) {
    if (rows == R) {
      gradient_tile<V, R, NV>(job, c, line, tail);
    } else {
      gradient_tile_of<V, R - 1, NV>(rows, job, c, line, tail);
    }
  }
}

template <class V, int NV>
void gradient_panel(const GradientJob& job) {
  constexpr int R = V::kGradientRows[NV - 1];
  const auto tail = V::mask(job.tail);
  const std::int64_t tiles = (job.in_channels + R - 1) / R;
  for (std::int64_t t = 0, c = 0; t < tiles; ++t) {
    const std::int64_t next = job.in_channels * (t + 1) / tiles;
    gradient_tile_of<V, R, NV>(static_cast<int>(next - c), job, c, t * (64 / 4), tail);
    c = next;
  }
}

template <class V, int NV = V::kMaxVectors>
void forward(const PanelJob& job) {
  if constexpr (NV > 0) {
    if (job.vectors == NV) return forward_panel<V, NV>(job);
    forward<V, NV - 1>(job);
  }
}

template <class V, int NV = V::kMaxVectors>
void stationary(const StationaryJob& job) {
  if constexpr (NV > 0) {
    if (job.vectors == NV) return stationary_panel<V, NV>(job);
    stationary<V, NV - 1>(job);
  }
}

template <class V, int NV = V::kMaxVectors>
void weight_gradient(const GradientJob& job) {
  if constexpr (NV > 0) {
    if (job.vectors == NV) return gradient_panel<V, NV>(job);
    weight_gradient<V, NV - 1>(job);
  }
}

template <class V>
constexpr ConvKernels make_kernels() {
  return {V::kLanes,    V::kMaxVectors,      &forward<V>,         &stationary<V>,
          &end_rows<V>, &weight_gradient<V>, V::kStationaryProven};
}

}  // namespace
}  // namespace rarefy::conv_cpu
