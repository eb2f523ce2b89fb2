#pragma once
/// What the drivers of attention share: blocks of rows that never cross a sample, and packing.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "base/cpu.h"
#include "kernels/cpu/attention/kernels.h"
#include "rarefy/tensor.h"

namespace rarefy::attention_cpu {

const AttentionKernels& attention_kernels(cpu::Isa isa);

inline std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

/// The rows of each sample, in blocks that begin with the sample: what a sample gives does not depend on the others.
/// Blocks are numbered without a table, so that not every number is a block.
struct SampleBlocks {
  std::span<const std::int64_t> begin;  ///< [S+1] first row of each sample, ascending from 0; empty: no samples
  std::int64_t rows = 64;               ///< of a block

  struct Block {
    std::int64_t sample = 0;
    std::int64_t first = 0, last = 0;                ///< rows
    std::int64_t sample_first = 0, sample_last = 0;  ///< rows of the sample
  };

  std::int64_t samples() const { return begin.empty() ? 0 : static_cast<std::int64_t>(begin.size()) - 1; }
  /// More than the number of any block.
  std::int64_t limit() const { return begin.empty() ? 0 : begin.back() / rows + samples(); }
  std::int64_t first_of(std::int64_t sample) const { return at(sample) / rows + sample; }
  /// False where the number is no block.
  bool find(std::int64_t number, Block& block) const {
    std::int64_t low = 0, high = samples();  // the last sample that begins at or before the number
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      (first_of(middle) <= number ? low : high) = middle;
    }
    block.sample = low;
    block.sample_first = at(low);
    block.sample_last = at(low + 1);
    block.first = block.sample_first + (number - first_of(low)) * rows;
    block.last = std::min(block.first + rows, block.sample_last);
    return block.first < block.last;
  }

 private:
  std::int64_t at(std::int64_t sample) const { return begin[static_cast<std::size_t>(sample)]; }
};

/// to[c * stride + r] = x[first + r, c] * factor; columns up to `padded` are zero.
inline void pack_transposed(const AttentionKernels& kernels, Matrix<const float> x, std::int64_t first,
                            std::int64_t rows, std::int64_t padded, std::int64_t stride, float* to,
                            float factor = 1.0f) {
  if (rows > 0) kernels.transpose({x.row(first), x.row_stride, rows, x.cols, to, stride, padded, factor});
}

/// Rows times a factor, packed one behind the other.
inline void pack_rows(Matrix<const float> x, std::int64_t first, std::int64_t rows, float factor, float* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* from = x.row(first + r);
    for (std::int64_t c = 0; c < x.cols; ++c) to[r * x.cols + c] = from[c] * factor;
  }
}

/// Logarithms of the sizes of keys, or zeros; padding takes no part in the softmax.
void pack_bias(Matrix<const float> sizes, std::int64_t first, std::int64_t rows, std::int64_t padded, float* to);

}  // namespace rarefy::attention_cpu
