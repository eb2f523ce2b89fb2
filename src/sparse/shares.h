#pragma once
/// Shares of about equal work, for rows that own lists of different lengths.
#include <algorithm>
#include <cstdint>
#include <span>

#include "rarefy/executor.h"

namespace rarefy {

/// Calls f(first_row, last_row) for shares that cover all rows. Row r owns the entries [begin[r], begin[r+1]) and costs
/// one more than it owns. The partition depends on `begin` only. `begin` is empty, or [rows + 1] and ascends from 0.
template <class Offset, class F>
void for_equal_shares(std::span<const Offset> begin, Executor& executor, F f) {
  constexpr std::int64_t kShare = 1024;
  if (begin.size() < 2) return;
  const auto rows = static_cast<std::int64_t>(begin.size()) - 1;
  const std::int64_t work = rows + static_cast<std::int64_t>(begin.back());
  const auto cut = [&](std::int64_t share) {  // first row at or behind the start of the share
    std::int64_t low = 0, high = rows;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (middle + static_cast<std::int64_t>(begin[static_cast<std::size_t>(middle)]) < share * kShare)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  };
  executor.parallel_for((work + kShare - 1) / kShare, [&](std::int64_t share, int) {
    const std::int64_t first = cut(share), last = cut(share + 1);
    if (first < last) f(first, last);
  });
}

}  // namespace rarefy
