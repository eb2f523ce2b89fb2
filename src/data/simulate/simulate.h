#pragma once
/// A LiDAR simulator: procedurally generated streets, ray-cast by a 64-beam sensor with the statistics of
/// SemanticKITTI.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/progress.h"
#include "data/scan.h"
#include "rarefy/executor.h"

namespace rarefy {

/// What kind of street is built. `mixed` draws one per street: 61 % residential, 18 % urban, 16 % country, 5 % highway.
enum class StreetKind : std::uint8_t { mixed, residential, urban, country, highway };

/// What makes a simulated scan look real, each to be left out on its own so that its worth can be measured.
struct Realism {
  bool porous_vegetation = true;  ///< off: leaves fill solid ellipsoids and boxes
  bool rough_ground = true;       ///< off: a plane without slopes, kerbs, bumps and grass
  bool building_detail = true;    ///< off: plain boxes without windows, recesses, balconies, bays and roofs
  bool mixed_pixels = true;       ///< off: no returns between two surfaces at an edge
  bool drop_out = true;           ///< off: every hit in range returns, through glass and from black paint alike
  bool intensity_model = true;    ///< off: the same remission everywhere
  bool sensor_variation = true;   ///< off: every street is driven by the same ideal sensor
  bool clutter = true;            ///< off: nothing that is unlabelled, other-structure or other-object
  bool street_variety = true;     ///< off: straight residential streets only, whatever kind is asked for
};
/// Comma-separated names of what is off ("clutter,drop_out"), empty when nothing is.
std::string realism_without(const Realism& realism);
/// The reverse. @throws UsageError listing the names when one is unknown.
Realism realism_from_without(std::string_view names);

struct StreetOptions {
  std::uint64_t seed = 1;       ///< together with `street` names the world: same numbers, same scans
  std::int64_t street = 0;      ///< index of the street, >= 0
  std::int64_t frames = 1;      ///< 1..4000; the street is built long enough for the ego vehicle to drive all of them
  double frame_interval = 0.1;  ///< seconds between two frames, 0.01..60
  StreetKind kind = StreetKind::mixed;
  /// Multiplies how often people, riders, two-wheelers, trucks, other vehicles and signs occur; 1 = as on real streets,
  /// 0..20. Training wants more of the rare classes than the world has.
  double rare_factor = 1.0;
  Realism realism;
};

/// One street with everything on it. Immutable once built; `scan` may be called from several threads at once.
/// Points are in the sensor frame of the middle of the revolution (x forward, y left, z up, metres), already corrected
/// for the ego motion during it, in ring order from the top beam down, as SemanticKITTI stores them. Labels are raw
/// SemanticKITTI ids (moving objects have the moving-* classes), instance in the high 16 bits (0 for everything that is
/// not a vehicle or a person). Typical size: 113 to 127 thousand points.
class Street {
 public:
  /// Builds the world. Cost: 0.1 to 0.3 s. @throws UsageError when an option is out of its range.
  explicit Street(const StreetOptions& options);
  ~Street();
  Street(Street&&) noexcept;
  Street& operator=(Street&&) noexcept;

  /// One revolution of the sensor. Same points for any executor. @throws UsageError unless 0 <= frame < frames.
  Scan scan(std::int64_t frame, Executor& executor) const;
  /// Sensor frame to the sensor frame of frame 0: row-major 3x4, [R | t]. @throws UsageError as above.
  std::array<double, 12> pose(std::int64_t frame) const;
  std::int64_t frames() const;
  StreetKind kind() const;  ///< what was built; never `mixed`

 private:
  struct World;
  std::unique_ptr<World> world_;
};

/// Name of a kind ("residential"), and back. @throws UsageError listing the names when it is none of them.
std::string_view street_kind_name(StreetKind kind);
StreetKind street_kind_from_name(std::string_view name);

struct SimulateOptions {
  std::string folder;  ///< the data set's root; sequences/NN/... is written below it
  std::uint64_t seed = 1;
  std::int64_t first_street = 0;  ///< street k becomes sequence k (two digits at least)
  std::int64_t streets = 1;
  std::int64_t frames = 1;  ///< per street
  double frame_interval = 0.1;
  StreetKind kind = StreetKind::mixed;
  double rare_factor = 1.0;
  Realism realism;
};

struct SimulateResult {
  std::int64_t written = 0;  ///< scans made now
  std::int64_t skipped = 0;  ///< scans found complete
  std::int64_t points = 0;   ///< of the scans made now
};

/// Writes a data set in SemanticKITTI's layout: sequences/NN/{velodyne/NNNNNN.bin, labels/NNNNNN.label, poses.txt,
/// calib.txt, times.txt}. Each file is written under a temporary name and renamed; a scan whose two files are there and
/// fit each other is skipped, so that an interrupted run continues. The bytes do not depend on the executor, which runs
/// whole streets in parallel. `progress` (may be empty) is called for each scan, never twice at the same time.
/// sequences/NN/street.json records the options; a folder that was made with others is refused.
/// @throws UsageError, IoError (names the file and the system's reason)
SimulateResult simulate_sequences(const SimulateOptions& options, Executor& executor, const Progress& progress);

}  // namespace rarefy
