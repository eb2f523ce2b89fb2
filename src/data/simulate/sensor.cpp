#include "data/simulate/sensor.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rarefy::sim {
namespace {

constexpr float kDegree = std::numbers::pi_v<float> / 180;

/// Apparent elevations of the beams of one HDL-64E, degrees, measured at each ring's median range.
constexpr std::array<float, Sensor::kBeams> kElevation{
    2.43f,   2.05f,   1.78f,   1.34f,   1.07f,   0.67f,   0.42f,   0.05f,   -0.29f,  -0.69f,  -0.99f,  -1.31f,  -1.70f,
    -2.02f,  -2.35f,  -2.71f,  -3.01f,  -3.39f,  -3.66f,  -4.02f,  -4.32f,  -4.63f,  -4.96f,  -5.30f,  -5.66f,  -5.98f,
    -6.30f,  -6.57f,  -6.95f,  -7.30f,  -7.51f,  -7.80f,  -8.38f,  -8.89f,  -9.35f,  -9.74f,  -10.19f, -10.80f, -11.30f,
    -11.74f, -12.20f, -12.64f, -13.18f, -13.72f, -14.27f, -14.68f, -15.17f, -15.55f, -16.18f, -16.71f, -17.26f, -17.71f,
    -18.22f, -18.63f, -19.06f, -19.62f, -20.12f, -20.82f, -21.29f, -21.72f, -22.14f, -22.79f, -23.25f, -23.75f};
constexpr int kUpperBlock = 32;

/// The two blocks of lasers sit above the origin: from the apparent elevation at a range to the true one.
float true_elevation(float apparent, float height) {
  const float tangent = std::tan(apparent * kDegree);
  const float range = tangent < -1.73f / 24 ? -1.73f / tangent : 24.0f;
  return std::atan(tangent - height / range);
}

}  // namespace

Pose make_pose(Vec3 origin, float yaw, float pitch, float roll) {
  const float cy = std::cos(yaw), sy = std::sin(yaw), cp = std::cos(pitch), sp = std::sin(pitch);
  const float cr = std::cos(roll), sr = std::sin(roll);
  Pose pose;
  pose.origin = origin;
  pose.axis[0] = {cy * cp, sy * cp, sp};
  const Vec3 left{-sy, cy, 0}, up{-cy * sp, -sy * sp, cp};
  pose.axis[1] = left * cr + up * sr;
  pose.axis[2] = up * cr - left * sr;
  return pose;
}

Sensor::Sensor(Rng rng, const Realism& realism) : drop_out(realism.drop_out), intensity_model(realism.intensity_model) {
  const bool vary = realism.sensor_variation;  // else each draw gives its mean
  auto normal = [&](double sigma) { return vary ? static_cast<float>(rng.normal() * sigma) : 0.0f; };
  auto uniform = [&](double low, double high) {
    return static_cast<float>(vary ? rng.uniform(low, high) : 0.5 * (low + high));
  };
  height = 1.73f + std::clamp(normal(0.04), -0.12f, 0.12f);
  pitch = std::clamp(normal(0.4), -1.2f, 1.2f) * kDegree;
  roll = std::clamp(normal(0.4), -1.2f, 1.2f) * kDegree;
  noise = uniform(0.005, 0.012);
  // Calibrated to a few hundredths of a degree: rings lie some millimetres above or below the ground that they measure.
  const float calibration = uniform(0.02, 0.09) * kDegree;
  intensity = std::exp(normal(0.12));
  sensitivity = normal(0.35);
  mixed = uniform(0.05, 0.3);
  if (!realism.mixed_pixels) mixed = 0;
  const float tilt = normal(0.15);
  for (int i = 0; i < kBeams; ++i) {
    Beam& beam = beams[static_cast<std::size_t>(i)];
    const bool upper = i < kUpperBlock;
    beam.height = upper ? 0.205f : 0.07f;
    beam.elevation = true_elevation(kElevation[static_cast<std::size_t>(i)] + tilt + normal(0.05), beam.height);
    beam.azimuth = uniform(0, 0.18) * kDegree;
    beam.bias = normal(0.010);
    beam.elevation_error = normal(1) * calibration;
    beam.azimuth_error = normal(1) * calibration;
    beam.gain = std::exp(normal(0.08));
    beam.drop = 0.003f + (i < 22 ? 0.006f : 0) + (i > 50 ? 0.022f * static_cast<float>(i - 50) : 0.0f);
    beam.drop *= uniform(0.4, 1.6);
    if (!drop_out) beam.drop = 0;
  }
  // Bonnet in front, antennas and cameras on the roof behind.
  shadows.push_back({normal(3) * kDegree, uniform(11, 20) * kDegree, uniform(-21, -18.5) * kDegree});
  for (const float sign : {-1.0f, 1.0f}) {
    shadows.push_back({sign * uniform(153, 167) * kDegree, uniform(4, 8) * kDegree, uniform(-15.5, -13) * kDegree});
    shadows.push_back({sign * uniform(122, 138) * kDegree, uniform(2, 6) * kDegree, uniform(-21, -18) * kDegree});
    if (vary && rng.chance(0.5))
      shadows.push_back({sign * uniform(50, 100) * kDegree, uniform(2, 7) * kDegree, uniform(-23, -17) * kDegree});
  }
}

namespace {

struct Return {
  Vec3 point;       ///< sensor frame
  float range = 0;  ///< 0: nothing came back
  float intensity = 0;
  std::uint32_t label = 0;
};

bool in_shadow(const Sensor& sensor, float azimuth, float elevation, Rng& rng) {
  for (const Sensor::Shadow& shadow : sensor.shadows) {
    const float off =
        std::abs(std::remainder(azimuth - shadow.azimuth, 2 * std::numbers::pi_v<float>)) / shadow.half_width;
    if (off > 1.3f) continue;
    // Rounded outline, ragged by a few tenths of a degree.
    const float top =
        shadow.elevation - 2.5f * kDegree * off * off + static_cast<float>(rng.normal()) * 0.25f * kDegree;
    if (elevation < top) return true;
  }
  return false;
}

struct Surface {
  std::uint32_t label = 0;
  float rho = 0.3f;
  float cosine = 1;  ///< of the angle of incidence
  float shift = 0;   ///< added to the range: grass in front of the soil, rooms behind a window
  bool lost = false;
};

/// Paint on the carriageway: edge lines and a broken centre line.
bool on_marking(const Layout& layout, float s, float d) {
  if (layout.kerb_factor(s) < 1) return false;
  const float distance = std::abs(d);
  if (layout.kind == StreetKind::residential) return false;
  const bool dash = std::fmod(s - layout.s_begin, 9.0f) < 4.0f;
  if (layout.median == 0 && distance < 0.07f) return dash;
  if (layout.kind != StreetKind::urban && std::abs(distance - (layout.half_width - 0.3f)) < 0.08f) return true;
  for (int lane = 1; lane < layout.lanes; ++lane)
    if (std::abs(distance - layout.median - 0.6f - static_cast<float>(lane) * layout.lane_width) < 0.08f) return dash;
  return false;
}

Surface ground_surface(const View& view, const Hit& hit, Vec3 direction, Rng& rng) {
  Surface surface;
  surface.label = hit.ground_raw;
  const float patch = value_noise(hit.s * 0.4f, hit.d * 0.4f, 11, 5u);
  surface.rho = view.layout.ground_rho(hit.ground_raw) * (0.8f + 0.4f * patch);
  surface.cosine = std::abs(dot(hit.normal, direction));
  if (hit.ground_raw == kRoad && on_marking(view.layout, hit.s, hit.d)) surface.rho *= 2.1f;
  if (!view.layout.realism.rough_ground) return surface;
  // Unevenness of some decimetres, which the triangles of the ground are too large for.
  const float relief =
      view.layout.ground_relief(hit.ground_raw) *
      (value_noise(hit.s / 0.7f, hit.d / 0.7f, 31, 13u) + value_noise(hit.s / 0.3f, hit.d / 0.3f, 37, 17u) - 1);
  surface.shift = -relief / std::max(surface.cosine, 0.03f);
  if (hit.ground_raw == kTerrain) {
    // Blades stop the ray before the soil does; they are taller in patches.
    const float grass = 0.01f + 0.11f * std::max(0.0f, value_noise(hit.s * 0.25f, hit.d * 0.25f, 23, 9u) - 0.4f);
    const float lift = grass * static_cast<float>(rng.uniform());
    surface.shift -= std::min(lift / std::max(surface.cosine, 0.05f), 1.2f);
    surface.cosine = std::max(surface.cosine, static_cast<float>(rng.uniform(0.2, 0.9)));
  }
  return surface;
}

Surface part_surface(const Part& part, const Hit& hit, Vec3 direction, Rng& rng) {
  Surface surface;
  surface.label = static_cast<std::uint32_t>(part.raw) | static_cast<std::uint32_t>(part.instance) << 16;
  surface.rho = part.rho;
  surface.cosine = std::abs(dot(hit.normal, direction));
  const float draw = static_cast<float>(rng.uniform());
  switch (part.material) {
    case Material::car_glass:
      surface.lost = draw < 0.8f;
      surface.rho *= 0.5f;
      break;
    case Material::window:
      surface.lost = draw < 0.35f;
      if (draw > 0.8f) {  // through the pane into the room
        surface.shift = static_cast<float>(rng.uniform(0.3, 4.0));
        surface.rho *= 0.4f;
      }
      break;
    case Material::paint:
      // Lacquer is a mirror with some haze: bright where it faces the sensor, dim where it does not.
      surface.rho *= 0.65f + 1.0f * std::pow(surface.cosine, 8.0f);
      break;
    case Material::retro:
      surface.rho *= draw < 0.25f ? 0.3f : 1.0f;
      break;
    case Material::foliage:
      surface.cosine = static_cast<float>(rng.uniform(0.25, 1.0));
      surface.rho *= static_cast<float>(rng.uniform(0.6, 1.35));
      break;
    default:
      break;
  }
  return surface;
}

/// How the remission falls with the range: compensated near, then falling (measured means per range bin).
float range_factor(float range) {
  constexpr std::array<std::array<float, 2>, 8> kTable{
      {{0, 1.0f}, {20, 1.0f}, {25, 0.86f}, {35, 0.70f}, {45, 0.36f}, {52, 0.16f}, {60, 0.12f}, {90, 0.08f}}};
  for (std::size_t i = 1; i < kTable.size(); ++i)
    if (range < kTable[i][0]) {
      const float t = (range - kTable[i - 1][0]) / (kTable[i][0] - kTable[i - 1][0]);
      return kTable[i - 1][1] + t * (kTable[i][1] - kTable[i - 1][1]);
    }
  return kTable.back()[1];
}

/// Whether enough light comes back: logistic in the logarithm of the received power.
bool detected(const Sensor& sensor, float rho, float cosine, float range, Rng& rng) {
  const float power =
      std::log(std::max(rho, 1e-3f) * (0.1f + 0.9f * cosine)) - 2 * std::log(std::max(range, 12.0f) / 12.0f);
  const float probability = 1.0f / (1.0f + std::exp(-2.5f * (power + 6.6f + sensor.sensitivity)));
  return rng.chance(probability);
}

Vec3 from_angles(float elevation, float azimuth) {
  return {std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth), std::sin(elevation)};
}

Return fire(const Sensor& sensor, const View& view, int ring, int firing) {
  const Sensor::Beam& beam = sensor.beams[static_cast<std::size_t>(ring)];
  const auto ray = static_cast<std::uint32_t>(ring * Sensor::kFirings + firing);
  Rng rng(view.key, ray);
  Return none;
  // Encoder ticks of 0.09 degrees; a firing comes every 1.85 ticks on average.
  const int tick = static_cast<int>(static_cast<std::int64_t>(firing) * 4000 / Sensor::kFirings);
  const float azimuth =
      static_cast<float>(tick) * 0.09f * kDegree + beam.azimuth + static_cast<float>(rng.normal()) * 0.01f * kDegree;
  if (rng.chance(beam.drop) || in_shadow(sensor, azimuth, beam.elevation, rng)) return none;
  // The beam is 2 to 3 mrad wide. Drawing one ray inside its width makes edges ragged; not the full width, because on
  // oblique surfaces the footprint averages, and a range that jumps with each firing would be noise that nobody
  // measures.
  const float a = azimuth + static_cast<float>(rng.normal()) * 0.0003f;
  const float e = beam.elevation + static_cast<float>(rng.normal()) * 0.00006f;
  const Vec3 direction = view.pose.rotate(from_angles(e, a));
  // The revolution begins and ends behind the car: forward is measured at its middle.
  const float turn = static_cast<float>(firing) / Sensor::kFirings;
  const float time = 0.1f * (turn < 0.5f ? turn : turn - 1);
  const Vec3 origin = view.pose.origin + view.velocity * time + view.pose.axis[2] * beam.height;
  Hit hit = view.still.trace(origin, direction, Sensor::kMaxRange, view.key, ray);
  const std::vector<Part>* parts = &view.still_parts;
  if (view.moving != nullptr) {
    const float far = hit.kind == Hit::Kind::none ? Sensor::kMaxRange : hit.distance;
    const Hit closer = view.moving->trace(origin, direction, far, view.key ^ 0x517cc1b727220a95ull, ray);
    if (closer.kind != Hit::Kind::none) {
      hit = closer;
      parts = view.moving_parts;
    }
  }
  if (hit.kind == Hit::Kind::none) return none;
  const Surface surface = hit.kind == Hit::Kind::ground ? ground_surface(view, hit, direction, rng)
                                                        : part_surface((*parts)[hit.part], hit, direction, rng);
  const float range = hit.distance + surface.shift + beam.bias + static_cast<float>(rng.normal()) * sensor.noise;
  if ((surface.lost && sensor.drop_out) || range < 1.0f || range > Sensor::kMaxRange) return none;
  if (sensor.drop_out && !detected(sensor, surface.rho, surface.cosine, range, rng)) return none;
  Return result;
  result.range = range;
  const Vec3 reported = view.pose.rotate(from_angles(e + beam.elevation_error, a + beam.azimuth_error));
  result.point = view.pose.unrotate(origin + reported * range - view.pose.origin);
  result.label = surface.label;
  if (!sensor.intensity_model) {
    result.intensity = 0.28f;
    return result;
  }
  const float speckle = 1.0f + 0.18f * static_cast<float>(rng.normal());
  const float value =
      surface.rho * (0.8f + 0.2f * surface.cosine) * range_factor(range) * beam.gain * sensor.intensity * speckle;
  result.intensity = rng.chance(0.05) ? 0.0f : std::clamp(std::floor(value * 100.0f + 0.5f) / 100.0f, 0.0f, 0.99f);
  return result;
}

/// Where neighbouring firings of a ring hit surfaces at different ranges, the beam sees both: some returns lie in
/// between.
void mix_edges(const Sensor& sensor, const View& view, int ring, std::vector<Return>& returns) {
  for (std::size_t i = 0; i + 1 < returns.size(); ++i) {
    Return& here = returns[i];
    const Return& next = returns[i + 1];
    const float step = std::abs(next.range - here.range);
    if (here.range == 0 || next.range == 0 || step < 0.25f || step > 3.0f) continue;
    Rng rng(view.key ^ 0xED6Eull, static_cast<std::uint64_t>(ring), i);
    if (!rng.chance(sensor.mixed)) continue;
    const float t = static_cast<float>(rng.uniform(0.15, 0.85));
    const float scale = 1 + (next.range - here.range) * t / here.range;
    here.point = here.point * scale;
    here.range *= scale;
  }
}

}  // namespace

Scan sweep(const Sensor& sensor, const View& view, Executor& executor) {
  std::vector<std::vector<Return>> rings(Sensor::kBeams);
  executor.parallel_for(Sensor::kBeams, [&](std::int64_t ring, int) {
    auto& returns = rings[static_cast<std::size_t>(ring)];
    returns.resize(Sensor::kFirings);
    for (int i = 0; i < Sensor::kFirings; ++i)
      returns[static_cast<std::size_t>(i)] = fire(sensor, view, static_cast<int>(ring), i);
    mix_edges(sensor, view, static_cast<int>(ring), returns);
  });
  Scan scan;
  for (const auto& returns : rings)
    for (const Return& r : returns) {
      if (r.range == 0) continue;
      scan.xyz.insert(scan.xyz.end(), {r.point.x, r.point.y, r.point.z});
      scan.intensity.push_back(r.intensity);
      scan.labels.push_back(r.label);
    }
  return scan;
}

}  // namespace rarefy::sim
