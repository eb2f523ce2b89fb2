// Element-wise ops on the GPU: the rows of graph/elementwise.inc.
#include <string_view>

#include "kernels/cuda/element.h"
#include "kernels/cuda/error.h"

namespace rarefy::runtime::cuda {

using namespace rarefy::cuda;  // NOLINT: the kernels of this back end
using ElementwiseKernel = void (*)(const Matrix2d& a, const Matrix2d& b, float alpha, Stream stream, const Matrix2d& y);

namespace {

constexpr int kThreads = 256;

template <class T, class F>
__global__ void apply_kernel(View<T> a, View<T> b, float alpha, View<T> y) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= y.rows * y.cols) return;
  const std::int64_t r = i / y.cols;
  const int c = static_cast<int>(i % y.cols);
  y.set(r, c, F::of(a(r, c), b.data == nullptr ? 0.0f : b(r, c), alpha));
}

template <class F>
void apply(const Matrix2d& a, const Matrix2d& b, float alpha, Stream stream, const Matrix2d& y) {
  if (y.rows == 0 || y.cols == 0) return;
  with_real(y.type, [&](auto t) {
    using T = decltype(t);
    apply_kernel<T, F>
        <<<blocks_for(y.rows * y.cols, kThreads), kThreads, 0, stream>>>(view<T>(a), view<T>(b), alpha, view<T>(y));
  });
  check_launch("an element-wise op");
}

#define RAREFY_UNARY(name, alpha_default, forward, derivative, doc)                              \
  struct Op_##name {                                                                             \
    __device__ static float of(float x, float, [[maybe_unused]] float alpha) { return forward; } \
  };
#define RAREFY_BINARY(name, forward, derivative_a, derivative_b, doc)       \
  struct Op_##name {                                                        \
    __device__ static float of(float a, float b, float) { return forward; } \
  };
#include "graph/elementwise.inc"
#undef RAREFY_UNARY
#undef RAREFY_BINARY

}  // namespace

ElementwiseKernel elementwise_kernel(std::string_view name) {
#define RAREFY_UNARY(op, alpha_default, forward, derivative, doc) \
  if (name == #op) return apply<Op_##op>;
#define RAREFY_BINARY(op, forward, derivative_a, derivative_b, doc) \
  if (name == #op) return apply<Op_##op>;
#include "graph/elementwise.inc"
#undef RAREFY_UNARY
#undef RAREFY_BINARY
  return nullptr;
}

}  // namespace rarefy::runtime::cuda
