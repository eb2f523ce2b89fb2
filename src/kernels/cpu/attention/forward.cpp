#include <cmath>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/cpu/attention/blocks.h"

namespace rarefy {

using attention_cpu::AttentionKernels;
using attention_cpu::rounded_up;
using attention_cpu::SampleBlocks;

namespace attention_cpu {

void pack_bias(Matrix<const float> sizes, std::int64_t first, std::int64_t rows, std::int64_t padded, float* to) {
  for (std::int64_t r = 0; r < rows; ++r) to[r] = sizes.data == nullptr ? 0.0f : std::log(sizes(first + r, 0));
  std::fill(to + rows, to + padded, -std::numeric_limits<float>::infinity());
}

}  // namespace attention_cpu

namespace {

/// With 64 columns per head a block's keys, values and tile stay in the second-level cache.
constexpr std::int64_t kQueryRows = 48, kKeyRows = 128;
static_assert(kQueryRows % attention_cpu::kTileRows == 0);

constexpr float kLowest = std::numeric_limits<float>::lowest();  // finite: the difference of two is no NaN

void check(const AttentionInput& in, Matrix<float> y) {
  const std::int64_t rows = in.sample_begin.empty() ? 0 : in.sample_begin.back();
  RAREFY_CHECK(in.heads >= 1 && in.q.cols % in.heads == 0 && in.v.cols % in.heads == 0 && in.q.cols == in.k.cols,
               ShapeError, "attention: {} heads do not share {} query, {} key and {} value columns", in.heads,
               in.q.cols, in.k.cols, in.v.cols);
  RAREFY_CHECK(in.q.rows == rows && in.k.rows == rows && in.v.rows == rows && y.rows == rows && y.cols == in.v.cols,
               ShapeError, "attention: samples have {} rows; queries {}, keys {}, values {}, result {} x {}", rows,
               in.q.rows, in.k.rows, in.v.rows, y.rows, y.cols);
  RAREFY_CHECK(in.sizes.data == nullptr || (in.sizes.rows == rows && in.sizes.cols == 1), ShapeError,
               "attention: sizes must be {} x 1, got {} x {}", rows, in.sizes.rows, in.sizes.cols);
}

/// Keys transposed and values with whole vectors, block by block and head by head; and what one worker needs.
struct Packed {
  const AttentionInput& in;
  const AttentionKernels& kernels;
  SampleBlocks keys{in.sample_begin, kKeyRows};
  SampleBlocks queries{in.sample_begin, kQueryRows};
  std::int64_t d = in.q.cols / in.heads, e = in.v.cols / in.heads;
  std::int64_t padded_e = rounded_up(e, kernels.lanes);
  std::int64_t head_floats = rounded_up((d + padded_e) * kKeyRows, 16);
  std::int64_t block_floats = in.heads * head_floats + kKeyRows;
  std::int64_t worker_floats = rounded_up(kQueryRows * (d + kKeyRows + padded_e + 2), 16);
  float* blocks = nullptr;
  float* workers = nullptr;

  Packed(const AttentionInput& input, const AttentionKernels& with) : in(input), kernels(with) {}
  float* keys_of(std::int64_t block, std::int64_t head) const {
    return blocks + block * block_floats + head * head_floats;
  }
  float* values_of(std::int64_t block, std::int64_t head) const { return keys_of(block, head) + d * kKeyRows; }
  float* bias_of(std::int64_t block) const { return keys_of(block, in.heads); }
};

void pack(const Packed& p, std::int64_t number) {
  SampleBlocks::Block block;
  if (!p.keys.find(number, block)) return;
  const std::int64_t rows = block.last - block.first, padded = rounded_up(rows, p.kernels.lanes);
  for (std::int64_t h = 0; h < p.in.heads; ++h) {
    attention_cpu::pack_transposed(p.kernels, p.in.k.columns(h * p.d, p.d), block.first, rows, padded, kKeyRows,
                                   p.keys_of(number, h));
    float* to = p.values_of(number, h);
    for (std::int64_t r = 0; r < rows; ++r, to += p.padded_e) {
      std::copy_n(p.in.v.row(block.first + r) + h * p.e, p.e, to);
      std::fill(to + p.e, to + p.padded_e, 0.0f);
    }
  }
  attention_cpu::pack_bias(p.in.sizes, block.first, rows, padded, p.bias_of(number));
}

/// One block of queries of one head over all keys of its sample.
void attend(const Packed& p, std::int64_t number, std::int64_t head, float* work, Matrix<float> y) {
  SampleBlocks::Block block;
  if (!p.queries.find(number, block)) return;
  const std::int64_t rows = block.last - block.first;
  float *q = work, *scores = q + kQueryRows * p.d, *sums = scores + kQueryRows * kKeyRows;
  float *largest = sums + kQueryRows * p.padded_e, *sum = largest + kQueryRows;
  attention_cpu::pack_rows(p.in.q.columns(head * p.d, p.d), block.first, rows,
                           static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.d))), q);
  std::fill_n(sums, rows * p.padded_e, 0.0f);
  std::fill_n(largest, rows, kLowest);
  std::fill_n(sum, rows, 0.0f);
  std::int64_t key = p.keys.first_of(block.sample);
  for (std::int64_t at = block.sample_first; at < block.sample_last; at += kKeyRows, ++key) {
    const std::int64_t count = std::min(kKeyRows, block.sample_last - at), cols = rounded_up(count, p.kernels.lanes);
    p.kernels.product({q, p.d, p.keys_of(key, head), kKeyRows, scores, kKeyRows, rows, p.d, cols, false});
    p.kernels.softmax({scores, kKeyRows, rows, cols, p.bias_of(key), largest, sum, sums, p.padded_e, p.padded_e});
    p.kernels.product(
        {scores, kKeyRows, p.values_of(key, head), p.padded_e, sums, p.padded_e, rows, count, p.padded_e, true});
  }
  for (std::int64_t r = 0; r < rows; ++r) sum[r] = sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];
  const Matrix<float> to = y.columns(head * p.e, p.e);
  p.kernels.scale_rows({sums, p.padded_e, to.row(block.first), to.row_stride, rows, p.e, sum});
}

}  // namespace

void attention(cpu::Isa isa, const AttentionInput& in, Executor& executor, AlignedBuffer& scratch, Matrix<float> y) {
  check(in, y);
  Packed p(in, attention_cpu::attention_kernels(isa));
  const std::int64_t blocks = p.keys.limit();
  p.blocks = scratch.reserve_for<float>(blocks * p.block_floats + executor.concurrency() * p.worker_floats);
  p.workers = p.blocks + blocks * p.block_floats;
  executor.parallel_for(blocks, [&](std::int64_t number, int) { pack(p, number); });
  executor.parallel_for(p.queries.limit() * in.heads, [&](std::int64_t part, int worker) {
    attend(p, part / in.heads, part % in.heads, p.workers + worker * p.worker_floats, y);
  });
}

std::int64_t attention_pairs(std::span<const std::int64_t> sample_begin) {
  std::int64_t pairs = 0;
  for (std::size_t s = 1; s < sample_begin.size(); ++s) {
    const std::int64_t rows = sample_begin[s] - sample_begin[s - 1];
    pairs += rows * rows;
  }
  return pairs;
}

}  // namespace rarefy
