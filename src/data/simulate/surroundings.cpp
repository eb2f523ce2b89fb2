// What lines a street: houses, gardens, fences, hedges, fields, woods, noise barriers.
#include <algorithm>
#include <cmath>

#include "data/simulate/populate.h"

namespace rarefy::sim::detail {
namespace {

constexpr float kPi = 3.14159265f;

void plant_tree(Planter& p, float s, float d, float low, float high, bool trimmed = false) {
  Mesh& mesh = p.at(s, d, p.between(0, 6.28));
  if (!trimmed && p.chance(0.15))
    add_conifer(mesh, p.between(low, high), p.fresh());
  else
    add_tree(mesh, p.between(low, high), trimmed, p.fresh());
}

void plant_bushes(Planter& p, int count, float s0, float s1, float d0, float d1, float tall) {
  for (int k = 0; k < count; ++k) {
    const float h = p.between(0.4, tall);
    add_bush(p.at(p.between(s0, s1), p.between(std::min(d0, d1), std::max(d0, d1)), p.between(0, 6.28)), h,
             h * p.between(0.7, 1.5), p.fresh());
  }
}

enum Style : int { kHedge = 100, kGrass = 101 };
int boundary_style(Planter& p) {
  const double draw = p.rng.uniform();
  if (draw < 0.28) return kHedge;
  if (draw < 0.54) return static_cast<int>(FenceKind::wall);
  if (draw < 0.77) return static_cast<int>(FenceKind::pickets);
  if (draw < 0.88) return static_cast<int>(FenceKind::mesh);
  if (draw < 0.95) return static_cast<int>(FenceKind::boards);
  return static_cast<int>(FenceKind::rails);
}
float boundary_height(Planter& p, int style) {
  if (style == kHedge) return p.between(0.7, 2.4);
  if (style == static_cast<int>(FenceKind::boards)) return p.between(1.4, 2.0);
  return p.between(0.6, 1.6);
}

/// A fence or hedge across, from distance d0 to d1 at s.
void plant_divider(Planter& p, int side, float s, float d0, float d1, int style, float height) {
  const float sign = side == 0 ? 1.0f : -1.0f;
  for (float d = d0; d < d1 - 0.3f; d += 4) {
    const float length = std::min(4.0f, d1 - d);
    Mesh& mesh = p.at(s, sign * d, p.layout.across(side));
    if (style == kHedge)
      add_hedge(mesh, length, height, 0.7f, p.fresh());
    else
      add_fence(mesh, static_cast<FenceKind>(style), length, height, p.fresh());
  }
}

/// A paved area on the ground between s0..s1 and the distances d0..d1: drive, car park, island, tree pit.
void plant_patch(Planter& p, int side, float s0, float s1, float d0, float d1, std::uint16_t raw) {
  const Layout& l = p.layout;
  const float sign = side == 0 ? 1.0f : -1.0f, step = 1.0f;
  if (s1 - s0 < 0.3f || d1 - d0 < 0.3f) return;
  Mesh& mesh = p.out.mesh;
  mesh.place = Placement{};
  mesh.part({raw, 0, Material::matte, l.ground_rho(raw) * p.between(0.85, 1.15), 0});
  auto at = [&](float s, float d) { return l.at(s, sign * d) + Vec3{0, 0, 0.03f}; };
  for (float s = s0; s < s1; s += step)
    for (float d = d0; d < d1; d += step) {
      const float s2 = std::min(s + step, s1), d2 = std::min(d + step, d1);
      mesh.quad(at(s, d), at(s2, d), at(s2, d2), at(s, d2));
    }
}

void plant_car_park(Planter& p, int side, float s, float length) {
  const Layout& l = p.layout;
  const float sign = side == 0 ? 1.0f : -1.0f, near = l.walk_end[side], far = l.front[side] + p.between(10, 18);
  const double draw = p.rng.uniform();
  plant_patch(p, side, s, s + length, near, far, draw < 0.75 ? kParking : draw < 0.83 ? kOtherGround : kSidewalk);
  for (float d = near + 3; d < far - 3; d += 9.5f)
    for (float x = s + 1.4f; x < s + length - 1.4f; x += 2.6f)
      if (p.chance(0.5))
        add_car(p.at(x, sign * d, l.across(p.chance(0.5) ? 0 : 1) + static_cast<float>(p.rng.normal()) * 0.04f),
                {kCar, p.instance()}, p.fresh());
      else if (p.rare_chance(0.03))
        add_other_vehicle(p.at(x, sign * d, l.across(0)), {kOtherVehicle, p.instance()}, p.fresh());
}

/// Beds and shrubs over a part of an area that begins at the distance `from`.
void plant_cover(Planter& p, int side, float s, float length, float from, float depth) {
  if (length < 1 || depth < 0.4f) return;
  const float height = p.between(0.2, 0.9), share = p.between(0.65, 1.0);
  for (float x = s; x < s + length; x += 4) {
    const float run = std::min(4.0f, s + length - x);
    if (!p.layout.in_side_street(x + run / 2, run / 2 + 0.5f))
      add_ground_cover(p.facing(side, x, run, from), run, depth * share, height, p.fresh());
  }
}

/// Creepers on a wall that stands at `distance`.
void plant_ivy(Planter& p, int side, float s, float length, float distance) {
  const float wide = length * p.between(0.3, 0.95);
  Mesh& mesh = p.facing(side, s + p.between(0, length - wide), wide, distance - 0.15f);
  add_hedge(mesh, wide, p.between(1.5, 4.5), p.between(0.3, 0.6), p.fresh());
}

void plant_front_garden(Planter& p, int side, float s, float length, float setback) {
  const Layout& l = p.layout;
  const float sign = side == 0 ? 1.0f : -1.0f, edge = l.walk_end[side];
  const float depth = setback - edge;
  if (depth < 0.8f) return;
  const bool drive = depth > 3.5f && p.chance(0.35);
  const float gate = drive ? 3.0f : 1.1f, gate_at = s + (p.chance(0.5) ? 0.3f : length - gate - 0.3f);
  if (p.chance(0.95)) {
    const int style = boundary_style(p);
    const float height = boundary_height(p, style);
    plant_boundary(p, side, s, gate_at - s, edge + 0.15f, style, height);
    plant_boundary(p, side, gate_at + gate, s + length - gate_at - gate, edge + 0.15f, style, height);
    if (style != kHedge && p.chance(0.6))
      plant_boundary(p, side, s, length - gate, edge + 0.9f, kHedge, height * p.between(0.8, 1.5));
    if (p.chance(0.8)) plant_divider(p, side, s, edge + 0.2f, setback, style, height);
  }
  if (drive) {
    const double draw = p.rng.uniform();
    plant_patch(p, side, gate_at, gate_at + gate, edge, setback + 5,
                draw < 0.4    ? kParking
                : draw < 0.92 ? kSidewalk
                              : kOtherGround);
  }
  if (drive && depth > 4.5f && p.chance(0.65))
    add_car(p.at(gate_at + gate / 2, sign * (edge + 2.6f), p.layout.across(p.chance(0.5) ? 0 : 1)),
            {kCar, p.instance()}, p.fresh());
  const std::uint16_t raw = l.strip(sign * (edge + depth / 2)).raw;
  const bool green = raw == kTerrain;
  plant_bushes(p, static_cast<int>(p.rng.integer(green ? 6 : 2, green ? 16 : 6)), s, s + length, sign * (edge + 0.6f),
               sign * setback, 2.0f);
  if (depth > 1.6f && p.chance(green ? 0.9 : 0.3)) plant_cover(p, side, s, length - gate, edge + 0.4f, depth - 0.8f);
  if (depth > 2.5f)
    for (int k = 0; k < 3; ++k)
      if (p.chance(green ? 0.55 : 0.25))
        plant_tree(p, p.between(s + 1, s + length - 1), sign * (edge + depth * 0.5f), 0.05f, 0.7f);
  if (depth > 2.5f && p.chance(0.12))
    add_large_clutter(p.at(p.between(s + 1, s + length - 1), sign * (edge + depth * 0.6f), p.between(0, 3)), p.fresh());
  for (int k = 0; k < 2; ++k)
    if (p.chance(0.5))
      add_clutter(p.at(p.between(s, s + length), sign * (edge + depth * p.between(0.3, 0.9)), p.between(0, 3)),
                  p.fresh());
}

void plant_back_garden(Planter& p, int side, float s, float length, float from) {
  const float sign = side == 0 ? 1.0f : -1.0f;
  for (int k = 0, n = static_cast<int>(p.rng.integer(3, 8)); k < n; ++k)
    plant_tree(p, p.between(s, s + length), sign * (from + p.between(1, 20)), 0.3f, 1.0f);
  plant_bushes(p, static_cast<int>(p.rng.integer(4, 10)), s, s + length, sign * from, sign * (from + 12), 3.0f);
  if (p.chance(0.6))
    plant_boundary(p, side, s, length, from + p.between(4, 12), boundary_style(p), p.between(1.0, 2.0));
  if (p.chance(0.35)) {  // a house of the next street
    const House house{std::max(6.0f, length * p.between(0.6, 0.9)), p.between(7, 11),
                      static_cast<int>(p.rng.integer(1, 3)), false};
    p.house(side, s, from + p.between(14, 25), house);
  }
}

void plant_town_side(Planter& p, int side) {
  const Layout& l = p.layout;
  const bool urban = l.kind == StreetKind::urban;
  const float sign = side == 0 ? 1.0f : -1.0f;
  const bool rows = urban || l.alley ? p.chance(0.75) : p.chance(0.5);
  float s = l.s_begin + 2;
  while (s < l.s_end - 8) {
    const float length = rows ? p.between(6, 18) : p.between(10, 22);
    bool crossing = false;
    for (const SideStreet& street : l.side_streets) {
      const float keep = street.half_width + street.sidewalk + 0.3f;
      if (s + length > street.s - keep && s < street.s + keep) {
        if (s < street.s - keep - 5)
          plant_bushes(p, 3, s, street.s - keep, sign * (l.walk_end[side] + 0.8f), sign * (l.front[side] + 6), 2.2f);
        s = street.s + keep + 0.1f;
        crossing = true;
      }
    }
    if (crossing) continue;
    const float setback = l.front[side] + (rows ? 0.05f : p.between(0, 1.5));
    const bool built = p.chance(urban ? 0.88 : 0.87);
    if (built) {
      const float gap = rows ? (p.chance(0.15) ? 3.0f : 0.0f) : p.between(2.5, 6);
      const House house{length - gap, p.between(8, 12), static_cast<int>(p.rng.integer(urban ? 2 : 1, urban ? 5 : 3)),
                        rows};
      p.house(side, s + gap / 2, setback, house);
      if (p.chance(rows ? 0.08 : 0.18)) plant_ivy(p, side, s + gap / 2, house.length, setback);
      if (p.chance(0.05))
        add_scaffold(p.facing(side, s + gap / 2, house.length, setback), house.length, 6.1f, p.fresh());
      if (!rows && p.chance(0.4)) {  // garage or shed beside it, set back
        const House shed{std::max(2.4f, gap - 0.2f), p.between(4, 6), 1, false};
        p.house(side, s - gap / 2 + 0.1f, setback + p.between(1, 6), shed);
      }
      plant_front_garden(p, side, s, length, setback);
      plant_back_garden(p, side, s, length, setback + house.depth + 1);
    } else if (p.chance(urban ? 0.2 : 0.12)) {
      plant_car_park(p, side, s, length);
      plant_boundary(p, side, s, length, l.front[side] + 19, boundary_style(p), p.between(1.0, 2.2));
    } else {  // a green lot
      if (p.chance(0.7))
        plant_boundary(p, side, s, length, l.walk_end[side] + 0.2f, boundary_style(p), p.between(0.8, 2.0));
      plant_bushes(p, static_cast<int>(p.rng.integer(8, 20)), s, s + length, sign * (l.walk_end[side] + 1),
                   sign * (l.front[side] + 10), 3.2f);
      plant_cover(p, side, s, length, l.walk_end[side] + 0.5f, p.between(4, 12));
      if (p.chance(0.4))
        add_large_clutter(p.at(s + length / 2, sign * (l.front[side] + p.between(1, 6)), p.between(0, 3)), p.fresh());
      for (int k = 0; k < 5; ++k)
        plant_tree(p, p.between(s, s + length), sign * p.between(l.walk_end[side] + 1.5, l.front[side] + 14), 0.1f,
                   1.0f);
      plant_back_garden(p, side, s, length, l.front[side] + 10);
    }
    s += length;
  }
}

void plant_avenue(Planter& p, int side) {
  const Layout& l = p.layout;
  const float sign = side == 0 ? 1.0f : -1.0f;
  // Trees stand in the verge where there is one, else in holes of the pavement.
  const float verge = l.walk_begin[side] - l.half_width - l.parking[side];
  const bool beside_ego = side == 1 && l.walk_begin[side] - verge / 2 < std::abs(l.ego_lane) + 3.5f;
  if (verge > 0.5f && p.chance(beside_ego ? 0.1 : 0.4))  // planted verge
    for (float s = l.s_begin; s < l.s_end;) {
      const float length = p.between(4, 25);
      if (p.chance(0.5))
        plant_boundary(p, side, s, length, l.walk_begin[side] - verge / 2, p.chance(0.5) ? kHedge : kGrass,
                       p.between(0.4, 1.2));
      s += length;
    }
  if (verge > 0.9f && l.strip(sign * (l.walk_begin[side] - verge / 2)).raw == kTerrain && p.chance(0.92)) {
    // Not right beside the sensor.
    const float from = std::max(l.walk_begin[side] - verge + 0.3f, side == 1 ? 3.2f - l.ego_lane : 0.0f);
    for (float s = l.s_begin + p.between(0, 20); s < l.s_end; s += p.between(10, 30))
      plant_cover(p, side, s, p.between(8, 30), from, l.walk_begin[side] - 0.2f - from);
  }
  if (!p.chance(verge > 0.5f ? 0.6 : 0.3)) return;
  const float d = verge > 0.5f ? l.walk_begin[side] - verge / 2 : l.walk_begin[side] + 0.5f;
  const float size = p.between(0.05, 0.7), step = p.between(7, 16);
  for (float s = l.s_begin + p.between(1, step); s < l.s_end; s += step * p.between(0.9, 1.1))
    if (!l.in_side_street(s, 1)) {
      plant_tree(p, s, sign * d, size * 0.7f, size * 1.2f, true);
      if (verge <= 0.5f) plant_patch(p, side, s - 0.7f, s + 0.7f, d - 0.5f, d + 0.6f, kTerrain);
      if (verge > 0.5f && p.chance(0.35))
        add_bush(p.at(s + p.between(1, 3), sign * d), p.between(0.4, 1.0), verge * 0.7f, p.fresh());
    }
}

void plant_field(Planter& p, int side, float s, float length, float from) {
  const float height = p.between(0.25, 1.1);
  const Rng rng = p.fresh();  // one kind of plant
  for (float x = s; x < s + length; x += 5)
    for (float d = from; d < from + 30; d += 5)
      if (!p.layout.in_side_street(x + 2.5f, 3)) add_crop(p.facing(side, x, 5, d), 5, 5, height, rng);
}

void plant_wood(Planter& p, int side, float s, float length, float from) {
  const float sign = side == 0 ? 1.0f : -1.0f;
  for (int k = 0, n = static_cast<int>(length * 0.55f); k < n; ++k)
    plant_tree(p, p.between(s, s + length), sign * (from + 18 * p.between(0, 1) * p.between(0, 1) + 0.5f), 0.15f, 1.0f);
  plant_bushes(p, static_cast<int>(length * 1.3f), s, s + length, sign * from, sign * (from + 6), 3.2f);
}

}  // namespace

void plant_boundary(Planter& p, int side, float s, float length, float distance, int style, float height) {
  const float piece = 4.0f;
  for (float from = s; from < s + length - 0.3f; from += piece) {
    const float run = std::min(piece, s + length - from);
    if (p.layout.in_side_street(from + run / 2, run / 2)) continue;
    Mesh& mesh = p.facing(side, from, run, distance);
    // One stream of numbers per boundary would make all pieces alike; per piece they differ a little, as plants do.
    if (style == kHedge)
      add_hedge(mesh, run, height, p.between(0.5, 1.1), p.fresh());
    else if (style == kGrass)
      add_tall_grass(mesh, run, height, p.between(0.8, p.layout.kind == StreetKind::country ? 3.0 : 1.6), p.fresh());
    else
      add_fence(mesh, static_cast<FenceKind>(style), run, height,
                Rng(static_cast<std::uint64_t>(style) + static_cast<std::uint64_t>(height * 1e4f)));
  }
}

void plant_background(Planter& p) {
  const Layout& l = p.layout;
  for (int side = 0; side < 2; ++side) {
    const float sign = side == 0 ? 1.0f : -1.0f, from = l.front[side] + 9;
    for (float s = l.s_begin; s < l.s_end;) {
      const float length = p.between(10, 40);
      const double draw = p.rng.uniform();
      const float d = p.between(from, Layout::kExtent - 20);
      if (draw < 0.5) {  // a row or group of tall trees
        for (float x = s; x < s + length; x += p.between(2, 6))
          if (!l.in_side_street(x, 1)) plant_tree(p, x, sign * (d + p.between(-4, 4)), 0.5f, 1.0f);
        plant_bushes(p, static_cast<int>(length * 0.4f), s, s + length, sign * (d - 3), sign * (d + 5), 3.5f);
      } else if (draw < (l.kind == StreetKind::highway ? 0.55 : 0.75) && !l.in_side_street(s + 6, 7)) {
        const House house{p.between(9, 16), p.between(8, 14), static_cast<int>(p.rng.integer(2, 5)), false};
        p.house(side, s, d + 6, house);
      }
      s += length * 0.7f;
    }
  }
}

void plant_town(Planter& p) {
  for (int side = 0; side < 2; ++side) {
    plant_town_side(p, side);
    plant_avenue(p, side);
  }
}

void plant_country(Planter& p) {
  const Layout& l = p.layout;
  for (int side = 0; side < 2; ++side) {
    const float sign = side == 0 ? 1.0f : -1.0f, edge = l.walk_end[side] + p.between(0.4, 2.0);
    const bool poles = p.chance(0.3);
    for (float s = l.s_begin + p.between(0, 40); s < l.s_end; s += p.between(30, 120))
      if (!l.in_side_street(s, 2))
        add_large_clutter(p.at(s, sign * (edge + p.between(1.2, 7)), p.between(0, 3)), p.fresh());
    for (float s = l.s_begin; s < l.s_end; s += 40)
      if (p.chance(0.75)) plant_field(p, side, s, 40, edge + p.between(1.5, 6));
    for (float s = l.s_begin; s < l.s_end; s += 25)  // fallow land
      if (p.chance(0.6)) plant_cover(p, side, s, 25, edge + p.between(0.5, 4), p.between(3, 9));
    for (float s = l.s_begin; s < l.s_end; s += 12) {  // unmown strips
      if (p.chance(0.8)) plant_boundary(p, side, s, 12, edge + p.between(0.6, 2.5), kGrass, p.between(0.3, 1.0));
      if (p.chance(0.85)) plant_boundary(p, side, s, 12, edge + p.between(1.5, 6.0), kGrass, p.between(0.4, 1.4));
    }
    for (float s = l.s_begin; s < l.s_end;) {
      const float length = p.between(12, 45);
      const double draw = p.rng.uniform();
      if (draw < 0.34) {
        plant_wood(p, side, s, length, edge + p.between(0.5, 4));
        if (p.chance(0.5)) add_large_clutter(p.at(s + length / 2, sign * (edge + 1.5f), p.between(0, 3)), p.fresh());
      } else if (draw < 0.47) {
        plant_boundary(p, side, s, length, edge + p.between(0.3, 2.5), kHedge, p.between(0.9, 2.6));
        if (p.chance(0.5)) plant_tree(p, s + length / 2, sign * (edge + 4), 0.2f, 1.0f);
      } else if (draw < 0.60) {
        plant_boundary(p, side, s, length, edge + p.between(0.5, 3),
                       p.chance(0.5) ? static_cast<int>(FenceKind::rails) : static_cast<int>(FenceKind::mesh),
                       p.between(1.0, 1.6));
        plant_bushes(p, static_cast<int>(length * 0.3f), s, s + length, sign * edge, sign * (edge + 6), 2.0f);
      } else if (draw < 0.72) {
        plant_boundary(p, side, s, length, edge, static_cast<int>(FenceKind::guard_rail), 0.75f);
        plant_wood(p, side, s, length, edge + p.between(2, 8));
      } else if (draw < 0.80) {
        plant_bushes(p, static_cast<int>(length * 0.8f), s, s + length, sign * edge, sign * (edge + 7), 2.8f);
        for (int k = 0; k < 2; ++k)
          plant_tree(p, p.between(s, s + length), sign * (edge + p.between(1, 10)), 0.2f, 1.0f);
      } else if (!l.in_side_street(s + length / 2, length / 2)) {
        const House house{std::min(length - 2, p.between(8, 14)), p.between(8, 11),
                          static_cast<int>(p.rng.integer(1, 3)), false};
        const float setback = l.front[side] + p.between(1, 6);
        p.house(side, s + 1, setback, house);
        plant_front_garden(p, side, s, length, setback);
        plant_back_garden(p, side, s, length, setback + house.depth);
      }
      s += length;
    }
    for (float s = l.s_begin + 10; s < l.s_end; s += 35) {
      if (poles) add_utility_pole(p.at(s, sign * (edge + 0.8f)), p.fresh());
      if (p.rare_chance(0.3))
        add_traffic_sign(p.at(s + 8, sign * (l.half_width + 0.8f), side == 0 ? kPi : 0), p.fresh());
      if (p.chance(0.25)) add_bollard(p.at(s + 15, sign * (l.half_width + 0.6f)), p.fresh());
    }
  }
}

void plant_highway(Planter& p) {
  const Layout& l = p.layout;
  for (float s = l.s_begin + p.between(0, 160); s < l.s_end; s += p.between(150, 600))
    add_bridge(p.at(s, 0, p.between(-0.2, 0.2)), l.half_width, p.between(4.6, 5.4), p.fresh());
  for (int side = 0; side < 2; ++side) {
    const float sign = side == 0 ? 1.0f : -1.0f, edge = l.half_width + 0.6f;
    const float all = l.s_end - l.s_begin;
    plant_boundary(p, side, l.s_begin, all, std::max(0.3f, l.median - 0.2f), static_cast<int>(FenceKind::guard_rail),
                   0.75f);
    if (p.chance(0.6)) plant_boundary(p, side, l.s_begin, all, edge, static_cast<int>(FenceKind::guard_rail), 0.75f);
    for (float s = l.s_begin; s < l.s_end;) {
      const float length = p.between(20, 70);
      const double draw = p.rng.uniform();
      if (draw < 0.3) {
        plant_boundary(p, side, s, length, edge + p.between(2, 5), static_cast<int>(FenceKind::wall),
                       p.between(2.2, 4.5));
      } else if (draw < 0.65) {
        plant_bushes(p, static_cast<int>(length * 0.8f), s, s + length, sign * (edge + 1.5f), sign * (edge + 10), 2.8f);
        for (int k = 0; k < 4; ++k)
          plant_tree(p, p.between(s, s + length), sign * (edge + p.between(4, 14)), 0.2f, 1.0f);
      } else if (draw < 0.85) {
        plant_wood(p, side, s, length, edge + p.between(3, 9));
      }
      s += length;
    }
    for (float s = l.s_begin + p.between(5, 60); s < l.s_end; s += p.between(60, 200)) {
      const bool gantry = side == 1 && p.chance(0.12);
      if (gantry)
        add_large_sign(p.at(s, -edge), l.half_width + 1, p.fresh());
      else
        add_large_sign(p.at(s, sign * (edge + 0.6f), side == 0 ? kPi : 0), 0, p.fresh());
    }
    for (float s = l.s_begin + 5; s < l.s_end; s += 50) add_bollard(p.at(s, sign * (edge - 0.2f)), p.fresh());
    for (float s = l.s_begin + p.between(0, 60); s < l.s_end; s += p.between(30, 90))
      add_clutter(p.at(s, sign * (edge + p.between(0.5, 2)), p.between(-0.2, 0.2)), p.fresh());
    if (p.chance(0.4))
      for (float s = l.s_begin + 15; s < l.s_end; s += 40)
        add_lamp(p.at(s, sign * (edge + 0.5f), side == 0 ? kPi : 0), p.fresh());
  }
}

void plant_road_works(Planter& p) {
  const Layout& l = p.layout;
  if (l.kind == StreetKind::highway || l.kind == StreetKind::country) return;
  const bool urban = l.kind == StreetKind::urban;
  const float width = l.lane_width / 2 - 1.05f;  // what vehicles leave free around the centre line
  if (l.lanes == 1 && width > 0.3f && p.chance(urban ? 0.35 : 0.12))
    for (float s = l.s_begin + p.between(0, 60); s < l.s_end - 12; s += p.between(40, 120)) {
      const float length = p.between(2, 10);
      if (l.in_side_street(s + length / 2, length / 2 + 1)) continue;
      add_island(p.at(s, 0), length, width, l.ground_rho(kOtherGround), p.fresh());
      for (const float x : {0.1f, length - 0.1f})
        if (p.rare_chance(0.5)) add_traffic_sign(p.at(s + x, 0, x < 1 ? 0 : kPi), p.fresh());
    }
  for (int side = 0; side < 2; ++side)
    for (float s = l.s_begin + p.between(0, 80); s < l.s_end; s += p.between(60, 200)) {
      const float d = l.walk_end[side] - 0.9f, sign = side == 0 ? 1.0f : -1.0f;
      if (d - l.walk_begin[side] > 0.6f && !l.in_side_street(s, 2))
        add_large_clutter(p.at(s, sign * d, p.between(-0.1, 0.1)), p.fresh());
    }
}

void plant_side_streets(Planter& p) {
  const Layout& l = p.layout;
  if (l.kind == StreetKind::country) return;
  for (const SideStreet& street : l.side_streets)
    for (int side = 0; side < 2; ++side) {
      const float sign = side == 0 ? 1.0f : -1.0f, start = l.front[side] + 15;
      for (const float bank : {-1.0f, 1.0f}) {
        const float keep = street.half_width + street.sidewalk;
        for (float d = start; d < Layout::kExtent - 15; d += p.between(13, 20)) {
          if (p.chance(0.8))
            plant_divider(p, side, street.s + bank * (keep + 0.3f), d, d + 9, boundary_style(p), p.between(0.8, 1.8));
          if (p.chance(0.7))
            plant_bushes(p, 4, street.s + bank * (keep + 0.6f), street.s + bank * (keep + 4), sign * d, sign * (d + 10),
                         2.5f);
          if (p.chance(0.6)) plant_tree(p, street.s + bank * (keep + 1.2f), sign * (d + 4), 0.1f, 0.7f);
        }
        for (float d = l.front[side] + 1; d < 40; d += p.between(5.5, 12))
          if (p.chance(0.15))
            add_car(
                p.at(street.s + bank * (street.half_width - 0.95f), sign * d, p.layout.across(p.chance(0.5) ? 0 : 1)),
                {kCar, p.instance()}, p.fresh());
        if (p.rare_chance(0.25))
          add_traffic_sign(
              p.at(street.s + bank * (keep - 0.4f), sign * (l.half_width + l.parking[side] + 0.9f), p.between(0, 6.28)),
              p.fresh());
        if (l.kind == StreetKind::urban && p.chance(0.3))
          add_traffic_light(
              p.at(street.s + bank * (street.half_width + 0.5f), sign * (l.half_width + 0.7f), p.between(0, 6.28)),
              p.fresh());
      }
    }
}

}  // namespace rarefy::sim::detail
