#pragma once
/// What one instruction set supplies to the driver of 16-bit convolutions: ways from and to 16 bits. The products are
/// those of kernels/cpu/conv. Files that are compiled for an instruction set include this header, rows.h, the
/// compiler's intrinsics and nothing else (see cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/conv/kernels.h"

namespace rarefy::conv_half_cpu {

using conv_cpu::Ending;

/// to[i] = x[row[i]] as real numbers.
struct WidenJob {
  const std::uint16_t* x;   ///< row 0
  std::ptrdiff_t x_stride;  ///< halves
  const std::int32_t* row;
  std::int64_t rows, cols;
  float* to;
  std::ptrdiff_t to_stride;  ///< floats
};

/// Weights of one panel as real numbers: to[c][j] = weights[c][j] * factor[j].
struct PanelJob {
  const std::uint16_t* weights;  ///< [in_channels, width]
  const float* factor;           ///< [width]
  std::int64_t in_channels;
  std::int64_t width;  ///< a multiple of the products' lanes
  float* to;           ///< [in_channels, width]
};

/// y = ending(sums) in 16 bits.
struct EndJob {
  const float* sums;
  std::ptrdiff_t sums_stride;
  std::int64_t rows, cols;
  Ending ending;
  float slope;
  std::uint16_t* y;
  std::ptrdiff_t y_stride;
};

struct HalfKernels {
  void (*widen_rows)(const WidenJob&);
  void (*widen_panel)(const PanelJob&);
  void (*end_rows)(const EndJob&);
};

}  // namespace rarefy::conv_half_cpu
