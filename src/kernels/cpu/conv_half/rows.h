#pragma once
/// Rows and weights from and to 16 bits, written once over a vector type V that each instruction set defines.
/// Everything is in an unnamed namespace: each includer compiles its own copy with its own flags and nothing can leak.
///
/// V has: Reg (floats), kLanes, set(float), load(p), store(p, r), widen(halves), narrow(halves, r), mul(a, b), relu(r),
/// leaky_relu(r, slope) (both keep NaN).
#include "kernels/cpu/conv_half/kernels.h"

#define RAREFY_INLINE inline __attribute__((always_inline))

namespace rarefy::conv_half_cpu {
namespace {

/// Nothing beyond the row is read or written: the last columns go through a buffer.
template <class V>
RAREFY_INLINE void widen_row(const std::uint16_t* x, std::int64_t cols, float* to) {
  constexpr int L = V::kLanes;
  std::int64_t c = 0;
  for (; c + L <= cols; c += L) V::store(to + c, V::widen(x + c));
  if (c == cols) return;
  std::uint16_t halves[L] = {};
  float wide[L];
  for (std::int64_t i = c; i < cols; ++i) halves[i - c] = x[i];
  V::store(wide, V::widen(halves));
  for (std::int64_t i = c; i < cols; ++i) to[i] = wide[i - c];
}

/// Rows lie anywhere, no hardware guesses them: those a few ahead are asked for.
template <class V>
void widen_rows(const WidenJob& job) {
  constexpr std::int64_t kAhead = 8;
  for (std::int64_t i = 0; i < job.rows; ++i) {
    if (i + kAhead < job.rows) {
      const std::uint16_t* row = job.x + job.row[i + kAhead] * job.x_stride;
      for (std::int64_t at = 0; at < job.cols; at += 32) __builtin_prefetch(row + at, 0, 3);
    }
    widen_row<V>(job.x + job.row[i] * job.x_stride, job.cols, job.to + i * job.to_stride);
  }
}

template <class V>
void widen_panel(const PanelJob& job) {
  constexpr int L = V::kLanes;
  for (std::int64_t j = 0; j < job.width; j += L) {
    const auto factor = V::load(job.factor + j);
    for (std::int64_t c = 0; c < job.in_channels; ++c)
      V::store(job.to + c * job.width + j, V::mul(V::widen(job.weights + c * job.width + j), factor));
  }
}

template <class V>
RAREFY_INLINE typename V::Reg ended(typename V::Reg r, Ending ending, typename V::Reg slope) {
  if (ending == Ending::relu) return V::relu(r);
  return ending == Ending::leaky_relu ? V::leaky_relu(r, slope) : r;
}

template <class V>
void end_rows(const EndJob& job) {
  constexpr int L = V::kLanes;
  const auto slope = V::set(job.slope);
  for (std::int64_t r = 0; r < job.rows; ++r) {
    const float* sums = job.sums + r * job.sums_stride;
    std::uint16_t* y = job.y + r * job.y_stride;
    std::int64_t c = 0;
    for (; c + L <= job.cols; c += L) V::narrow(y + c, ended<V>(V::load(sums + c), job.ending, slope));
    if (c == job.cols) continue;
    float last[L] = {};
    std::uint16_t halves[L];
    for (std::int64_t i = c; i < job.cols; ++i) last[i - c] = sums[i];
    V::narrow(halves, ended<V>(V::load(last), job.ending, slope));
    for (std::int64_t i = c; i < job.cols; ++i) y[i] = halves[i - c];
  }
}

template <class V>
constexpr HalfKernels make_kernels() {
  return {&widen_rows<V>, &widen_panel<V>, &end_rows<V>};
}

}  // namespace
}  // namespace rarefy::conv_half_cpu
