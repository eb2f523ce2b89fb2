#pragma once
/// Device code: searches in sorted keys. For .cu files.
#include <cstdint>

namespace rarefy::cuda::geometry {

inline constexpr std::uint64_t kNone = ~std::uint64_t{0};  ///< no site; sorts behind all sites

/// First of keys[low, high) that is not below `key`; `high` when there is none.
__device__ inline std::int32_t lower_bound(const std::uint64_t* __restrict__ keys, std::int32_t low, std::int32_t high,
                                           std::uint64_t key) {
  while (low < high) {
    const std::int32_t middle = low + (high - low) / 2;
    if (__ldg(keys + middle) < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// The same over keys[0, count) with some bits cleared, searched from `near` outwards: what is looked for lies close
/// by.
__device__ inline std::int32_t lower_bound_near(const std::uint64_t* __restrict__ keys, std::uint64_t mask,
                                                std::int32_t count, std::int32_t near, std::uint64_t key) {
  const auto below = [&](std::int32_t i) { return (__ldg(keys + i) & mask) < key; };
  std::int32_t low = 0, high = 0;
  std::int64_t step = 1;  // may pass 2^31 before it is seen to be too large
  if (near < count && below(near)) {
    low = near + 1;
    for (; low + step <= count && below(static_cast<std::int32_t>(low + step - 1)); step *= 2)
      low += static_cast<std::int32_t>(step);
    high = static_cast<std::int32_t>(low + step - 1 < count ? low + step - 1 : count);
  } else {
    high = near < count ? near : count;
    for (; step <= high && !below(static_cast<std::int32_t>(high - step)); step *= 2)
      high -= static_cast<std::int32_t>(step);
    low = step > high ? 0 : static_cast<std::int32_t>(high - step + 1);
  }
  while (low < high) {
    const std::int32_t middle = low + (high - low) / 2;
    if (below(middle))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace rarefy::cuda::geometry
