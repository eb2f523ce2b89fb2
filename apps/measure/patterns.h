#pragma once
/// Made-up occupancies of a grid at a given density.
#include <cstdint>
#include <string_view>

#include "sparse/coords.h"

namespace rarefy::cli::bench {

enum class Pattern : std::uint8_t {
  /// The cells nearest to one wavy sheet across the grid: a part of it below 1 / extent, a slab above. Occupied cells
  /// have occupied neighbours, as in scans of surfaces, but more of them: real sheets have holes.
  surface,
  /// Every cell alike. Like no data of the real world: occupied cells have no more neighbours than empty ones.
  uniform,
};
/// "surface", "uniform".
std::string_view name(Pattern pattern);
/// @throws UsageError naming the choices
Pattern pattern_of(std::string_view name);

/// A grid of `extent` cells along each of `dims` axes, of which the `density` share is occupied: at least one.
Coords occupied(int dims, std::int32_t extent, double density, Pattern pattern);

}  // namespace rarefy::cli::bench
