#pragma once
/// What one instruction set supplies to the convolution drivers. Files that are compiled for an instruction set include
/// this header, tiles.h, the compiler's intrinsics and nothing else (see cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

namespace rarefy::conv_cpu {

/// What ends the sum of a row.
enum class Ending : std::int32_t { none, relu, leaky_relu };

/// Rows of a tile of SortedTiles.
inline constexpr int kTileRows = 4;

/// Pairs of rows; output rows are distinct.
struct Pairs {
  const std::int32_t* in_row = nullptr;
  const std::int32_t* out_row = nullptr;
  std::int64_t count = 0;
};

/// One offset, some of its pairs, one panel of output channels: y[out] = ending(start[out] + x[in] * W) for each pair.
struct PanelJob {
  const float* x;           ///< input row 0
  std::ptrdiff_t x_stride;  ///< floats
  float* y;                 ///< first channel of the panel in output row 0
  std::ptrdiff_t y_stride;  ///< floats
  const float* start;       ///< as y: what the sum starts from (y itself, a residual, a bias with stride 0); null = 0
  std::ptrdiff_t start_stride;  ///< floats
  Pairs pairs;
  Pairs next;            ///< pairs that a later job will work on: their rows are prefetched
  const float* weights;  ///< [in_channels, vectors * lanes]
  std::int64_t in_channels;
  int vectors;  ///< 1 .. max_vectors
  int tail;     ///< channels of the last vector: 1 .. lanes
  Ending ending;
  float slope;  ///< of leaky_relu
};

/// Tiles [first, last) of SortedTiles, one panel of output channels: y[out] = ending(start[out] + all its products).
struct StationaryJob {
  const float* x;           ///< input row 0
  std::ptrdiff_t x_stride;  ///< floats
  const float* zeros;       ///< [in_channels]: the row that stands for missing ones
  float* y;                 ///< first channel of the panel in output row 0
  std::ptrdiff_t y_stride;  ///< floats
  const float* start;       ///< as of PanelJob
  std::ptrdiff_t start_stride;
  const std::int32_t* out_row;  ///< of SortedTiles, as the next three
  const std::uint64_t* mask;
  const std::int64_t* begin;
  const std::int32_t* in_row;
  std::int64_t first;
  std::int64_t last;
  std::int64_t first_offset;      ///< whose products start the sums, as in the other dataflows; -1: none
  const float* weights;           ///< panel of offset 0: [in_channels, vectors * lanes]
  std::ptrdiff_t weights_stride;  ///< floats from offset to offset
  std::int64_t in_channels;
  int vectors;
  int tail;
  Ending ending;
  float slope;
};

/// Rows [0, rows) of y [., cols] = ending(y). In place.
struct EndingJob {
  float* y;
  std::ptrdiff_t y_stride;
  std::int64_t rows;
  std::int64_t cols;
  Ending ending;
  float slope;
};

/// Weight gradient of some pairs and one panel of output channels: gw[c][j] += sum over p of x[p][c] * gy[p][j].
struct GradientJob {
  const float* const* x;   ///< [count] input rows
  const float* const* gy;  ///< [count] output gradient rows, first channel of the panel
  std::int64_t count;
  const float* const* next_x;   ///< [count] rows that a later job will read: they are prefetched
  const float* const* next_gy;  ///< [count] the same, from the first channel of the row
  std::int64_t gy_first;        ///< first channel of the panel
  std::int64_t gy_channels;     ///< channels of the whole row of gy
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
  void (*stationary)(const StationaryJob&);
  void (*end_rows)(const EndingJob&);
  void (*weight_gradient)(const GradientJob&);
  bool stationary_proven;  ///< else the cost model leaves `stationary` alone; `rarefy tune` verifies before it chooses
};

}  // namespace rarefy::conv_cpu
