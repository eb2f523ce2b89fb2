#include <algorithm>
#include <cmath>

#include "data/simulate/objects.h"

namespace rarefy::sim {
namespace {

float between(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }

/// How the openings of a facade are cut.
struct Facade {
  float bay = 2.6f, window_width = 1.2f, window_height = 1.35f, sill = 0.95f, recess = 0.15f;
  float floor_height = 2.9f, plinth = 0.3f;
  bool shop = false;  ///< ground floor of large panes
  Part wall, glass, trim;
};

struct Rect {
  float x0, x1, z0, z1;
};

/// A wall through a -> b (height z0..z1) in which holes are left; `inward` points into the house.
class Wall {
 public:
  Wall(Mesh& mesh, Vec3 a, Vec3 b, Vec3 inward) : mesh_(mesh), a_(a), along_(normalized(b - a)), inward_(inward) {}
  Vec3 at(float x, float z, float deep = 0) const { return a_ + along_ * x + Vec3{0, 0, z} + inward_ * deep; }
  void face(Rect r, float deep = 0) {
    if (r.x1 - r.x0 < 1e-3f || r.z1 - r.z0 < 1e-3f) return;
    mesh_.quad(at(r.x0, r.z0, deep), at(r.x1, r.z0, deep), at(r.x1, r.z1, deep), at(r.x0, r.z1, deep));
  }
  /// The wall around `hole` inside `cell`, and the four reveals.
  void frame(Rect cell, Rect hole, float recess) {
    face({cell.x0, hole.x0, cell.z0, cell.z1});
    face({hole.x1, cell.x1, cell.z0, cell.z1});
    face({hole.x0, hole.x1, cell.z0, hole.z0});
    face({hole.x0, hole.x1, hole.z1, cell.z1});
    mesh_.quad(at(hole.x0, hole.z0), at(hole.x0, hole.z1), at(hole.x0, hole.z1, recess), at(hole.x0, hole.z0, recess));
    mesh_.quad(at(hole.x1, hole.z0), at(hole.x1, hole.z1), at(hole.x1, hole.z1, recess), at(hole.x1, hole.z0, recess));
    mesh_.quad(at(hole.x0, hole.z0), at(hole.x1, hole.z0), at(hole.x1, hole.z0, recess), at(hole.x0, hole.z0, recess));
    mesh_.quad(at(hole.x0, hole.z1), at(hole.x1, hole.z1), at(hole.x1, hole.z1, recess), at(hole.x0, hole.z1, recess));
  }

 private:
  Mesh& mesh_;
  Vec3 a_, along_, inward_;
};

enum class Opening : std::uint8_t { none, window, door, shop, gate };

Rect hole_of(const Facade& f, Opening kind, float middle, float width, float z) {
  switch (kind) {
    case Opening::door:
      return {middle - 0.5f, middle + 0.5f, z + 0.05f, z + 2.15f};
    case Opening::shop:
      return {middle - width * 0.44f, middle + width * 0.44f, z + 0.35f, z + 2.6f};
    case Opening::gate:
      return {middle - std::min(1.25f, width * 0.45f), middle + std::min(1.25f, width * 0.45f), z + 0.02f, z + 2.2f};
    default:
      return {middle - f.window_width / 2, middle + f.window_width / 2, z + f.sill, z + f.sill + f.window_height};
  }
}

void add_facade(Mesh& mesh, const Facade& f, Vec3 a, Vec3 b, Vec3 inward, int floors, float height, bool front,
                Rng& rng) {
  const float length = norm(b - a);
  const int bays = std::max(1, static_cast<int>(length / f.bay));
  const float width = length / static_cast<float>(bays);
  Wall wall(mesh, a, b, inward);
  struct Pane {
    Rect rect;
    float deep;
    Opening kind;
  };
  std::vector<Pane> panes;
  const int entrance = front ? static_cast<int>(rng.integer(0, bays - 1)) : -1;
  mesh.part(f.wall);
  wall.face({0, length, -1.2f, 0});
  // Beams of this sensor meet at most two floors; what lies above is a plain wall.
  const int detailed = std::min(floors, 2);
  for (int floor = 0; floor < detailed; ++floor)
    for (int k = 0; k < bays; ++k) {
      const Rect cell{static_cast<float>(k) * width, static_cast<float>(k + 1) * width,
                      static_cast<float>(floor) * f.floor_height, static_cast<float>(floor + 1) * f.floor_height};
      const float middle = (cell.x0 + cell.x1) / 2;
      Opening kind = rng.chance(front ? 0.85 : 0.45) && width > f.window_width + 0.3f ? Opening::window : Opening::none;
      if (floor == 0 && k == entrance)
        kind = Opening::door;
      else if (floor == 0 && f.shop && front)
        kind = Opening::shop;
      else if (floor == 0 && front && rng.chance(0.08))
        kind = Opening::gate;
      if (kind == Opening::none || width < 1.2f) {
        wall.face(cell);
        continue;
      }
      const Rect hole = hole_of(f, kind, middle, width, cell.z0);
      wall.frame(cell, hole, f.recess);
      panes.push_back({hole, f.recess, kind});
    }
  wall.face({0, length, static_cast<float>(detailed) * f.floor_height, height});
  mesh.part(f.trim);
  for (const Pane& pane : panes)
    if (pane.kind == Opening::door || pane.kind == Opening::gate || rng.chance(0.15))
      wall.face(pane.rect, pane.deep);  // shutters too
  mesh.part(f.glass);
  for (const Pane& pane : panes)
    if (pane.kind == Opening::window || pane.kind == Opening::shop) wall.face(pane.rect, pane.deep);
}

/// Steps, canopies, balconies, bays, downpipes: what makes a front uneven.
void add_front_details(Mesh& mesh, const House& house, const Facade& f, float height, Rng& rng) {
  mesh.part(f.wall);
  if (rng.chance(0.45)) {  // bay or porch
    const float w = between(rng, 1.2, 3.0), d = between(rng, 0.4, 1.6),
                x = between(rng, w, std::max(w + 0.1f, house.length - w));
    const float h = rng.chance(0.5) ? 2.6f : height;
    mesh.box({x, -d / 2, h / 2 - 0.2f}, {w / 2, d / 2, h / 2 + 0.2f});
  }
  if (rng.chance(0.5)) {  // steps
    const float x = between(rng, 1, house.length - 1);
    for (int k = 0; k < 3; ++k)
      mesh.box({x, -0.25f - 0.28f * static_cast<float>(k), 0.22f - 0.14f * static_cast<float>(k)},
               {0.8f, 0.25f, 0.08f});
  }
  if (house.floors > 1 && rng.chance(0.5)) {  // balconies
    const int count = static_cast<int>(rng.integer(1, 3));
    for (int k = 0; k < count; ++k) {
      const float x = house.length * (static_cast<float>(k) + 0.5f) / static_cast<float>(count),
                  w = between(rng, 1.0, 1.6);
      mesh.box({x, -0.6f, f.floor_height}, {w, 0.6f, 0.09f});
      for (float rail = -w; rail <= w; rail += 0.14f)
        mesh.box({x + rail, -1.18f, f.floor_height + 0.5f}, {0.012f, 0.012f, 0.45f});
      mesh.box({x, -1.18f, f.floor_height + 0.98f}, {w, 0.03f, 0.03f});
    }
  }
  for (const float x : {0.1f, house.length - 0.1f})
    if (rng.chance(0.5)) mesh.tube({x, -0.08f, 0}, {x, -0.08f, height}, 0.05f, 0.05f, 6);
  if (f.shop && rng.chance(0.6))
    mesh.box({house.length / 2, -0.6f, 2.75f}, {house.length * 0.45f, 0.6f, 0.05f});  // awning
}

void add_roof(Mesh& mesh, const House& house, float height, Rng& rng) {
  const float over = 0.35f, rise = house.depth * between(rng, 0.25, 0.45);
  const float x0 = -over, x1 = house.length + over, y0 = -over, y1 = house.depth + over, mid = house.depth / 2;
  if (rng.chance(house.attached ? 0.4 : 0.12)) {  // flat, with a rim
    mesh.quad({0, 0, height}, {house.length, 0, height}, {house.length, house.depth, height}, {0, house.depth, height});
    return;
  }
  mesh.quad({x0, y0, height - 0.15f}, {x1, y0, height - 0.15f}, {x1, mid, height + rise}, {x0, mid, height + rise});
  mesh.quad({x0, y1, height - 0.15f}, {x1, y1, height - 0.15f}, {x1, mid, height + rise}, {x0, mid, height + rise});
  for (const float x : {0.0f, house.length})
    mesh.triangle({x, 0, height}, {x, house.depth, height}, {x, mid, height + rise});
}

void add_plain_house(Mesh& mesh, const House& house, Rng& rng) {
  const float height = static_cast<float>(house.floors) * 3 + 0.5f;
  mesh.part({kBuilding, 0, Material::matte, between(rng, 0.20, 0.50), 0});
  mesh.box({house.length / 2, house.depth / 2, height / 2 - 0.6f},
           {house.length / 2, house.depth / 2, height / 2 + 0.6f});
}

}  // namespace

void add_house(Mesh& mesh, const House& house, Rng rng) {
  if (house.plain) return add_plain_house(mesh, house, rng);
  Facade f;
  f.bay = between(rng, 2.0, 3.6);
  f.window_width = std::min(f.bay - 0.6f, between(rng, 0.8, 1.7));
  f.window_height = between(rng, 1.1, 1.7);
  f.sill = between(rng, 0.6, 1.2);
  f.recess = between(rng, 0.06, 0.28);
  f.floor_height = between(rng, 2.7, 3.3);
  f.shop = house.attached && rng.chance(0.3);
  const float rho = between(rng, 0.20, 0.50);
  f.wall = {kBuilding, 0, Material::matte, rho, 0};
  f.trim = {kBuilding, 0, Material::matte, between(rng, 0.1, 0.45), 0};
  f.glass = {kBuilding, 0, Material::window, 0.16f, 0};
  const float height = static_cast<float>(house.floors) * f.floor_height + between(rng, 0, 0.6);
  const float w = house.length, d = house.depth;
  add_facade(mesh, f, {0, 0, 0}, {w, 0, 0}, {0, 1, 0}, house.floors, height, true, rng);
  add_facade(mesh, f, {0, d, 0}, {w, d, 0}, {0, -1, 0}, house.floors, height, false, rng);
  add_facade(mesh, f, {0, 0, 0}, {0, d, 0}, {1, 0, 0}, house.floors, height, false, rng);
  add_facade(mesh, f, {w, 0, 0}, {w, d, 0}, {-1, 0, 0}, house.floors, height, false, rng);
  add_front_details(mesh, house, f, height, rng);
  mesh.part({kBuilding, 0, Material::matte, between(rng, 0.1, 0.35), 0});
  add_roof(mesh, house, height, rng);
}

void add_fence(Mesh& mesh, FenceKind kind, float length, float height, Rng rng) {
  Part part{kFence, 0, Material::matte, between(rng, 0.22, 0.42), 0};
  if (kind == FenceKind::mesh) part.material = Material::mesh;
  mesh.part(part);
  auto posts = [&](float step, float half) {
    for (float x = half; x < length; x += step) mesh.box({x, 0, height / 2 - 0.1f}, {half, half, height / 2 + 0.12f});
  };
  switch (kind) {
    case FenceKind::wall: {
      const float thick = between(rng, 0.08, 0.18);
      mesh.box({length / 2, 0, height / 2 - 0.3f}, {length / 2, thick, height / 2 + 0.3f});
      if (rng.chance(0.5)) mesh.box({length / 2, 0, height}, {length / 2, thick + 0.04f, 0.04f});
      if (rng.chance(0.4)) posts(between(rng, 2.0, 4.0), thick + 0.05f);
      break;
    }
    case FenceKind::pickets: {
      const float step = between(rng, 0.09, 0.16), half = step * between(rng, 0.2, 0.38);
      const bool plinth = rng.chance(0.35);
      const float foot = plinth ? between(rng, 0.2, 0.5) : 0.05f;
      if (plinth) mesh.box({length / 2, 0, foot / 2 - 0.2f}, {length / 2, 0.1f, foot / 2 + 0.2f});
      for (float x = half; x < length; x += step)
        mesh.box({x, 0, (foot + height) / 2}, {half, 0.012f, (height - foot) / 2});
      for (const float z : {foot + 0.12f, height - 0.15f}) mesh.box({length / 2, 0.02f, z}, {length / 2, 0.02f, 0.04f});
      posts(between(rng, 1.8, 2.6), 0.05f);
      break;
    }
    case FenceKind::mesh:
      posts(between(rng, 2.0, 3.0), 0.03f);
      mesh.box({length / 2, 0, height}, {length / 2, 0.018f, 0.018f});
      part.porosity = between(rng, 0.45, 0.85);
      mesh.part(part);
      mesh.quad({0, 0, 0}, {length, 0, 0}, {length, 0, height}, {0, 0, height});
      break;
    case FenceKind::rails:
      posts(between(rng, 1.8, 3.0), 0.05f);
      for (float z = 0.4f; z < height; z += between(rng, 0.3, 0.5))
        mesh.box({length / 2, 0, z}, {length / 2, 0.02f, 0.05f});
      break;
    case FenceKind::boards:
      for (float x = 0; x < length; x += 1.8f) {
        const float panel = std::min(1.74f, length - x);
        mesh.box({x + panel / 2, 0, height / 2 - 0.05f + between(rng, -0.03, 0.03)},
                 {panel / 2, 0.02f, height / 2 - 0.05f});
      }
      posts(1.8f, 0.05f);
      break;
    case FenceKind::guard_rail:
      for (float x = 0.5f; x < length; x += 2.0f) mesh.box({x, 0.05f, 0.33f}, {0.03f, 0.05f, 0.45f});
      for (const float z : {0.55f, 0.70f}) {
        mesh.quad({0, -0.05f, z - 0.05f}, {length, -0.05f, z - 0.05f}, {length, -0.09f, z}, {0, -0.09f, z});
        mesh.quad({0, -0.05f, z + 0.05f}, {length, -0.05f, z + 0.05f}, {length, -0.09f, z}, {0, -0.09f, z});
      }
      mesh.quad({0, -0.05f, 0.6f}, {length, -0.05f, 0.6f}, {length, -0.05f, 0.65f}, {0, -0.05f, 0.65f});
      break;
  }
}

}  // namespace rarefy::sim
