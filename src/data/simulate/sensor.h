#pragma once
/// A 64-beam spinning LiDAR: where it looks, what comes back, and how strong.
#include <array>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "data/scan.h"
#include "data/simulate/simulate.h"
#include "data/simulate/tracer.h"
#include "rarefy/executor.h"

namespace rarefy::sim {

/// Pose of the sensor in the world: rows of a rotation and a translation.
struct Pose {
  std::array<Vec3, 3> axis{Vec3{1, 0, 0}, Vec3{0, 1, 0}, Vec3{0, 0, 1}};  ///< images of the sensor's x, y, z axes
  Vec3 origin;
  Vec3 rotate(Vec3 v) const { return axis[0] * v.x + axis[1] * v.y + axis[2] * v.z; }
  Vec3 unrotate(Vec3 v) const { return {dot(axis[0], v), dot(axis[1], v), dot(axis[2], v)}; }
};
/// x forward along `yaw` and `pitch` (nose up positive), `roll` about x; angles in radians.
Pose make_pose(Vec3 origin, float yaw, float pitch, float roll);

/// One unit of the sensor, mounted on one car: drawn once per street.
struct Sensor {
  static constexpr int kBeams = 64;
  static constexpr int kFirings = 2165;  ///< per revolution: 4000 encoder ticks of 0.09 degrees, one firing every 1.85
  static constexpr float kMaxRange = 80;
  struct Beam {
    float elevation = 0, height = 0, azimuth = 0;  ///< radians, metres above the sensor's origin, radians
    float bias = 0, gain = 1;                      ///< metres, factor on the remission
    float elevation_error = 0, azimuth_error = 0;  ///< calibration: what is reported less what is true, radians
    float drop = 0;                                ///< share of firings that never answer
  };
  /// The car below: rays of an azimuth range below an elevation see only the roof.
  struct Shadow {
    float azimuth = 0, half_width = 0, elevation = 0;
  };
  std::array<Beam, kBeams> beams;
  std::vector<Shadow> shadows;
  float height = 1.73f, pitch = 0, roll = 0;
  float noise = 0.015f;         ///< sigma of the range
  float intensity = 1;          ///< street-wide factor
  float sensitivity = 0;        ///< shift of the detection threshold, in log units
  float mixed = 0.2f;           ///< share of edge firings that return a range between the two surfaces
  bool drop_out = true;         ///< false: every hit within range returns
  bool intensity_model = true;  ///< false: the same remission everywhere
  Sensor(Rng rng, const Realism& realism);
};

/// What the sensor looks at during one revolution.
struct View {
  const Tracer& still;
  const Tracer* moving = nullptr;  ///< may be null
  const std::vector<Part>& still_parts;
  const std::vector<Part>* moving_parts = nullptr;
  const Layout& layout;
  Pose pose;              ///< at the middle of the revolution
  Vec3 velocity;          ///< of the sensor, world frame, m/s
  std::uint64_t key = 0;  ///< names the revolution; all randomness follows from it
};

/// One revolution: 64 rings from the top beam down, each by azimuth. One part of `executor` per ring.
Scan sweep(const Sensor& sensor, const View& view, Executor& executor);

}  // namespace rarefy::sim
