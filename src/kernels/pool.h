#pragma once
/// Pooling over a kernel map and over the rows of each sample, and the gradients, fp32. Same bits for any executor.
/// The sparse form takes the sites that exist: Choy, Gwak, Savarese, CVPR 2019, section 3 (MinkowskiEngine's pooling).
#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "kernels/conv.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/kernel_map.h"

namespace rarefy {

/// The mean is over the rows that exist, never over empty sites. The maximum of values that include NaN is NaN; its
/// gradient goes to the first of equal ones (and to the first NaN), in the order of the offsets or rows.
enum class Pooling : std::uint8_t { sum, mean, max };

/// y[o] = sum, mean or maximum of x[i] over the pairs (i, o, k); zero for rows without pairs. Allocates nothing.
/// @param x       [N_in, C]; may be a column range of a wider matrix, like y
/// @param y       [N_out, C]; must not overlap x
/// @param winner  max: null, or [N_out, C] contiguous: gets the offset of the largest, for the gradient
/// @throws ShapeError naming what does not fit, before y is touched
void pool_forward(cpu::Isa isa, Matrix<const float> x, const KernelMap& map, Pooling pooling, Executor& executor,
                  Matrix<float> y, std::int32_t* winner = nullptr);

/// Gradient of pool_forward with respect to x: [N_in, C].
/// @param map      the forward map
/// @param adjoint  its transpose; or, submanifold, the map itself with order transposed_flipped
/// @param winner   max: what pool_forward wrote; its rows without pairs are not read
/// @param scratch  grows to what is needed
void pool_gradient(cpu::Isa isa, Matrix<const float> y_gradient, const KernelMap& map, const KernelMap& adjoint,
                   WeightOrder order, Pooling pooling, const std::int32_t* winner, Executor& executor,
                   AlignedBuffer& scratch, Matrix<float> x_gradient);

/// y[s] = sum, mean or maximum of the rows [begin[s], begin[s+1]) of x; zero for a sample without rows. The work is cut
/// by rows, not by samples: one large sample among small ones is no slower per row than equal ones.
/// @param x        [N, C], N = begin[S]
/// @param begin    [S+1], ascending from 0
/// @param scratch  grows to what is needed
/// @param y        [S, C]
/// @param winner   max: null, or [S, C] contiguous: gets the row of the largest, -1 for a sample without rows
/// @throws ShapeError
void pool_samples(cpu::Isa isa, Matrix<const float> x, std::span<const std::int64_t> begin, Pooling pooling,
                  Executor& executor, AlignedBuffer& scratch, Matrix<float> y, std::int32_t* winner = nullptr);

/// Gradient of pool_samples with respect to x: [N, C]. `winner` as above.
void pool_samples_gradient(Matrix<const float> y_gradient, std::span<const std::int64_t> begin, Pooling pooling,
                           const std::int32_t* winner, Executor& executor, Matrix<float> x_gradient);

/// What each row of a sample gets of the sample's: all of it, or its share (1 / rows of the sample).
enum class Share : std::uint8_t { whole, equal };
/// y[r] = x[s] for each row r of sample s: the way back from samples to rows. Its gradient is pool_samples with sum.
/// @param x  [S, C]
/// @param y  [N, C], N = begin[S]
void broadcast_samples(Matrix<const float> x, std::span<const std::int64_t> begin, Share share, Executor& executor,
                       Matrix<float> y);

}  // namespace rarefy
