#pragma once
/// Register tiles of the 8-bit convolution kernels, written once over a vector type V that each instruction set
/// defines. Everything is in an unnamed namespace: each includer compiles its own copy with its own flags and nothing
/// can leak.
///
/// V has: Reg (int32), kLanes, kMaxVectors, kGroup, Weight, kRows[v - 1]: rows of a tile with v vectors; zero(),
/// load(const int32*), store(int32*, r), add(a, b); add_products<R, NV>(x, weights, in_channels, acc): all products of
/// R rows and one panel. For the end of rows: Real, Mask, mask(n), to_real(r), set(float), load_real(p, mask),
/// load_bytes(p, mask) (as real numbers), mul, plus, max, min (the second operand when the first is NaN),
/// leaky_relu(r, slope), store_real(p, r, mask), store_bytes(p, r, zero, mask): round to even, add zero.
#include "kernels/cpu/conv_int8/kernels.h"

#define RAREFY_INLINE inline __attribute__((always_inline))
#define RAREFY_UNROLL _Pragma("GCC unroll 16")

namespace rarefy::conv_int8_cpu {
namespace {

template <class V, int R, int NV>
RAREFY_INLINE void tile(const PanelJob& job, std::int64_t p) {
  using Reg = typename V::Reg;
  constexpr int L = V::kLanes;
  const std::int32_t* out_row = job.pairs.out_row + p;
  const std::uint8_t* x[R];
  RAREFY_UNROLL for (int r = 0; r < R; ++r) x[r] = job.x + job.pairs.in_row[p + r] * job.x_stride;
  Reg acc[R][NV];
  if (job.begins) {
    RAREFY_UNROLL for (int r = 0; r < R; ++r) { RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::zero(); }
  } else {
    RAREFY_UNROLL for (int r = 0; r < R; ++r) {
      const std::int32_t* sums = job.sums + out_row[r] * job.sums_stride;
      RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::load(sums + v * L);
    }
  }
  if (job.correction != nullptr) {
    RAREFY_UNROLL for (int v = 0; v < NV; ++v) {
      const Reg c = V::load(job.correction + v * L);
      RAREFY_UNROLL for (int r = 0; r < R; ++r) acc[r][v] = V::add(acc[r][v], c);
    }
  }
  V::template add_products<R, NV>(x, static_cast<const typename V::Weight*>(job.weights), job.in_channels, acc);
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    std::int32_t* sums = job.sums + out_row[r] * job.sums_stride;
    RAREFY_UNROLL for (int v = 0; v < NV; ++v) V::store(sums + v * L, acc[r][v]);
  }
}

template <class V, int R, int NV>
RAREFY_INLINE void tile_of(int rows, const PanelJob& job, std::int64_t p) {
  if constexpr (R > 0) {
    if (rows == R) {
      tile<V, R, NV>(job, p);
    } else {
      tile_of<V, R - 1, NV>(rows, job, p);
    }
  }
}

/// All pairs of the job in tiles of nearly equal height, the rows of the next tile on their way.
template <class V, int NV>
void panel(const PanelJob& job) {
  constexpr int R = V::kRows[NV - 1];
  const std::int64_t count = job.pairs.count;
  const std::int64_t tiles = (count + R - 1) / R;
  for (std::int64_t t = 0, p = 0; t < tiles; ++t) {
    const std::int64_t end = count * (t + 1) / tiles;
    const Pairs& ahead = t + 1 < tiles ? job.pairs : job.next;
    const std::int64_t first = t + 1 < tiles ? end : 0;
    const std::int64_t last = first + R < ahead.count ? first + R : ahead.count;
    for (std::int64_t q = first; q < last; ++q) {
      const std::uint8_t* row = job.x + ahead.in_row[q] * job.x_stride;
      for (std::int64_t at = 0; at < job.in_channels; at += 64) __builtin_prefetch(row + at, 0, 3);
    }
    tile_of<V, R, NV>(static_cast<int>(end - p), job, p);
    p = end;
  }
}

template <class V, int NV = V::kMaxVectors>
void forward(const PanelJob& job) {
  if constexpr (NV > 0) {
    if (job.vectors == NV) return panel<V, NV>(job);
    forward<V, NV - 1>(job);
  }
}

/// Columns [c, c + lanes of the mask) of row r.
template <class V>
RAREFY_INLINE void end_columns(const EndJob& job, std::int64_t r, std::int64_t c, typename V::Mask mask) {
  using Real = typename V::Real;
  Real v = job.sums != nullptr
               ? V::mul(V::to_real(V::load(job.sums + r * job.sums_stride + c)), V::load_real(job.scale + c, mask))
               : V::load_real(job.real + r * job.real_stride + c, mask);
  if (job.bias != nullptr) v = V::plus(v, V::load_real(job.bias + c, mask));
  if (job.residual != nullptr) {
    v = V::plus(v, V::load_real(job.residual + r * job.residual_stride + c, mask));
  } else if (job.stored_residual != nullptr) {
    const Real stored = V::load_bytes(job.stored_residual + r * job.stored_residual_stride + c, mask);
    v = V::plus(v, V::mul(V::plus(stored, V::set(-job.residual_zero)), V::set(job.residual_scale)));
  }
  if (job.ending == Ending::relu) {
    v = V::max(V::set(0.0f), v);
  } else if (job.ending == Ending::leaky_relu) {
    v = V::leaky_relu(v, V::set(job.slope));
  }
  if (job.y != nullptr) {
    V::store_real(job.y + r * job.y_stride + c, v, mask);
  } else {
    v = V::min(V::max(V::mul(v, V::set(job.inverse_scale)), V::set(job.low)), V::set(job.high));
    V::store_bytes(job.stored_y + r * job.stored_y_stride + c, v, job.zero, mask);
  }
}

template <class V>
void end_rows(const EndJob& job) {
  constexpr int L = V::kLanes;
  const std::int64_t whole = job.cols / L * L;
  for (std::int64_t r = 0; r < job.rows; ++r) {
    for (std::int64_t c = 0; c < whole; c += L) end_columns<V>(job, r, c, V::mask(L));
    if (whole < job.cols) end_columns<V>(job, r, whole, V::mask(static_cast<int>(job.cols - whole)));
  }
}

template <class V>
constexpr Int8Kernels make_kernels() {
  return {V::kLanes, V::kMaxVectors, V::kGroup, sizeof(typename V::Weight), &forward<V>, &end_rows<V>};
}

}  // namespace
}  // namespace rarefy::conv_int8_cpu
