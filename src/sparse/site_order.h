#pragma once
/// Orders of sites by their place alone: what may be left out first when nothing else is known.
#include <cstdint>
#include <span>
#include <vector>

#include "sparse/coords.h"

namespace rarefy {

enum class SiteOrder : std::uint8_t {
  random,  ///< by a hash of the position
  spread,  ///< whoever stands for the largest cell comes first; of equal ones by the hash
};

/// Cells of 2, 4, .. 2^kSpreadLevels sites that `spread` looks at.
inline constexpr int kSpreadLevels = 5;

/// Working memory; keeps its capacity.
struct SiteOrderScratch {
  std::vector<std::uint64_t> code, masked, words, other;
  std::vector<std::uint32_t> hash;  ///< [N] by row
  std::vector<std::int32_t> best;   ///< rows that stand for the cells of a level, along the curve
};

/// One number per site, larger for what stays first: a hash of (position, seed) in [0, 1), plus, for `spread`, the
/// level of the site: L for the largest cell of 2^L sites along every axis in which no site has a higher hash. Cells
/// are counted in units of the stride, from the origin. Does not depend on other samples of the batch.
/// @param out  [N] by row
/// Cost: O(N); spread: a radix sort. Deterministic; no allocation once the vectors have grown.
void site_order(const Coords& coords, SiteOrder order, std::uint64_t seed, SiteOrderScratch& scratch,
                std::span<float> out);

}  // namespace rarefy
