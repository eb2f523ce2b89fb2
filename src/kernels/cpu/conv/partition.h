#pragma once
/// How the convolution drivers cut their work into parts, and what they ask of a kernel map.
#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/cpu/conv/kernels.h"
#include "sparse/kernel_map.h"

namespace rarefy::conv_cpu {

inline constexpr std::int64_t kBlock = KernelMap::kBlockRows;
inline constexpr std::int64_t kMostBlocks = 64;  // of one part

/// Row numbers of a block without a map.
constexpr std::array<std::int32_t, kBlock> make_identity() {
  std::array<std::int32_t, kBlock> rows{};
  for (std::int32_t i = 0; i < kBlock; ++i) rows[static_cast<std::size_t>(i)] = i;
  return rows;
}
inline constexpr auto kIdentity = make_identity();

/// Pairs of block b and offset k.
inline Pairs pairs_of(const KernelMap& map, std::int64_t b, std::int64_t k) {
  const std::int64_t* range = map.begin.data() + b * map.volume + k;
  return {map.in_row.data() + range[0], map.out_row.data() + range[0], range[1] - range[0]};
}

/// The first offset that has a pair for every row of block b (submanifold: the centre), or -1. Its products start the
/// sums, which saves a pass that zeroes them.
inline std::int32_t covering_offset(const KernelMap& map, std::int64_t b) {
  const std::int64_t rows = std::min(kBlock, map.out_rows - b * kBlock);
  for (std::int64_t k = 0; k < map.volume; ++k)
    if (pairs_of(map, b, k).count == rows) return static_cast<std::int32_t>(k);
  return -1;
}

/// The first offset that has a pair for every output row of the map, or -1.
inline std::int64_t covering_offset(const KernelMap& map) {
  for (std::int64_t k = 0; k < map.volume; ++k) {
    std::int64_t b = 0;
    while (b < map.blocks() && pairs_of(map, b, k).count == std::min(kBlock, map.out_rows - b * kBlock)) ++b;
    if (b == map.blocks()) return k;
  }
  return -1;
}

/// Blocks of one part: as many as keep their accumulators in a share of L2, so that each offset's weights are reused,
/// but few enough to leave parts for many threads. Bits do not depend on it.
inline std::int64_t blocks_per_part(std::int64_t blocks, std::int64_t out_channels) {
  constexpr std::int64_t kAccumulatorBytes = 256 * 1024;
  constexpr std::int64_t kParts = 32;
  const std::int64_t fit = kAccumulatorBytes / (kBlock * out_channels * static_cast<std::int64_t>(sizeof(float)));
  return std::max<std::int64_t>(1, std::min({fit, blocks / kParts, kMostBlocks}));
}

/// Likewise of a part that works on demand: more where that takes for the lists of an offset to fill some tiles.
inline std::int64_t blocks_on_demand(const KernelMap& map, std::int64_t out_channels) {
  constexpr std::int64_t kPairs = 48, kParts = 16;  // of an offset; of a call
  const std::int64_t pairs = std::max<std::int64_t>(1, map.pairs());
  const std::int64_t fill = (kPairs * map.blocks() * map.volume + pairs - 1) / pairs;
  return std::max(blocks_per_part(map.blocks(), out_channels),
                  std::clamp<std::int64_t>(fill, 1, std::max<std::int64_t>(1, map.blocks() / kParts)));
}

/// Few rows make few parts: then a part takes some of the panels only, or threads had nothing to do where most weights
/// are. Never for one thread, nor for many rows: rows would be read again for each group of panels, which costs more
/// than reading weights again. Each output element is one chain of multiply-adds in any part: bits do not depend on it.
inline std::int64_t column_parts(std::int64_t row_parts, std::int64_t panels, int threads) {
  constexpr std::int64_t kPartsPerThread = 4;
  if (threads == 1) return 1;
  return std::min(panels, (kPartsPerThread * threads + row_parts - 1) / row_parts);
}

}  // namespace rarefy::conv_cpu
