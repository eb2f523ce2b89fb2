#pragma once
/// What one instruction set supplies to the convolution drivers. Files that are compiled for an instruction set include
/// this header, tiles.h, the compiler's intrinsics and nothing else (see cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

namespace rarefy::conv_cpu {

/// One offset, some of its pairs, one panel of output channels: y[out_row[p]] += x[in_row[p]] * W for p in [0, count).
/// Output rows of one call are distinct.
struct PanelJob {
  const float* x;           ///< input row 0
  std::ptrdiff_t x_stride;  ///< floats
  const std::int32_t* in_row;
  float* y;                 ///< first channel of the panel in output row 0
  std::ptrdiff_t y_stride;  ///< floats
  const std::int32_t* out_row;
  std::int64_t count;    ///< pairs
  const float* weights;  ///< [in_channels, vectors * lanes]
  std::int64_t in_channels;
  int vectors;     ///< 1 .. max_vectors
  int tail;        ///< channels of the last vector: 1 .. lanes
  bool overwrite;  ///< y = instead of y +=
};

/// Weight gradient of some pairs and one panel of output channels: gw[c][j] += sum over p of x[p][c] * gy[p][j].
struct GradientJob {
  const float* const* x;   ///< [count] input rows
  const float* const* gy;  ///< [count] output gradient rows, first channel of the panel
  std::int64_t count;
  std::int64_t in_channels;
  float* gw;                 ///< [in_channels, >= panel], first channel of the panel
  std::ptrdiff_t gw_stride;  ///< floats
  int vectors;
  int tail;
};

struct ConvKernels {
  int lanes;        ///< floats of a vector
  int max_vectors;  ///< vectors of the widest panel
  void (*forward)(const PanelJob&);
  void (*weight_gradient)(const GradientJob&);
};

}  // namespace rarefy::conv_cpu
