#pragma once
/// Implicit GEMM with a tile and a cut of one's own choice: for measuring what the cost model should know.
#include "kernels/cuda/conv.h"
#include "kernels/cuda/conv/params.h"

namespace rarefy::cuda {

int tile_choices();  ///< choices are 0 to this - 1
conv_gpu::TileShape tile_shape(int choice);

/// As conv. @param tile_choice  -1: the cost model's; one for warpgroups where they cannot run (device, precision, rows
/// that lie at no multiple of 16 bytes) stands for the first with as many columns. @param slices  parts of the loop of
/// a tile whose sums are added afterwards; 0: the cost model's
void conv_implicit(ConstRows x, const DeviceWeights& weights, const MapView* map, const DeviceEpilogue& epilogue,
                   Stream stream, DeviceBuffer& workspace, Rows y, int tile_choice, int slices = 0);

enum class Products : std::uint8_t { warps, warpgroups };
/// What the current device multiplies with.
Products products_of(Arithmetic arithmetic);
/// What the cost model chooses: a function of sizes and the kind of products only.
conv_gpu::Cut choose_cut(std::int64_t out_rows, int in_channels, int out_channels, int volume, int splits,
                         Arithmetic arithmetic, Products products);

/// As conv_weight_gradient. @param tile  an edge of conv_gpu::kGradientTiles; 0: chosen. @param ranges  0: chosen
void conv_weight_gradient(ConstRows x, ConstRows g, const MapView* map, Arithmetic arithmetic, bool add, Stream stream,
                          DeviceBuffer& workspace, float* weight_gradient, int tile, int ranges);

}  // namespace rarefy::cuda
