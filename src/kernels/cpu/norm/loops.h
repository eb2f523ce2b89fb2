#pragma once
/// Loops of batch normalisation, written once for the compiler to vectorise. Everything is in an unnamed namespace:
/// each includer compiles its own copy with its own flags and nothing can leak.
#include "kernels/cpu/norm/kernels.h"

// The next loop's iterations do not depend on each other, though its pointers may be equal.
#if defined(__clang__)
#define RAREFY_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define RAREFY_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace rarefy::norm_cpu {
namespace {

void moments(const MomentsJob& job) {
  const std::int64_t n = job.cols;
  double *sum = job.sums, *square = job.sums + n;
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* x = job.x.row(r);
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < n; ++c) {
      const double d = static_cast<double>(x[c]) - static_cast<double>(job.origin[c]);
      sum[c] += d;
      square[c] += d * d;
    }
  }
}

void column_sums(const MomentsJob& job) {
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* x = job.x.row(r);
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c) job.sums[c] += static_cast<double>(x[c]);
  }
}

/// The choices are compile-time, so that the inner loop has no branch.
template <Ending kEnding, bool kAdd>
void apply_rows(const ApplyJob& job) {
  const float *mean = job.mean, *scale = job.scale, *beta = job.beta;
  const float slope = job.slope;
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* from = job.x.row(r);
    const float* add = kAdd ? job.added.row(r) : from;
    float* to = job.y.row(r);
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c) {
      float v = (from[c] - mean[c]) * scale[c] + beta[c];
      if constexpr (kAdd) v += add[c];
      if constexpr (kEnding == Ending::relu) v = v < 0.0f ? 0.0f : v;
      if constexpr (kEnding == Ending::leaky_relu) v = v < 0.0f ? v * slope : v;
      to[c] = v;
    }
  }
}

template <bool kAdd>
void apply_ending(const ApplyJob& job) {
  switch (job.ending) {
    case Ending::none:
      return apply_rows<Ending::none, kAdd>(job);
    case Ending::relu:
      return apply_rows<Ending::relu, kAdd>(job);
    case Ending::leaky_relu:
      return apply_rows<Ending::leaky_relu, kAdd>(job);
  }
}

void apply(const ApplyJob& job) { job.added ? apply_ending<true>(job) : apply_ending<false>(job); }

/// g where y > 0, else 0; in integers, because a conditional expression becomes a branch, which is not vectorised.
inline float where_positive(float y, float g) {
  const std::int32_t keep = -static_cast<std::int32_t>(y > 0.0f);
  return __builtin_bit_cast(float, __builtin_bit_cast(std::int32_t, g) & keep);
}

template <bool kMask>
void add_gradient_sums(const GradientSumsJob& job) {
  const std::int64_t n = job.cols;
  double *sum = job.sums, *weighted = job.sums + n;
  const float* mean = job.mean;
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float *x = job.x.row(r), *g = job.g.row(r);
    const float* y = kMask ? job.output.row(r) : g;
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < n; ++c) {
      const double h = static_cast<double>(kMask ? where_positive(y[c], g[c]) : g[c]);
      sum[c] += h;
      weighted[c] += h * (static_cast<double>(x[c]) - static_cast<double>(mean[c]));
    }
  }
}

void gradient_sums(const GradientSumsJob& job) {
  job.output ? add_gradient_sums<true>(job) : add_gradient_sums<false>(job);
}

template <bool kMask, bool kPass>
void gradient_rows(const GradientJob& job) {
  const float *mean = job.mean, *a = job.a, *b = job.b, *d = job.d;
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float *x = job.x.row(r), *g = job.g.row(r);
    const float* y = kMask ? job.output.row(r) : g;
    float* gx = job.gx.row(r);
    float* pass = kPass ? job.passed_on.row(r) : gx;
    RAREFY_INDEPENDENT
    for (std::int64_t c = 0; c < job.cols; ++c) {
      const float h = kMask ? where_positive(y[c], g[c]) : g[c];
      gx[c] = a[c] * h + (b[c] * (x[c] - mean[c]) + d[c]);
      if constexpr (kPass) pass[c] = h;
    }
  }
}

void gradient(const GradientJob& job) {
  if (job.output) return job.passed_on ? gradient_rows<true, true>(job) : gradient_rows<true, false>(job);
  return job.passed_on ? gradient_rows<false, true>(job) : gradient_rows<false, false>(job);
}

constexpr NormKernels make_kernels() { return {&moments, &column_sums, &apply, &gradient_sums, &gradient}; }

}  // namespace
}  // namespace rarefy::norm_cpu
