#pragma once
/// A small made-up street, ray-cast against a plane and boxes: something with shape for pages to show.
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "base/rng.h"

namespace rarefy::test {

struct Street {
  std::vector<float> xyz, intensity;
  std::vector<std::uint8_t> truth, labels;  ///< labels: the truth with some errors at borders
};

struct StreetBox {
  std::array<double, 3> low, high;
  std::uint8_t label;
};

/// Training ids as in SemanticKITTI: car 0, person 5, road 8, sidewalk 10, building 12, vegetation 14, trunk 15,
/// pole 17.
inline std::vector<StreetBox> street_boxes() {
  std::vector<StreetBox> boxes = {{{-80, 11, -2}, {-4, 20, 8}, 12},
                                  {{4, 12, -2}, {80, 22, 6}, 12},
                                  {{-80, -24, -2}, {80, -13, 9}, 12},
                                  {{18, -3.2, -1.72}, {19.2, -2.7, -0.1}, 5}};
  for (int i = 0; i < 7; ++i) {
    const double x = -34 + 11.5 * i;
    boxes.push_back({{x, 3.6, -1.6}, {x + 4.2, 5.3, -0.7}, 0});
    boxes.push_back({{x + 0.9, 3.75, -0.7}, {x + 3.3, 5.15, -0.2}, 0});
    boxes.push_back({{x + 6, -8.2, -1.75}, {x + 6.3, -7.9, 1.2}, 15});
    boxes.push_back({{x + 4.6, -9.6, 1.2}, {x + 7.7, -6.5, 4.4}, 14});
    boxes.push_back({{x + 8, 7.0, -1.75}, {x + 8.14, 7.14, 3.6}, 17});
  }
  return boxes;
}

/// Distance to the box along the ray from the origin, or infinity (slab method).
inline double hit(const StreetBox& box, const std::array<double, 3>& ray) {
  double near = 0, far = std::numeric_limits<double>::infinity();
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double a = box.low[axis] / ray[axis], b = box.high[axis] / ray[axis];
    near = std::max(near, std::min(a, b));
    far = std::min(far, std::max(a, b));
  }
  return near < far && near > 0 ? near : std::numeric_limits<double>::infinity();
}

inline Street make_street(int beams = 64, int azimuths = 1024) {
  Street street;
  Rng rng(7);
  const auto boxes = street_boxes();
  for (int beam = 0; beam < beams; ++beam) {
    const double elevation = (2.0 - 26.8 * beam / (beams - 1)) * std::numbers::pi / 180;
    for (int step = 0; step < azimuths; ++step) {
      const double azimuth = 2 * std::numbers::pi * (step + 0.01) / azimuths;
      const std::array<double, 3> ray{std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                                      std::sin(elevation)};
      double distance = ray[2] < 0 ? -1.73 / ray[2] : std::numeric_limits<double>::infinity();
      std::uint8_t label = std::abs(distance * ray[1]) < 6 ? 8 : 10;
      for (const StreetBox& box : boxes) {
        if (const double d = hit(box, ray); d < distance) distance = d, label = box.label;
      }
      if (distance > 75) continue;
      distance += 0.015 * rng.normal();
      for (const double r : ray) street.xyz.push_back(static_cast<float>(distance * r));
      const bool marking = label == 8 && std::abs(std::abs(distance * ray[1]) - 2.6) < 0.12;
      street.intensity.push_back(static_cast<float>((marking ? 0.8 : label == 0 ? 0.5 : 0.25) * rng.uniform(0.7, 1.0)));
      street.truth.push_back(label);
      const double lateral = std::abs(distance * ray[1]);
      const bool border = label == 10 && lateral < 6.5;
      street.labels.push_back(border ? 8 : label == 17 && rng.chance(0.3) ? std::uint8_t{15} : label);
    }
  }
  return street;
}

}  // namespace rarefy::test
