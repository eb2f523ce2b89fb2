#include "kernels/cuda/element.h"
#include "kernels/cuda/error.h"
#include "kernels/cuda/rows.h"

namespace rarefy::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMostBlocks = 1U << 16;

unsigned grid(std::int64_t elements) {
  const unsigned blocks = blocks_for(elements, kThreads);
  return blocks < kMostBlocks ? blocks : kMostBlocks;
}

/// f(row, column) for every element, neighbouring threads on neighbouring columns.
template <class F>
__global__ void for_elements_kernel(std::int64_t rows, int cols, F f) {
  const std::int64_t all = rows * cols, step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < all; i += step)
    f(i / cols, static_cast<int>(i % cols));
}

template <class F>
void for_elements(const char* what, std::int64_t rows, std::int64_t cols, Stream stream, F f) {
  if (rows <= 0 || cols <= 0) return;
  for_elements_kernel<<<grid(rows * cols), kThreads, 0, stream>>>(rows, static_cast<int>(cols), f);
  check_launch(what);
}

template <class F>
void for_rows(const char* what, std::int64_t rows, Stream stream, F f) {
  for_elements(what, rows, 1, stream, [f] __device__(std::int64_t r, int) { f(r); });
}

__device__ float activate(float v, Activation activation, float slope) {
  if (activation == Activation::none || v > 0.0f || v != v) return v;
  return activation == Activation::relu ? 0.0f : v * slope;
}

template <class A, class B>
void convert(View<A> x, View<B> y, Stream stream) {
  for_elements("convert_rows", x.rows, x.cols, stream, [=] __device__(std::int64_t r, int c) { y.set(r, c, x(r, c)); });
}

template <class A, class B>
void choose(View<A> x, ColumnChoice choice, View<B> y, Stream stream) {
  const std::int64_t padded = (y.cols + 7) / 8 * 8;
  for_elements(
      "select_columns", y.rows, y.stride < padded ? y.stride : padded, stream, [=] __device__(std::int64_t r, int c) {
        const float v = c < choice.count ? __fmul_rn(__fsub_rn(x(r, choice.column.data()[c]), choice.offset.data()[c]),
                                                     choice.scale.data()[c])
                                         : 0.0f;
        y.set(r, c, v);
      });
}

template <class T>
void affine(View<T> x, const float* factor, const float* shift, View<T> residual, Activation activation, float slope,
            View<T> y, Stream stream) {
  for_elements("affine_rows", x.rows, x.cols, stream, [=] __device__(std::int64_t r, int c) {
    float v = x(r, c) * factor[c] + shift[c];
    if (residual.data != nullptr) v += residual(r, c);
    y.set(r, c, activate(v, activation, slope));
  });
}

template <class T>
void argmax(View<T> x, std::uint8_t* y, Stream stream) {
  for_rows("argmax_rows", x.rows, stream, [=] __device__(std::int64_t r) {
    int best = 0;
    float largest = x(r, 0);
    for (int c = 1; c < x.cols; ++c) {
      const float v = x(r, c);
      if (v > largest || (largest != largest && v == v)) {
        best = c;
        largest = v;
      }
    }
    y[r] = static_cast<std::uint8_t>(best);
  });
}

template <class T>
void softmax(View<T> x, View<T> y, Stream stream) {
  for_rows("softmax_rows", x.rows, stream, [=] __device__(std::int64_t r) {
    float largest = x(r, 0), sum = 0.0f;
    for (int c = 1; c < x.cols; ++c) largest = fmaxf(largest, x(r, c));
    for (int c = 0; c < x.cols; ++c) sum += expf(x(r, c) - largest);
    for (int c = 0; c < x.cols; ++c) y.set(r, c, expf(x(r, c) - largest) / sum);
  });
}

template <class T>
void gather(const std::int32_t* index, View<T> x, float fill, View<T> y, Stream stream) {
  for_elements("gather_rows", y.rows, y.cols, stream, [=] __device__(std::int64_t r, int c) {
    const std::int32_t from = index[r];
    y.data[r * y.stride + c] = from < 0 ? from_float<T>(fill) : x.data[from * x.stride + c];
  });
}

template <class T>
void interpolate(const std::int32_t* row, const float* weight, int corners, View<T> x, View<T> y, Stream stream) {
  for_elements("interpolate_rows", y.rows, y.cols, stream, [=] __device__(std::int64_t r, int c) {
    float sum = 0.0f;
    for (int k = 0; k < corners; ++k) {
      const std::int32_t from = row[r * corners + k];
      if (from >= 0) sum = __fadd_rn(sum, __fmul_rn(weight[r * corners + k], x(from, c)));
    }
    y.set(r, c, sum);
  });
}

template <class T>
void reduce(const std::int32_t* begin, const std::int32_t* order, Reduction reduction, View<T> x, View<T> y,
            Stream stream) {
  for_elements("reduce_rows", y.rows, y.cols, stream, [=] __device__(std::int64_t r, int c) {
    const std::int32_t first = begin[r], last = begin[r + 1];
    if (first == last) return y.set(r, c, 0.0f);
    float result = x(order[first], c);
    if (reduction == Reduction::first) return y.set(r, c, result);
    for (std::int32_t p = first + 1; p < last; ++p) {
      const float v = x(order[p], c);
      if (reduction == Reduction::mean || reduction == Reduction::sum)
        result += v;
      else
        result = v > result || v != v ? v : result;
    }
    y.set(r, c, reduction == Reduction::mean ? result / static_cast<float>(last - first) : result);
  });
}

template <class T>
void prelu(View<T> x, const float* slope, View<T> y, Stream stream) {
  for_elements("prelu_rows", x.rows, x.cols, stream, [=] __device__(std::int64_t r, int c) {
    const float v = x(r, c);
    y.set(r, c, v > 0.0f ? v : slope[c] * v);
  });
}

/// A warp per row; its lanes add in a tree, always the same.
template <class T>
__global__ void layer_norm_kernel(View<T> x, const float* gamma, const float* beta, double epsilon, View<T> y) {
  const std::int64_t row = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (row >= x.rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto total = [](double v) {
    for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(~0U, v, offset);
    return v;
  };
  double sum = 0.0, squares = 0.0;
  for (int c = lane; c < x.cols; c += 32) sum += x(row, c);
  const double mean = total(sum) / x.cols;
  for (int c = lane; c < x.cols; c += 32) {
    const double d = x(row, c) - mean;
    squares += d * d;
  }
  const double scale = 1.0 / sqrt(total(squares) / x.cols + epsilon);
  for (int c = lane; c < x.cols; c += 32)
    y.set(row, c, static_cast<float>((x(row, c) - mean) * scale) * gamma[c] + beta[c]);
}

template <class T>
void layer_norm(View<T> x, const float* gamma, const float* beta, double epsilon, View<T> y, Stream stream) {
  if (x.rows == 0 || x.cols == 0) return;
  layer_norm_kernel<<<blocks_for(x.rows * 32, kThreads), kThreads, 0, stream>>>(x, gamma, beta, epsilon, y);
  check_launch("layer_norm_rows");
}

template <class T>
void pool(View<T> x, MapView map, Pooling pooling, View<T> y, Stream stream) {
  for_elements("pool_rows", y.rows, y.cols, stream, [=] __device__(std::int64_t r, int c) {
    float result = 0.0f;
    int count = 0;
    for (int k = 0; k < map.volume; ++k) {
      const std::int32_t from = map.in_row[k * map.ld + r];
      if (from < 0) continue;
      const float v = x(from, c);
      if (pooling != Pooling::max)
        result += v;
      else if (count == 0 || v > result || v != v)
        result = v;
      ++count;
    }
    y.set(r, c, pooling == Pooling::mean && count > 0 ? result / static_cast<float>(count) : result);
  });
}

template <class T>
void round(View<T> x, float scale, float low, float high, View<T> y, Stream stream) {
  const float inverse = 1.0f / scale;
  for_elements("round_rows", x.rows, x.cols, stream, [=] __device__(std::int64_t r, int c) {
    const float v = x(r, c) * inverse;
    y.set(r, c, rintf(v > low ? (v < high ? v : high) : low) * scale);
  });
}

}  // namespace

void convert_rows(const Matrix2d& x, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto a) {
    with_real(y.type, [&](auto b) { convert(view<decltype(a)>(x), view<decltype(b)>(y), stream); });
  });
}

void select_columns(const Matrix2d& x, const ColumnChoice& choice, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto a) {
    with_real(y.type, [&](auto b) { choose(view<decltype(a)>(x), choice, view<decltype(b)>(y), stream); });
  });
}

void affine_rows(const Matrix2d& x, const float* factor, const float* shift, const Matrix2d& residual,
                 Activation activation, float slope, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto t) {
    using T = decltype(t);
    affine(view<T>(x), factor, shift, view<T>(residual), activation, slope, view<T>(y), stream);
  });
}

void argmax_rows(const Matrix2d& x, Stream stream, std::uint8_t* y) {
  with_real(x.type, [&](auto t) { argmax(view<decltype(t)>(x), y, stream); });
}

void softmax_rows(const Matrix2d& x, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto t) { softmax(view<decltype(t)>(x), view<decltype(t)>(y), stream); });
}

void gather_rows(const std::int32_t* index, const Matrix2d& x, float fill, Stream stream, const Matrix2d& y) {
  const auto run = [&](auto t) { gather(index, view<decltype(t)>(x), fill, view<decltype(t)>(y), stream); };
  if (x.type == Type::u8) return run(std::uint8_t{});
  with_real(x.type, run);
}

void interpolate_rows(const std::int32_t* row, const float* weight, int corners, const Matrix2d& x, Stream stream,
                      const Matrix2d& y) {
  with_real(x.type,
            [&](auto t) { interpolate(row, weight, corners, view<decltype(t)>(x), view<decltype(t)>(y), stream); });
}

void reduce_rows(const std::int32_t* begin, const std::int32_t* order, Reduction reduction, const Matrix2d& x,
                 Stream stream, const Matrix2d& y) {
  with_real(x.type,
            [&](auto t) { reduce(begin, order, reduction, view<decltype(t)>(x), view<decltype(t)>(y), stream); });
}

void prelu_rows(const Matrix2d& x, const float* slope, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto t) { prelu(view<decltype(t)>(x), slope, view<decltype(t)>(y), stream); });
}

void layer_norm_rows(const Matrix2d& x, const float* gamma, const float* beta, double epsilon, Stream stream,
                     const Matrix2d& y) {
  with_real(x.type,
            [&](auto t) { layer_norm(view<decltype(t)>(x), gamma, beta, epsilon, view<decltype(t)>(y), stream); });
}

void pool_rows(const Matrix2d& x, const MapView& map, Pooling pooling, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto t) { pool(view<decltype(t)>(x), map, pooling, view<decltype(t)>(y), stream); });
}

void round_rows(const Matrix2d& x, float scale, float low, float high, Stream stream, const Matrix2d& y) {
  with_real(x.type, [&](auto t) { round(view<decltype(t)>(x), scale, low, high, view<decltype(t)>(y), stream); });
}

}  // namespace rarefy::cuda
