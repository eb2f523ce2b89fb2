#include "data/augment/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/check.h"

namespace rarefy {
namespace {

constexpr double kTurn = 2.0 * std::numbers::pi;

/// Standard normal but for its tails, from one draw: the sum of four uniforms has variance 1/3.
float bounded_normal(std::uint64_t bits) {
  constexpr double kMean = 2.0 * 65535.0, kScale = 1.7320508075688772 / 65536.0;
  const std::uint64_t sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
  return static_cast<float>((static_cast<double>(sum) - kMean) * kScale);
}

/// Azimuth in [0, 2 pi), counted from `begin`.
double azimuth_from(double begin, float x, float y) {
  const double angle = std::atan2(static_cast<double>(y), static_cast<double>(x)) - begin;
  const double wrapped = angle - kTurn * std::floor(angle / kTurn);
  return wrapped < kTurn ? wrapped : 0.0;  // a tiny negative angle rounds up to a full turn
}

/// Intensity that only one of two mixed scans has would tell them apart: then none has it.
void agree_on_intensity(Sample& sample, const Sample& other) {
  if (!other.has_intensity && sample.has_intensity) drop_intensity(sample);
}

bool contains(const std::vector<std::uint8_t>& classes, std::uint8_t label) {
  return std::find(classes.begin(), classes.end(), label) != classes.end();
}

/// Index of a point to keep the surroundings of.
std::size_t draw_centre(const Sample& sample, Rng& rng, const std::vector<std::uint8_t>& rare, double rare_share) {
  if (rng.chance(rare_share)) {
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < sample.labels.size(); ++i)
      if (contains(rare, sample.labels[i])) candidates.push_back(i);
    if (!candidates.empty())
      return candidates[static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(candidates.size()) - 1))];
  }
  return static_cast<std::size_t>(rng.integer(0, sample.size() - 1));
}

}  // namespace

void rotate_z(Sample& sample, double angle) {
  const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
  for (std::size_t i = 0; i < sample.xyz.size(); i += 3) {
    const float x = sample.xyz[i], y = sample.xyz[i + 1];
    sample.xyz[i] = c * x - s * y;
    sample.xyz[i + 1] = s * x + c * y;
  }
}

void scale(Sample& sample, float factor) {
  for (float& value : sample.xyz) value *= factor;
}

void flip(Sample& sample, int axis) {
  RAREFY_CHECK(axis == 0 || axis == 1, UsageError, "flip: axis {}, expected 0 (x) or 1 (y)", axis);
  for (std::size_t i = static_cast<std::size_t>(axis); i < sample.xyz.size(); i += 3) sample.xyz[i] = -sample.xyz[i];
}

void translate(Sample& sample, float x, float y, float z) {
  for (std::size_t i = 0; i < sample.xyz.size(); i += 3) {
    sample.xyz[i] += x;
    sample.xyz[i + 1] += y;
    sample.xyz[i + 2] += z;
  }
}

void jitter(Sample& sample, float sigma, Rng& rng) {
  for (float& value : sample.xyz) value += sigma * bounded_normal(rng.bits());
}

void drop_points(Sample& sample, double share, Rng& rng) {
  sample.filter([&](std::int64_t) { return !rng.chance(share); });
}

void drop_intensity(Sample& sample) {
  sample.has_intensity = false;
  std::fill(sample.intensity.begin(), sample.intensity.end(), 0.0f);
}

void scale_intensity(Sample& sample, float factor) {
  for (float& value : sample.intensity) value = std::clamp(value * factor, 0.0f, 1.0f);
}

void keep_region(Sample& sample, std::int64_t max_points, Rng& rng, const std::vector<std::uint8_t>& rare,
                 double rare_share) {
  RAREFY_CHECK(max_points >= 0, UsageError, "keep_region: {} points, expected at least 0", max_points);
  if (sample.size() <= max_points) return;
  const std::size_t centre = draw_centre(sample, rng, rare, rare_share);
  const float x = sample.xyz[3 * centre], y = sample.xyz[3 * centre + 1];
  std::vector<std::pair<float, std::int64_t>> distances;
  distances.reserve(sample.labels.size());
  for (std::int64_t i = 0; i < sample.size(); ++i) {
    const float dx = sample.xyz[static_cast<std::size_t>(3 * i)] - x,
                dy = sample.xyz[static_cast<std::size_t>(3 * i + 1)] - y;
    const float squared = dx * dx + dy * dy;
    distances.emplace_back(std::isfinite(squared) ? squared : std::numeric_limits<float>::infinity(), i);
  }
  // Pairs compare by distance, then index: ties are decided, and the kept set is one for every library.
  std::nth_element(distances.begin(), distances.begin() + max_points, distances.end());
  std::vector<std::uint8_t> kept(sample.labels.size(), 0);
  for (std::int64_t i = 0; i < max_points; ++i)
    kept[static_cast<std::size_t>(distances[static_cast<std::size_t>(i)].second)] = 1;
  sample.filter([&](std::int64_t i) { return kept[static_cast<std::size_t>(i)] != 0; });
}

void swap_sector(Sample& sample, const Sample& other, double begin, double width) {
  const auto inside = [&](const Sample& s, std::int64_t i) {
    return azimuth_from(begin, s.xyz[static_cast<std::size_t>(3 * i)], s.xyz[static_cast<std::size_t>(3 * i + 1)]) <
           width;
  };
  sample.filter([&](std::int64_t i) { return !inside(sample, i); });
  for (std::int64_t i = 0; i < other.size(); ++i)
    if (inside(other, i)) sample.append(other, i);
  agree_on_intensity(sample, other);
  if (!sample.has_intensity) drop_intensity(sample);
}

void rotate_paste(Sample& sample, const Sample& other, const std::vector<std::uint8_t>& classes,
                  const std::vector<double>& angles) {
  Sample instances;
  for (std::int64_t i = 0; i < other.size(); ++i)
    if (contains(classes, other.labels[static_cast<std::size_t>(i)])) instances.append(other, i);
  if (instances.size() == 0) return;
  for (const double angle : angles) {
    Sample turned = instances;
    rotate_z(turned, angle);
    for (std::int64_t i = 0; i < turned.size(); ++i) sample.append(turned, i);
  }
  agree_on_intensity(sample, other);
  if (!sample.has_intensity) drop_intensity(sample);
}

Sample augment(const Sample& original, const Sample* partner, const AugmentOptions& options, const Rng& rng) {
  Sample sample = original;
  const auto stream = [&](std::uint64_t step) { return rng.fork(step); };
  Rng region = stream(0), mixing = stream(1), turning = stream(2), flipping = stream(3), scaling = stream(4),
      moving = stream(5), noise = stream(6), dropping = stream(7), reflecting = stream(8);
  if (partner != nullptr) {
    const bool swap = mixing.chance(options.swap_sector), paste = mixing.chance(options.rotate_paste);
    const double begin = mixing.uniform(0.0, kTurn);
    std::vector<double> angles;
    for (int copy = 0; copy < 3; ++copy) angles.push_back(kTurn / 3.0 * (copy + mixing.uniform()));
    if (swap) swap_sector(sample, *partner, begin, std::numbers::pi);
    if (paste) rotate_paste(sample, *partner, options.paste_classes, angles);
  }
  keep_region(sample, options.max_points, region, options.paste_classes, options.rare_region);
  rotate_z(sample, turning.uniform(-options.rotate, options.rotate));
  if (flipping.chance(options.flip_x)) flip(sample, 0);
  if (flipping.chance(options.flip_y)) flip(sample, 1);
  scale(sample, static_cast<float>(scaling.uniform(options.scale_min, options.scale_max)));
  const auto offset = [&] { return static_cast<float>(options.translate * moving.normal()); };
  const float x = offset(), y = offset(), z = offset();
  translate(sample, x, y, z);
  if (options.jitter > 0.0) jitter(sample, static_cast<float>(noise.uniform(0.0, options.jitter)), noise);
  if (options.drop_points > 0.0) {
    const double share = dropping.uniform(0.0, options.drop_points);
    drop_points(sample, share, dropping);
  }
  if (reflecting.chance(options.drop_intensity)) drop_intensity(sample);
  scale_intensity(sample,
                  static_cast<float>(reflecting.uniform(1.0 - options.intensity_scale, 1.0 + options.intensity_scale)));
  return sample;
}

}  // namespace rarefy
