#include <cmath>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/cpu/attention/blocks.h"

namespace rarefy {

using attention_cpu::AttentionKernels;
using attention_cpu::rounded_up;

namespace {

constexpr std::int64_t kStripRows = 48;

std::int64_t longest_sample(std::span<const std::int64_t> begin) {
  std::int64_t most = 0;
  for (std::size_t s = 1; s < begin.size(); ++s) most = std::max(most, begin[s] - begin[s - 1]);
  return most;
}

/// Memory of one worker: keys of one head of a sample, their bias, a strip of queries with their scores, column sums.
struct Workspace {
  std::int64_t d, padded;
  float *keys, *bias, *sums, *q, *scores, *largest, *sum;

  static std::int64_t floats(std::int64_t d, std::int64_t padded) {
    return rounded_up(padded * (d + 2 + kStripRows) + kStripRows * (d + 2), 16);
  }
  Workspace(float* memory, std::int64_t d_, std::int64_t padded_) : d(d_), padded(padded_) {
    keys = memory;
    bias = keys + d * padded;
    sums = bias + padded;
    scores = sums + padded;
    q = scores + kStripRows * padded;
    largest = q + kStripRows * d;
    sum = largest + kStripRows;
  }
};

/// Adds what the rows [first, last) attend to.
void add_strip(const AttentionKernels& kernels, Matrix<const float> q, std::int64_t first, std::int64_t last,
               const Workspace& w) {
  const std::int64_t rows = last - first;
  attention_cpu::pack_rows(q, first, rows, static_cast<float>(1.0 / std::sqrt(static_cast<double>(w.d))), w.q);
  std::fill_n(w.largest, rows, std::numeric_limits<float>::lowest());
  std::fill_n(w.sum, rows, 0.0f);
  kernels.product({w.q, w.d, w.keys, w.padded, w.scores, w.padded, rows, w.d, w.padded, false});
  kernels.softmax({w.scores, w.padded, rows, w.padded, w.bias, w.largest, w.sum, nullptr, 0, 0});
  for (std::int64_t r = 0; r < rows; ++r) w.sum[r] = w.sum[r] == 0.0f ? 0.0f : 1.0f / w.sum[r];
  kernels.column_sums({w.scores, w.padded, rows, w.padded, w.sum, w.sums});
}

}  // namespace

void attention_received(cpu::Isa isa, const AttentionInput& in, Queries queries, Executor& executor,
                        AlignedBuffer& scratch, Matrix<float> y) {
  const std::int64_t rows = in.sample_begin.empty() ? 0 : in.sample_begin.back(), heads = in.heads;
  RAREFY_CHECK(heads >= 1 && in.q.cols % heads == 0 && in.q.cols == in.k.cols, ShapeError,
               "attention: {} heads do not share {} query and {} key columns", heads, in.q.cols, in.k.cols);
  RAREFY_CHECK(in.q.rows == rows && in.k.rows == rows && y.rows == rows && y.cols == 1, ShapeError,
               "attention: samples have {} rows; queries {}, keys {}, result {} x {}", rows, in.q.rows, in.k.rows,
               y.rows, y.cols);
  RAREFY_CHECK(in.sizes.data == nullptr || (in.sizes.rows == rows && in.sizes.cols == 1), ShapeError,
               "attention: sizes must be {} x 1, got {} x {}", rows, in.sizes.rows, in.sizes.cols);
  const AttentionKernels& kernels = attention_cpu::attention_kernels(isa);
  const std::int64_t d = in.q.cols / heads;
  const std::int64_t worker = Workspace::floats(d, rounded_up(longest_sample(in.sample_begin), kernels.lanes));
  float* by_head = scratch.reserve_for<float>(rounded_up(rows * heads, 16) + executor.concurrency() * worker);
  float* workers = by_head + rounded_up(rows * heads, 16);
  const auto samples = static_cast<std::int64_t>(in.sample_begin.size()) - 1;
  executor.parallel_for(std::max<std::int64_t>(samples, 0) * heads, [&](std::int64_t part, int number) {
    const std::int64_t sample = part / heads, head = part % heads;
    const std::int64_t first = in.sample_begin[static_cast<std::size_t>(sample)];
    const std::int64_t last = in.sample_begin[static_cast<std::size_t>(sample) + 1];
    if (first == last) return;
    const Workspace w(workers + number * worker, d, rounded_up(last - first, kernels.lanes));
    attention_cpu::pack_transposed(kernels, in.k.columns(head * d, d), first, last - first, w.padded, w.padded, w.keys);
    attention_cpu::pack_bias(in.sizes, first, last - first, w.padded, w.bias);
    std::fill_n(w.sums, w.padded, 0.0f);
    const std::int64_t end = queries == Queries::first ? first + 1 : last;
    for (std::int64_t at = first; at < end; at += kStripRows)
      add_strip(kernels, in.q.columns(head * d, d), at, std::min(end, at + kStripRows), w);
    std::copy_n(w.sums, last - first, by_head + head * rows + first);
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    float sum = 0.0f;
    for (std::int64_t h = 0; h < heads; ++h) sum += by_head[h * rows + r];
    y(r, 0) = sum / static_cast<float>(heads);
  }
}

}  // namespace rarefy
