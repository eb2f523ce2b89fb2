// The cost model of implicit GEMM. Clocks of one multiprocessor, fitted to 32 layers of MinkUNet 1.0x on an H200: its
// choice takes 3 % more time than the best on average (of warpgroups: 1 %). Measure with conv_implicit before changing.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/conv/tune.h"

namespace rarefy::cuda {
namespace {

using conv_gpu::Cut;
using conv_gpu::kTiles;
using conv_gpu::TileShape;

// One size for all devices, so that results do not depend on the device: an H100 has 132, an A100 108.
constexpr double kMultiprocessors = 132;
struct Clocks {
  double latency;        ///< of one chunk when nothing else runs
  double start;          ///< of a round of blocks
  double block;          ///< of a block: the list of offsets, first copies, the store
  double density;        ///< share of the offsets that a tile goes through, in one range
  double summed;         ///< bytes a clock of partial sums, written and read
  double second_kernel;  ///< that adds them
};
constexpr Clocks kWarps{575, 350, 950, 0.56, 34, 21500}, kWarpgroups{775, 320, 2450, 0.84, 25, 32700};
constexpr int kSlices[] = {1, 2, 3, 4, 6, 8};
constexpr int kFewestChunks = 8;  // that a slice is worth

double cost(const TileShape& tile, int slices, std::int64_t rows, int in, int out, int volume, int splits, bool half) {
  const int chunk = half ? 32 : 16, steps = (in + chunk / 2 - 1) / (chunk / 2);  // a stage holds two steps
  const double tiles = static_cast<double>((rows + tile.rows - 1) / tile.rows * ((out + tile.cols - 1) / tile.cols));
  const double blocks = tiles * splits * slices;
  const double dense = static_cast<double>(volume) / splits;
  const Clocks& t = tile.warpgroups ? kWarpgroups : kWarps;
  const double passed = dense > 2 ? dense * t.density / std::sqrt(splits) : dense;
  const double chunks = std::max(1.0, passed) * steps / 2.0 / slices;
  const double busiest = std::max(1.0, std::ceil(blocks / kMultiprocessors));
  const double rounds = std::ceil(busiest / tile.blocks);
  double clocks = std::max(busiest * tile.clocks, rounds * t.latency) * chunks + rounds * t.start + busiest * t.block;
  if (splits * slices > 1) {
    const double bytes = static_cast<double>(rows) * out * 8 * splits * slices;
    clocks += t.second_kernel + bytes / (t.summed * kMultiprocessors);
  }
  return clocks;
}

}  // namespace

int tile_choices() { return conv_gpu::kTileCount; }
TileShape tile_shape(int choice) { return kTiles[choice]; }

Cut choose_cut(std::int64_t out_rows, int in_channels, int out_channels, int volume, int splits, Arithmetic arithmetic,
               Products products) {
  const bool half = size_of(arithmetic) == 2;
  const int steps = half ? 16 : 8;
  const int chunks = (in_channels + steps - 1) / steps * ((volume + splits - 1) / splits) / 2;
  Cut best;
  double least = -1;
  for (int tile = 0; tile < conv_gpu::kTileCount; ++tile) {
    if (kTiles[tile].warpgroups != (products == Products::warpgroups)) continue;
    for (const int slices : kSlices) {
      if (slices > 1 && chunks / slices < kFewestChunks) break;
      const double c = cost(kTiles[tile], slices, out_rows, in_channels, out_channels, volume, splits, half);
      if (least < 0 || c < least) {
        least = c;
        best = {tile, slices};
      }
    }
  }
  return best;
}

}  // namespace rarefy::cuda
