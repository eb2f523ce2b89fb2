#pragma once
/// What a network must beat: the most frequent class at a point's height and range.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/sample.h"

namespace rarefy {

/// Counts classes per (height, range) bin of training scans and predicts the most frequent one.
/// Height is z in the sensor frame in bins of 0.25 m from -4 m to 6 m, range is horizontal in bins of 2.5 m to 80 m;
/// values beyond fall into the outermost bins. A bin without training points predicts the most frequent class of its
/// height, else of all. Ties go to the lower class.
class TrivialBaseline {
 public:
  static constexpr int kHeights = 40, kRanges = 32;
  explicit TrivialBaseline(int classes);

  /// Counts the labelled, finite points of a training sample.
  void fit(const Sample& sample);
  /// Predicts one class per point. @param xyz [N, 3]  @param predictions [N]; kIgnored where a point is not finite
  /// @throws UsageError when nothing was fit, or the sizes differ
  void predict(std::span<const float> xyz, std::span<std::uint8_t> predictions) const;

  /// JSON: {"format": "rarefy trivial baseline", "version": 1, "classes": C, "counts": [bins * C]}.
  std::string to_json() const;
  /// @throws InputError naming the file
  static TrivialBaseline from_json(std::string_view text, const std::string& file);
  /// @throws IoError
  void save(const std::string& path) const;
  /// @throws IoError, InputError
  static TrivialBaseline load(const std::string& path);
  friend bool operator==(const TrivialBaseline&, const TrivialBaseline&) = default;

 private:
  int classes_;
  std::vector<std::int64_t> counts_;  ///< [heights, ranges, classes]
};

}  // namespace rarefy
