#pragma once
/// Puts everything on a street: what stands, and what moves.
#include <vector>

#include "data/simulate/layout.h"
#include "data/simulate/objects.h"

namespace rarefy::sim {

/// Something that moves at a constant speed along the street or across it.
struct Mover {
  enum class Type : std::uint8_t { car, truck, bus, other, person, bicyclist, motorcyclist };
  Type type = Type::car;
  float s = 0, d = 0;    ///< at time 0
  float vs = 0, vd = 0;  ///< m/s in street coordinates
  std::uint16_t instance = 0;
  std::uint64_t seed = 0;  ///< of its shape
};

/// Everything on a street.
struct Population {
  Mesh mesh;  ///< what stands
  std::vector<Mover> movers;
};

/// @param rare  multiplies the number of people, riders, two-wheelers, trucks, other vehicles and signs
Population populate(const Layout& layout, double rare, const Rng& rng);

/// Adds the mover as it is at `time` seconds.
void add_mover(Mesh& mesh, const Mover& mover, const Layout& layout, float time);

namespace detail {
/// Shared by the files that place things: where, with which random numbers, and the next free instance id.
struct Planter {
  const Layout& layout;
  Population& out;
  double rare;
  Rng rng;
  std::uint16_t next_instance = 1;

  float between(double low, double high) { return static_cast<float>(rng.uniform(low, high)); }
  bool chance(double p) { return rng.chance(p); }
  bool rare_chance(double p) { return rng.chance(std::min(0.9, p * rare)); }
  Rng fresh() { return Rng(rng.bits()); }
  std::uint16_t instance() { return next_instance++; }
  /// Objects after this stand at (s, d), turned by `yaw` against the street.
  Mesh& at(float s, float d, float yaw = 0, float lift = 0) {
    Vec3 ground = layout.at(s, d);
    ground.z += lift;
    out.mesh.place = placed(ground, layout.yaw(s) + yaw);
    return out.mesh;
  }
  /// Like `at`, for things that extend by `length` along the street and look at it from `side` (0 left, 1 right):
  /// afterwards +x runs along the street and +y away from it.
  Mesh& facing(int side, float s, float length, float distance) {
    const float pi = 3.14159265f;
    return side == 0 ? at(s, distance) : at(s + length, -distance, pi);
  }
  /// A house whose front stands at `distance`.
  void house(int side, float s, float distance, House house) {
    house.plain = !layout.realism.building_detail;
    add_house(facing(side, s, house.length, distance), house, fresh());
  }
};
void plant_town(Planter& planter);
void plant_country(Planter& planter);
void plant_highway(Planter& planter);
/// What shows above the first row: tall trees and the houses of other streets.
void plant_background(Planter& planter);
void plant_road_works(Planter& planter);
void plant_parked(Planter& planter);
void plant_pavement(Planter& planter);
void plant_traffic(Planter& planter);
void plant_side_streets(Planter& planter);
/// Fence, wall or hedge of several pieces that follow the ground, along the street at `distance` from its centre.
void plant_boundary(Planter& planter, int side, float s, float length, float distance, int style, float height);
}  // namespace detail

}  // namespace rarefy::sim
