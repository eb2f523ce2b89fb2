#pragma once
/// How other libraries store the kernel of a sparse convolution, and the way from there to ours: [K, C_in, C_out],
/// offsets in lexicographic order with the last axis fastest (docs/design.md). All of them correlate, as PyTorch does:
/// output o reads input o * stride + offset.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rarefy/weights.h"

namespace rarefy::models::foreign {

enum class KernelLayout : std::uint8_t {
  minkowski,    ///< MinkowskiEngine 0.5: [K, C_in, C_out], the *first* axis fastest; [C_in, C_out] when K is 1
  torchsparse,  ///< torchsparse 1 and 2: like it when K is odd; when K is even the last axis is fastest
  spconv,       ///< spconv 2: [C_out, k0, k1, k2, C_in]; spconv 1 and MMCV: [k0, k1, k2, C_in, C_out]; told by shape
  dense,        ///< PyTorch's ConvNd: [C_out, C_in, k0, k1, k2]
  rarefy        ///< ours
};

/// Which axis of the scene the library's first axis is.
enum class AxisOrder : std::uint8_t {
  xyz,  ///< the same as ours
  zyx   ///< reversed, as where coordinates are (batch, z, y, x)
};

/// What a kernel must become.
struct KernelTarget {
  std::vector<std::int64_t> size;  ///< extent per axis, in our order of axes
  std::int64_t in = 0, out = 0;    ///< channels
  std::int64_t volume() const;
};

/// The kernel in our order as float32 [K, C_in, C_out], or nothing when its shape is not that of the target.
/// @throws UnsupportedError for a kernel whose offsets differ from ours (torchsparse centres even sizes above 2), and
/// for an element type that is no floating point
std::optional<Tensor> kernel_to_rarefy(const Tensor& kernel, KernelLayout layout, AxisOrder axes,
                                       const KernelTarget& target);

/// A tensor of any floating point type as float32. @throws UnsupportedError for integers
Tensor to_float(const Tensor& tensor);
/// [rows, cols] to [cols, rows]; float32.
Tensor transposed(const Tensor& matrix);
/// The same elements under another shape of the same size.
Tensor reshaped(const Tensor& tensor, std::vector<std::int64_t> shape);

}  // namespace rarefy::models::foreign
