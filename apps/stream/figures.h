#pragma once
/// What a stream is judged by, in memory that does not grow with its length.
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "stream/pipeline.h"

namespace rarefy::cli::stream {

/// Quantiles of positive values to within half a percent: counts in buckets whose borders grow by one percent.
class Quantiles {
 public:
  void add(double value);
  /// Smallest value that the given share of all values does not exceed; 0 without values.
  double at(double share) const;
  double mean() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }
  double largest() const { return largest_; }
  std::int64_t count() const { return count_; }
  /// Values in [low, high), at the resolution of the buckets.
  std::int64_t between(double low, double high) const;

 private:
  static constexpr double kSmallest = 1e-3, kGrowth = 1.01;
  static constexpr std::size_t kBuckets = 2100;  // up to 1e6
  std::array<std::int64_t, kBuckets> counts_{};
  std::int64_t count_ = 0;
  double sum_ = 0, largest_ = 0;
};

/// What happened in one stretch of time.
struct Bin {
  std::int64_t done = 0, missed = 0, dropped = 0;
  double worst_ms = 0;   ///< latency
  double memory_mb = 0;  ///< most that was resident
};

/// Bins of equal length from the start to now; when there are too many, two neighbours become one.
class Series {
 public:
  static constexpr std::size_t kMost = 240;
  Bin& at(double seconds);
  const std::vector<Bin>& bins() const { return bins_; }
  double bin_seconds() const { return width_; }

 private:
  double width_ = 0.2;  // memory is sampled twice as often
  std::vector<Bin> bins_;
};

/// The parts of a latency, in the order in which they are shown.
inline constexpr std::array<std::string_view, 5> kParts = {"read", "wait", "voxelize", "maps", "network"};
std::array<double, kParts.size()> parts_of(const FrameTimes& times);

class Figures {
 public:
  explicit Figures(double deadline_ms) : deadline_ms_(deadline_ms) {}
  void add(const Outcome& outcome);
  void sample_memory(double seconds, double megabytes) {
    double& most = series_.at(seconds).memory_mb;
    if (megabytes > most) most = megabytes;
  }

  std::int64_t done() const { return latency_.count(); }
  std::int64_t missed() const { return missed_; }
  std::int64_t dropped() const { return no_place_ + late_; }
  std::int64_t no_place() const { return no_place_; }
  std::int64_t late() const { return late_; }
  std::int64_t failed() const { return failed_; }
  const Quantiles& latency() const { return latency_; }
  const Quantiles& part(std::size_t index) const { return parts_[index]; }
  const Series& series() const { return series_; }
  std::int64_t points() const { return points_; }
  std::int64_t voxels() const { return voxels_; }
  std::int64_t voxels_left_out() const { return voxels_left_out_; }
  /// Frames that lack voxels.
  std::int64_t thinned() const { return thinned_; }
  double macs() const { return macs_; }
  /// Most memory that was resident from a quarter to half of the time, and in the second half. Equal when memory is
  /// flat: the first quarter is left for warming up.
  struct Memory {
    double before = 0, after = 0;
  };
  Memory memory() const;

 private:
  double deadline_ms_;
  std::int64_t missed_ = 0, no_place_ = 0, late_ = 0, failed_ = 0, points_ = 0, voxels_ = 0, voxels_left_out_ = 0,
               thinned_ = 0;
  double macs_ = 0;
  Quantiles latency_;
  std::array<Quantiles, kParts.size()> parts_;
  Series series_;
};

}  // namespace rarefy::cli::stream
