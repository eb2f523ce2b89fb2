#pragma once
/// Reading and writing matrix elements of any type as float. For .cu files.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/rows.h"

namespace rarefy::cuda {

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(__half v) { return __half2float(v); }
__device__ inline float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ inline float to_float(std::uint8_t v) { return static_cast<float>(v); }

template <class T>
__device__ T from_float(float v);
template <>
__device__ inline float from_float(float v) {
  return v;
}
template <>
__device__ inline __half from_float(float v) {
  return __float2half_rn(v);
}
template <>
__device__ inline __nv_bfloat16 from_float(float v) {
  return __float2bfloat16_rn(v);
}
template <>
__device__ inline std::uint8_t from_float(float v) {
  return static_cast<std::uint8_t>(v);
}

/// A matrix as kernels see it.
template <class T>
struct View {
  T* data;
  std::int64_t rows;
  int cols;
  std::int64_t stride;

  __device__ float operator()(std::int64_t r, int c) const { return to_float(data[r * stride + c]); }
  __device__ void set(std::int64_t r, int c, float v) const { data[r * stride + c] = from_float<T>(v); }
};
template <class T>
View<T> view(const Matrix2d& m) {
  return {static_cast<T*>(m.data), m.rows, static_cast<int>(m.cols), m.stride};
}

/// Calls f with a zero of the element type.
template <class F>
void with_real(Type type, F f) {
  switch (type) {
    case Type::f16:
      return f(__half{});
    case Type::bf16:
      return f(__nv_bfloat16{});
    default:
      return f(float{});
  }
}

}  // namespace rarefy::cuda
