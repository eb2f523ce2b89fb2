#pragma once
/// The plan of a street: centre line, strips along it, side streets, and the ground's height everywhere.
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "data/simulate/geometry.h"
#include "data/simulate/simulate.h"

namespace rarefy::sim {

/// One strip of one side of the street: |d| in [begin, end), at a height above the carriageway that runs linearly.
struct Strip {
  float begin = 0, end = 0;
  float level_begin = 0, level_end = 0;
  std::uint16_t raw = kRoad;
  float rough = 0;  ///< amplitude of bumps of a few metres, metres
};

/// A side street that crosses at a right angle (or at the street's slant).
struct SideStreet {
  float s = 0;
  float half_width = 3;
  float sidewalk = 1.8f;
  float corner = 3;  ///< radius of the kerb where it turns into the street
};

/// Coordinates: s along the centre line (the ego vehicle drives towards larger s), d to the left of it, metres.
class Layout {
 public:
  Layout(StreetKind kind, float s_begin, float s_end, const Realism& realism, const Rng& rng);

  StreetKind kind;
  Realism realism;
  float s_begin, s_end;
  float half_width = 3;  ///< of the carriageway
  float lane_width = 3;
  int lanes = 1;                 ///< per direction
  float median = 0;              ///< half width of the strip between the carriageways (highway)
  float ego_lane = -1.5f;        ///< d of the ego vehicle's path
  float ego_speed = 8;           ///< m/s
  std::vector<Strip> strips[2];  ///< [0] left (d > 0), [1] right; from the centre outwards
  float parking[2] = {0, 0};     ///< width of the parking strip
  float walk_begin[2] = {0, 0}, walk_end[2] = {0, 0};
  float front[2] = {0, 0};  ///< where buildings begin
  bool alley = false;       ///< a narrow lane of a town, between walls
  std::vector<SideStreet> side_streets;
  static constexpr float kExtent = 75;  ///< the ground ends at |d| = kExtent

  /// Point on the ground.
  Vec3 at(float s, float d) const;  /// Direction in which |d| grows, against the street's, on a side (0 left, 1 right):
                                    /// a quarter turn less the slant.
  float across(int side) const { return (side == 0 ? 1.5707963f : -1.5707963f) - std::atan(slant_); }
  /// Reflectivity of a ground class on this street.
  float ground_rho(std::uint16_t raw) const;
  /// Amplitude of the unevenness of a ground class on this street, metres.
  float ground_relief(std::uint16_t raw) const;
  /// Direction of the street at s, radians.
  float yaw(float s) const;
  float height(float s, float d) const;
  const Strip& strip(float d) const;
  /// Whether s lies in a side street, its pavement included, or closer than `margin` to it.
  bool in_side_street(float s, float margin) const;
  /// 0 inside a side street's carriageway, 1 outside.
  float kerb_factor(float s) const;
  float level(float d) const;

 private:
  struct Sample {
    float x, y, heading;
  };
  void plan_centre_line(Rng rng);
  void plan_strips(Rng rng);
  void plan_highway(Rng& rng);
  void plan_country(Rng& rng);
  void plan_town(Rng& rng);
  void plan_town_side(int side, float kerb, Rng& rng);
  void plan_side_streets(Rng rng);
  void add(int side, float width, float level, std::uint16_t raw, float rough = 0);
  float flare(float s, float d) const;
  float cross_fall(float d) const;
  std::vector<Sample> centre_;
  float rho_factor_[5] = {1, 1, 1, 1, 1};
  float relief_factor_ = 1;
  enum class Profile : std::uint8_t { ridge, arch, one_sided };  ///< of the carriageway, across
  Profile profile_ = Profile::ridge;
  float slant_ = 0, grade_ = 0, hills_ = 0, camber_ = 0.02f;
  std::uint32_t noise_seed_ = 0;
};

/// The ground as triangles, with what the sensor model needs to know at a hit.
struct Ground {
  std::vector<Vec3> vertices;
  std::vector<float> s, d;               ///< per vertex
  std::vector<std::uint32_t> triangles;  ///< [3 T]
  std::vector<std::uint16_t> raw;        ///< [T] class
};
Ground make_ground(const Layout& layout);

}  // namespace rarefy::sim
