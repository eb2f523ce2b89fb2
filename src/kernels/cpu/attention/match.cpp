#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/cpu/attention/blocks.h"
#include "kernels/token_merge.h"

namespace rarefy {

using attention_cpu::AttentionKernels;
using attention_cpu::rounded_up;
using attention_cpu::SampleBlocks;

namespace {

/// Rows of a sample in one part of the work; half of them are compared with all of the other half.
constexpr std::int64_t kPartRows = 192, kMostQueries = kPartRows / 2;

/// The best partner of each row at an even place.
struct Partners {
  float* similarity;  ///< [N]
  std::int32_t* row;  ///< [N]
};

struct Matcher {
  const AttentionKernels& kernels;
  Matrix<const float> metric;
  MatchOptions options;
  std::int64_t cols = metric.cols / options.heads;

  std::int64_t worker_floats(std::int64_t longest) const {
    const std::int64_t odd = rounded_up(longest / 2, kernels.lanes);
    return rounded_up(odd * (cols + kMostQueries) + (kMostQueries + 1) * cols, 16);
  }

  /// The mean over heads, of length 1.
  void direction(std::int64_t row, float* to) const {
    const float* from = metric.row(row);
    float square = 0.0f;
    for (std::int64_t c = 0; c < cols; ++c) {
      float sum = 0.0f;
      for (std::int64_t h = 0; h < options.heads; ++h) sum += from[h * cols + c];
      to[c] = sum;
      square += sum * sum;
    }
    const float scale = square > 0.0f ? 1.0f / std::sqrt(square) : 0.0f;
    for (std::int64_t c = 0; c < cols; ++c) to[c] *= scale;
  }

  void find(const SampleBlocks::Block& block, float* work, const Partners& partners) const {
    const std::int64_t odd = (block.sample_last - block.sample_first) / 2, padded = rounded_up(odd, kernels.lanes);
    const std::int64_t even = (block.last - block.first + 1) / 2;
    if (odd == 0) return;
    float *keys = work, *scores = keys + padded * cols, *queries = scores + kMostQueries * padded;
    float* one = queries + kMostQueries * cols;
    for (std::int64_t j = 0; j < odd; ++j) {
      direction(block.sample_first + 2 * j + 1, one);
      for (std::int64_t c = 0; c < cols; ++c) keys[c * padded + j] = one[c];
    }
    for (std::int64_t c = 0; c < cols; ++c) std::fill(keys + c * padded + odd, keys + (c + 1) * padded, 0.0f);
    for (std::int64_t i = 0; i < even; ++i) direction(block.first + 2 * i, queries + i * cols);
    kernels.product({queries, cols, keys, padded, scores, padded, even, cols, padded, false});
    for (std::int64_t i = 0; i < even; ++i) {
      const float* s = scores + i * padded;
      const std::int64_t best = std::max_element(s, s + odd) - s, row = block.first + 2 * i;
      partners.similarity[row] = std::isnan(s[best]) ? -2.0f : s[best];  // below any cosine
      partners.row[row] = static_cast<std::int32_t>(block.sample_first + 2 * best + 1);
    }
  }

  /// Numbers the new rows of one sample. @param order  room for half of the rows
  std::int64_t number(std::int64_t first, std::int64_t last, std::int64_t next, const Partners& partners,
                      std::int32_t* order, std::vector<std::int32_t>& merged) const {
    const std::int64_t rows = last - first, remove = std::min(options.remove, (rows - options.leading) / 2);
    const auto at = [&](std::int64_t row) -> std::int32_t& { return merged[static_cast<std::size_t>(row)]; };
    if (remove <= 0) {
      for (std::int64_t r = first; r < last; ++r) at(r) = static_cast<std::int32_t>(next++);
      return next;
    }
    std::int64_t candidates = 0;
    for (std::int64_t r = first + 2 * options.leading; r < last; r += 2)
      order[candidates++] = static_cast<std::int32_t>(r);
    std::sort(order, order + candidates, [&](std::int32_t a, std::int32_t b) {
      const float x = partners.similarity[a], y = partners.similarity[b];
      return x > y || (x == y && a < b);
    });
    for (std::int64_t i = 0; i < remove; ++i) at(order[i]) = -1;
    for (const std::int64_t parity : {0, 1})
      for (std::int64_t r = first + parity; r < last; r += 2)
        if (at(r) != -1) at(r) = static_cast<std::int32_t>(next++);
    for (std::int64_t i = 0; i < remove; ++i) at(order[i]) = at(partners.row[order[i]]);
    return next;
  }
};

void check(Matrix<const float> metric, std::span<const std::int64_t> begin, const MatchOptions& o) {
  RAREFY_CHECK(o.heads >= 1 && metric.cols % o.heads == 0, ShapeError, "{} heads do not share {} columns of a metric",
               o.heads, metric.cols);
  RAREFY_CHECK(metric.rows == (begin.empty() ? 0 : begin.back()), ShapeError, "samples have {} rows, the metric has {}",
               begin.empty() ? 0 : begin.back(), metric.rows);
  RAREFY_CHECK(o.remove >= 0 && (o.leading == 0 || o.leading == 1), UsageError,
               "tokens to merge: {} rows with {} leading ones; expected at least 0, and 0 or 1", o.remove, o.leading);
}

}  // namespace

void match_tokens(cpu::Isa isa, Matrix<const float> metric, std::span<const std::int64_t> begin,
                  const MatchOptions& options, Executor& executor, AlignedBuffer& scratch, SampleBegin& shorter,
                  RowIndex& merged_of_row) {
  check(metric, begin, options);
  const Matcher matcher{attention_cpu::attention_kernels(isa), metric, options};
  const SampleBlocks blocks{begin, kPartRows};
  std::int64_t longest = 0;
  for (std::size_t s = 1; s < begin.size(); ++s) longest = std::max(longest, begin[s] - begin[s - 1]);
  const std::int64_t rows = rounded_up(metric.rows, 16), worker = matcher.worker_floats(longest);
  float* memory = scratch.reserve_for<float>(3 * rows + executor.concurrency() * worker);
  const Partners partners{memory, reinterpret_cast<std::int32_t*>(memory + rows)};
  auto* order = reinterpret_cast<std::int32_t*>(memory + 2 * rows);
  float* workers = memory + 3 * rows;
  if (options.remove > 0)
    executor.parallel_for(blocks.limit(), [&](std::int64_t number, int w) {
      SampleBlocks::Block block;
      if (blocks.find(number, block)) matcher.find(block, workers + w * worker, partners);
    });
  merged_of_row.voxel_of_point.assign(static_cast<std::size_t>(metric.rows), 0);
  shorter.assign(1, 0);
  for (std::size_t s = 1; s < begin.size(); ++s)
    shorter.push_back(
        matcher.number(begin[s - 1], begin[s], shorter.back(), partners, order, merged_of_row.voxel_of_point));
  invert_any_index(shorter.back(), merged_of_row);
}

std::int64_t match_pairs(std::span<const std::int64_t> begin) {
  std::int64_t pairs = 0;
  for (std::size_t s = 1; s < begin.size(); ++s) {
    const std::int64_t rows = begin[s] - begin[s - 1];
    pairs += (rows + 1) / 2 * (rows / 2);
  }
  return pairs;
}

}  // namespace rarefy
