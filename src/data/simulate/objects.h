#pragma once
/// Shapes that stand on a street. Each is built in the frame of `mesh.place` (x forward or along the street, z = 0 on
/// the ground) and starts its own parts. Sizes are drawn from `rng`.
#include "base/rng.h"
#include "data/simulate/geometry.h"

namespace rarefy::sim {

/// Class and instance that an object's parts get.
struct Identity {
  std::uint16_t raw = 0;
  std::uint16_t instance = 0;
};

/// Length and width of what was built.
struct Footprint {
  float length = 0, width = 0;
};

/// Cars: nine body styles (city car, hatchback, saloon, estate, coupe, SUV, people carrier, panel van, off-roader).
Footprint add_car(Mesh& mesh, Identity id, Rng rng);
/// Pick-up, box lorry, tipper or articulated lorry.
Footprint add_truck(Mesh& mesh, Identity id, Rng rng);
Footprint add_bus(Mesh& mesh, Identity id, Rng rng);
/// Caravan, trailer, tractor or digger.
Footprint add_other_vehicle(Mesh& mesh, Identity id, Rng rng);

void add_person(Mesh& mesh, Identity id, Rng rng);
void add_bicycle(Mesh& mesh, Identity id, Rng rng);
void add_bicyclist(Mesh& mesh, Identity id, Rng rng);
void add_motorcycle(Mesh& mesh, Identity id, Rng rng);
void add_motorcyclist(Mesh& mesh, Identity id, Rng rng);

/// Trunk, branches and crown. `size` 0..1 from sapling to old tree; trimmed: no branches within reach of traffic.
void add_tree(Mesh& mesh, float size, bool trimmed, Rng rng);
void add_conifer(Mesh& mesh, float size, Rng rng);
void add_bush(Mesh& mesh, float height, float width, Rng rng);
/// Weeds and unmown grass along x, `depth` wide.
void add_tall_grass(Mesh& mesh, float length, float height, float depth, Rng rng);
/// From (0, 0) along x.
void add_hedge(Mesh& mesh, float length, float height, float depth, Rng rng);

enum class FenceKind : std::uint8_t { wall, pickets, mesh, rails, boards, guard_rail };
/// From (0, 0) along x.
void add_fence(Mesh& mesh, FenceKind kind, float length, float height, Rng rng);

struct House {
  float length = 10, depth = 9;  ///< along x, and away from the street along +y; the front is y = 0
  int floors = 2;
  bool attached = false;  ///< town house: no space around
  bool plain = false;     ///< a box, without anything on it
};
void add_house(Mesh& mesh, const House& house, Rng rng);

void add_lamp(Mesh& mesh, Rng rng);
void add_utility_pole(Mesh& mesh, Rng rng);
void add_bollard(Mesh& mesh, Rng rng);
/// Pole with one or two plates that face -x.
void add_traffic_sign(Mesh& mesh, Rng rng);
/// Overhead gantry or large board beside a highway, faces -x.
void add_large_sign(Mesh& mesh, float span, Rng rng);
void add_traffic_light(Mesh& mesh, Rng rng);
/// Bins, boxes, benches, cabinets, planters: labelled other-object or unlabelled.
void add_clutter(Mesh& mesh, Rng rng);
/// Skips, heaps, log stacks, bales, climbing frames, pergolas, site fences: labelled other-object or unlabelled.
void add_large_clutter(Mesh& mesh, Rng rng);
/// Tubes and planks in front of a wall along x, the wall at y = 0; unlabelled.
void add_scaffold(Mesh& mesh, float length, float height, Rng rng);
/// Bridge over the street: deck and piers; the frame's x runs along the street, `half` is the half span.
void add_bridge(Mesh& mesh, float half, float clearance, Rng rng);
/// A traffic island: `length` along x, with a kerb.
void add_island(Mesh& mesh, float length, float half_width, float rho, Rng rng);
/// Corn, maize or reed over an area from (0, 0) to (length, depth).
void add_crop(Mesh& mesh, float length, float depth, float height, Rng rng);
/// Low shrubs, ground cover and flower beds over an area from (0, 0) to (length, depth).
void add_ground_cover(Mesh& mesh, float length, float depth, float height, Rng rng);
void add_bus_shelter(Mesh& mesh, Rng rng);

}  // namespace rarefy::sim
