#pragma once
/// What the convolution kernels are given: plain values, checked by conv.cpp. Includes nothing that nvcc dislikes.
#include <cstdint>

#include "kernels/cuda/device.h"

namespace rarefy::cuda::conv_gpu {

/// As Activation (kernels/conv.h), in its order.
enum : int { kNoActivation = 0, kRelu = 1, kLeakyRelu = 2 };

/// Where sums go: through the epilogue to rows of y, in the element type of the arithmetic.
struct Output {
  void* y = nullptr;
  std::int64_t y_stride = 0;
  std::int64_t rows = 0;
  int channels = 0;
  const float* bias = nullptr;
  const void* residual = nullptr;
  std::int64_t residual_stride = 0;
  int activation = kNoActivation;
  float slope = 0.0f;
  bool vectors = false;  ///< rows of y and of the residual lie at multiples of 16 bytes
};

/// One convolution. Columns of the map's tables are called rows below: they are output rows in the order of a split.
struct Conv {
  const void* x = nullptr;
  std::int64_t x_stride = 0;
  int in_channels = 0;
  int copy_bytes = 16;            ///< 16, 8, 4 or 2: the largest copies that x allows
  const void* weights = nullptr;  ///< [volume, in_padded, out_padded]
  const void* units = nullptr;    ///< the same for warpgroups (Packing), or null
  int in_padded = 0;
  int out_padded = 0;

  const std::int32_t* in_row = nullptr;  ///< [volume, ld]; null: row i reads row i
  std::int64_t ld = 0;
  std::int64_t row_ld = 0;              ///< from offset to offset of in_row: ld, or 0 where all share one list
  const std::int32_t* order = nullptr;  ///< [splits, ld] or null
  const std::uint32_t* masks = nullptr;
  const std::int32_t* tile_offset = nullptr;  ///< [ld / 128] the only offset of each 128 rows, or -1; null: all
  int volume = 1;
  int splits = 1;
  int slices = 1;  ///< parts of the work of a tile, each with its own partial sums

  float* partial = nullptr;  ///< [splits * slices, out.rows, out_padded]; null: one part, which ends in y
  Output out;
};

/// Tiles of implicit GEMM; a choice is an index. Rows of 64 were never faster by more than 2 %,
/// rows of 256 on warpgroups always slower.
struct TileShape {
  int rows;
  int cols;
  int blocks;               ///< that fit on one multiprocessor, about
  int clocks;               ///< of 32 channels of 16 bits or 16 of 32 on a busy multiprocessor; measured on an H200
  bool warpgroups = false;  ///< for compute capability 9.0 and 16 bits; elsewhere the first of as many columns serves
};
inline constexpr TileShape kTiles[] = {
    {128, 128, 2, 1970},      {128, 96, 2, 1340},      {128, 64, 2, 930},       {128, 32, 4, 630},
    {128, 128, 2, 630, true}, {128, 96, 2, 485, true}, {128, 64, 2, 420, true}, {128, 32, 2, 400, true},
};
inline constexpr int kTileCount = static_cast<int>(sizeof(kTiles) / sizeof(kTiles[0]));

/// How a convolution is cut: the tile and the slices of its loop.
struct Cut {
  int tile = 0;
  int slices = 1;
};

// Launchers, one file each. `partial` and all else is set.
void implicit_f16(const Conv& conv, int tile, Stream stream);
void implicit_bf16(const Conv& conv, int tile, Stream stream);
void implicit_tf32(const Conv& conv, int tile, Stream stream);
/// Whether the current device and this build have the next two.
bool has_warpgroups();
void warpgroup_f16(const Conv& conv, int tile, Stream stream);
void warpgroup_bf16(const Conv& conv, int tile, Stream stream);
void on_demand_f16(const Conv& conv, Stream stream);
void on_demand_bf16(const Conv& conv, Stream stream);
void on_demand_tf32(const Conv& conv, Stream stream);
void exact(const Conv& conv, Stream stream);

enum class Element : std::uint8_t { f16, bf16, f32 };
/// y = epilogue of the sum of `parts` partial sums [parts, out.rows, out_padded] in their order.
void add_parts(const float* partial, int parts, int out_padded, const Output& out, Element element, Stream stream);

/// Pairs in the order of offsets, every offset from a multiple of 128 on.
struct PairTables {
  std::int32_t* segment;      ///< [volume, segments] pairs of a segment, then the place of its first
  std::int32_t* begin;        ///< [volume + 1]
  std::int32_t* pair_in;      ///< [begin[volume]] input row or -1
  std::int32_t* tile_offset;  ///< [begin[volume] / 128]
  std::int32_t* position;     ///< [volume, out_rows] place of the pair of an output row, or -1
};
inline constexpr int kSegment = 1024;  ///< columns of the tables
inline constexpr int kPairTile = 128;
inline std::int64_t segments(std::int64_t ld) { return (ld + kSegment - 1) / kSegment; }
/// Fills segment and begin.
void count_pairs(const Conv& conv, const PairTables& tables, Stream stream);
/// Fills the rest.
void place_pairs(const Conv& conv, const PairTables& tables, std::int64_t places, Stream stream);
/// y = epilogue of the sum of products [places, out_padded] in the order of offsets.
void add_products(const float* products, const std::int32_t* position, int volume, int out_padded, const Output& out,
                  Element element, Stream stream);

struct WeightGradient {
  const void* x = nullptr;
  std::int64_t x_stride = 0;
  int in_channels = 0;
  int x_copy_bytes = 16;
  const void* g = nullptr;
  std::int64_t g_stride = 0;
  int out_channels = 0;
  int g_copy_bytes = 16;
  const std::int32_t* in_row = nullptr;  ///< [volume, ld]; null: identity
  std::int64_t ld = 0;
  std::int64_t rows = 0;
  int volume = 1;
  int ranges = 1;
  int range_rows = 0;
  bool add = false;       ///< to what `sums` holds; only with one range
  float* sums = nullptr;  ///< [ranges, volume, in_channels, out_channels]
};
inline constexpr int kGradientTiles[] = {128, 64};  ///< edges
void weight_gradient_f16(const WeightGradient& gradient, int tile, Stream stream);
void weight_gradient_bf16(const WeightGradient& gradient, int tile, Stream stream);
void weight_gradient_tf32(const WeightGradient& gradient, int tile, Stream stream);
void weight_gradient_exact(const WeightGradient& gradient, Stream stream);
/// to = sum over parts of partial [parts, size] in their order, added to `to` or not.
void add_gradients(const float* partial, int parts, std::int64_t size, bool add, float* to, Stream stream);

struct Packing {
  const float* from = nullptr;
  int volume = 1;
  int in_channels = 0;  ///< of the packed weights
  int out_channels = 0;
  int in_padded = 0;
  int out_padded = 0;
  bool transposed = false;
  bool flipped = false;
  bool round_to_tf32 = false;
  Element element = Element::f16;
  void* to = nullptr;
  void* units = nullptr;  ///< [volume, units(in_channels), out_padded, 32] or null: columns in rows of 64 bytes,
                          ///< 16-byte pieces exchanged as the products of warpgroups read them
};
inline constexpr int kUnit = 32;  ///< channels
inline int units(std::int64_t channels) { return static_cast<int>((channels + kUnit - 1) / kUnit); }
void pack(const Packing& packing, Stream stream);

}  // namespace rarefy::cuda::conv_gpu
