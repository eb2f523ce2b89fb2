#include <algorithm>
#include <array>
#include <cmath>

#include "data/simulate/objects.h"

namespace rarefy::sim {
namespace {

float between(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }

/// Reflectivity of car paint: dark colours return almost nothing, white a lot; number plates and lamps are extra.
float paint(Rng& rng) {
  const double draw = rng.uniform();
  if (draw < 0.45) return between(rng, 0.03, 0.10);
  if (draw < 0.8) return between(rng, 0.10, 0.25);
  return between(rng, 0.25, 0.45);
}

/// Side view of a car body, metres; x from the rear bumper (0) to the front (length).
struct BodyStyle {
  float length, width, height;
  float bonnet, bonnet_height;    ///< length of the bonnet, height at the windscreen's foot
  float windscreen, rear_window;  ///< horizontal run of the two
  float boot, boot_height;        ///< length of the boot behind the rear window
  float belt;                     ///< height of the side windows' lower edge
  float clearance;
  bool panel;  ///< no windows behind the doors
};

constexpr std::array<BodyStyle, 9> kStyles{{
    {3.5f, 1.62f, 1.50f, 0.75f, 0.95f, 0.65f, 0.35f, 0.05f, 0.95f, 0.92f, 0.18f, false},   // city car
    {4.2f, 1.76f, 1.46f, 1.05f, 0.95f, 0.80f, 0.60f, 0.10f, 0.98f, 0.92f, 0.17f, false},   // hatchback
    {4.7f, 1.82f, 1.44f, 1.20f, 0.95f, 0.85f, 0.75f, 0.65f, 1.02f, 0.92f, 0.16f, false},   // saloon
    {4.75f, 1.82f, 1.47f, 1.20f, 0.95f, 0.85f, 0.40f, 0.10f, 1.00f, 0.93f, 0.16f, false},  // estate
    {4.4f, 1.80f, 1.32f, 1.35f, 0.88f, 0.85f, 0.90f, 0.35f, 0.95f, 0.88f, 0.14f, false},   // coupe
    {4.5f, 1.86f, 1.68f, 1.05f, 1.08f, 0.70f, 0.40f, 0.08f, 1.10f, 1.05f, 0.22f, false},   // SUV
    {4.6f, 1.84f, 1.70f, 0.85f, 1.08f, 0.95f, 0.30f, 0.06f, 1.05f, 1.00f, 0.17f, false},   // people carrier
    {5.1f, 1.95f, 1.98f, 0.75f, 1.20f, 0.70f, 0.10f, 0.03f, 1.20f, 1.15f, 0.20f, true},    // panel van
    {4.1f, 1.80f, 1.85f, 1.05f, 1.12f, 0.35f, 0.10f, 0.15f, 1.05f, 1.12f, 0.25f, false},   // off-roader
}};

struct Station {
  float x, top, belt, half_width, roof_half_width;
  bool side_glass;  ///< between this station and the next
  bool top_glass;
};

std::vector<Station> stations(const BodyStyle& b) {
  const float half = b.width / 2, roof = half * 0.80f;
  const float a0 = b.boot, a1 = b.boot + b.rear_window, a3 = b.length - b.bonnet, a2 = a3 - b.windscreen;
  const float mid = 0.5f * (a1 + a2);
  std::vector<Station> list;
  list.push_back({0.0f, b.boot_height - 0.10f, b.boot_height - 0.2f, half * 0.90f, half * 0.80f, false, false});
  list.push_back({0.06f + 0.01f, b.boot_height, std::min(b.belt, b.boot_height - 0.05f), half * 0.96f, half * 0.86f,
                  false, false});
  list.push_back({std::max(a0, 0.09f), b.boot_height, std::min(b.belt, b.boot_height - 0.05f), half, half * 0.88f,
                  false, !b.panel});
  list.push_back({std::max(a1, 0.15f), b.height - 0.03f, b.belt, half, roof, !b.panel, false});
  list.push_back({mid - 0.06f, b.height, b.belt, half, roof, false, false});
  list.push_back({mid + 0.06f, b.height, b.belt, half, roof, true, false});
  list.push_back({a2, b.height - 0.04f, b.belt, half, roof, true, true});
  list.push_back({a3, b.bonnet_height, std::min(b.belt, b.bonnet_height - 0.05f), half, half * 0.86f, false, false});
  list.push_back(
      {b.length - 0.25f, b.bonnet_height - 0.16f, b.bonnet_height - 0.25f, half * 0.97f, half * 0.82f, false, false});
  list.push_back(
      {b.length, b.bonnet_height - 0.32f, b.bonnet_height - 0.40f, half * 0.86f, half * 0.72f, false, false});
  return list;
}

void add_wheels(Mesh& mesh, Identity id, std::initializer_list<float> axles, float half_width, float radius,
                float width) {
  mesh.part({id.raw, id.instance, Material::matte, 0.06f, 0});
  for (const float x : axles)
    for (const float side : {-1.0f, 1.0f})
      mesh.tube({x, side * (half_width - width), radius}, {x, side * (half_width + 0.01f), radius}, radius, radius, 12);
}

using Ring = std::array<Vec3, 5>;
Ring ring_of(const Station& s, const BodyStyle& b, float side) {
  const float x = s.x - b.length / 2;
  return {Vec3{x, side * s.half_width * 0.86f, b.clearance}, Vec3{x, side * s.half_width, b.clearance + 0.18f},
          Vec3{x, side * s.half_width, s.belt}, Vec3{x, side * s.roof_half_width, s.top - 0.03f}, Vec3{x, 0, s.top}};
}

void add_body(Mesh& mesh, Identity id, const BodyStyle& b, float rho) {
  const auto list = stations(b);
  auto bands = [&](bool glass) {
    for (std::size_t i = 0; i + 1 < list.size(); ++i)
      for (const float side : {-1.0f, 1.0f}) {
        const Ring p = ring_of(list[i], b, side), q = ring_of(list[i + 1], b, side);
        for (std::size_t k = 0; k + 1 < p.size(); ++k) {
          const bool pane = (k == 2 && list[i].side_glass) || (k == 3 && list[i].top_glass);
          if (pane == glass) mesh.quad(p[k], p[k + 1], q[k + 1], q[k]);
        }
      }
  };
  mesh.part({id.raw, id.instance, Material::paint, rho, 0});
  bands(false);
  for (const Station* end : {&list.front(), &list.back()}) {
    const Ring left = ring_of(*end, b, 1), right = ring_of(*end, b, -1);
    for (std::size_t k = 0; k + 1 < left.size(); ++k) mesh.quad(left[k], left[k + 1], right[k + 1], right[k]);
  }
  mesh.quad({-b.length / 2, -b.width * 0.42f, b.clearance}, {b.length / 2, -b.width * 0.42f, b.clearance},
            {b.length / 2, b.width * 0.42f, b.clearance}, {-b.length / 2, b.width * 0.42f, b.clearance});
  for (const float side : {-1.0f, 1.0f})  // mirrors
    mesh.box({b.length / 2 - b.bonnet - b.windscreen * 0.35f, side * (b.width / 2 + 0.08f), b.belt + 0.08f},
             {0.05f, 0.09f, 0.07f});
  mesh.part({id.raw, id.instance, Material::car_glass, rho * 0.7f + 0.02f, 0});
  bands(true);
  mesh.part({id.raw, id.instance, Material::retro, 0.9f, 0});  // number plates and lamps
  for (const float end : {-1.0f, 1.0f}) {
    mesh.box({end * b.length / 2, 0, 0.50f}, {0.012f, 0.26f, 0.06f});
    for (const float side : {-1.0f, 1.0f})
      mesh.box({end * (b.length / 2 - 0.03f), side * b.width * 0.36f, 0.66f}, {0.06f, 0.13f, 0.07f});
  }
}

}  // namespace

Footprint add_car(Mesh& mesh, Identity id, Rng rng) {
  constexpr std::array<double, 9> kShare{0.12, 0.24, 0.14, 0.16, 0.05, 0.10, 0.09, 0.06, 0.04};
  double draw = rng.uniform();
  std::size_t style = 0;
  while (style + 1 < kShare.size() && draw >= kShare[style]) draw -= kShare[style++];
  BodyStyle b = kStyles[style];
  const float scale = between(rng, 0.94, 1.06), tall = between(rng, 0.96, 1.05);
  for (float* v : {&b.length, &b.bonnet, &b.windscreen, &b.rear_window, &b.boot}) *v *= scale;
  for (float* v : {&b.height, &b.bonnet_height, &b.boot_height, &b.belt}) *v *= tall;
  b.width *= between(rng, 0.96, 1.04);
  add_body(mesh, id, b, paint(rng));
  const float radius = between(rng, 0.29, 0.35), axle = b.length * 0.5f - 0.8f * scale;
  add_wheels(mesh, id, {-axle + 0.05f, axle - 0.05f}, b.width / 2 - 0.02f, radius, 0.2f);
  return {b.length, b.width};
}

Footprint add_truck(Mesh& mesh, Identity id, Rng rng) {
  const double draw = rng.uniform();
  const float cab = paint(rng) + 0.05f, load = between(rng, 0.1, 0.5);
  if (draw < 0.25) {  // pick-up
    BodyStyle b{5.2f, 1.86f, 1.78f, 1.25f, 1.12f, 0.65f, 0.15f, 1.75f, 1.08f, 1.08f, 0.28f, false};
    add_body(mesh, id, b, cab);
    add_wheels(mesh, id, {-1.65f, 1.6f}, 0.9f, 0.38f, 0.24f);
    return {b.length, b.width};
  }
  const bool articulated = draw > 0.8;
  const float length = articulated ? between(rng, 13, 16.5) : between(rng, 5.8, 9.5);
  const float width = articulated ? 2.5f : between(rng, 2.1, 2.5),
              height = articulated ? between(rng, 3.5, 4.0) : between(rng, 2.7, 3.6);
  const float front = length / 2, cab_length = between(rng, 1.6, 2.2),
              cab_height = std::min(height, between(rng, 2.3, 3.2));
  const float floor = between(rng, 0.9, 1.2);
  mesh.part({id.raw, id.instance, Material::paint, cab, 0});
  mesh.box({front - cab_length / 2, 0, 0.45f + (cab_height - 0.45f) / 2},
           {cab_length / 2, width / 2 - 0.03f, (cab_height - 0.45f) / 2});
  mesh.part({id.raw, id.instance, Material::car_glass, 0.08f, 0});
  mesh.box({front - 0.02f, 0, cab_height * 0.72f}, {0.04f, width * 0.43f, 0.38f});
  for (const float side : {-1.0f, 1.0f})
    mesh.box({front - 0.7f, side * (width / 2 - 0.02f), cab_height * 0.72f}, {0.4f, 0.02f, 0.33f});
  mesh.part({id.raw, id.instance, Material::matte, load, 0});
  const float body = length - cab_length - 0.25f, centre = -front + body / 2;
  if (draw < 0.5 && !articulated) {  // tipper: open box, heap inside
    const float wall = between(rng, 0.5, 1.0);
    for (const float side : {-1.0f, 1.0f})
      mesh.box({centre, side * width / 2, floor + wall / 2}, {body / 2, 0.03f, wall / 2});
    for (const float end : {-1.0f, 1.0f})
      mesh.box({centre + end * body / 2, 0, floor + wall / 2}, {0.03f, width / 2, wall / 2});
    mesh.box({centre, 0, floor}, {body / 2, width / 2, 0.06f});
  } else {
    mesh.box({centre, 0, (floor + height) / 2}, {body / 2, width / 2, (height - floor) / 2});
  }
  mesh.part({id.raw, id.instance, Material::matte, 0.12f, 0});
  mesh.box({0, 0, floor - 0.18f}, {front - 0.3f, 0.4f, 0.12f});
  mesh.box({-front + 0.05f, 0, 0.5f}, {0.05f, width / 2 - 0.1f, 0.08f});
  for (const float side : {-1.0f, 1.0f})
    mesh.box({centre * 0.7f, side * (width / 2 - 0.05f), 0.7f}, {body * 0.22f, 0.03f, 0.2f});
  if (articulated)
    add_wheels(mesh, id, {front - 1.3f, front - 4.2f, -front + 1.6f, -front + 2.9f, -front + 4.2f}, width / 2 - 0.03f,
               0.5f, 0.32f);
  else
    add_wheels(mesh, id, {front - 1.0f, -front + 1.6f}, width / 2 - 0.05f, 0.45f, 0.3f);
  return {length, width};
}

Footprint add_bus(Mesh& mesh, Identity id, Rng rng) {
  const float length = between(rng, 10.5, 13.5), width = 2.53f, height = between(rng, 2.95, 3.3);
  const float rho = paint(rng) + 0.05f;
  mesh.part({id.raw, id.instance, Material::paint, rho, 0});
  mesh.box({0, 0, 0.75f}, {length / 2, width / 2, 0.42f});
  mesh.box({0, 0, height - 0.2f}, {length / 2, width / 2, 0.2f});
  for (float x = -length / 2 + 0.06f; x < length / 2; x += 1.5f)
    for (const float side : {-1.0f, 1.0f}) mesh.box({x, side * (width / 2 - 0.03f), 1.9f}, {0.07f, 0.03f, 0.8f});
  mesh.part({id.raw, id.instance, Material::car_glass, 0.1f, 0});
  mesh.box({0, 0, 0.5f * (1.17f + height - 0.4f)},
           {length / 2 - 0.02f, width / 2 - 0.02f, 0.5f * (height - 0.4f - 1.17f)});
  mesh.part({id.raw, id.instance, Material::matte, 0.2f, 0});
  for (float x = -length / 2 + 1; x < length / 2 - 1; x += 0.8f)
    for (const float side : {-0.75f, 0.75f}) mesh.box({x, side, 1.2f}, {0.08f, 0.35f, 0.45f});
  add_wheels(mesh, id, {-length / 2 + 3.2f, length / 2 - 2.7f}, width / 2 - 0.02f, 0.48f, 0.3f);
  return {length, width};
}

Footprint add_other_vehicle(Mesh& mesh, Identity id, Rng rng) {
  const double draw = rng.uniform();
  const float rho = between(rng, 0.15, 0.5);
  mesh.part({id.raw, id.instance, Material::paint, rho, 0});
  if (draw < 0.35) {  // caravan
    const float length = between(rng, 4.2, 6.2), width = between(rng, 2.1, 2.4), height = between(rng, 2.4, 2.7);
    mesh.box({0, 0, 0.45f + (height - 0.45f) / 2}, {length / 2, width / 2, (height - 0.45f) / 2});
    mesh.tube({length / 2, 0.4f, 0.5f}, {length / 2 + 1.2f, 0, 0.45f}, 0.05f, 0.05f, 6);
    mesh.tube({length / 2, -0.4f, 0.5f}, {length / 2 + 1.2f, 0, 0.45f}, 0.05f, 0.05f, 6);
    mesh.part({id.raw, id.instance, Material::car_glass, 0.1f, 0});
    for (const float side : {-1.0f, 1.0f}) mesh.box({0.4f, side * (width / 2 + 0.005f), 1.65f}, {0.6f, 0.01f, 0.3f});
    add_wheels(mesh, id, {-0.2f}, width / 2 - 0.05f, 0.33f, 0.2f);
    return {length + 1.2f, width};
  }
  if (draw < 0.75) {  // car trailer, open or with a cover
    const float length = between(rng, 2.2, 4.5), width = between(rng, 1.3, 2.0), wall = between(rng, 0.3, 1.3);
    mesh.box({0, 0, 0.5f}, {length / 2, width / 2, 0.05f});
    for (const float side : {-1.0f, 1.0f})
      mesh.box({0, side * width / 2, 0.5f + wall / 2}, {length / 2, 0.02f, wall / 2});
    for (const float end : {-1.0f, 1.0f})
      mesh.box({end * length / 2, 0, 0.5f + wall / 2}, {0.02f, width / 2, wall / 2});
    if (rng.chance(0.5)) mesh.box({0, 0, 0.5f + wall}, {length / 2, width / 2, 0.04f});
    mesh.tube({length / 2, 0, 0.5f}, {length / 2 + 1.1f, 0, 0.42f}, 0.05f, 0.05f, 6);
    add_wheels(mesh, id, {0.0f}, width / 2 + 0.1f, 0.3f, 0.17f);
    return {length + 1.1f, width};
  }
  // Tractor or digger.
  mesh.box({1.0f, 0, 1.15f}, {0.9f, 0.38f, 0.38f});
  mesh.box({-0.5f, 0, 1.1f}, {0.8f, 0.5f, 0.4f});
  mesh.box({-0.5f, 0, 2.6f}, {0.8f, 0.75f, 0.06f});
  for (const float x : {-1.2f, 0.2f})
    for (const float y : {-0.7f, 0.7f}) mesh.tube({x, y, 1.4f}, {x, y, 2.6f}, 0.05f, 0.05f, 5);
  if (rng.chance(0.5)) {
    mesh.tube({1.6f, 0, 1.2f}, {3.0f, 0, 2.6f}, 0.14f, 0.12f, 6);
    mesh.tube({3.0f, 0, 2.6f}, {3.7f, 0, 1.0f}, 0.12f, 0.1f, 6);
    mesh.box({3.7f, 0, 0.7f}, {0.3f, 0.4f, 0.3f});
  }
  mesh.part({id.raw, id.instance, Material::car_glass, 0.1f, 0});
  mesh.box({-0.5f, 0, 2.0f}, {0.7f, 0.7f, 0.5f});
  add_wheels(mesh, id, {-0.9f}, 0.95f, 0.8f, 0.45f);
  add_wheels(mesh, id, {1.3f}, 0.85f, 0.5f, 0.35f);
  return {4.2f, 2.0f};
}

}  // namespace rarefy::sim
