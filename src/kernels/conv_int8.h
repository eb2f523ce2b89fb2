#pragma once
/// Sparse convolution and linear layers on features and weights of 8 bits and less, summed in int32.
///
/// y[o] = act(scale * sum over pairs (i, o, k): (x[i] - zero) * W[k] + bias + residual[o]), as real numbers or
/// quantized again in the same pass. Weights are symmetric with a scale per output channel, features have one scale per
/// tensor (Jacob et al., CVPR 2018; Krishnamoorthi 2018, section 2.2). Blocked as kernels/conv.h. The integers are
/// exact, the epilogue is one multiplication and one addition after the other, never fused: the same bits for any
/// executor and any variant.
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "kernels/conv.h"
#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/kernel_map.h"

namespace rarefy {

/// How a stored byte stands for a real number: value = scale * (stored - zero).
struct Quantization {
  float scale = 1.0f;     ///< > 0: what one step is worth
  int bits = 8;           ///< 2..8
  bool has_sign = false;  ///< false: 0 .. 2^bits - 1; true: -(2^(bits-1) - 1) .. 2^(bits-1) - 1

  int zero() const { return has_sign ? 1 << (bits - 1) : 0; }  ///< stored value of 0
  int low() const { return has_sign ? 1 : 0; }                 ///< least stored value
  int high() const { return (1 << bits) - 1; }                 ///< largest stored value
  bool operator==(const Quantization&) const = default;
};
/// y = clamp(round_to_even(x / scale) + zero, low, high), computed as x times the rounded inverse; NaN becomes low.
void quantize_rows(Matrix<const float> x, const Quantization& to, Executor& executor, Matrix<std::uint8_t> y);
/// y = scale * (x - zero)
void dequantize_rows(Matrix<const std::uint8_t> x, const Quantization& from, Executor& executor, Matrix<float> y);
/// Both in one: x rounded to what `to` can store. In place when y is x.
void round_rows(Matrix<const float> x, const Quantization& to, Executor& executor, Matrix<float> y);

/// Weights to integers of `bits` bits, symmetric, one scale per output channel: the largest magnitude of the channel is
/// 2^(bits-1) - 1 steps. A channel of zeros gets scale 1.
/// @param weights  [rows, C_out]; of a convolution rows = K * C_in  @param values  [rows, C_out]  @param scales [C_out]
void quantize_weights(const float* weights, std::int64_t rows, std::int64_t out_channels, int bits, std::int8_t* values,
                      float* scales);

/// The same, as real numbers: what integers of `bits` bits stand for.
void round_weights(const float* weights, std::int64_t rows, std::int64_t out_channels, int bits, float* rounded);

namespace conv_int8_cpu {
struct Int8Kernels;
}
/// One implementation of the 8-bit kernels: an entry of kernels/cpu/conv_int8/variants.inc.
struct Int8Variant {
  std::string_view name;
  cpu::Isa needs;
  bool needs_vnni;
  int most_bits;  ///< of features and of weights: with more, its sums could saturate
  const conv_int8_cpu::Int8Kernels* kernels;
};
/// All that this binary contains, fastest first.
std::span<const Int8Variant> int8_variants();
bool runs_here(const Int8Variant& variant);
/// The first that this CPU has, RAREFY_ISA allows, and that takes values of `bits` bits.
/// @throws UnsupportedError naming the wish and what the CPU has; UsageError unless 2 <= bits <= 8
const Int8Variant& select_int8_variant(int bits);

/// Integer weights packed for one variant; immutable after packing.
struct Int8Weights {
  std::int64_t volume = 0;  ///< K
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  const Int8Variant* variant = nullptr;
  AlignedBuffer data;
  AlignedBuffer corrections;  ///< int32 [K, padded C_out]: -zero * sum of W[k] over input channels; empty when zero = 0
};
/// @param weights  [K, C_in, C_out] contiguous, of at most the variant's bits
/// @param zero  stored value of zero of the features that will be multiplied
void pack_int8_weights(const Int8Variant& variant, const std::int8_t* weights, std::int64_t volume,
                       std::int64_t in_channels, std::int64_t out_channels, int zero, Int8Weights& out);

struct Int8Epilogue {
  const float* scale = nullptr;  ///< [C_out]: what one step of the sum is worth
  const float* bias = nullptr;   ///< [C_out] or null
  /// [N_out, C_out]; one of them, or none; added before the activation
  Matrix<const float> residual = {};
  Matrix<const std::uint8_t> stored_residual = {};
  Quantization residual_is = {};  ///< of stored_residual
  Activation activation = Activation::none;
  float slope = 0.0f;  ///< leaky_relu
};

/// @param x  [N_in, C_in], values of at most the variant's bits; may be a column range of a wider matrix. Rows must be
///           readable up to a multiple of four columns: what lies there is multiplied by zero.
/// @param map  pairs; null = identity with N_in = N_out (linear layer)
/// @param scratch  grows to what is needed
/// @param y  [N_out, C_out]; must not overlap x. A float one may equal the residual.
/// Multiply-adds: pairs * C_in * C_out. Sums cannot overflow up to K * C_in = 65,000: checked.
/// @throws ShapeError naming what does not fit; before y is touched.
void conv_int8(Matrix<const std::uint8_t> x, const Int8Weights& weights, const KernelMap* map,
               const Int8Epilogue& epilogue, Executor& executor, AlignedBuffer& scratch, Matrix<float> y);
/// The same, the result quantized.
void conv_int8(Matrix<const std::uint8_t> x, const Int8Weights& weights, const KernelMap* map,
               const Int8Epilogue& epilogue, const Quantization& to, Executor& executor, AlignedBuffer& scratch,
               Matrix<std::uint8_t> y);

}  // namespace rarefy
