#pragma once
/// Scores of a segmentation, counted on points.
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/rng.h"
#include "data/labels.h"

namespace rarefy {

/// Scores of one confusion matrix.
struct Score {
  std::vector<double> iou;           ///< [C] TP / (TP + FP + FN); meaningless where points[c] == 0
  std::vector<std::int64_t> points;  ///< [C] labelled points of the class
  double miou = 0.0;                 ///< mean of iou over the classes that occur in the labels; 0 when none does
  int occurring = 0;                 ///< how many classes that are
  std::int64_t labelled = 0;         ///< labelled points in all
  double accuracy = 0.0;             ///< share of labelled points that are right
};

/// Counts of (label, prediction). Points whose label is kIgnored do not count; a point that is labelled but has no
/// prediction (kIgnored: NaN, outside the crop) counts as wrong.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(int classes);
  int classes() const { return classes_; }

  /// @throws UsageError when the sizes differ or a value is neither a class nor kIgnored
  void add(std::span<const std::uint8_t> labels, std::span<const std::uint8_t> predictions);
  void add_one(std::uint8_t label, std::uint8_t prediction) { ++counts_[cell(label, prediction)]; }
  /// Adds the counts of another matrix over the same classes. @throws UsageError
  void merge(const ConfusionMatrix& other);

  /// Points labelled `label` and predicted `prediction`; kIgnored as prediction: without one.
  std::int64_t count(std::uint8_t label, std::uint8_t prediction) const { return counts_[cell(label, prediction)]; }
  Score score() const;

 private:
  std::size_t cell(std::uint8_t label, std::uint8_t prediction) const;
  int classes_;
  std::vector<std::int64_t> counts_;  ///< [C+1, C+1]; the last row takes ignored labels, the last column no prediction
};

/// One matrix per range bin, by horizontal distance from the sensor.
class RangeConfusion {
 public:
  /// Lower edges in metres; the last bin is open.
  static constexpr std::array<float, 5> kEdges{0.0f, 10.0f, 20.0f, 30.0f, 50.0f};
  explicit RangeConfusion(int classes) : bins_(kEdges.size(), ConfusionMatrix(classes)) {}

  /// @param xyz [N, 3]; points that are not finite are in no bin
  /// @throws UsageError as ConfusionMatrix::add
  void add(std::span<const float> xyz, std::span<const std::uint8_t> labels, std::span<const std::uint8_t> predictions);
  void merge(const RangeConfusion& other);
  std::span<const ConfusionMatrix> bins() const { return bins_; }

 private:
  std::vector<ConfusionMatrix> bins_;
};

/// Confidence interval of the mIoU.
struct Interval {
  double low = 0.0, high = 0.0;
};

/// Percentile bootstrap of the pooled mIoU over groups (streets): points of one street are not independent, so whole
/// streets are drawn with replacement. Nothing with fewer than two groups.
/// Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
std::optional<Interval> bootstrap_miou(std::span<const ConfusionMatrix> groups, std::uint64_t seed,
                                       int resamples = 1000, double level = 0.95);

}  // namespace rarefy
