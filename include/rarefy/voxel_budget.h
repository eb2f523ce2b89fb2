#pragma once
/// How many voxels a run may have to end in time: a cost model that is measured on this machine and goes on learning.
#include <cstdint>

#include "rarefy/export.h"

namespace rarefy {

/// Options of a VoxelBudget.
struct VoxelBudgetOptions {
  double in_time = 0.99;   ///< share of the runs that are to keep their time
  double memory = 30;      ///< runs over which what was measured fades to about a third
  double caution = 1.1;    ///< first guess of how much longer than expected a run may take
  std::int64_t least = 1;  ///< voxels that are never gone below, however short the time
};

/// Time as a function of voxels, `fixed + per_voxel * voxels`, fitted to the latest runs, and how far runs exceed it.
///
/// The fit forgets (recursive least squares with a fading memory). What it lacks is held by a factor: each run that
/// takes longer than factor times expected raises it, each that does not lowers it a little, so that in the long run as
/// many exceed it as `in_time` leaves (stochastic approximation of a quantile, Robbins and Monro 1951). Another program
/// that takes the processor raises both within a few runs. Not thread-safe. Same runs, same answers: it looks at no
/// clock.
class RAREFY_API VoxelBudget {
 public:
  /// @throws UsageError for options that make no sense
  explicit VoxelBudget(const VoxelBudgetOptions& options = {});
  /// A run of `voxels` that took `ms`. Voxels are those that the network saw. What is no positive time is ignored.
  void observe(std::int64_t voxels, double ms);
  /// Expected time; 0 before the first run.
  double expected_ms(std::int64_t voxels) const;
  /// Time that in_time of such runs keep.
  double safe_ms(std::int64_t voxels) const { return factor_ * expected_ms(voxels); }
  /// Most voxels whose safe time is within `ms`: at least options.least; 0 (no limit) before the first run.
  std::int64_t voxels_within(double ms) const;
  /// Least time that can be promised: that of options.least voxels.
  double least_ms() const;
  double factor() const { return factor_; }
  std::int64_t observed() const { return observed_; }

 private:
  void fit();

  VoxelBudgetOptions options_;
  double weight_ = 0, sum_n_ = 0, sum_nn_ = 0, sum_t_ = 0, sum_nt_ = 0;  ///< fading sums, n in thousands of voxels
  double fixed_ = 0, per_thousand_ = 0;
  double factor_ = 1;
  std::int64_t observed_ = 0;
};

}  // namespace rarefy
