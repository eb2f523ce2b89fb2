#pragma once
/// What the tests of compression compress.
#include <cmath>
#include <cstdint>
#include <vector>

#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/random_cases.h"

namespace rarefy::test {

/// A small MinkUNet with batch norms that are not those of initialisation.
inline Model small_network(std::uint64_t seed) {
  const Pipeline pipeline = models::semantic_kitti_pipeline(0.2);
  Graph graph = models::at("minkunet").build({.width = 0.2, .pipeline = pipeline});
  Weights weights = initial_weights(graph, seed);
  Rng rng(seed, 5);
  for (const Node& node : graph.nodes()) {
    if (node.op != "batch_norm") continue;
    for (float& v : weights.mutable_at(node.parameters[0].name).mutable_as<float>())
      v = static_cast<float>(rng.chance(0.1) ? -1.0 : 0.5 + rng.uniform());
    for (float& v : weights.mutable_at(node.parameters[1].name).mutable_as<float>())
      v = static_cast<float>(0.3 * rng.normal());
  }
  return Model(std::move(graph), std::move(weights), pipeline);
}

inline std::vector<float> some_points(std::uint64_t seed, std::int64_t count) {
  Rng rng(seed);
  std::vector<float> points;
  for (std::int64_t i = 0; i < count; ++i) {
    const double a = rng.uniform() * 6.28, r = 2 + 12 * rng.uniform();
    points.insert(points.end(), {static_cast<float>(r * std::cos(a)), static_cast<float>(r * std::sin(a)),
                                 static_cast<float>(0.2 * rng.normal()), static_cast<float>(rng.uniform())});
  }
  return points;
}

inline PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size() / 4), 16, {0, 4, 8, 12}};
}

/// Root of the squared differences, relative to the squares of `wanted`.
inline double relative_error(const TensorView& found, const TensorView& wanted) {
  double squares = 0, difference = 0;
  for (std::int64_t r = 0; r < wanted.rows; ++r) {
    for (std::int64_t c = 0; c < wanted.cols; ++c) {
      const double x = found.matrix<const float>()(r, c), y = wanted.matrix<const float>()(r, c);
      squares += y * y;
      difference += (x - y) * (x - y);
    }
  }
  return std::sqrt(difference / squares);
}

}  // namespace rarefy::test
