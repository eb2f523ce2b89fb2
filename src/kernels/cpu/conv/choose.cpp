// Which dataflow a convolution runs in when nobody says.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/conv/forward_run.h"
#include "kernels/cpu/conv/partition.h"

namespace rarefy {
namespace {

// Cycles, from measurements on real scans (`rarefy bench dataflows`); only their ratios matter.
constexpr double kTileRows = 6;         // pairs of a full tile
constexpr double kSums = 1.5;           // per pair and vector of sums: loaded and stored
constexpr double kTile = 24;            // per tile and panel: pointers, first and last steps of the loop
constexpr double kCopy = 1.5;           // per pair that is collected into a batch
constexpr double kEntry = 12;           // per offset of a sorted tile and panel
constexpr double kChains = 1.3;         // few sums in registers wait for each other
constexpr double kWasteOfSparse = 1.5;  // products with rows of zeros, where neighbours differ from row to row

/// What all estimates start from.
struct Work {
  double pairs;
  double volume;
  double per_pair;  ///< cycles of multiply-adds
  double vectors;   ///< of an output row
  double panels;
};

/// Pairs in `lists` lists, each cut into tiles of its own, of which the last is not full.
double by_offset_cost(const Work& w, double lists) {
  const double filled = lists * (1 - std::exp(-w.pairs / std::max(1.0, lists)));  // pairs fall on lists at random
  const double tiles = w.pairs / kTileRows + 0.5 * filled;
  const double idle = 0.5 * filled * 2 * w.per_pair;  // a short tile takes as long as one of twice its rows
  return w.pairs * (w.per_pair + kSums * w.vectors) + tiles * kTile * w.panels + idle;
}

double stationary_cost(const Work& w, const KernelMap& map) {
  const double density = w.pairs / std::max(1.0, static_cast<double>(map.out_rows) * w.volume);
  const double waste = map.tiles.empty() ? 1 + (kWasteOfSparse - 1) * std::min(1.0, 2.5 * (1 - density))
                                         : static_cast<double>(map.tiles.products()) / std::max(1.0, w.pairs);
  const double products = waste * w.pairs;
  return kChains * products * w.per_pair + products / SortedTiles::kRows * kEntry * w.panels;
}

}  // namespace

double expected_cost(Dataflow dataflow, const ConvVariant& variant, const KernelMap& map, std::int64_t in_channels,
                     std::int64_t out_channels) {
  const conv_cpu::Panels panels(*variant.kernels, out_channels);
  const Work work{static_cast<double>(map.pairs()), static_cast<double>(map.volume),
                  0.5 * static_cast<double>(in_channels * panels.vectors),  // two vectors a cycle
                  static_cast<double>(panels.vectors), static_cast<double>(panels.count)};
  if (dataflow == Dataflow::stationary)
    return variant.kernels->stationary_proven ? stationary_cost(work, map) : std::numeric_limits<double>::infinity();
  const std::int64_t per_part = dataflow == Dataflow::on_demand
                                    ? conv_cpu::blocks_on_demand(map, out_channels)
                                    : 1;  // blocks share weights, but each has tiles of its own
  const double lists = static_cast<double>((map.blocks() + per_part - 1) / per_part) * work.volume;
  const double copies = dataflow == Dataflow::on_demand ? kCopy * work.pairs : 0.0;
  return copies + by_offset_cost(work, lists);
}

double sorting_cost(const KernelMap& map) {
  constexpr double kPair = 12, kRow = 50;
  return kPair * static_cast<double>(map.pairs()) + kRow * static_cast<double>(map.out_rows);
}

namespace conv_cpu {

Dataflow choose_dataflow(const PackedWeights& weights, const KernelMap& map) {
  const auto cost = [&](Dataflow dataflow) {
    return expected_cost(dataflow, *weights.variant, map, weights.in_channels, weights.out_channels);
  };
  Dataflow best = Dataflow::blocked;
  for (const Dataflow dataflow : dataflows()) {
    if (dataflow == Dataflow::stationary && map.tiles.empty()) continue;
    if (cost(dataflow) < cost(best)) best = dataflow;
  }
  return best;
}

}  // namespace conv_cpu
}  // namespace rarefy
