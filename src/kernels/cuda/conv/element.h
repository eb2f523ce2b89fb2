#pragma once
/// What the arithmetics differ in. Kernels are templates over one of these.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/conv/params.h"
#include "kernels/cuda/conv/ptx.h"

namespace rarefy::cuda::conv_gpu {

struct F16 {
  using Storage = __half;
  static constexpr Element kElement = Element::f16;
  __device__ static float widen(Storage v) { return __half2float(v); }
  __device__ static Storage narrow(float v) { return __float2half_rn(v); }
  __device__ static void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    multiply_f16(d, a, b0, b1);
  }
};

struct Bf16 {
  using Storage = __nv_bfloat16;
  static constexpr Element kElement = Element::bf16;
  __device__ static float widen(Storage v) { return __bfloat162float(v); }
  __device__ static Storage narrow(float v) { return __float2bfloat16_rn(v); }
  __device__ static void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    multiply_bf16(d, a, b0, b1);
  }
};

/// float32 in memory; tensor cores read 10 bits of mantissa.
struct F32 {
  using Storage = float;
  static constexpr Element kElement = Element::f32;
  __device__ static float widen(Storage v) { return v; }
  __device__ static Storage narrow(float v) { return v; }
  __device__ static void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    multiply_tf32(d, a, b0, b1);
  }
};

/// Bytes of an element; whether fragments of the operand that runs along rows of shared memory can be transposed by
/// the load.
template <class E>
inline constexpr int kBytes = static_cast<int>(sizeof(typename E::Storage));
template <class E>
inline constexpr bool kHalf = kBytes<E> == 2;
/// Inner length of one tensor core instruction: 32 bytes of a row.
template <class E>
inline constexpr int kStep = 32 / kBytes<E>;

}  // namespace rarefy::cuda::conv_gpu
