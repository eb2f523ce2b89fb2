#pragma once
/// Sparse convolution and linear layers whose features and weights are kept in 16 bits (IEEE binary16), computed in
/// fp32.
///
/// y[o] = act(sum over pairs (i, o, k): x[i] * (W[k] * factor) + bias + residual[o]), rounded once at the end. Rows and
/// weights are widened into working memory that stays in cache, and multiplied there by the fp32 kernels
/// (kernels/conv.h): memory sees half the bytes, arithmetic is that of fp32. Blocked as kernels/conv.h. Same bits for
/// any executor.
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "kernels/conv.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/kernel_map.h"

namespace rarefy {

namespace conv_half_cpu {
struct HalfKernels;
}
/// One implementation: an entry of kernels/cpu/conv_half/variants.inc.
struct HalfVariant {
  std::string_view name;
  cpu::Isa needs;
  bool proven;                             ///< as ConvVariant
  const conv_half_cpu::HalfKernels* rows;  ///< from and to 16 bits
  const conv_cpu::ConvKernels* products;   ///< fp32
};
/// All that this binary contains, fastest first.
std::span<const HalfVariant> half_variants();
bool runs_here(const HalfVariant& variant);
/// The first that this CPU has, that is proven, and that needs no more than `most`.
/// @throws UnsupportedError naming the wish and what the CPU has.
const HalfVariant& select_half_variant(cpu::Isa most);

/// Rows in either precision. The data pointer is null where there are none.
using FloatRows = std::variant<Matrix<const float>, Matrix<const Half>>;
using FloatRowsOut = std::variant<Matrix<float>, Matrix<Half>>;

/// Weights in 16 bits, packed for one variant: panels of output channels, padded; immutable after packing.
struct HalfWeights {
  std::int64_t volume = 0;  ///< K
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  const HalfVariant* variant = nullptr;
  AlignedBuffer data;
  std::vector<float> factor;  ///< [padded C_out]
};
/// @param weights  [K, C_in, C_out] contiguous; rounded to 16 bits
/// @param factor  [C_out]: what each output channel's weights are multiplied by after they were widened (a folded batch
///                norm, so that it costs no second rounding); empty = 1
void pack_half_weights(const HalfVariant& variant, const float* weights, std::int64_t volume, std::int64_t in_channels,
                       std::int64_t out_channels, std::span<const float> factor, HalfWeights& out);

struct HalfEpilogue {
  const float* bias = nullptr;  ///< [C_out] or null
  FloatRows residual = {};      ///< [N_out, C_out] or none; added before the activation
  Activation activation = Activation::none;
  float slope = 0.0f;  ///< leaky_relu
};

/// @param x    [N_in, C_in]; may be a column range of a wider matrix (row_stride)
/// @param map  pairs; null = identity with N_in = N_out (linear layer)
/// @param scratch  grows to what is needed
/// @param y    [N_out, C_out]; may be a column range of a wider matrix; must not overlap x. May equal the residual.
/// Rows without pairs get the epilogue of zero. NaN and infinities pass through; what is beyond 65504 becomes infinite
/// in 16 bits. Multiply-adds: pairs * C_in * C_out. @throws ShapeError naming what does not fit; before y is touched.
void conv_half(FloatRows x, const HalfWeights& weights, const KernelMap* map, const HalfEpilogue& epilogue,
               Executor& executor, AlignedBuffer& scratch, FloatRowsOut y);

}  // namespace rarefy
