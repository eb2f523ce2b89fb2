#pragma once
/// What one instruction set supplies to the 8-bit convolution driver. Files that are compiled for an instruction set
/// include this header, tiles.h, the compiler's intrinsics and nothing else (see cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/conv/kernels.h"

namespace rarefy::conv_int8_cpu {

using conv_cpu::Ending;
using conv_cpu::Pairs;

/// One offset, some of its pairs, one panel of output channels: sums[out] = start + x[in] * W for each pair.
struct PanelJob {
  const std::uint8_t* x;    ///< input row 0
  std::ptrdiff_t x_stride;  ///< bytes
  std::int32_t* sums;       ///< first channel of the panel in output row 0; rows are padded to whole vectors
  std::ptrdiff_t sums_stride;
  bool begins;                     ///< start from zero, not from what `sums` holds
  const std::int32_t* correction;  ///< of the panel, added once per pair; null = none
  Pairs pairs;
  Pairs next;           ///< pairs that a later job will work on: their rows are prefetched
  const void* weights;  ///< [groups, vectors * lanes, group]
  std::int64_t in_channels;
  int vectors;  ///< 1 .. max_vectors
};

/// Rows of sums become real numbers: v = sum * scale + bias + residual, then the activation; stored as they are, or
/// quantized. Exactly one of y and stored_y is set, at most one of the residuals.
struct EndJob {
  const std::int32_t* sums;  ///< null: v = real
  std::ptrdiff_t sums_stride;
  const float* real;  ///< used without sums
  std::ptrdiff_t real_stride;
  std::int64_t rows, cols;
  const float* scale;  ///< [cols]; null = 1 (without sums)
  const float* bias;   ///< [cols] or null
  const float* residual;
  std::ptrdiff_t residual_stride;
  const std::uint8_t* stored_residual;
  std::ptrdiff_t stored_residual_stride;
  float residual_scale, residual_zero;
  Ending ending;
  float slope;
  float* y;
  std::ptrdiff_t y_stride;
  std::uint8_t* stored_y;
  std::ptrdiff_t stored_y_stride;
  float inverse_scale, low, high;  ///< of the result, before `zero` is added
  std::int32_t zero;
};

struct Int8Kernels {
  int lanes;        ///< sums of a vector
  int max_vectors;  ///< vectors of the widest panel
  int group;        ///< input channels that one instruction adds up
  int weight_bytes;
  void (*forward)(const PanelJob&);
  void (*end_rows)(const EndJob&);
};

}  // namespace rarefy::conv_int8_cpu
