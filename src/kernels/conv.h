#pragma once
/// Sparse convolution, linear layers and their gradients on feature rows, fp32.
///
/// y[o] = act(sum over pairs (i, o, k): x[i] * W[k] + bias + residual[o]).
/// A linear layer is the case K = 1 with no map (row i to row i). The input gradient of a convolution is a convolution
/// of the output gradient with the transposed weights over the transposed map (or, submanifold, over the same map with
/// flipped offsets). Blocked by output rows, accumulators in cache, input rows read through pointers, weights packed in
/// panels: no gather or scatter buffer. Same bits for any executor.
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "kernels/dataflow.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/kernel_map.h"

namespace rarefy {

/// Activation fused into the epilogue; `slope` serves leaky_relu.
enum class Activation : std::uint8_t { none, relu, leaky_relu };

namespace conv_cpu {
struct ConvKernels;
}
/// One implementation of the convolution kernels: an entry of kernels/cpu/conv/variants.inc.
struct ConvVariant {
  std::string_view name;
  cpu::Isa needs;
  bool proven;  ///< its tests passed on a CPU that has the instructions; others are never selected
  const conv_cpu::ConvKernels* kernels;
};
/// All that this binary contains, fastest first.
std::span<const ConvVariant> conv_variants();
/// The first that this CPU has, that is proven, and that RAREFY_ISA (environment; read once per call) allows.
/// @throws UnsupportedError naming the wish and what the CPU has.
const ConvVariant& select_conv_variant();
std::string_view name(const ConvVariant& variant);
bool runs_here(const ConvVariant& variant);

enum class WeightOrder : std::uint8_t {
  forward,             ///< W[k] as stored
  transposed,          ///< W[k]^T: input gradient over a transposed map
  transposed_flipped,  ///< W[K-1-k]^T: input gradient of a submanifold convolution over its own map
};

/// Weights packed for one variant: panels of output channels, padded; immutable after packing.
struct PackedWeights {
  std::int64_t volume = 0;  ///< K
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  const ConvVariant* variant = nullptr;
  AlignedBuffer data;
};
/// @param weights  [K, C_in, C_out] contiguous
/// @param in_channels, out_channels  as stored; the packed ones are exchanged for the transposed orders
void pack_weights(const ConvVariant& variant, const float* weights, std::int64_t volume, std::int64_t in_channels,
                  std::int64_t out_channels, WeightOrder order, PackedWeights& out,
                  Executor& executor = serial_executor());

struct ConvEpilogue {
  const float* bias = nullptr;        ///< [C_out] or null
  Matrix<const float> residual = {};  ///< [N_out, C_out] or empty; added before the activation
  Activation activation = Activation::none;
  float slope = 0.0f;  ///< leaky_relu
};

/// @param x    [N_in, C_in]; may be a column range of a wider matrix (row_stride)
/// @param map  pairs; null = identity with N_in = N_out (linear layer)
/// @param y    [N_out, C_out]; may be a column range of a wider matrix; must not overlap x. May equal the residual.
/// Rows without pairs get the epilogue of zero. NaN and infinities pass through. Allocates nothing.
/// Multiply-adds: pairs * C_in * C_out. @throws ShapeError naming what does not fit; before y is touched.
/// @return the dataflow that ran: never automatic. Without a map there is one only (blocked). `stationary` runs as
/// blocked where it cannot be: without sorted tiles, and for weights that are not finite (a missing pair would make
/// NaN).
Dataflow conv_forward(Matrix<const float> x, const PackedWeights& weights, const KernelMap* map,
                      const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y,
                      Dataflow dataflow = Dataflow::automatic);

/// What the cost model expects of a convolution, to be compared with each other only. `stationary` without sorted tiles
/// is estimated from the map's density, and does not hold what sorting costs: see sorting_cost.
double expected_cost(Dataflow dataflow, const ConvVariant& variant, const KernelMap& map, std::int64_t in_channels,
                     std::int64_t out_channels);
/// Of sort_tiles, in the unit of expected_cost.
double sorting_cost(const KernelMap& map);

/// Weight gradient: gw[k] = sum over pairs of x[i]^T gy[o], [K, C_in, C_out] contiguous, overwritten.
/// @param map  the forward map; null = identity
/// @param scratch  grows to what is needed
/// @param dataflow  blocked: all offsets of a range of rows, whose features are fetched once; on_demand: offset by
/// offset, for weights that do not fit into the cache. Results differ by rounding (order of sums). @throws UsageError
/// for stationary
/// @return the dataflow that ran
Dataflow conv_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                              const KernelMap* map, std::int64_t volume, Executor& executor, AlignedBuffer& scratch,
                              float* weight_gradient, Dataflow dataflow = Dataflow::automatic);

/// Column sums of g [N, C] in a fixed order: the gradient of a bias.
void column_sums(Matrix<const float> g, Executor& executor, float* sums);

}  // namespace rarefy
