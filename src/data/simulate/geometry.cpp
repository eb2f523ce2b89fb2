#include "data/simulate/geometry.h"

#include <array>
#include <numbers>

namespace rarefy::sim {

std::uint16_t moving_class(std::uint16_t raw) {
  switch (raw) {
    case kCar:
      return 252;
    case kBicyclist:
      return 253;
    case kPerson:
      return 254;
    case kMotorcyclist:
      return 255;
    case kBus:
      return 257;
    case kTruck:
      return 258;
    case kOtherVehicle:
      return 259;
    default:
      return raw;
  }
}

void Mesh::triangle(Vec3 a, Vec3 b, Vec3 c) {
  const std::uint32_t first = vertex(a);
  vertex(b);
  vertex(c);
  triangles.insert(triangles.end(), {first, first + 1, first + 2});
  triangle_part.push_back(current_);
}

void Mesh::quad(Vec3 a, Vec3 b, Vec3 c, Vec3 d) {
  const std::uint32_t first = vertex(a);
  vertex(b);
  vertex(c);
  vertex(d);
  triangles.insert(triangles.end(), {first, first + 1, first + 2, first, first + 2, first + 3});
  triangle_part.insert(triangle_part.end(), {current_, current_});
}

void Mesh::box(Vec3 center, Vec3 half, float yaw) {
  const float c = std::cos(yaw), s = std::sin(yaw);
  std::array<Vec3, 8> corner;
  for (int i = 0; i < 8; ++i) {
    const float x = (i & 1) != 0 ? half.x : -half.x, y = (i & 2) != 0 ? half.y : -half.y;
    corner[i] = center + Vec3{c * x - s * y, s * x + c * y, (i & 4) != 0 ? half.z : -half.z};
  }
  quad(corner[0], corner[1], corner[5], corner[4]);
  quad(corner[2], corner[3], corner[7], corner[6]);
  quad(corner[0], corner[2], corner[6], corner[4]);
  quad(corner[1], corner[3], corner[7], corner[5]);
  quad(corner[4], corner[5], corner[7], corner[6]);
  quad(corner[0], corner[1], corner[3], corner[2]);
}

void Mesh::tube(Vec3 a, Vec3 b, float radius_a, float radius_b, int sides) {
  const Vec3 axis = normalized(b - a);
  const Vec3 helper = std::abs(axis.z) < 0.9f ? Vec3{0, 0, 1} : Vec3{1, 0, 0};
  const Vec3 u = normalized(cross(axis, helper)), v = cross(axis, u);
  auto around = [&](int i) {
    const float angle = 2 * std::numbers::pi_v<float> * static_cast<float>(i) / static_cast<float>(sides);
    return u * std::cos(angle) + v * std::sin(angle);
  };
  for (int i = 0; i < sides; ++i) {
    const Vec3 p = around(i), q = around(i + 1);
    quad(a + p * radius_a, a + q * radius_a, b + q * radius_b, b + p * radius_b);
    triangle(b, b + p * radius_b, b + q * radius_b);
    triangle(a, a + p * radius_a, a + q * radius_a);
  }
}

void Mesh::wheel_ring(Vec3 center, float radius, float thickness, int sides) {
  for (int i = 0; i < sides; ++i) {
    auto at = [&](int k) {
      const float angle = 2 * std::numbers::pi_v<float> * static_cast<float>(k) / static_cast<float>(sides);
      return center + Vec3{radius * std::cos(angle), 0, radius * std::sin(angle)};
    };
    tube(at(i), at(i + 1), thickness, thickness, 4);
  }
}

void Mesh::ellipsoid(Vec3 center, Vec3 radius, int sides) {
  const int stacks = std::max(3, sides / 2);
  auto at = [&](int stack, int side) {
    const float polar = std::numbers::pi_v<float> * static_cast<float>(stack) / static_cast<float>(stacks);
    const float angle = 2 * std::numbers::pi_v<float> * static_cast<float>(side) / static_cast<float>(sides);
    return center + Vec3{radius.x * std::sin(polar) * std::cos(angle), radius.y * std::sin(polar) * std::sin(angle),
                         radius.z * std::cos(polar)};
  };
  for (int i = 0; i < stacks; ++i)
    for (int j = 0; j < sides; ++j) quad(at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j));
}

void Mesh::blob(Blob blob) {
  blob.center = place.apply(blob.center);
  const float c = blob.cosine, s = blob.sine;
  blob.cosine = c * place.cosine - s * place.sine;
  blob.sine = s * place.cosine + c * place.sine;
  blob.part = current_;
  blobs.push_back(blob);
}

namespace {
inline float lattice(std::int32_t x, std::int32_t y, std::int32_t z, std::uint32_t seed) {
  std::uint32_t h = seed + static_cast<std::uint32_t>(x) * 0x8da6b343u + static_cast<std::uint32_t>(y) * 0xd8163841u +
                    static_cast<std::uint32_t>(z) * 0xcb1ab31fu;
  h = (h ^ (h >> 15)) * 0x2c1b3c6du;
  h = (h ^ (h >> 12)) * 0x297a2d39u;
  return static_cast<float>((h ^ (h >> 15)) >> 8) * 0x1.0p-24f;
}
}  // namespace

float value_noise(float x, float y, float z, std::uint32_t seed) {
  const float fx = std::floor(x), fy = std::floor(y), fz = std::floor(z);
  const auto ix = static_cast<std::int32_t>(fx), iy = static_cast<std::int32_t>(fy), iz = static_cast<std::int32_t>(fz);
  auto smooth = [](float t) { return t * t * (3 - 2 * t); };
  const float tx = smooth(x - fx), ty = smooth(y - fy), tz = smooth(z - fz);
  float layer[2];
  for (int k = 0; k < 2; ++k) {
    const float a = lattice(ix, iy, iz + k, seed), b = lattice(ix + 1, iy, iz + k, seed);
    const float c = lattice(ix, iy + 1, iz + k, seed), d = lattice(ix + 1, iy + 1, iz + k, seed);
    const float ab = a + (b - a) * tx, cd = c + (d - c) * tx;
    layer[k] = ab + (cd - ab) * ty;
  }
  return layer[0] + (layer[1] - layer[0]) * tz;
}

}  // namespace rarefy::sim
