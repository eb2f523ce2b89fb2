#pragma once
/// Multi-head attention of each row of a sample to the rows of the same sample, fp32. Nothing of size N x N is kept:
/// blocks of queries walk over blocks of keys with a running softmax. Samples may have any number of rows. Same bits
/// for any executor; a sample's result does not depend on the others of its batch. Source: Vaswani et al., NIPS 2017
/// ("Attention Is All You Need"), section 3.2; Dao et al., NeurIPS 2022 (tiling).
#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"

namespace rarefy {

/// What attends to what.
struct AttentionInput {
  Matrix<const float> q;                       ///< [N, heads * d] head after head
  Matrix<const float> k;                       ///< [N, heads * d]
  Matrix<const float> v;                       ///< [N, heads * e]; not looked at by attention_received
  Matrix<const float> sizes;                   ///< [N, 1] how many tokens a row stands for, or empty: one each
  std::span<const std::int64_t> sample_begin;  ///< [S+1] rows of each sample; samples may be empty
  std::int64_t heads = 1;
};

/// y[i] = sum over the rows j of i's sample of softmax_j(q_i . k_j / sqrt(d) + log(sizes_j)) v_j, per head. A row of
/// size 0 is not attended to. The log-sizes are the proportional attention of Bolya et al., ICLR 2023, section 3.2.
/// @param scratch  grows to what is needed: keys and values once more, and a tile per worker
/// @param y        [N, heads * e]; must not overlap the inputs
/// @throws ShapeError naming what does not fit, before y is touched
/// Multiply-adds: sum over samples of rows^2 * (heads * d + heads * e).
void attention(cpu::Isa isa, const AttentionInput& in, Executor& executor, AlignedBuffer& scratch, Matrix<float> y);

/// Which rows' attention counts.
enum class Queries : std::uint8_t { first, all };

/// y[j] = 1 / heads * sum over heads and over the queries i of what i attends to j: the first row of the sample (the
/// class token's attention of Liang et al., ICLR 2022, section 3.2) or all rows (the importance of Wang et al., HPCA
/// 2021, section III-B, as a mean over heads). The scores of a sample sum up to its number of queries.
/// @param y  [N, 1]
/// @throws ShapeError
/// Memory: N * heads floats, and a strip of 48 x N per worker.
void attention_received(cpu::Isa isa, const AttentionInput& in, Queries queries, Executor& executor,
                        AlignedBuffer& scratch, Matrix<float> y);

/// Sum over samples of rows^2.
std::int64_t attention_pairs(std::span<const std::int64_t> sample_begin);

}  // namespace rarefy
