// float32 throughout, without tensor cores: simple, exact to rounding, slow.
#include "kernels/cuda/conv/launch.h"
#include "kernels/cuda/conv/tile.h"

namespace rarefy::cuda::conv_gpu {
namespace {

constexpr int kTile = 64, kThreads = 256, kInner = 16, kEdge = 4;  // a thread sums kEdge x kEdge

/// sums[i][j] += a[inner][4 row + i] b[inner][4 col + j]
__device__ inline void multiply_add(float (&sums)[kEdge][kEdge], const float (&a)[kInner][kTile + 4],
                                    const float (&b)[kInner][kTile + 4], int row, int col) {
#pragma unroll
  for (int inner = 0; inner < kInner; ++inner) {
    const float4 u = *reinterpret_cast<const float4*>(&a[inner][row * kEdge]);
    const float4 v = *reinterpret_cast<const float4*>(&b[inner][col * kEdge]);
    const float left[kEdge] = {u.x, u.y, u.z, u.w}, right[kEdge] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < kEdge; ++i) {
#pragma unroll
      for (int j = 0; j < kEdge; ++j) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
    }
  }
}

__global__ void __launch_bounds__(kThreads) exact_kernel(const __grid_constant__ Conv p) {
  __shared__ __align__(16) float a[kInner][kTile + 4];
  __shared__ __align__(16) float b[kInner][kTile + 4];
  __shared__ __align__(16) float tile[kTile * (kTile + kPad)];
  auto* count = reinterpret_cast<std::uint32_t*>(dynamic_shared());
  std::uint32_t* active = count + 1;
  const int thread = static_cast<int>(threadIdx.x), row = thread / 16, col = thread % 16;
  const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const int col0 = static_cast<int>(blockIdx.y) * kTile, split = static_cast<int>(blockIdx.z);
  const auto* x = static_cast<const float*>(p.x);
  const auto* weights = static_cast<const float*>(p.weights);
  const int offsets = find_active<kTile, kThreads>(p, split, row0, active, count);
  float sums[kEdge][kEdge] = {};
  for (int i = 0; i < offsets; ++i) {
    const std::int64_t k = offset_of(active[i]), mine = row0 + thread / 4;
    const std::int64_t in = p.in_row != nullptr ? p.in_row[k * p.row_ld + mine] : (mine < p.out.rows ? mine : -1);
    for (int channel = 0; channel < p.in_channels; channel += kInner) {
      __syncthreads();
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int at = thread % 4 * 4 + c;
        a[at][thread / 4] = in >= 0 && channel + at < p.in_channels ? x[in * p.x_stride + channel + at] : 0.0f;
      }
#pragma unroll
      for (int c = 0; c < kInner; c += 4) {
        const int at = c + thread / kTile, out = thread % kTile;
        b[at][out] =
            col0 + out < p.out_padded ? weights[(k * p.in_padded + channel + at) * p.out_padded + col0 + out] : 0.0f;
      }
      __syncthreads();
      multiply_add(sums, a, b, row, col);
    }
  }
#pragma unroll
  for (int i = 0; i < kEdge; ++i) {
#pragma unroll
    for (int j = 0; j < kEdge; ++j) tile[(row * kEdge + i) * (kTile + kPad) + col * kEdge + j] = sums[i][j];
  }
  __syncthreads();
  store_tile<F32, kTile, kTile, kThreads>(p, split, split, row0, col0, tile);
}

__global__ void __launch_bounds__(kThreads) exact_gradient_kernel(const __grid_constant__ WeightGradient p) {
  __shared__ __align__(16) float a[kInner][kTile + 4];
  __shared__ __align__(16) float b[kInner][kTile + 4];
  const int thread = static_cast<int>(threadIdx.x), row = thread / 16, col = thread % 16;
  const int across = (p.out_channels + kTile - 1) / kTile;
  const int in0 = static_cast<int>(blockIdx.x) / across * kTile, out0 = static_cast<int>(blockIdx.x) % across * kTile;
  const std::int64_t k = blockIdx.y, range = blockIdx.z;
  const std::int64_t begin = range * p.range_rows, stop = min(begin + p.range_rows, p.rows);
  const auto* x = static_cast<const float*>(p.x);
  const auto* g = static_cast<const float*>(p.g);
  float sums[kEdge][kEdge] = {};
  for (std::int64_t first = begin; first < stop; first += kInner) {
    const std::int64_t out = first + thread / 16;
    std::int64_t in = -1;
    if (out < stop) in = p.in_row != nullptr ? p.in_row[k * p.ld + out] : out;
    if (__syncthreads_or(in >= 0 ? 1 : 0) == 0) continue;  // also: all are done with the rows before
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const int at = thread % 16 * 4 + c;
      a[thread / 16][at] = in >= 0 && in0 + at < p.in_channels ? x[in * p.x_stride + in0 + at] : 0.0f;
      b[thread / 16][at] = in >= 0 && out0 + at < p.out_channels ? g[out * p.g_stride + out0 + at] : 0.0f;
    }
    __syncthreads();
    multiply_add(sums, a, b, row, col);
  }
#pragma unroll
  for (int i = 0; i < kEdge; ++i) {
#pragma unroll
    for (int j = 0; j < kEdge; ++j) {
      const int in = in0 + row * kEdge + i, out = out0 + col * kEdge + j;
      if (in >= p.in_channels || out >= p.out_channels) continue;
      float* to = p.sums + ((range * p.volume + k) * p.in_channels + in) * p.out_channels + out;
      *to = p.add ? *to + sums[i][j] : sums[i][j];
    }
  }
}

}  // namespace

void exact(const Conv& p, Stream stream) {
  const int longest = (p.volume + p.splits - 1) / p.splits;
  launch("exact_kernel", &exact_kernel,
         dim3(blocks_for(p.out.rows, kTile), blocks_for(p.out.channels, kTile), static_cast<unsigned>(p.splits)),
         kThreads, 4 * (longest + 1), stream, p);
}

void weight_gradient_exact(const WeightGradient& p, Stream stream) {
  launch("exact_gradient_kernel", &exact_gradient_kernel,
         dim3(blocks_for(p.in_channels, kTile) * blocks_for(p.out_channels, kTile), static_cast<unsigned>(p.volume),
              static_cast<unsigned>(p.ranges)),
         kThreads, 0, stream, p);
}

}  // namespace rarefy::cuda::conv_gpu
