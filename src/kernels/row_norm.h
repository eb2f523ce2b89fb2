#pragma once
/// Normalisations whose statistics belong to a row, or to the rows of one sample, the size of rows, and the activation
/// of transformers. Sums are in double unless a function says otherwise, over fixed blocks of rows in a fixed order:
/// the same bits for any number of threads.
#include <cstdint>
#include <span>

#include "base/cpu.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"

namespace rarefy {

/// y[r] = (x[r] - mean) / sqrt(variance + epsilon) * gamma + beta, mean and biased variance over the channels of row r.
/// In place (y = x) allowed. Source: Ba, Kiros, Hinton 2016 ("Layer Normalization").
void layer_norm(cpu::Isa isa, Matrix<const float> x, const float* gamma, const float* beta, double epsilon,
                Executor& executor, Matrix<float> y);

/// y = x times the normal distribution's probability of less than x (Hendrycks, Gimpel 2016), to 2e-7 times the larger
/// of |x| and 1. In place allowed.
void gelu(cpu::Isa isa, Matrix<const float> x, Executor& executor, Matrix<float> y);

/// Gradient of layer_norm; g is that of y. Writes gx [N, C] (must not be g), g_gamma [C], g_beta [C].
void layer_norm_gradient(Matrix<const float> x, Matrix<const float> g, const float* gamma, double epsilon,
                         Executor& executor, Matrix<float> gx, float* g_gamma, float* g_beta);

/// Which values of a matrix share statistics in group normalisation: the rows of one sample, C / groups consecutive
/// channels. Source: Wu, He, ECCV 2018; on sparse tensors, a sample's rows take the place of the pixels.
struct NormGroups {
  std::span<const std::int64_t> sample_begin;  ///< [B+1] rows of each sample; samples may be empty
  std::int64_t groups = 1;                     ///< divides the channels

  std::int64_t samples() const { return sample_begin.empty() ? 0 : static_cast<std::int64_t>(sample_begin.size()) - 1; }
  /// Enough numbers for all blocks of rows; no block crosses a sample, and not every number is a block.
  std::int64_t blocks() const;
};

/// Mean and 1 / sqrt(variance + epsilon), both [B, groups]; those of an empty sample are 0.
/// @param partial  working memory: [groups.blocks(), 2 * groups.groups]
void group_norm_statistics(Matrix<const float> x, const NormGroups& groups, double epsilon, Executor& executor,
                           double* partial, float* mean, float* inverse_deviation);

/// y = (x - mean) * inverse_deviation * gamma + beta. In place (y = x) allowed.
void group_norm_apply(Matrix<const float> x, const NormGroups& groups, const float* mean,
                      const float* inverse_deviation, const float* gamma, const float* beta, Executor& executor,
                      Matrix<float> y);

/// Gradient of group normalisation; g is that of y. Writes gx [N, C] (must not be g), g_gamma [C], g_beta [C].
void group_norm_gradient(Matrix<const float> x, Matrix<const float> g, const NormGroups& groups, const float* mean,
                         const float* inverse_deviation, const float* gamma, Executor& executor, Matrix<float> gx,
                         float* g_gamma, float* g_beta);

/// y[r] = mean over the channels of |x[r]|. y: [N, 1]. Sums are in float32, in a fixed order.
void row_magnitude(Matrix<const float> x, Executor& executor, Matrix<float> y);

/// Gradient of row_magnitude; g [N, 1] is that of y. Writes gx [N, C]; where x is 0 it is 0.
void row_magnitude_gradient(Matrix<const float> x, Matrix<const float> g, Executor& executor, Matrix<float> gx);

}  // namespace rarefy
