#pragma once
/// The 3-D view of a labelled point cloud: points packed into the page, viewer, legend. A 2-D view where WebGL is
/// missing.
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "report/page.h"

namespace rarefy::report {

/// Standard base64 with padding (RFC 4648).
std::string base64(std::span<const std::uint8_t> bytes);

struct CloudClass {
  std::string name;
  std::array<std::uint8_t, 3> color{};  ///< RGB
};

/// What is shown; nothing is owned.
struct Cloud {
  std::span<const float> xyz;            ///< [N, 3] metres; points that are not finite are left out
  std::span<const float> intensity;      ///< [N] or empty
  std::span<const std::uint8_t> labels;  ///< [N] index into classes; others are "no class"
  std::span<const std::uint8_t> truth;   ///< [N] or empty; 255 = not scored
  std::vector<CloudClass> classes;
  std::int64_t most_points = 380000;  ///< above this, points are drawn evenly from the scan: the page stays small
};

/// Adds viewer, legend (shares over all points), scripts and three.js with its licence to the page.
/// @return points in the page
/// @throws UsageError when the arrays disagree in length
std::int64_t add_cloud(Page& page, const Cloud& cloud);

}  // namespace rarefy::report
