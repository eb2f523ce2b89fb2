#pragma once
/// Loops over pairs of rows, written once for the compiler to vectorise. Everything is in an unnamed namespace: each
/// includer compiles its own copy with its own flags and nothing can leak.
#include "kernels/cpu/channelwise/kernels.h"

// The next loop's iterations do not depend on each other, though its pointers may be equal.
#if defined(__clang__)
#define RAREFY_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define RAREFY_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace rarefy::channelwise_cpu {
namespace {

/// Input rows lie anywhere, no hardware guesses them: those of a later pair are fetched ahead.
inline void prefetch(const Rows& x, const Pairs& pairs, std::int64_t p, std::int64_t cols) {
  constexpr std::int64_t kAhead = 6, kLine = 16;
  if (p + kAhead >= pairs.count) return;
  const float* row = x.row(pairs.in_row[p + kAhead]);
  for (std::int64_t c = 0; c < cols; c += kLine) __builtin_prefetch(row + c);
}

void multiply(const MultiplyJob& job) {
  const float* w = job.weights;
  for (std::int64_t p = 0; p < job.pairs.count; ++p) {
    prefetch(job.x, job.pairs, p, job.cols);
    const float* x = job.x.row(job.pairs.in_row[p]);
    float* y = job.y.row(job.pairs.out_row[p]);
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c) y[c] += x[c] * w[c];
  }
}

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
using Vector = float __attribute__((vector_size(kVectorBytes)));
constexpr std::int64_t kLanes = kVectorBytes / 4;

inline Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

/// kVectors vectors of channels, summed in registers: through memory, each sum would wait for the store before it.
template <int kVectors>
void product_sum_tile(const ProductSumJob& job, std::int64_t first) {
  Vector sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = load(job.sums + first + v * kLanes);
  for (std::int64_t p = 0; p < job.pairs.count; ++p) {
    if (first == 0) prefetch(job.x, job.pairs, p, job.cols);
    const float* x = job.x.row(job.pairs.in_row[p]) + first;
    const float* g = job.g.row(job.pairs.out_row[p]) + first;
    for (int v = 0; v < kVectors; ++v) sum[v] += load(x + v * kLanes) * load(g + v * kLanes);
  }
  for (int v = 0; v < kVectors; ++v) __builtin_memcpy(job.sums + first + v * kLanes, &sum[v], sizeof sum[v]);
}

void product_sum(const ProductSumJob& job) {
  std::int64_t c = 0;
  for (; c + 4 * kLanes <= job.cols; c += 4 * kLanes) product_sum_tile<4>(job, c);
  for (; c + kLanes <= job.cols; c += kLanes) product_sum_tile<1>(job, c);
  for (std::int64_t p = 0; c < job.cols && p < job.pairs.count; ++p) {
    const float* x = job.x.row(job.pairs.in_row[p]);
    const float* g = job.g.row(job.pairs.out_row[p]);
    for (std::int64_t tail = c; tail < job.cols; ++tail) job.sums[tail] += x[tail] * g[tail];
  }
}

/// The choices are compile-time, so that the inner loop has no branch.
template <bool kScale>
void add_rows(const PoolJob& job) {
  for (std::int64_t p = 0; p < job.pairs.count; ++p) {
    prefetch(job.x, job.pairs, p, job.cols);
    const std::int32_t in = job.pairs.in_row[p], out = job.pairs.out_row[p];
    const float* x = job.x.row(in);
    float* y = job.y.row(out);
    const float scale = kScale ? job.scale[in] : 1.0f;
    if (job.seen[out - job.first_row]++ == 0) {
      RAREFY_INDEPENDENT
      for (std::int64_t c = 0; c < job.cols; ++c) y[c] = kScale ? x[c] * scale : x[c];
    } else {
      RAREFY_INDEPENDENT
      for (std::int64_t c = 0; c < job.cols; ++c) y[c] += kScale ? x[c] * scale : x[c];
    }
  }
}

void sum(const PoolJob& job) { job.scale != nullptr ? add_rows<true>(job) : add_rows<false>(job); }

/// Whether x replaces best. As an integer, because a conditional expression becomes a branch, which is not vectorised.
inline std::int32_t wins(float x, float best) {
  return -static_cast<std::int32_t>((x > best) | ((x != x) & (best == best)));
}
inline std::int32_t choose(std::int32_t mask, std::int32_t a, std::int32_t b) { return (a & mask) | (b & ~mask); }
inline float choose(std::int32_t mask, float a, float b) {
  return __builtin_bit_cast(float,
                            choose(mask, __builtin_bit_cast(std::int32_t, a), __builtin_bit_cast(std::int32_t, b)));
}

template <bool kWinner>
void keep_largest(const PoolJob& job) {
  for (std::int64_t p = 0; p < job.pairs.count; ++p) {
    prefetch(job.x, job.pairs, p, job.cols);
    const std::int32_t out = job.pairs.out_row[p];
    const float* x = job.x.row(job.pairs.in_row[p]);
    float* y = job.y.row(out);
    std::int32_t* winner = kWinner ? job.winner + out * job.cols : nullptr;
    if (job.seen[out - job.first_row]++ == 0) {
      for (std::int64_t c = 0; c < job.cols; ++c) y[c] = x[c];
      for (std::int64_t c = 0; kWinner && c < job.cols; ++c) winner[c] = job.offset;
      continue;
    }
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c) {
      const std::int32_t take = wins(x[c], y[c]);
      y[c] = choose(take, x[c], y[c]);
      if constexpr (kWinner) winner[c] = choose(take, job.offset, winner[c]);
    }
  }
}

void max(const PoolJob& job) { job.winner != nullptr ? keep_largest<true>(job) : keep_largest<false>(job); }

void max_gradient(const PoolJob& job) {
  for (std::int64_t p = 0; p < job.pairs.count; ++p) {
    prefetch(job.x, job.pairs, p, job.cols);
    const std::int32_t in = job.pairs.in_row[p], out = job.pairs.out_row[p];
    const float* x = job.x.row(in);
    const std::int32_t* winner = job.winner + in * job.cols;
    float* y = job.y.row(out);
    const bool first = job.seen[out - job.first_row]++ == 0;
    if (first) {
      for (std::int64_t c = 0; c < job.cols; ++c) y[c] = 0.0f;
    }
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c)
      y[c] += choose(-static_cast<std::int32_t>(winner[c] == job.offset), x[c], 0.0f);
  }
}

template <int kVectors>
void column_sum_tile(const ColumnJob& job, std::int64_t first) {
  Vector sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = load(job.x.data + first + v * kLanes);
  for (std::int64_t r = 1; r < job.rows; ++r) {
    const float* x = job.x.row(r) + first;
    for (int v = 0; v < kVectors; ++v) sum[v] += load(x + v * kLanes);
  }
  for (int v = 0; v < kVectors; ++v) __builtin_memcpy(job.y + first + v * kLanes, &sum[v], sizeof sum[v]);
}

void column_sum(const ColumnJob& job) {
  std::int64_t c = 0;
  for (; c + 4 * kLanes <= job.cols; c += 4 * kLanes) column_sum_tile<4>(job, c);
  for (; c + kLanes <= job.cols; c += kLanes) column_sum_tile<1>(job, c);
  for (; c < job.cols; ++c) {
    float sum = job.x.data[c];
    for (std::int64_t r = 1; r < job.rows; ++r) sum += job.x.row(r)[c];
    job.y[c] = sum;
  }
}

template <bool kWinner>
void largest_of_columns(const ColumnJob& job) {
  for (std::int64_t c = 0; c < job.cols; ++c) job.y[c] = job.x.data[c];
  for (std::int64_t c = 0; kWinner && c < job.cols; ++c) job.winner[c] = job.first_row;
  for (std::int64_t r = 1; r < job.rows; ++r) {
    const float* x = job.x.row(r);
    const std::int32_t number = job.first_row + static_cast<std::int32_t>(r);
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c) {
      const std::int32_t take = wins(x[c], job.y[c]);
      job.y[c] = choose(take, x[c], job.y[c]);
      if constexpr (kWinner) job.winner[c] = choose(take, number, job.winner[c]);
    }
  }
}

void column_max(const ColumnJob& job) {
  job.winner != nullptr ? largest_of_columns<true>(job) : largest_of_columns<false>(job);
}

constexpr ChannelwiseKernels make_kernels() {
  return {&multiply, &product_sum, &sum, &max, &max_gradient, &column_sum, &column_max};
}

}  // namespace
}  // namespace rarefy::channelwise_cpu
