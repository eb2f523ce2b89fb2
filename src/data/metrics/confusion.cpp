#include "data/metrics/confusion.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace rarefy {

ConfusionMatrix::ConfusionMatrix(int classes) : classes_(classes) {
  RAREFY_CHECK(classes >= 1 && classes < kIgnored, UsageError, "confusion matrix: {} classes, expected 1 to 254",
               classes);
  const auto side = static_cast<std::size_t>(classes) + 1;
  counts_.assign(side * side, 0);
}

std::size_t ConfusionMatrix::cell(std::uint8_t label, std::uint8_t prediction) const {
  const int row = label == kIgnored ? classes_ : label, column = prediction == kIgnored ? classes_ : prediction;
  RAREFY_CHECK((row < classes_ || label == kIgnored) && (column < classes_ || prediction == kIgnored), UsageError,
               "confusion matrix: label {} or prediction {} is no class; expected 0 to {} or {}", label, prediction,
               classes_ - 1, kIgnored);
  return static_cast<std::size_t>(row) * (static_cast<std::size_t>(classes_) + 1) + static_cast<std::size_t>(column);
}

void ConfusionMatrix::add(std::span<const std::uint8_t> labels, std::span<const std::uint8_t> predictions) {
  RAREFY_CHECK(labels.size() == predictions.size(), UsageError, "confusion matrix: {} labels but {} predictions",
               labels.size(), predictions.size());
  for (std::size_t i = 0; i < labels.size(); ++i) add_one(labels[i], predictions[i]);
}

void ConfusionMatrix::merge(const ConfusionMatrix& other) {
  RAREFY_CHECK(classes_ == other.classes_, UsageError, "confusion matrix: cannot merge {} classes with {}", classes_,
               other.classes_);
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

Score ConfusionMatrix::score() const {
  const auto classes = static_cast<std::size_t>(classes_), stride = classes + 1;
  Score score;
  score.iou.assign(classes, 0.0);
  score.points.assign(classes, 0);
  std::int64_t right = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    std::int64_t predicted = 0;
    for (std::size_t other = 0; other < stride; ++other) {
      score.points[c] += counts_[c * stride + other];
      if (other < classes) predicted += counts_[other * stride + c];
    }
    const std::int64_t hit = counts_[c * stride + c], united = score.points[c] + predicted - hit;
    right += hit;
    score.labelled += score.points[c];
    if (united > 0) score.iou[c] = static_cast<double>(hit) / static_cast<double>(united);
    if (score.points[c] == 0) continue;
    ++score.occurring;
    score.miou += score.iou[c];
  }
  if (score.occurring > 0) score.miou /= score.occurring;
  if (score.labelled > 0) score.accuracy = static_cast<double>(right) / static_cast<double>(score.labelled);
  return score;
}

void RangeConfusion::add(std::span<const float> xyz, std::span<const std::uint8_t> labels,
                         std::span<const std::uint8_t> predictions) {
  RAREFY_CHECK(labels.size() == predictions.size() && xyz.size() == 3 * labels.size(), UsageError,
               "confusion by range: {} coordinates, {} labels, {} predictions", xyz.size(), labels.size(),
               predictions.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const float range = std::hypot(xyz[3 * i], xyz[3 * i + 1]);
    if (!std::isfinite(range)) continue;
    const auto above = std::upper_bound(kEdges.begin(), kEdges.end(), range);
    bins_[static_cast<std::size_t>(above - kEdges.begin() - 1)].add_one(labels[i], predictions[i]);
  }
}

void RangeConfusion::merge(const RangeConfusion& other) {
  for (std::size_t i = 0; i < bins_.size(); ++i) bins_[i].merge(other.bins_[i]);
}

std::optional<Interval> bootstrap_miou(std::span<const ConfusionMatrix> groups, std::uint64_t seed, int resamples,
                                       double level) {
  RAREFY_CHECK(resamples >= 1 && level > 0.0 && level < 1.0, UsageError,
               "bootstrap: {} resamples at level {}; expected at least 1, and a level between 0 and 1", resamples,
               level);
  if (groups.size() < 2) return std::nullopt;
  std::vector<double> scores;
  for (int r = 0; r < resamples; ++r) {
    Rng rng(seed, static_cast<std::uint64_t>(r));
    ConfusionMatrix pooled(groups[0].classes());
    for (std::size_t i = 0; i < groups.size(); ++i)
      pooled.merge(groups[static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(groups.size()) - 1))]);
    scores.push_back(pooled.score().miou);
  }
  std::sort(scores.begin(), scores.end());
  const auto quantile = [&](double q) {
    return scores[static_cast<std::size_t>(std::lround(q * static_cast<double>(scores.size() - 1)))];
  };
  return Interval{quantile((1.0 - level) / 2.0), quantile((1.0 + level) / 2.0)};
}

}  // namespace rarefy
