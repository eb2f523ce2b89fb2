#pragma once
/// The page that `rarefy stream --report` writes: how long scans waited for their labels, and why.
#include <cstdint>
#include <string>
#include <vector>

namespace rarefy::report {

struct StreamReport {
  /// Times in ms.
  struct Quantiles {
    std::string name;
    double mean = 0, p50 = 0, p99 = 0, longest = 0;
  };
  struct Range {
    double from_ms = 0, to_ms = 0;
    std::int64_t frames = 0;
  };
  /// What happened in one stretch of time.
  struct Moment {
    std::int64_t labelled = 0, missed = 0, dropped = 0;
    double worst_ms = 0;
    double memory_mb = 0;
  };
  std::string source;  ///< folder or file as shown
  std::int64_t scans = 0;
  std::string model;
  double rate = 0;         ///< scans a second; 0 = as many as could be labelled
  double deadline_ms = 0;  ///< 0 = none
  std::string drop;        ///< "oldest", "newest", "none"
  double seconds = 0;
  std::int64_t labelled = 0, missed = 0, no_place = 0, late = 0, failed = 0, given_up = 0;
  Quantiles latency;
  std::vector<Quantiles> parts;  ///< read, wait, voxelize, maps, network
  std::vector<Range> spread;     ///< of the latency
  std::vector<Moment> moments;
  double moment_seconds = 0;
  double points = 0, voxels = 0, macs = 0;           ///< per labelled scan
  double memory_before_mb = 0, memory_after_mb = 0;  ///< most that was resident: second quarter, second half
  std::int64_t parameters = 0;
  int threads = 1;
  std::string cpu, isa, version, commit, notice, command;
};

/// The page as HTML: opens from disk, loads nothing.
std::string stream_page(const StreamReport& report);

}  // namespace rarefy::report
