#pragma once
/// The end of a convolution: bias, residual, activation, conversion, store. Eight channels at a time.
#include "kernels/cuda/conv/element.h"

namespace rarefy::cuda::conv_gpu {

inline constexpr int kEnd = 8;  ///< channels that one thread ends

__device__ inline float activated(float v, int activation, float slope) {
  if (activation == kNoActivation || !(v < 0.0f)) return v;  // NaN passes
  return activation == kRelu ? 0.0f : v * slope;
}

template <class E>
struct Eight {
  static constexpr int kWords = kEnd * kBytes<E> / 16;
  union {
    uint4 words[kWords];
    typename E::Storage values[kEnd];
  };
  __device__ Eight() {}
};

/// Channels [col, col + 8) of an output row, as far as there are any.
template <class E>
__device__ inline void end(const Output& out, std::int64_t row, int col, float (&v)[kEnd]) {
  using Storage = typename E::Storage;
  const int count = min(kEnd, out.channels - col);
  if (out.bias != nullptr) {
#pragma unroll
    for (int j = 0; j < kEnd; ++j)
      if (j < count) v[j] += out.bias[col + j];
  }
  Storage* y = static_cast<Storage*>(out.y) + row * out.y_stride + col;
  const Storage* residual = static_cast<const Storage*>(out.residual) + row * out.residual_stride + col;
  Eight<E> eight;
  if (out.vectors && count == kEnd) {
    if (out.residual != nullptr) {
#pragma unroll
      for (int w = 0; w < Eight<E>::kWords; ++w) eight.words[w] = reinterpret_cast<const uint4*>(residual)[w];
#pragma unroll
      for (int j = 0; j < kEnd; ++j) v[j] += E::widen(eight.values[j]);
    }
#pragma unroll
    for (int j = 0; j < kEnd; ++j) eight.values[j] = E::narrow(activated(v[j], out.activation, out.slope));
#pragma unroll
    for (int w = 0; w < Eight<E>::kWords; ++w) reinterpret_cast<uint4*>(y)[w] = eight.words[w];
    return;
  }
#pragma unroll
  for (int j = 0; j < kEnd; ++j) {
    if (j >= count) continue;
    if (out.residual != nullptr) v[j] += E::widen(residual[j]);
    y[j] = E::narrow(activated(v[j], out.activation, out.slope));
  }
}

}  // namespace rarefy::cuda::conv_gpu
