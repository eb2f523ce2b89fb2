#pragma once
/// How a convolution goes through its pairs.
#include <cstdint>
#include <span>
#include <string_view>

namespace rarefy {

/// In which order a convolution visits pairs, and where its sums lie meanwhile. For finite weights all give the same
/// numbers: each element of the result is one chain of multiply-adds in one order (only the sign of a zero may differ).
enum class Dataflow : std::uint8_t {
  automatic,   ///< by a cost model: a function of the map's sizes, the channels and the kernels' variant
  blocked,     ///< block of output rows by block, sums in L2, offset by offset: gather-GEMM-scatter without buffers
  stationary,  ///< tile of alike output rows by tile, sums in registers over all offsets: implicit GEMM with sorted
               ///< masks (TorchSparse++, MICRO 2023, section 3). Needs the map's sorted tiles; rows that lack a pair
               ///< which their tile has are multiplied as zeros. For narrow inputs and dense neighbourhoods
  on_demand,   ///< offset by offset over long ranges of rows, pairs of all blocks collected into full tiles
               ///< (fetch-on-demand). For few pairs per block and offset: large kernels, scattered sites
};
std::string_view name(Dataflow dataflow);
/// @throws UsageError listing the names
Dataflow dataflow_named(std::string_view name);
/// Every dataflow but automatic.
std::span<const Dataflow> dataflows();

}  // namespace rarefy
