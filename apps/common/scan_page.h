#pragma once
/// Fills the report of one scan from what a run left behind.
#include <span>
#include <string>

#include "common/segmenter.h"

namespace rarefy::cli {

struct ScanPageInput {
  const Segmenter& segmenter;
  const Scan& scan;
  std::span<const std::uint8_t> labels;
  std::vector<std::uint8_t> truth;  ///< class indices, or empty
  const RunStatistics& statistics;  ///< of the run that is shown
  const std::vector<StepProfile>& profile;
  std::string scan_name;
  std::vector<std::string> notices;
  double peak_gflops = 0;  ///< one core; 0 = not measured
};

/// The page as HTML. @throws UsageError
std::string make_scan_page(const ScanPageInput& input);

}  // namespace rarefy::cli
