#pragma once
/// How many voxels the next frame may have, so that it ends in time and the frame after it need not wait.
#include <cstdint>
#include <mutex>

#include "rarefy/voxel_budget.h"

namespace rarefy::cli::stream {

/// What bounds a frame.
enum class Bound : std::uint8_t {
  none,      ///< nothing is known yet, or nothing asked for
  deadline,  ///< the time that is left until the frame's deadline
  rate,      ///< the time until the next frame wants the network
};

class Pacer {
 public:
  struct Decision {
    std::int64_t most = 0;   ///< voxels; 0 = any number
    double left_ms = 0;      ///< what the bound leaves
    double expected_ms = 0;  ///< of that many voxels, by the cost model, its caution included
    Bound bound = Bound::none;
  };

  /// Fewer voxels than these are never asked for: a frame that cannot be in time is late then.
  static constexpr std::int64_t kLeast = 500;

  /// @param deadline_ms  from arrival to labels
  /// @param period_ms    between two frames; 0 = they come when there is place
  Pacer(double deadline_ms, double period_ms)
      : deadline_ms_(deadline_ms), period_ms_(period_ms), whole_({.least = kLeast}), network_({.least = kLeast}) {}

  /// For a frame whose geometry is about to be made. @param elapsed_ms  since its arrival. Thread-safe, as observe.
  Decision allow(double elapsed_ms) const;
  /// A frame that was labelled. @param geometry_ms  voxels and maps  @param network_ms  all that came after
  void observe(std::int64_t voxels, double geometry_ms, double network_ms);
  /// Least deadline that can be promised as things are; 0 when nothing is known.
  double least_ms() const;

 private:
  const double deadline_ms_, period_ms_;
  mutable std::mutex mutex_;
  VoxelBudget whole_, network_;
};

}  // namespace rarefy::cli::stream
