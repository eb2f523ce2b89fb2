#pragma once
/// Merging of similar tokens by bipartite soft matching. Source: Bolya et al., ICLR 2023 ("Token Merging: Your ViT But
/// Faster"), section 3.1 and appendix D. Same bits for any executor.
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/row_sets.h"

namespace rarefy {

/// What merges.
struct MatchOptions {
  std::int64_t remove = 0;   ///< rows that each sample loses; at most half of those that may go
  std::int64_t heads = 1;    ///< the metric is the mean over so many groups of columns
  std::int64_t leading = 0;  ///< 0, or 1: the first row (the class token) is never merged into another
};

/// Of each sample the rows at even places (A) and at odd places (B) are compared by the cosine of their metrics; the
/// `remove` rows of A that are most similar to any of B become part of the one they are most similar to. New order of a
/// sample that loses rows: A without those that went, in order, then B. A sample that loses none stays as it is. Of
/// equal similarities the earlier row is merged, and into the earlier one.
/// @param metric         [N, heads * C]: the keys of an attention
/// @param shorter        gets where the samples begin among the new rows
/// @param merged_of_row  gets the new row of each old one; inverted
/// @param scratch        grows to what is needed
/// @throws ShapeError, UsageError (negative counts, more than one leading row)
void match_tokens(cpu::Isa isa, Matrix<const float> metric, std::span<const std::int64_t> begin,
                  const MatchOptions& options, Executor& executor, AlignedBuffer& scratch, SampleBegin& shorter,
                  RowIndex& merged_of_row);
/// Pairs of rows that match_tokens compares.
std::int64_t match_pairs(std::span<const std::int64_t> begin);

/// y[m] = sum of weight[i] x[i] over the rows i that became m, in order, divided by the sum of their weights.
/// @param weights  [N, 1]
void merge_rows(const RowIndex& merged_of_row, Matrix<const float> x, Matrix<const float> weights, Executor& executor,
                Matrix<float> y);
/// y[m] = x[kept[m]], or, where that is -1, the sum of weight[i] x[i] over the rows i whose place is m.
void fuse_rows(const RowIndex& kept, const RowIndex& place, Matrix<const float> x, Matrix<const float> weights,
               Executor& executor, Matrix<float> y);

}  // namespace rarefy
