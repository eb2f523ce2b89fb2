#pragma once
/// One LiDAR scan in memory.
#include <cstdint>
#include <string>
#include <vector>

namespace rarefy {

/// Points of one scan, sensor frame, metres; x forward, y left, z up.
struct Scan {
  std::vector<float> xyz;             ///< [N, 3]; points that are not finite are kept
  std::vector<float> intensity;       ///< [N] in 0..1, or empty when the file has none
  std::vector<std::uint32_t> labels;  ///< [N] raw SemanticKITTI: low 16 bits class, high 16 bits instance; or empty
  std::vector<std::string> notices;   ///< what a user should know about how the file was read, one line each
  std::int64_t size() const { return static_cast<std::int64_t>(xyz.size()) / 3; }
};

}  // namespace rarefy
