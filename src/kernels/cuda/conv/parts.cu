// Sums of partial results in a fixed order.
#include "kernels/cuda/conv/epilogue.h"
#include "kernels/cuda/conv/launch.h"

namespace rarefy::cuda::conv_gpu {
namespace {

constexpr int kThreads = 256;

__device__ inline void add(float (&v)[kEnd], const float* from) {
  const float4 a = reinterpret_cast<const float4*>(from)[0], b = reinterpret_cast<const float4*>(from)[1];
  v[0] += a.x;
  v[1] += a.y;
  v[2] += a.z;
  v[3] += a.w;
  v[4] += b.x;
  v[5] += b.y;
  v[6] += b.z;
  v[7] += b.w;
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(const float* partial, int parts, int out_padded, const __grid_constant__ Output out) {
  const int ends = (out.channels + kEnd - 1) / kEnd;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x, row = i / ends;
  if (row >= out.rows) return;
  const int col = static_cast<int>(i - row * ends) * kEnd;
  float v[kEnd] = {};
  const float* from = partial + row * out_padded + col;
  for (int part = 0; part < parts; ++part, from += out.rows * out_padded) add(v, from);
  end<E>(out, row, col, v);
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    add_products_kernel(const float* products, const std::int32_t* position, int volume, int out_padded,
                        const __grid_constant__ Output out) {
  const int ends = (out.channels + kEnd - 1) / kEnd;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x, row = i / ends;
  if (row >= out.rows) return;
  const int col = static_cast<int>(i - row * ends) * kEnd;
  float v[kEnd] = {};
  for (int k = 0; k < volume; ++k) {
    const std::int64_t at = position[k * out.rows + row];
    if (at >= 0) add(v, products + at * out_padded + col);
  }
  end<E>(out, row, col, v);
}

__global__ void __launch_bounds__(kThreads)
    add_gradients_kernel(const float* partial, int parts, std::int64_t size, int add, float* to) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) return;
  float sum = 0.0f;
  for (int part = 0; part < parts; ++part) sum += partial[part * size + i];
  to[i] = add != 0 ? to[i] + sum : sum;
}

unsigned blocks(const Output& out) { return blocks_for(out.rows * ((out.channels + kEnd - 1) / kEnd), kThreads); }

}  // namespace

void add_parts(const float* partial, int parts, int out_padded, const Output& out, Element element, Stream stream) {
  const auto kernel = element == Element::f16    ? &add_parts_kernel<F16>
                      : element == Element::bf16 ? &add_parts_kernel<Bf16>
                                                 : &add_parts_kernel<F32>;
  launch("add_parts_kernel", kernel, dim3(blocks(out)), kThreads, 0, stream, partial, parts, out_padded, out);
}

void add_products(const float* products, const std::int32_t* position, int volume, int out_padded, const Output& out,
                  Element element, Stream stream) {
  const auto kernel = element == Element::f16    ? &add_products_kernel<F16>
                      : element == Element::bf16 ? &add_products_kernel<Bf16>
                                                 : &add_products_kernel<F32>;
  launch("add_products_kernel", kernel, dim3(blocks(out)), kThreads, 0, stream, products, position, volume, out_padded,
         out);
}

void add_gradients(const float* partial, int parts, std::int64_t size, bool add, float* to, Stream stream) {
  launch("add_gradients_kernel", &add_gradients_kernel, dim3(blocks_for(size, kThreads)), kThreads, 0, stream, partial,
         parts, size, add ? 1 : 0, to);
}

}  // namespace rarefy::cuda::conv_gpu
