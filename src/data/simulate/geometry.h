#pragma once
/// Triangles, foliage and materials of a simulated street.
#include <cmath>
#include <cstdint>
#include <vector>

namespace rarefy::sim {

struct Vec3 {
  float x = 0, y = 0, z = 0;
};
inline Vec3 operator+(Vec3 a, Vec3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec3 operator-(Vec3 a, Vec3 b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec3 operator*(Vec3 a, float s) { return {a.x * s, a.y * s, a.z * s}; }
inline float dot(Vec3 a, Vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec3 cross(Vec3 a, Vec3 b) { return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x}; }
inline float norm(Vec3 a) { return std::sqrt(dot(a, a)); }
inline Vec3 normalized(Vec3 a) { return a * (1.0f / std::max(norm(a), 1e-12f)); }

/// Raw SemanticKITTI classes that the simulator makes (semantic-kitti-api, config/semantic-kitti.yaml).
enum Raw : std::uint16_t {
  kUnlabeled = 0,
  kOutlier = 1,
  kCar = 10,
  kBicycle = 11,
  kBus = 13,
  kMotorcycle = 15,
  kTruck = 18,
  kOtherVehicle = 20,
  kPerson = 30,
  kBicyclist = 31,
  kMotorcyclist = 32,
  kRoad = 40,
  kParking = 44,
  kSidewalk = 48,
  kOtherGround = 49,
  kBuilding = 50,
  kFence = 51,
  kOtherStructure = 52,
  kLaneMarking = 60,
  kVegetation = 70,
  kTrunk = 71,
  kTerrain = 72,
  kPole = 80,
  kTrafficSign = 81,
  kOtherObject = 99
};
/// The class of the same thing in motion: 10 -> 252 and so on; unchanged for what has none.
std::uint16_t moving_class(std::uint16_t raw);

/// How a surface answers the laser, beyond its reflectivity.
enum class Material : std::uint8_t { matte, ground, paint, car_glass, window, retro, foliage, mesh };

/// What a group of triangles belongs to.
struct Part {
  std::uint16_t raw = 0;
  std::uint16_t instance = 0;
  Material material = Material::matte;
  float rho = 0.3f;       ///< reflectivity at normal incidence, in units of the remission channel
  float porosity = 0.0f;  ///< mesh: share of the rays that pass
};

/// Where an object stands: rotation about z, then translation.
struct Placement {
  Vec3 origin;
  float cosine = 1, sine = 0;
  Vec3 apply(Vec3 p) const {
    return {origin.x + cosine * p.x - sine * p.y, origin.y + sine * p.x + cosine * p.y, origin.z + p.z};
  }
};
inline Placement placed(Vec3 origin, float yaw) { return {origin, std::cos(yaw), std::sin(yaw)}; }

/// A cloud of leaves: rays are stopped inside it with a density that varies in space, so that it has clusters and gaps.
struct Blob {
  Vec3 center, radius;         ///< half axes of the ellipsoid, or half sizes of the box
  float cosine = 1, sine = 0;  ///< rotation about z
  float density = 3;           ///< 1/m inside a cluster
  float gap = 0.4f;            ///< 0: homogeneous; 1: mostly gaps
  float grain = 0.35f;         ///< size of clusters, metres
  bool box = false;
  std::uint32_t part = 0;
};

/// Triangles, foliage and parts; shapes are added in the frame of `place`, belonging to the part of the last `part()`
/// call.
class Mesh {
 public:
  std::vector<Vec3> vertices;
  std::vector<std::uint32_t> triangles;      ///< [3 T]
  std::vector<std::uint32_t> triangle_part;  ///< [T]
  std::vector<Blob> blobs;
  std::vector<Part> parts;
  Placement place;

  /// Starts a new part; what is added from here on belongs to it.
  void part(const Part& part) {
    parts.push_back(part);
    current_ = static_cast<std::uint32_t>(parts.size()) - 1;
  }
  const Part& current() const { return parts[current_]; }
  void triangle(Vec3 a, Vec3 b, Vec3 c);
  void quad(Vec3 a, Vec3 b, Vec3 c, Vec3 d);
  /// Upright box, `half` sizes, rotated by `yaw` about its centre.
  void box(Vec3 center, Vec3 half, float yaw = 0);
  /// Cone frustum from a to b with `sides` faces and flat ends.
  void tube(Vec3 a, Vec3 b, float radius_a, float radius_b, int sides = 8);
  /// A lying ring (wheel) of square section around `center`, axis along y.
  void wheel_ring(Vec3 center, float radius, float thickness, int sides = 14);
  /// Surface between consecutive rings of equally many points (open polylines).
  void ellipsoid(Vec3 center, Vec3 radius, int sides = 8);
  void blob(Blob blob);

 private:
  std::uint32_t vertex(Vec3 p) {
    vertices.push_back(place.apply(p));
    return static_cast<std::uint32_t>(vertices.size()) - 1;
  }
  std::uint32_t current_ = 0;
};

/// Smooth noise in [0, 1] on a unit lattice, from hashes: the same at a place for ever.
float value_noise(float x, float y, float z, std::uint32_t seed);

}  // namespace rarefy::sim
