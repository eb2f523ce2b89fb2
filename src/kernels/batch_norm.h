#pragma once
/// Batch normalisation over rows, fused and with a fixed order of summation. Ioffe and Szegedy 2015.
#include <cstdint>

#include "kernels/conv.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"

namespace rarefy {

/// Batch statistics: mean [C] and biased variance [C] of x [N, C], accumulated in double per fixed block of rows.
/// N = 0 gives mean 0 and variance 0.
void batch_norm_statistics(Matrix<const float> x, Executor& executor, float* mean, float* variance);

/// y = act((x - mean) / sqrt(variance + epsilon) * gamma + beta + residual). In place (y = x) allowed.
void batch_norm_apply(Matrix<const float> x, const float* mean, const float* variance, const float* gamma,
                      const float* beta, float epsilon, Matrix<const float> residual, Activation activation,
                      float slope, Executor& executor, Matrix<float> y);

/// What batch_norm_apply did after the normalisation, as its gradient needs it.
struct NormFollowers {
  Matrix<const float> relu_output = {};  ///< y of a ReLU: g passes where it is positive; empty = there was none
  Matrix<float> residual_gradient = {};  ///< gets what g is before the ReLU; empty = not wanted. May equal g
};

/// Backward in training mode (statistics of the batch took part). g is the gradient of the result y.
/// Writes gx [N, C] (may equal g unless residual_gradient does), g_gamma [C], g_beta [C].
void batch_norm_gradient(Matrix<const float> x, Matrix<const float> g, const NormFollowers& followers,
                         const float* mean, const float* variance, const float* gamma, float epsilon,
                         Executor& executor, Matrix<float> gx, float* g_gamma, float* g_beta);

}  // namespace rarefy
