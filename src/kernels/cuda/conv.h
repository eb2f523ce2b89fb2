#pragma once
/// Sparse convolution, linear layers and their gradients on tensor cores.
///
/// y[o] = act(sum over offsets k: x[in_row(k, o)] W[k] + bias + residual[o]), sums in float32. A linear layer is the
/// case K = 1 without a map. No atomics: the same input gives the same bits on the same kind of device.
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/conv.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernel_map.h"

namespace rarefy::cuda {

/// What is stored and how it is multiplied; sums are float32 always.
enum class Arithmetic : std::uint8_t {
  f16,   ///< IEEE half
  bf16,  ///< bfloat16
  tf32,  ///< float32 in memory, 10 bits of mantissa multiplied
  f32,   ///< float32 throughout, no tensor cores: exact, slow
};
std::string_view name(Arithmetic arithmetic);
constexpr std::int64_t size_of(Arithmetic a) { return a == Arithmetic::f16 || a == Arithmetic::bf16 ? 2 : 4; }

/// How a convolution goes through its pairs (docs/cuda.md).
enum class Flow : std::uint8_t {
  automatic,       ///< by a cost model
  implicit_gemm,   ///< tiles of output rows (sorted by mask when the map is), sums in registers over all offsets
  gather_scatter,  ///< rows of all pairs gathered, one grouped product, sums per output row in the order of offsets
  on_demand,       ///< tiles of output rows; per offset only the rows that have a pair are fetched and multiplied, sums
                   ///< in shared memory (fetch-on-demand without atomics)
};
std::string_view name(Flow flow);
/// @throws UsageError listing the names
Flow flow_named(std::string_view name);
std::span<const Flow> flows();  ///< every one but automatic

/// A row-major matrix on the device; element type by the Arithmetic, unless said otherwise.
struct Rows {
  void* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  ///< elements from row to row
};
struct ConstRows {
  const void* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;
  ConstRows() = default;
  ConstRows(const void* d, std::int64_t r, std::int64_t c, std::int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  ConstRows(const Rows& m) : data(m.data), rows(m.rows), cols(m.cols), stride(m.stride) {}  // NOLINT
};

/// Weights as the kernels read them: [K, C_in rounded up to 16, C_out rounded up to 16], zeros beyond.
struct DeviceWeights {
  Arithmetic arithmetic = Arithmetic::f16;
  std::int64_t volume = 0;
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  DeviceBuffer data;
  DeviceBuffer units;      ///< the same once more, as the warpgroups of compute capability 9.0 read it (conv/params.h)
  bool has_units = false;  ///< 16 bits, packed on such a device
};
/// @param weights  float32 [K, C_in, C_out] on the device (host memory: copy first)
/// @param order    transposed orders exchange the channels, as rarefy::pack_weights
/// Writes `out.data` and `out.units`, growing them when needed.
void pack_weights(const float* weights, std::int64_t volume, std::int64_t in_channels, std::int64_t out_channels,
                  WeightOrder order, Arithmetic arithmetic, Stream stream, DeviceWeights& out);

struct DeviceEpilogue {
  const float* bias = nullptr;  ///< [C_out] float32 on the device, or null
  ConstRows residual = {};      ///< [N_out, C_out] or empty (data null); may be y itself
  Activation activation = Activation::none;
  float slope = 0.0f;
};

/// @param map   plain or sorted; null = identity (linear layer)
/// @param x     [N_in, C_in]; any stride and alignment (16-byte aligned rows are fastest)
/// @param y     [N_out, C_out]; may be a column range of a wider matrix; must not overlap x
/// @param workspace  grows when the flow needs it: gathered rows, partial sums of splits
/// @return the flow that ran. @throws ShapeError naming what does not fit; before anything is queued
Flow conv(ConstRows x, const DeviceWeights& weights, const MapView* map, const DeviceEpilogue& epilogue, Flow flow,
          Stream stream, DeviceBuffer& workspace, Rows y);

/// dW[k] = sum over pairs (i, o, k): x[i]^T g[o], float32 [K, C_in, C_out] contiguous on the device. `map` is the plain
/// form of the forward map; null = identity. Split over ranges of rows, partial sums added in a fixed order.
/// @param add  whether dW is added to instead of overwritten
void conv_weight_gradient(ConstRows x, ConstRows g, const MapView* map, Arithmetic arithmetic, bool add, Stream stream,
                          DeviceBuffer& workspace, float* weight_gradient);

}  // namespace rarefy::cuda
