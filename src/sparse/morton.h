#pragma once
/// Positions along Morton's curve, on which every cell of 2, 4, 8, ... voxels is one stretch.
#include <bit>
#include <cstdint>

namespace rarefy {

/// Bits of a number, as many apart as there are axes: a table of bytes.
struct MortonSpreader {
  std::uint64_t table[256];
  int dims;
  explicit MortonSpreader(int d) : dims(d) {
    for (std::uint64_t v = 0; v < 256; ++v) {
      table[v] = 0;
      for (int b = 0; b < 8; ++b) table[v] |= (v >> b & 1) << (b * d);
    }
  }
  std::uint64_t operator()(std::uint64_t v) const {
    std::uint64_t result = 0;
    for (int byte = 0; v >> (8 * byte) != 0; ++byte) result |= table[v >> (8 * byte) & 255] << (8 * byte * dims);
    return result;
  }
};

/// The smallest cell that holds both: 0 = the same voxel, 1 = cells of 2, 2 = of 4, ...
inline int common_level(std::uint64_t a, std::uint64_t b, int dims) {
  return (static_cast<int>(std::bit_width(a ^ b)) + dims - 1) / dims;
}

}  // namespace rarefy
