#pragma once
/// The page that `rarefy segment --report` writes: one labelled scan, how long it took, and why so little was computed.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rarefy/session.h"
#include "report/cloud.h"
#include "report/sparsity.h"

namespace rarefy::report {

/// IoU of one class over the points that are scored.
struct ClassScore {
  std::string name;
  double iou = 0;           ///< NaN: the class does not occur in the true labels
  std::int64_t points = 0;  ///< true ones
};

struct ScanReport {
  std::string scan;   ///< file name as shown
  std::string model;  ///< likewise
  Cloud cloud;
  RunStatistics statistics;
  std::vector<StepProfile> profile;
  std::optional<Sparsity> sparsity;  ///< absent when the model has no sparse space
  std::vector<double> voxel_size;    ///< metres
  std::int64_t parameters = 0;
  std::vector<ClassScore> scores;  ///< empty without true labels
  double mean_iou = 0;             ///< over classes that occur
  double accuracy = 0;             ///< share of scored points that are right
  int threads = 1;
  double peak_gflops = 0;  ///< one core, fp32; 0 = not measured
  std::string cpu, isa, version, commit;
  std::vector<std::string> notices;  ///< what the user was told about this scan
  std::string command;               ///< repeats this page
};

/// The page as HTML: opens from disk, loads nothing, at most 6 MB.
std::string scan_page(const ScanReport& report);

}  // namespace rarefy::report
