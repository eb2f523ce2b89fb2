#pragma once
/// Loops of attention, written once over the compiler's vectors. Everything is in an unnamed namespace: each includer
/// compiles its own copy with its own flags and nothing can leak.
#include "kernels/cpu/attention/kernels.h"

#define RAREFY_INLINE inline __attribute__((always_inline))
#define RAREFY_UNROLL _Pragma("GCC unroll 16")

namespace rarefy::attention_cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kMostVectors = 4;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kMostVectors = 2;
#else
constexpr int kVectorBytes = 16;
constexpr int kMostVectors = 2;
#endif
using Vector = float __attribute__((vector_size(kVectorBytes)));
using Words = std::uint32_t __attribute__((vector_size(kVectorBytes)));
using Quad = float __attribute__((vector_size(16)));
constexpr std::int64_t kLanes = kVectorBytes / 4;

RAREFY_INLINE Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
RAREFY_INLINE void store(float* p, Vector v) { __builtin_memcpy(p, &v, sizeof v); }
RAREFY_INLINE Vector splat(float x) { return x - Vector{}; }
RAREFY_INLINE Vector larger(Vector a, Vector b) { return a > b ? a : b; }

RAREFY_INLINE float largest_of(Vector v) {
  Quad part[kLanes / 4];
  __builtin_memcpy(part, &v, sizeof v);
  Quad most = part[0];
  RAREFY_UNROLL for (int i = 1; i < kLanes / 4; ++i) most = part[i] > most ? part[i] : most;
  const float a = most[0] > most[1] ? most[0] : most[1], b = most[2] > most[3] ? most[2] : most[3];
  return a > b ? a : b;
}
RAREFY_INLINE float sum_of(Vector v) {
  Quad part[kLanes / 4];
  __builtin_memcpy(part, &v, sizeof v);
  Quad sum = part[0];
  RAREFY_UNROLL for (int i = 1; i < kLanes / 4; ++i) sum += part[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/// exp(x) for x <= 0, to 2 units in the last place; 0 below -87, where it would leave the normal numbers; NaN stays.
/// The polynomial is that of the Cephes library (expf, Moshier), on [-ln 2 / 2, ln 2 / 2].
RAREFY_INLINE Vector exp_of(Vector x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the nearest integer
  const Vector shifted = x * 1.44269504f + kRound;
  const Vector n = shifted - kRound;
  const Vector r = x - n * 0.693359375f - n * -2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Words exponent = (__builtin_bit_cast(Words, shifted) << 23) + 0x3F800000u;
  const Vector power = __builtin_bit_cast(Vector, exponent);
  return x < -87.0f ? Vector{} : p * power;
}

/// kRows rows by kVectors vectors of c; each element is one chain of multiply-adds in the order of the depth.
template <int kRows, int kVectors>
RAREFY_INLINE void product_tile(const ProductJob& job, std::int64_t r, std::int64_t c) {
  Vector acc[kRows][kVectors];
  float* out = job.c + r * job.c_stride + c;
  RAREFY_UNROLL for (int i = 0; i < kRows; ++i) {
    RAREFY_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] =
        job.add ? load(out + i * job.c_stride + v * kLanes) : Vector{};
  }
  const float* a = job.a + r * job.a_stride;
  const float* b = job.b + c;
  for (std::int64_t k = 0; k < job.depth; ++k, a += job.a_step, b += job.b_stride) {
    Vector row[kVectors];
    RAREFY_UNROLL for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * kLanes);
    RAREFY_UNROLL for (int i = 0; i < kRows; ++i) {
      const float value = a[i * job.a_stride];
      RAREFY_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] += value * row[v];
    }
  }
  RAREFY_UNROLL for (int i = 0; i < kRows; ++i) {
    RAREFY_UNROLL for (int v = 0; v < kVectors; ++v) store(out + i * job.c_stride + v * kLanes, acc[i][v]);
  }
}

/// The rows from r on, at most kRows.
template <int kRows, int kVectors>
void product_last_rows(const ProductJob& job, std::int64_t r, std::int64_t c) {
  if (job.rows - r == kRows) {
    product_tile<kRows, kVectors>(job, r, c);
  } else if constexpr (kRows > 1) {
    product_last_rows<kRows - 1, kVectors>(job, r, c);
  }
}

/// All rows of the widest panels that are left, then of narrower ones.
template <int kVectors>
void product_panels(const ProductJob& job, std::int64_t c) {
  for (; c + kVectors * kLanes <= job.cols; c += kVectors * kLanes) {
    std::int64_t r = 0;
    for (; r + kTileRows <= job.rows; r += kTileRows) product_tile<kTileRows, kVectors>(job, r, c);
    product_last_rows<kTileRows - 1, kVectors>(job, r, c);
  }
  if constexpr (kVectors > 1) {
    if (c < job.cols) product_panels<kVectors - 1>(job, c);
  }
}

void product(const ProductJob& job) { product_panels<kMostVectors>(job, 0); }

RAREFY_INLINE Quad load_quad(const float* p) {
  Quad v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

/// 4 x 4 numbers.
RAREFY_INLINE void transpose_quads(const float* x, std::ptrdiff_t x_stride, float factor, float* to,
                                   std::ptrdiff_t to_stride) {
  const Quad a = load_quad(x) * factor, b = load_quad(x + x_stride) * factor, c = load_quad(x + 2 * x_stride) * factor,
             d = load_quad(x + 3 * x_stride) * factor;
  const Quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Quad columns[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                           __builtin_shufflevector(AB, CD, 0, 1, 4, 5), __builtin_shufflevector(AB, CD, 2, 3, 6, 7)};
  RAREFY_UNROLL for (int i = 0; i < 4; ++i) __builtin_memcpy(to + i * to_stride, &columns[i], sizeof columns[i]);
}

void transpose(const TransposeJob& job) {
  const std::int64_t rows = job.rows / 4 * 4, cols = job.cols / 4 * 4;
  const auto one_by_one = [&](std::int64_t r, std::int64_t from, std::int64_t to) {
    for (std::int64_t c = from; c < to; ++c) job.to[c * job.to_stride + r] = job.x[r * job.x_stride + c] * job.factor;
  };
  for (std::int64_t r = 0; r < rows; r += 4) {
    for (std::int64_t c = 0; c < cols; c += 4)
      transpose_quads(job.x + r * job.x_stride + c, job.x_stride, job.factor, job.to + c * job.to_stride + r,
                      job.to_stride);
    for (std::int64_t i = r; i < r + 4; ++i) one_by_one(i, cols, job.cols);
  }
  for (std::int64_t r = rows; r < job.rows; ++r) one_by_one(r, 0, job.cols);
  for (std::int64_t c = 0; c < job.cols; ++c)
    for (std::int64_t r = job.rows; r < job.padded; ++r) job.to[c * job.to_stride + r] = 0.0f;
}

void softmax(const SoftmaxJob& job) {
  for (std::int64_t r = 0; r < job.rows; ++r) {
    float* s = job.scores + r * job.stride;
    const float* bias = job.bias + r * job.bias_stride;
    Vector most = splat(job.largest[r]);
    for (std::int64_t c = 0; c < job.cols; c += kLanes) {
      const Vector score = load(s + c) + load(bias + c);
      store(s + c, score);
      most = larger(score, most);
    }
    const float largest = largest_of(most);
    Vector sum{};
    for (std::int64_t c = 0; c < job.cols; c += kLanes) {
      const Vector e = exp_of(load(s + c) - largest);
      store(s + c, e);
      sum += e;
    }
    const float shrink = job.sum[r] == 0.0f ? 1.0f : exp_of(splat(job.largest[r] - largest))[0];
    job.sum[r] = job.sum[r] * shrink + sum_of(sum);
    job.largest[r] = largest;
    if (job.y == nullptr || shrink == 1.0f) continue;
    float* y = job.y + r * job.y_stride;
    for (std::int64_t c = 0; c < job.y_cols; c += kLanes) store(y + c, load(y + c) * shrink);
  }
}

void softmax_gradient(const SoftmaxGradientJob& job) {
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* p = job.p + r * job.stride;
    float* g = job.g + r * job.stride;
    Vector part{};
    for (std::int64_t c = 0; c < job.cols; c += kLanes) part += load(p + c) * load(g + c);
    const float sum = sum_of(part);
    for (std::int64_t c = 0; c < job.cols; c += kLanes) store(g + c, load(p + c) * (load(g + c) - sum));
  }
}

void scale_rows(const RowScaleJob& job) {
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* x = job.x + r * job.x_stride;
    float* y = job.y + r * job.y_stride;
    const float factor = job.factors[r];
    std::int64_t c = 0;
    for (; c + kLanes <= job.cols; c += kLanes) store(y + c, load(x + c) * factor);
    for (; c < job.cols; ++c) y[c] = x[c] * factor;
  }
}

void column_sums(const ColumnSumJob& job) {
  for (std::int64_t c = 0; c < job.cols; c += kLanes) {
    Vector sum = load(job.sums + c);
    for (std::int64_t r = 0; r < job.rows; ++r) sum += job.weight[r] * load(job.x + r * job.stride + c);
    store(job.sums + c, sum);
  }
}

using Doubles = double __attribute__((vector_size(2 * kVectorBytes)));

/// Sum of (x - origin) or of its square over a row: a double per lane, then the lanes in order.
template <bool kSquare>
RAREFY_INLINE double row_sum(const float* x, std::int64_t cols, double origin) {
  Doubles part{};
  std::int64_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    const Doubles d = __builtin_convertvector(load(x + c), Doubles) - origin;
    part += kSquare ? d * d : d;
  }
  double sum = 0.0;
  for (int i = 0; i < kLanes; ++i) sum += part[i];
  for (; c < cols; ++c) {
    const double d = static_cast<double>(x[c]) - origin;
    sum += kSquare ? d * d : d;
  }
  return sum;
}

void layer_norm(const RowNormJob& job) {
  const auto n = static_cast<double>(job.cols);
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* x = job.x + r * job.x_stride;
    float* y = job.y + r * job.y_stride;
    const double mean = row_sum<false>(x, job.cols, 0.0) / n;
    const double inverse = 1.0 / __builtin_sqrt(row_sum<true>(x, job.cols, mean) / n + job.epsilon);
    const auto center = static_cast<float>(mean), scale = static_cast<float>(inverse);
    std::int64_t c = 0;
    for (; c + kLanes <= job.cols; c += kLanes)
      store(y + c, (load(x + c) - center) * scale * load(job.gamma + c) + load(job.beta + c));
    for (; c < job.cols; ++c) y[c] = (x[c] - center) * scale * job.gamma[c] + job.beta[c];
  }
}

/// x times the normal distribution's probability of less than x; the error function by Abramowitz and Stegun, 7.1.26.
RAREFY_INLINE Vector gelu_of(Vector x) {
  const Vector z = x * 0.70710678f, size = z < 0.0f ? -z : z;
  const Vector t = 1.0f / (1.0f + 0.3275911f * size);
  Vector p = 1.061405429f * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Vector rest = p * t * exp_of(-(z * z));  // 1 - erf(|z|)
  return x * (z < 0.0f ? 0.5f * rest : 1.0f - 0.5f * rest);
}

void gelu(const float* x, float* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, gelu_of(load(x + i)));
  if (i == n) return;
  float tail[kLanes] = {};
  __builtin_memcpy(tail, x + i, static_cast<std::size_t>(n - i) * sizeof(float));
  store(tail, gelu_of(load(tail)));
  __builtin_memcpy(y + i, tail, static_cast<std::size_t>(n - i) * sizeof(float));
}

constexpr AttentionKernels make_kernels() {
  return {kLanes, &product, &softmax, &column_sums, &layer_norm, &gelu, &transpose, &softmax_gradient, &scale_rows};
}

}  // namespace
}  // namespace rarefy::attention_cpu
