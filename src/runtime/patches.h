#pragma once
/// Patches of images whose pixels are rows.
#include "graph/images/patches.h"
#include "runtime/op.h"

namespace rarefy::runtime {

/// Where a column of a row of patches comes from. f(row of the pixel, or -1 beyond the edge, channel, patch row,
/// column)
template <class F>
void for_patch_columns(const PatchGrid& grid, std::int64_t sample, std::int64_t patch, std::int64_t channels, F f) {
  const std::int64_t top = patch / grid.columns() * grid.patch, left = patch % grid.columns() * grid.patch;
  std::int64_t column = 0;
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t y = 0; y < grid.patch; ++y)
      for (std::int64_t x = 0; x < grid.patch; ++x)
        f(top + y < grid.height && left + x < grid.width ? sample * grid.pixels() + (top + y) * grid.width + left + x
                                                         : -1,
          c, sample * grid.patches() + patch, column++);
}

}  // namespace rarefy::runtime
