#pragma once
/// Register tiles of the convolution kernels, written once over a vector type V that each instruction set defines.
/// Everything is in an unnamed namespace: each includer compiles its own copy with its own flags and nothing can leak.
///
/// V has: Reg, Mask, kLanes, zero(), set(float), load(p), store(p, r), fma(a, b, c) = a * b + c, mask(n),
/// load(p, mask), store(p, r, mask); kForwardRows[v - 1], kGradientRows[v - 1]: rows of a tile with v vectors.
#include "kernels/cpu/conv/kernels.h"

#define RAREFY_INLINE inline __attribute__((always_inline))
#define RAREFY_UNROLL _Pragma("GCC unroll 16")

namespace rarefy::conv_cpu {
namespace {

/// R output rows by NV vectors. Each element is one chain of multiply-adds in the order of the input channels, so its
/// bits do not depend on how rows are grouped into tiles.
template <class V, int R, int NV>
RAREFY_INLINE void forward_tile(const PanelJob& job, const std::int32_t* in_row, const std::int32_t* out_row,
                                typename V::Mask tail) {
  using Reg = typename V::Reg;
  constexpr int L = V::kLanes;
  const float* x[R];
  float* y[R];
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    x[r] = job.x + in_row[r] * job.x_stride;
    y[r] = job.y + out_row[r] * job.y_stride;
  }
  Reg acc[R][NV];
  if (job.overwrite) {
    RAREFY_UNROLL for (int r = 0; r < R; ++r) { RAREFY_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = V::zero(); }
  } else {
    RAREFY_UNROLL for (int r = 0; r < R; ++r) {
      RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) acc[r][v] = V::load(y[r] + v * L);
      acc[r][NV - 1] = V::load(y[r] + (NV - 1) * L, tail);
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
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) V::store(y[r] + v * L, acc[r][v]);
    V::store(y[r] + (NV - 1) * L, acc[r][NV - 1], tail);
  }
}

template <class V, int R, int NV>
RAREFY_INLINE void forward_tile_of(int rows, const PanelJob& job, std::int64_t p, typename V::Mask tail) {
  if constexpr (R > 0) {
    if (rows == R) {
      forward_tile<V, R, NV>(job, job.in_row + p, job.out_row + p, tail);
    } else {
      forward_tile_of<V, R - 1, NV>(rows, job, p, tail);
    }
  }
}

/// All pairs of the job in tiles of nearly equal height: 7 pairs are 4 + 3, never 6 + 1.
template <class V, int NV>
void forward_panel(const PanelJob& job) {
  constexpr int R = V::kForwardRows[NV - 1];
  const auto tail = V::mask(job.tail);
  const std::int64_t tiles = (job.count + R - 1) / R;
  for (std::int64_t t = 0, p = 0; t < tiles; ++t) {
    const std::int64_t next = job.count * (t + 1) / tiles;
    forward_tile_of<V, R, NV>(static_cast<int>(next - p), job, p, tail);
    p = next;
  }
}

/// R input channels by NV vectors of output channels, over all pairs of the job.
template <class V, int R, int NV>
RAREFY_INLINE void gradient_tile(const GradientJob& job, std::int64_t c, typename V::Mask tail) {
  using Reg = typename V::Reg;
  constexpr int L = V::kLanes;
  Reg acc[R][NV];
  float* gw = job.gw + c * job.gw_stride;
  RAREFY_UNROLL for (int r = 0; r < R; ++r) {
    RAREFY_UNROLL for (int v = 0; v < NV - 1; ++v) acc[r][v] = V::load(gw + r * job.gw_stride + v * L);
    acc[r][NV - 1] = V::load(gw + r * job.gw_stride + (NV - 1) * L, tail);
  }
  for (std::int64_t p = 0; p < job.count; ++p) {
    const float* x = job.x[p] + c;
    const float* g = job.gy[p];
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
RAREFY_INLINE void gradient_tile_of(int rows, const GradientJob& job, std::int64_t c, typename V::Mask tail) {
  if constexpr (R > 0) {
    if (rows == R) {
      gradient_tile<V, R, NV>(job, c, tail);
    } else {
      gradient_tile_of<V, R - 1, NV>(rows, job, c, tail);
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
    gradient_tile_of<V, R, NV>(static_cast<int>(next - c), job, c, tail);
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
void weight_gradient(const GradientJob& job) {
  if constexpr (NV > 0) {
    if (job.vectors == NV) return gradient_panel<V, NV>(job);
    weight_gradient<V, NV - 1>(job);
  }
}

template <class V>
constexpr ConvKernels make_kernels() {
  return {V::kLanes, V::kMaxVectors, &forward<V>, &weight_gradient<V>};
}

}  // namespace
}  // namespace rarefy::conv_cpu
