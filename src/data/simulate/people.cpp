#include <algorithm>
#include <cmath>

#include "data/simulate/objects.h"

namespace rarefy::sim {
namespace {

float between(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }

/// A body whose hip is at `hip`; `lean` tilts the trunk forward, `seated` bends the legs.
void add_body(Mesh& mesh, Identity id, Vec3 hip, float size, float lean, bool seated, float stride, Rng& rng) {
  mesh.part({id.raw, id.instance, Material::matte, between(rng, 0.1, 0.4), 0});
  const float stout = between(rng, 0.85, 1.25) * size;
  const float leg = 0.47f * size * 1.72f;
  for (const float side : {-1.0f, 1.0f}) {
    const Vec3 top = hip + Vec3{0, side * 0.10f * size, 0};
    Vec3 knee, foot;
    if (seated) {
      knee = top + Vec3{0.36f, side * 0.04f, -0.18f + side * 0.07f};
      foot = knee + Vec3{-0.1f, 0, -0.42f};
    } else {
      knee = top + Vec3{side * stride * 0.5f, 0, -leg * 0.5f};
      foot = top + Vec3{side * stride, 0, -leg + 0.03f};
    }
    mesh.tube(top, knee, 0.085f * stout, 0.06f * stout, 6);
    mesh.tube(knee, foot, 0.06f * stout, 0.045f * stout, 6);
    mesh.box(foot + Vec3{0.06f, 0, 0}, {0.13f, 0.05f, 0.045f});
  }
  mesh.part({id.raw, id.instance, Material::matte, between(rng, 0.1, 0.5), 0});
  const float trunk = 0.50f * size;
  const Vec3 neck = hip + Vec3{std::sin(lean) * trunk, 0, std::cos(lean) * trunk};
  mesh.ellipsoid(hip + (neck - hip) * 0.25f, {0.15f * stout, 0.19f * stout, 0.24f * size});
  mesh.ellipsoid(hip + (neck - hip) * 0.7f, {0.14f * stout, 0.22f * stout, 0.27f * size});
  for (const float side : {-1.0f, 1.0f}) {
    const Vec3 shoulder = neck + Vec3{0, side * 0.21f * stout, -0.06f};
    const Vec3 elbow =
        shoulder + (seated ? Vec3{0.22f, side * 0.06f, -0.2f} : Vec3{-side * stride * 0.4f, side * 0.05f, -0.28f});
    const Vec3 hand =
        elbow + (seated ? Vec3{0.22f, -side * 0.02f, -0.06f} : Vec3{0.08f - side * stride * 0.3f, 0, -0.24f});
    mesh.tube(shoulder, elbow, 0.055f * stout, 0.045f * stout, 5);
    mesh.tube(elbow, hand, 0.045f * stout, 0.035f * stout, 5);
  }
  if (!seated && rng.chance(0.3)) mesh.box(neck + Vec3{-0.2f, 0, -0.2f}, {0.1f, 0.15f, 0.2f});  // rucksack
  mesh.part({id.raw, id.instance, Material::matte, between(rng, 0.15, 0.4), 0});
  mesh.ellipsoid(neck + Vec3{std::sin(lean) * 0.1f, 0, 0.15f * size}, {0.10f * size, 0.085f * size, 0.13f * size});
}

/// Wheels, frame and handlebar; x forward. Returns the height of the saddle.
float add_cycle(Mesh& mesh, Identity id, bool motor, Rng& rng) {
  mesh.part({id.raw, id.instance, Material::matte, between(rng, 0.08, 0.3), 0});
  const float radius = motor ? 0.30f : between(rng, 0.31, 0.36),
              base = motor ? between(rng, 0.62, 0.75) : between(rng, 0.50, 0.56);
  const float wide = motor ? 0.07f : 0.025f;
  for (const float end : {-1.0f, 1.0f}) {
    mesh.wheel_ring({end * base, 0, radius}, radius - wide, wide);
    for (int k = 0; k < 3; ++k) {  // spokes stop some rays
      const float angle = 1.05f * static_cast<float>(k);
      const Vec3 v{std::cos(angle) * radius, 0, std::sin(angle) * radius};
      const float spoke = motor ? 0.03f : 0.006f;
      mesh.tube(Vec3{end * base, 0, radius} - v, Vec3{end * base, 0, radius} + v, spoke, spoke, 4);
    }
  }
  const float saddle = motor ? 0.78f : between(rng, 0.88, 1.0), bar = motor ? 1.02f : between(rng, 0.98, 1.1);
  const float tube = motor ? 0.035f : 0.02f;
  mesh.tube({base, 0, radius}, {base * 0.72f, 0, bar}, tube, tube, 5);
  mesh.tube({base * 0.74f, -0.3f, bar}, {base * 0.74f, 0.3f, bar}, 0.018f, 0.018f, 5);
  if (motor) {
    mesh.ellipsoid({0.0f, 0, 0.48f}, {0.36f, 0.17f, 0.22f});
    mesh.ellipsoid({0.2f, 0, 0.8f}, {0.27f, 0.16f, 0.14f});
    mesh.box({-0.35f, 0, saddle}, {0.34f, 0.14f, 0.07f});
    mesh.tube({-base, 0.05f, radius}, {-0.1f, 0.05f, 0.5f}, 0.05f, 0.06f, 5);
    if (rng.chance(0.4)) mesh.box({base * 0.85f, 0, 0.75f}, {0.08f, 0.19f, 0.3f});  // scooter's shield
    if (rng.chance(0.3)) mesh.box({-base + 0.02f, 0, 1.0f}, {0.2f, 0.22f, 0.16f});  // top case
  } else {
    mesh.tube({-0.12f, 0, 0.3f}, {-0.2f, 0, saddle}, tube, tube, 5);
    mesh.tube({-0.12f, 0, 0.3f}, {base * 0.78f, 0, bar - 0.2f}, tube, tube, 5);
    mesh.tube({-0.19f, 0, saddle - 0.15f}, {base * 0.75f, 0, bar - 0.12f}, tube, tube, 5);
    mesh.tube({-base, 0, radius}, {-0.12f, 0, 0.3f}, tube * 0.8f, tube * 0.8f, 4);
    mesh.tube({-base, 0, radius}, {-0.18f, 0, saddle - 0.15f}, tube * 0.8f, tube * 0.8f, 4);
    mesh.box({-0.22f, 0, saddle}, {0.13f, 0.07f, 0.04f});
    if (rng.chance(0.35)) mesh.box({base * 0.95f, 0, 0.95f}, {0.15f, 0.18f, 0.12f});  // basket
    if (rng.chance(0.4)) mesh.box({-base + 0.02f, 0, 0.75f}, {0.18f, 0.08f, 0.03f});  // rack
  }
  return saddle;
}

}  // namespace

void add_person(Mesh& mesh, Identity id, Rng rng) {
  const float size = rng.chance(0.15) ? between(rng, 0.62, 0.85) : between(rng, 0.9, 1.08);
  add_body(mesh, id, {0, 0, 0.5f * 1.72f * size}, size, between(rng, -0.03, 0.12), false,
           between(rng, 0.0, 0.25) * size, rng);
}

void add_bicycle(Mesh& mesh, Identity id, Rng rng) { add_cycle(mesh, id, false, rng); }
void add_motorcycle(Mesh& mesh, Identity id, Rng rng) { add_cycle(mesh, id, true, rng); }

void add_bicyclist(Mesh& mesh, Identity id, Rng rng) {
  const float saddle = add_cycle(mesh, id, false, rng);
  add_body(mesh, id, {-0.18f, 0, saddle + 0.05f}, between(rng, 0.9, 1.05), between(rng, 0.15, 0.7), true, 0, rng);
}

void add_motorcyclist(Mesh& mesh, Identity id, Rng rng) {
  const float saddle = add_cycle(mesh, id, true, rng);
  add_body(mesh, id, {-0.2f, 0, saddle + 0.06f}, between(rng, 0.95, 1.1), between(rng, 0.1, 0.5), true, 0, rng);
}

}  // namespace rarefy::sim
