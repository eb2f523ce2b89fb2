#include "data/simulate/populate.h"

#include <algorithm>
#include <cmath>

namespace rarefy::sim {
namespace detail {
namespace {
constexpr float kPi = 3.14159265f;

Mover make(Planter& p, Mover::Type type, float s, float d, float vs, float vd = 0) {
  return {type, s, d, vs, vd, p.instance(), p.rng.bits()};
}

Mover::Type vehicle_type(Planter& p, double trucks) {
  if (p.rare_chance(trucks)) return Mover::Type::truck;
  if (p.rare_chance(0.015)) return Mover::Type::bus;
  if (p.rare_chance(0.012)) return Mover::Type::other;
  if (p.rare_chance(0.03)) return Mover::Type::motorcyclist;
  return Mover::Type::car;
}

}  // namespace

void plant_traffic(Planter& p) {
  const Layout& l = p.layout;
  const bool highway = l.kind == StreetKind::highway,
             town = l.kind == StreetKind::urban || l.kind == StreetKind::residential;
  const float gap_low = highway ? 14
                        : town  ? 9
                                : 15,
              gap_high = highway ? 70
                         : town  ? (l.kind == StreetKind::urban ? 50.0f : 130.0f)
                                 : 150;
  for (int direction = 0; direction < 2; ++direction)
    for (int lane = 0; lane < l.lanes; ++lane) {
      const float offset = (l.median > 0 ? l.median + 0.6f : 0) + (static_cast<float>(lane) + 0.5f) * l.lane_width;
      if (l.alley && direction == 1) continue;  // too narrow to meet
      const float d = l.alley ? l.ego_lane : direction == 0 ? -offset : offset;
      const bool own = std::abs(d - l.ego_lane) < 0.5f;
      // One speed per lane, so that nobody runs into anybody.
      const float speed = own ? l.ego_speed : l.ego_speed * p.between(0.75, 1.2);
      const float vs = direction == 0 ? speed : -speed;
      // Oncoming vehicles come from where the ego vehicle will have driven to.
      for (float s = l.s_begin + p.between(0, gap_high); s < l.s_end + (direction == 0 ? 0 : speed * 10);
           s += p.between(gap_low, gap_high)) {
        if (own && std::abs(s) < 14) continue;
        const Mover::Type type = vehicle_type(p, highway ? 0.2 : 0.02);
        const bool wide = type == Mover::Type::truck || type == Mover::Type::bus || type == Mover::Type::other;
        p.out.movers.push_back(make(p, wide && l.lane_width < 2.8f ? Mover::Type::car : type, s, d, vs));
        s += 8;
      }
    }
  if (highway) return;
  // Riders at the edge of the carriageway, people on the pavements.
  const double town_factor = l.kind == StreetKind::urban ? 1.0 : town ? 0.45 : 0.12;
  const float length = l.s_end - l.s_begin;
  auto count = [&](double per_100_m) {
    const double mean = per_100_m * town_factor * p.rare * length / 100;
    return static_cast<int>(mean + p.rng.uniform());
  };
  for (int k = count(0.25); k > 0; --k) {
    const bool right = p.chance(0.5);
    const float speed = p.between(3, 7), d = l.half_width - p.between(0.4, 0.8);
    p.out.movers.push_back(
        make(p, Mover::Type::bicyclist, p.between(l.s_begin, l.s_end), right ? -d : d, right ? speed : -speed));
  }
  for (int side = 0; side < 2; ++side) {
    if (l.walk_end[side] - l.walk_begin[side] < 1) continue;
    for (int k = count(0.4); k > 0; --k) {
      const float d = p.between(l.walk_begin[side] + 0.4, l.walk_end[side] - 0.3);
      p.out.movers.push_back(make(p, Mover::Type::person, p.between(l.s_begin, l.s_end), side == 0 ? d : -d,
                                  p.between(0.8, 1.6) * (p.chance(0.5) ? 1.0f : -1.0f)));
    }
  }
  for (const SideStreet& street : l.side_streets) {
    if (p.chance(0.35 * town_factor)) {
      const float side = p.chance(0.5) ? 1.0f : -1.0f;
      const float lane = side * street.half_width * 0.5f;
      p.out.movers.push_back(make(p, vehicle_type(p, 0.02), street.s + lane, side * p.between(l.half_width + 2.5, 40),
                                  0, p.chance(0.6) ? 0 : side * p.between(3, 8)));
    }
    if (p.rare_chance(0.15 * town_factor))
      p.out.movers.push_back(make(p, Mover::Type::person, street.s - street.half_width - 0.9f,
                                  p.between(-l.half_width, l.half_width), 0, p.between(0.8, 1.5)));
  }
}

void plant_parked(Planter& p) {
  const Layout& l = p.layout;
  if (l.kind == StreetKind::highway) return;
  for (int side = 0; side < 2; ++side) {
    const float sign = side == 0 ? 1.0f : -1.0f;
    if (l.kind == StreetKind::country && p.chance(0.75)) continue;
    const bool strip = l.parking[side] > 0;
    const bool row = l.parking[side] > 3.5f;
    // Without a strip, cars stand at the edge or half on the pavement, where they leave room to pass.
    const float d = strip ? l.half_width + l.parking[side] / 2 : l.half_width + p.between(-1.0, 1.1);
    // Room for the ego vehicle on its side, for what comes towards it on the other.
    const float room = d - (side == 1 ? -l.ego_lane : l.half_width - l.lane_width / 2);
    if (!strip && (l.alley || room < 2.0f || p.chance(0.3))) continue;
    const double density = strip ? p.between(0.35, 0.98) : p.between(0.1, 0.6);
    const float oblique = row ? p.between(0.7, 1.571) : 0;
    for (float s = l.s_begin; s < l.s_end;) {
      const float slot = row ? 2.6f / std::max(0.7f, std::sin(oblique)) : p.between(5.4, 6.6);
      if (l.in_side_street(s + slot / 2, 4) || !p.chance(density)) {
        s += slot;
        continue;
      }
      const float yaw = row ? sign * (oblique + (p.chance(0.4) ? kPi : 0)) + static_cast<float>(p.rng.normal()) * 0.03f
                            : (side == 0 && p.chance(0.8) ? kPi : 0) + static_cast<float>(p.rng.normal()) * 0.03f;
      Mesh& mesh = p.at(s + slot / 2, sign * (d + static_cast<float>(p.rng.normal()) * 0.08f), yaw);
      float used = 0;
      if (!row && l.lane_width > 2.8f && p.rare_chance(0.012))
        used = add_truck(mesh, {kTruck, p.instance()}, p.fresh()).length;
      else if (p.rare_chance(0.012))
        used = add_other_vehicle(mesh, {kOtherVehicle, p.instance()}, p.fresh()).length;
      else if (p.rare_chance(0.02))
        add_motorcycle(mesh, {kMotorcycle, p.instance()}, p.fresh());
      else
        add_car(mesh, {kCar, p.instance()}, p.fresh());
      s += std::max(slot, used * 1.2f);
    }
  }
}

void plant_pavement(Planter& p) {
  const Layout& l = p.layout;
  const double urban = l.kind == StreetKind::urban ? 1.0 : 0.4;
  for (int side = 0; side < 2; ++side) {
    const float sign = side == 0 ? 1.0f : -1.0f, kerb = l.walk_begin[side], wall = l.walk_end[side];
    const float face = side == 0 ? kPi : 0;
    if (wall - kerb < 1) continue;
    for (float s = l.s_begin + p.between(0, 25); s < l.s_end; s += p.between(35, 85)) {
      if (!l.in_side_street(s, 0)) {
        if (p.chance(0.75))
          add_lamp(p.at(s, sign * (p.chance(0.7) ? kerb + 0.35f : wall - 0.25f), side == 0 ? kPi : 0), p.fresh());
        else
          add_utility_pole(p.at(s, sign * (wall - 0.2f)), p.fresh());
      }
      const float q = s + p.between(3, 12);
      if (p.rare_chance(0.25) && !l.in_side_street(q, 0))
        add_traffic_sign(p.at(q, sign * (kerb + 0.4f), face + p.between(-0.3, 0.3)), p.fresh());
      for (int k = 0; k < 4; ++k)
        if (p.chance(0.4 * urban + 0.45))
          add_clutter(
              p.at(q + p.between(0, 12), sign * (p.chance(0.7) ? wall - 0.4f : kerb + 0.5f), p.between(-0.2, 0.2)),
              p.fresh());
    }
    for (float s = l.s_begin; s < l.s_end; s += 10) {
      const float q = s + p.between(0, 10);
      if (l.in_side_street(q, 0)) continue;
      if (p.rare_chance(0.06 * urban))
        for (int k = 0, n = static_cast<int>(p.rng.integer(1, 4)); k < n; ++k)
          add_bicycle(p.at(q + 0.6f * static_cast<float>(k), sign * (p.chance(0.6) ? wall - 0.5f : kerb + 0.6f),
                           p.between(1.2, 1.9)),
                      {kBicycle, p.instance()}, p.fresh());
      if (p.rare_chance(0.05 * urban))
        add_motorcycle(p.at(q, sign * (kerb + 0.7f), p.between(0.5, 2.5)), {kMotorcycle, p.instance()}, p.fresh());
      if (p.rare_chance(0.05 * urban))
        add_person(p.at(q, sign * p.between(kerb + 0.4, wall - 0.3), p.between(0, 6.28)), {kPerson, p.instance()},
                   p.fresh());
      if (p.rare_chance(0.012 * urban))
        add_bicyclist(p.at(q, sign * (kerb + 0.8f), face), {kBicyclist, p.instance()}, p.fresh());
      if (p.rare_chance(0.006 * urban))
        add_motorcyclist(p.at(q, sign * (l.half_width - 0.6f), face), {kMotorcyclist, p.instance()}, p.fresh());
    }
    if (p.chance(0.15 * urban)) {
      const float q = p.between(l.s_begin, l.s_end);
      if (!l.in_side_street(q, 3)) add_bus_shelter(p.at(q, sign * (wall - 1.0f), side == 0 ? 0 : kPi), p.fresh());
    }
    if (p.chance(0.3 * urban)) {
      const float from = p.between(l.s_begin, l.s_end);
      for (float s = from; s < from + 25; s += 1.6f)
        if (!l.in_side_street(s, 0)) add_bollard(p.at(s, sign * (kerb + 0.3f)), p.fresh());
    }
  }
}

}  // namespace detail

namespace {

/// Foliage that stops every ray at its hull, which is then that of the ellipsoid or box itself.
void make_solid(Mesh& mesh) {
  for (Blob& blob : mesh.blobs) {
    blob.density = 1000;
    blob.gap = -3;  // below any value of the noise that makes clusters and outlines
  }
}

/// Drops all triangles of the classes that training ignores.
void drop_clutter(Mesh& mesh) {
  std::size_t kept = 0;
  for (std::size_t t = 0; t < mesh.triangle_part.size(); ++t) {
    const std::uint16_t raw = mesh.parts[mesh.triangle_part[t]].raw;
    if (raw == kUnlabeled || raw == kOutlier || raw == kOtherStructure || raw == kOtherObject) continue;
    std::copy_n(mesh.triangles.begin() + static_cast<std::ptrdiff_t>(3 * t), 3,
                mesh.triangles.begin() + static_cast<std::ptrdiff_t>(3 * kept));
    mesh.triangle_part[kept++] = mesh.triangle_part[t];
  }
  mesh.triangle_part.resize(kept);
  mesh.triangles.resize(3 * kept);
}

}  // namespace

Population populate(const Layout& layout, double rare, const Rng& rng) {
  Population out;
  detail::Planter planter{layout, out, rare, rng.fork(0)};
  auto with = [&](std::uint64_t index) -> detail::Planter& {
    planter.rng = rng.fork(index);  // each group has its own numbers: a change in one leaves the others alone
    return planter;
  };
  switch (layout.kind) {
    case StreetKind::highway:
      detail::plant_highway(with(1));
      break;
    case StreetKind::country:
      detail::plant_country(with(1));
      break;
    default:
      detail::plant_town(with(1));
  }
  detail::plant_parked(with(2));
  detail::plant_pavement(with(3));
  detail::plant_traffic(with(4));
  detail::plant_side_streets(with(5));
  detail::plant_background(with(6));
  detail::plant_road_works(with(7));
  if (!layout.realism.porous_vegetation) make_solid(out.mesh);
  if (!layout.realism.clutter) drop_clutter(out.mesh);
  return out;
}

void add_mover(Mesh& mesh, const Mover& mover, const Layout& layout, float time) {
  const float s = mover.s + mover.vs * time, d = mover.d + mover.vd * time;
  if (s < layout.s_begin + 1 || s > layout.s_end - 1 || std::abs(d) > Layout::kExtent - 2) return;
  const float turn = mover.vd != 0 ? layout.across(mover.vd > 0 ? 0 : 1) : 0;
  float yaw = layout.yaw(s) + (mover.vs < 0 ? 3.14159265f : turn);
  const bool stands = mover.vs == 0 && mover.vd == 0;
  if (stands) yaw += layout.across(mover.d > 0 ? 1 : 0);  // waits at the mouth of a side street
  mesh.place = placed(layout.at(s, d), yaw);
  const Rng rng(mover.seed);
  auto id = [&](std::uint16_t raw) { return Identity{stands ? raw : moving_class(raw), mover.instance}; };
  switch (mover.type) {
    case Mover::Type::car:
      add_car(mesh, id(kCar), rng);
      break;
    case Mover::Type::truck:
      add_truck(mesh, id(kTruck), rng);
      break;
    case Mover::Type::bus:
      add_bus(mesh, id(kBus), rng);
      break;
    case Mover::Type::other:
      add_other_vehicle(mesh, id(kOtherVehicle), rng);
      break;
    case Mover::Type::person:
      add_person(mesh, id(kPerson), rng);
      break;
    case Mover::Type::bicyclist:
      add_bicyclist(mesh, id(kBicyclist), rng);
      break;
    case Mover::Type::motorcyclist:
      add_motorcyclist(mesh, id(kMotorcyclist), rng);
      break;
  }
}

}  // namespace rarefy::sim
