#include "rarefy/voxel_budget.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace rarefy {
namespace {

constexpr double kThousand = 1000.0;
/// One run that is late makes the next ones this much more careful.
constexpr double kStep = 0.08;
constexpr double kMostFactor = 20;

}  // namespace

VoxelBudget::VoxelBudget(const VoxelBudgetOptions& options) : options_(options), factor_(options.caution) {
  RAREFY_CHECK(options.in_time > 0 && options.in_time < 1, UsageError,
               "a share of {} of the runs in time makes no sense: expected more than 0 and less than 1",
               options.in_time);
  RAREFY_CHECK(options.memory >= 2 && options.caution >= 1 && options.least >= 1, UsageError,
               "a voxel budget remembers at least 2 runs, with a caution and a number of voxels of at least 1; got {}, "
               "{} and {}",
               options.memory, options.caution, options.least);
}

void VoxelBudget::observe(std::int64_t voxels, double ms) {
  if (!(ms > 0) || !std::isfinite(ms) || voxels < 0) return;
  if (observed_ > 0) {
    const double expected = expected_ms(voxels);
    const bool late = ms > factor_ * expected;
    factor_ *= std::exp(late ? kStep * options_.in_time : -kStep * (1 - options_.in_time));
    // One far outlier says nothing of the next run, ten in a row do.
    factor_ = std::clamp(factor_, 1.0, kMostFactor);
  }
  const double keep = std::exp(-1 / options_.memory), n = static_cast<double>(voxels) / kThousand;
  weight_ = keep * weight_ + 1;
  sum_n_ = keep * sum_n_ + n;
  sum_nn_ = keep * sum_nn_ + n * n;
  sum_t_ = keep * sum_t_ + ms;
  sum_nt_ = keep * sum_nt_ + n * ms;
  ++observed_;
  fit();
}

void VoxelBudget::fit() {
  const double mean_n = sum_n_ / weight_, mean_t = sum_t_ / weight_;
  const double variance = sum_nn_ / weight_ - mean_n * mean_n, covariance = sum_nt_ / weight_ - mean_n * mean_t;
  // Runs of nearly one size tell nothing of the slope: then the last slope is kept, and the time alone is followed.
  const bool varied = variance > 1e-4 * mean_n * mean_n;
  if (varied) per_thousand_ = covariance / variance;
  if (!varied && per_thousand_ <= 0 && mean_n > 0) per_thousand_ = mean_t / mean_n;
  // A model in which fewer voxels take longer, or no voxels less than no time, would never find an answer.
  if (mean_n > 0) per_thousand_ = std::clamp(per_thousand_, 0.05 * mean_t / mean_n, mean_t / mean_n);
  fixed_ = std::max(0.0, mean_t - per_thousand_ * mean_n);
}

double VoxelBudget::expected_ms(std::int64_t voxels) const {
  return observed_ == 0 ? 0.0 : fixed_ + per_thousand_ * static_cast<double>(voxels) / kThousand;
}

std::int64_t VoxelBudget::voxels_within(double ms) const {
  if (observed_ == 0) return 0;
  const double left = ms / factor_ - fixed_;
  if (!(left > 0) || per_thousand_ <= 0) return left > 0 ? std::numeric_limits<std::int64_t>::max() : options_.least;
  return std::max(options_.least, static_cast<std::int64_t>(std::min(1e15, kThousand * left / per_thousand_)));
}

double VoxelBudget::least_ms() const { return safe_ms(options_.least); }

}  // namespace rarefy
