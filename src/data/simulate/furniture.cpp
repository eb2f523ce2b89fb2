#include <algorithm>
#include <cmath>

#include "data/simulate/objects.h"

namespace rarefy::sim {
namespace {

float between(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }
Part pole_part(Rng& rng) { return {kPole, 0, Material::matte, between(rng, 0.15, 0.32), 0}; }
Part plate_part(Rng& rng) { return {kTrafficSign, 0, Material::retro, between(rng, 0.3, 1.1), 0}; }

/// A disc, triangle or rectangle of half size `r` that faces -x, `x` metres along.
void add_plate(Mesh& mesh, int shape, Vec3 center, float r) {
  if (shape == 0) {
    for (int k = 0; k < 10; ++k) {
      auto rim = [&](int i) {
        const float angle = 0.6283185f * static_cast<float>(i);
        return center + Vec3{0, r * std::cos(angle), r * std::sin(angle)};
      };
      mesh.triangle(center, rim(k), rim(k + 1));
    }
  } else if (shape == 1) {
    mesh.triangle(center + Vec3{0, -r, -r * 0.7f}, center + Vec3{0, r, -r * 0.7f}, center + Vec3{0, 0, r});
  } else {
    mesh.box(center, {0.01f, r, r * (shape == 2 ? 1.0f : 0.5f)});
  }
}

}  // namespace

void add_lamp(Mesh& mesh, Rng rng) {
  mesh.part(pole_part(rng));
  const float height = between(rng, 3.5, 9), radius = between(rng, 0.05, 0.09);
  mesh.tube({0, 0, -0.2f}, {0, 0, 1.2f}, radius * 1.5f, radius * 1.4f, 8);
  mesh.tube({0, 0, 1.2f}, {0, 0, height}, radius, radius * 0.7f, 8);
  if (height > 5) {
    mesh.tube({0, 0, height}, {0, between(rng, 0.8, 1.8), height + 0.25f}, 0.04f, 0.03f, 5);
  } else {
    mesh.ellipsoid({0, 0, height + 0.15f}, {0.22f, 0.22f, 0.18f});
  }
}

void add_utility_pole(Mesh& mesh, Rng rng) {
  mesh.part(pole_part(rng));
  const float height = between(rng, 6, 9), radius = between(rng, 0.09, 0.16);
  mesh.tube({0, 0, -0.2f}, {0, 0, height}, radius, radius * 0.75f, 9);
  if (rng.chance(0.5)) mesh.box({0, 0, height - 0.5f}, {0.05f, 0.8f, 0.05f});
}

void add_bollard(Mesh& mesh, Rng rng) {
  mesh.part(pole_part(rng));
  const float height = between(rng, 0.7, 1.1), radius = between(rng, 0.035, 0.09);
  mesh.tube({0, 0, -0.1f}, {0, 0, height}, radius, radius, 8);
}

void add_traffic_sign(Mesh& mesh, Rng rng) {
  mesh.part(pole_part(rng));
  const float radius = between(rng, 0.03, 0.045), height = between(rng, 2.2, 3.1);
  mesh.tube({0, 0, -0.1f}, {0, 0, height}, radius, radius, 7);
  mesh.part(plate_part(rng));
  const int shape = static_cast<int>(rng.integer(0, 3));
  const float r = between(rng, 0.28, 0.42);
  add_plate(mesh, shape, {-0.05f, 0, height - r}, r);
  if (rng.chance(0.4)) add_plate(mesh, 3, {-0.05f, 0, height - 2 * r - 0.2f}, r * 0.9f);
  if (rng.chance(0.15)) mesh.box({-0.05f, 0.45f, height + 0.05f}, {0.01f, 0.5f, 0.1f});  // street name
}

void add_large_sign(Mesh& mesh, float span, Rng rng) {
  mesh.part(pole_part(rng));
  const float low = span > 0 ? 5.3f : between(rng, 1.3, 2.3);
  if (span > 0) {  // gantry
    for (const float y : {0.0f, span}) mesh.tube({0, y, -0.3f}, {0, y, 7.0f}, 0.2f, 0.18f, 8);
    mesh.box({0, span / 2, 6.8f}, {0.2f, span / 2, 0.2f});
    mesh.part(plate_part(rng));
    for (float y = 2.0f; y + 3 < span; y += between(rng, 4, 6))
      mesh.box({-0.25f, y + 1.4f, low + 1.0f}, {0.02f, 1.5f, 1.1f});
    return;
  }
  const float w = between(rng, 0.6, 2.0), h = between(rng, 0.4, 1.3);
  for (const float y : {-w * 0.6f, w * 0.6f}) mesh.tube({0, y, -0.2f}, {0, y, low + 2 * h}, 0.05f, 0.05f, 7);
  mesh.part(plate_part(rng));
  mesh.box({-0.08f, 0, low + h}, {0.02f, w, h});
}

void add_traffic_light(Mesh& mesh, Rng rng) {
  mesh.part(pole_part(rng));
  const float height = between(rng, 2.6, 3.4);
  mesh.tube({0, 0, -0.1f}, {0, 0, height}, 0.06f, 0.06f, 8);
  mesh.part({kOtherObject, 0, Material::matte, 0.1f, 0});
  mesh.box({-0.15f, 0, height - 0.5f}, {0.1f, 0.16f, 0.45f});
}

void add_clutter(Mesh& mesh, Rng rng) {
  const std::uint16_t raw = rng.chance(0.55) ? kUnlabeled : kOtherObject;
  mesh.part({raw, 0, Material::matte, between(rng, 0.08, 0.4), 0});
  switch (rng.integer(0, 6)) {
    case 0:  // wheeled bin
      mesh.box({0, 0, 0.52f}, {0.3f, 0.28f, 0.48f});
      mesh.box({0.03f, 0, 1.03f}, {0.36f, 0.31f, 0.04f});
      break;
    case 1: {  // several bins
      const int count = static_cast<int>(rng.integer(2, 4));
      for (int k = 0; k < count; ++k)
        mesh.box({0.65f * static_cast<float>(k), between(rng, -0.1, 0.1), 0.53f},
                 {0.28f, 0.27f, between(rng, 0.45, 0.6)}, between(rng, -0.2, 0.2));
      break;
    }
    case 2: {  // cabinet
      const float h = between(rng, 0.5, 0.85);
      mesh.box({0, 0, h}, {between(rng, 0.3, 0.8), 0.2f, h});
      break;
    }
    case 3:  // container
      mesh.box({0, 0, 0.7f}, {between(rng, 0.6, 1.6), 0.6f, 0.6f});
      break;
    case 4:  // bench
      mesh.box({0, 0, 0.45f}, {0.8f, 0.22f, 0.03f});
      mesh.box({0, 0.22f, 0.75f}, {0.8f, 0.03f, 0.18f});
      for (const float x : {-0.6f, 0.6f}) mesh.box({x, 0, 0.22f}, {0.04f, 0.2f, 0.22f});
      break;
    case 5:  // planter
      mesh.box({0, 0, 0.3f}, {0.5f, 0.5f, 0.3f});
      mesh.part({kVegetation, 0, Material::foliage, 0.38f, 0});
      mesh.blob({{0, 0, 0.8f}, {0.45f, 0.45f, 0.4f}, 1, 0, 6, 0.4f, 0.2f, false, 0});
      break;
    default:  // boxes, sacks
      for (int k = 0; k < 3; ++k) {
        const float h = between(rng, 0.1, 0.35);
        mesh.box({between(rng, -0.6, 0.6), between(rng, -0.4, 0.4), h},
                 {between(rng, 0.15, 0.4), between(rng, 0.15, 0.4), h}, between(rng, 0, 1.5));
      }
  }
}

namespace {

void add_heap(Mesh& mesh, Rng& rng) {  // earth, gravel, leaves under a sheet
  for (int k = 0, n = static_cast<int>(rng.integer(1, 3)); k < n; ++k)
    mesh.ellipsoid({between(rng, -1, 1), between(rng, -0.6, 0.6), 0},
                   {between(rng, 0.5, 1.8), between(rng, 0.5, 1.3), between(rng, 0.3, 1.2)}, 10);
}

void add_stack(Mesh& mesh, Rng& rng) {  // logs or pipes, lying
  const float length = between(rng, 0.6, 2.5), radius = between(rng, 0.08, 0.2);
  const int rows = static_cast<int>(rng.integer(2, 4)), wide = static_cast<int>(rng.integer(4, 8));
  for (int row = 0; row < rows; ++row)
    for (int k = 0; k < wide - row; ++k) {
      const float x = radius * (2 * static_cast<float>(k) + static_cast<float>(row) - static_cast<float>(wide)),
                  z = radius * (1 + 1.7f * static_cast<float>(row));
      mesh.tube({x, -length / 2 + between(rng, -0.08, 0.08), z}, {x, length / 2, z}, radius, radius, 6);
    }
}

void add_skip(Mesh& mesh, Rng& rng) {  // open on top, wider there; rubble in it
  const float l = between(rng, 1.3, 2.6), w = between(rng, 0.8, 1.1), h = between(rng, 0.9, 1.6);
  const auto wall = [&](Vec3 a, Vec3 b) {
    const auto up = [&](Vec3 p) { return Vec3{p.x * 1.15f, p.y * 1.05f, h}; };
    mesh.quad(a, b, up(b), up(a));
  };
  const Vec3 a{-l, -w, 0.1f}, b{l, -w, 0.1f}, c{l, w, 0.1f}, d{-l, w, 0.1f};
  wall(a, b), wall(b, c), wall(c, d), wall(d, a);
  if (rng.chance(0.7)) mesh.ellipsoid({0, 0, h * 0.7f}, {l * 0.9f, w * 0.9f, h * 0.45f}, 8);
}

void add_play_frame(Mesh& mesh, Rng& rng) {  // swings, climbing frames, drying racks, pergolas
  const float l = between(rng, 0.9, 2.2), w = between(rng, 0.6, 1.5), h = between(rng, 1.4, 2.5), r = 0.045f;
  for (const float x : {-l, l})
    for (const float y : {-w, w}) mesh.tube({x, y, -0.1f}, {x, y * (rng.chance(0.5) ? 1.0f : 0.2f), h}, r, r, 6);
  for (const float y : {-w, w}) mesh.tube({-l, y, h}, {l, y, h}, r, r, 6);
  for (float x = -l; x <= l; x += between(rng, 0.4, 0.9)) mesh.tube({x, -w, h}, {x, w, h}, r, r, 5);
  if (rng.chance(0.4)) mesh.quad({-l, -w, h * 0.5f}, {0, -w, h * 0.5f}, {-l * 0.5f, w, 0.1f}, {-l * 1.5f, w, 0.1f});
}

void add_site_fence(Mesh& mesh, Rng& rng) {  // barriers with boards around a hole
  const int pieces = static_cast<int>(rng.integer(2, 4));
  for (int k = 0; k < pieces; ++k) {
    const float x = 2.1f * static_cast<float>(k), y = between(rng, -0.15, 0.15);
    for (const float z : {0.25f, 0.95f}) mesh.box({x + 1, y, z}, {1.0f, 0.02f, 0.1f});
    for (const float end : {0.1f, 1.9f}) mesh.box({x + end, y, 0.5f}, {0.03f, 0.25f, 0.5f});
  }
}

}  // namespace

void add_large_clutter(Mesh& mesh, Rng rng) {
  mesh.part({rng.chance(0.6) ? kUnlabeled : kOtherObject, 0, Material::matte, between(rng, 0.1, 0.45), 0});
  switch (rng.integer(0, 6)) {
    case 0:
      return add_heap(mesh, rng);
    case 1:
      return add_stack(mesh, rng);
    case 2:
      return add_skip(mesh, rng);
    case 3:
      return add_play_frame(mesh, rng);
    case 4:
      return add_site_fence(mesh, rng);
    case 5: {  // shipping container, site hut, water tank
      const float h = between(rng, 1.0, 1.3);
      mesh.box({0, 0, h}, {between(rng, 1.2, 3.0), between(rng, 0.9, 1.2), h});
      return;
    }
    default:  // pallets, bales, stones
      for (int k = 0, n = static_cast<int>(rng.integer(2, 6)); k < n; ++k) {
        const float h = between(rng, 0.2, 0.65);
        mesh.box({between(rng, -1.6, 1.6), between(rng, -0.9, 0.9), h},
                 {between(rng, 0.3, 0.7), between(rng, 0.3, 0.6), h}, between(rng, 0, 1.5));
      }
  }
}

void add_scaffold(Mesh& mesh, float length, float height, Rng rng) {
  mesh.part({kUnlabeled, 0, Material::matte, between(rng, 0.2, 0.4), 0});
  for (float x = 0.1f; x <= length; x += 2.0f)
    for (const float y : {-0.25f, -1.05f}) mesh.tube({x, y, 0}, {x, y, height}, 0.03f, 0.03f, 5);
  for (float z = 2.0f; z <= height; z += 2.0f) {
    mesh.box({length / 2, -0.65f, z}, {length / 2, 0.36f, 0.03f});
    for (const float rail : {0.5f, 1.0f})
      mesh.tube({0, -1.05f, z + rail}, {length, -1.05f, z + rail}, 0.025f, 0.025f, 5);
  }
}

void add_bridge(Mesh& mesh, float half, float clearance, Rng rng) {
  const float width = between(rng, 3, 7), deep = between(rng, 0.7, 1.4);
  mesh.part({kOtherStructure, 0, Material::matte, between(rng, 0.2, 0.4), 0});
  mesh.box({0, 0, clearance + deep / 2}, {width, half + 12, deep / 2});
  for (const float y : {-half - 1.5f, half + 1.5f}) {
    if (rng.chance(0.5))
      mesh.box({0, y, clearance / 2 - 1}, {width, 0.5f, clearance / 2 + 1});
    else
      for (float x = -width + 0.8f; x < width; x += 3) mesh.tube({x, y, -1}, {x, y, clearance}, 0.45f, 0.45f, 10);
  }
  mesh.part({kFence, 0, Material::matte, 0.3f, 0});
  for (const float x : {-width, width}) mesh.box({x, 0, clearance + deep + 0.5f}, {0.03f, half + 12, 0.5f});
}

void add_island(Mesh& mesh, float length, float half_width, float rho, Rng rng) {
  mesh.part({kOtherGround, 0, Material::matte, rho, 0});
  const float high = between(rng, 0.05, 0.14);
  mesh.box({length / 2, 0, high / 2 - 0.2f}, {length / 2, half_width, high / 2 + 0.2f});
  for (const float x : {0.0f, length}) mesh.tube({x, 0, -0.3f}, {x, 0, high}, half_width, half_width, 12);
}

void add_bus_shelter(Mesh& mesh, Rng rng) {
  mesh.part({kOtherStructure, 0, Material::matte, between(rng, 0.15, 0.3), 0});
  const float w = between(rng, 1.5, 2.4);
  mesh.box({0, 0, 2.4f}, {w, 0.75f, 0.05f});
  for (const float x : {-w, w})
    for (const float y : {-0.65f, 0.65f}) mesh.tube({x, y, 0}, {x, y, 2.4f}, 0.05f, 0.05f, 6);
  mesh.box({0, 0.4f, 0.5f}, {w * 0.7f, 0.2f, 0.03f});
  mesh.part({kOtherStructure, 0, Material::window, 0.15f, 0});
  mesh.quad({-w, 0.65f, 0.2f}, {w, 0.65f, 0.2f}, {w, 0.65f, 2.3f}, {-w, 0.65f, 2.3f});
}

}  // namespace rarefy::sim
