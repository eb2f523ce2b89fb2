#include "support/random_points.h"

#include <cmath>
#include <limits>

namespace rarefy::test {

PointCase random_point_case(Rng& rng) {
  PointCase c;
  c.options.dims = static_cast<int>(rng.integer(1, 4));
  c.options.rounding = rng.chance(0.5) ? Rounding::floor : Rounding::round_minus_min;
  for (auto& v : c.options.voxel_size) v = static_cast<float>(rng.uniform(0.01, 1.0));
  c.cols = c.options.dims + rng.integer(0, 2);
  c.stride = c.cols + rng.integer(0, 3);
  c.sample_begin.push_back(0);
  const std::int64_t samples = rng.integer(1, 4);
  for (std::int64_t b = 0; b < samples; ++b) {
    const std::int64_t more = rng.chance(0.3) ? 0 : rng.chance(0.05) ? 20000 : rng.integer(1, 300);
    c.sample_begin.push_back(c.sample_begin.back() + more);
  }
  c.rows = c.sample_begin.back();
  c.values.assign(static_cast<std::size_t>(c.rows * c.stride), 777.0f);
  const double spread = rng.chance(0.1) ? 1e5 : rng.uniform(0.1, 5.0);
  if (rng.chance(0.5)) {
    for (int a = 0; a < c.options.dims; ++a) {
      c.options.crop_min[a] = static_cast<float>(-spread * rng.uniform());
      c.options.crop_max[a] = static_cast<float>(spread * rng.uniform());
    }
    if (c.options.rounding == Rounding::floor && rng.chance(0.5)) set_rounding("floor_from_crop", c.options);
  }
  for (std::int64_t p = 0; p < c.rows; ++p) {
    for (int a = 0; a < c.options.dims; ++a) {
      float x = static_cast<float>(rng.normal() * spread);
      if (rng.chance(0.2)) x = static_cast<float>(rng.integer(-9, 9)) * c.options.voxel_size[a];
      if (rng.chance(0.01)) x = std::numeric_limits<float>::quiet_NaN();
      if (rng.chance(0.01)) x = -std::numeric_limits<float>::infinity();
      if (rng.chance(0.01)) x = static_cast<float>(rng.normal() * 1e30);
      c.values[static_cast<std::size_t>(p * c.stride + a)] = x;
    }
  }
  return c;
}

std::vector<float> surface_points(std::int64_t count, Rng rng) {
  std::vector<float> points;
  for (std::int64_t p = 0; p < count; ++p) {
    const double x = rng.uniform(-3, 3), y = rng.uniform(-3, 3);
    const double z = rng.chance(0.7) ? 0.1 * std::sin(x) : rng.uniform(0, 1.5);
    for (const double v : {x, y, z, rng.uniform()}) points.push_back(static_cast<float>(v));
  }
  return points;
}

}  // namespace rarefy::test
