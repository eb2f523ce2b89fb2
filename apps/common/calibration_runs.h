#pragma once
/// Runs of one scan at several sizes: what a cost model of voxels begins with.
#include <algorithm>

namespace rarefy::cli {

/// Calls run(share) and hands the faster of two results to observe(result). `run` returns what compares by time.
/// The first call takes memory and does not count.
/// @return of the smallest share: what a run takes however few the voxels
template <class Run, class Observe>
auto calibrate_by_shares(Run run, Observe observe) {
  auto fastest = run(1.0);
  for (const double share : {1.0, 0.5, 0.25, 0.02}) {
    const auto first = run(share);
    fastest = std::min(first, run(share));
    observe(fastest);
  }
  return fastest;
}

}  // namespace rarefy::cli
