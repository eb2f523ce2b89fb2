#pragma once
/// Work of one kind on several maps, done by one launch: small maps take less time than their launches.
#include <cstdint>

namespace rarefy::cuda::geometry {

/// An argument of a launch; all of them together hold 4 KiB. Blocks are given to the parts in their order; a part has a
/// `first_block`.
template <class Part>
struct Batch {
  static constexpr int kMost = (4096 - 4 * static_cast<int>(sizeof(void*))) / static_cast<int>(sizeof(Part));
  int count = 0;
  std::int32_t blocks = 0;
  Part part[kMost];

  bool full() const { return count == kMost; }
  void add(const Part& added, std::int64_t its_blocks) {
    part[count] = added;
    part[count++].first_block = blocks;
    blocks += static_cast<std::int32_t>(its_blocks);
  }
  void clear() { count = blocks = 0; }
};

}  // namespace rarefy::cuda::geometry
