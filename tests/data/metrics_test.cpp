#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.h"
#include "data/metrics/confusion.h"
#include "data/metrics/trivial_baseline.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

using ::testing::HasSubstr;

struct Labels {
  std::vector<std::uint8_t> truth, predicted;
};

Labels random_labels(Rng& rng, int classes, int points) {
  Labels labels;
  for (int i = 0; i < points; ++i) {
    const auto draw = [&] {
      return rng.chance(0.1) ? kIgnored : static_cast<std::uint8_t>(rng.integer(0, classes - 1));
    };
    labels.truth.push_back(draw());
    labels.predicted.push_back(rng.chance(0.6) ? labels.truth.back() : draw());
  }
  return labels;
}

/// By the definition, with sets of points.
double brute_force_iou(const Labels& labels, std::uint8_t c) {
  std::set<std::size_t> truth, predicted, both, either;
  for (std::size_t i = 0; i < labels.truth.size(); ++i) {
    if (labels.truth[i] == kIgnored) continue;
    if (labels.truth[i] == c) truth.insert(i);
    if (labels.predicted[i] == c) predicted.insert(i);
  }
  std::set_intersection(truth.begin(), truth.end(), predicted.begin(), predicted.end(),
                        std::inserter(both, both.end()));
  std::set_union(truth.begin(), truth.end(), predicted.begin(), predicted.end(), std::inserter(either, either.end()));
  return either.empty() ? 0.0 : static_cast<double>(both.size()) / static_cast<double>(either.size());
}

TEST(Confusion, equals_the_definition) {
  Rng rng(11);
  for (int round = 0; round < 50; ++round) {
    const int classes = static_cast<int>(rng.integer(1, 19));
    const Labels labels = random_labels(rng, classes, static_cast<int>(rng.integer(0, 300)));
    ConfusionMatrix matrix(classes);
    matrix.add(labels.truth, labels.predicted);
    const Score score = matrix.score();
    double sum = 0.0;
    int occurring = 0;
    std::int64_t labelled = 0;
    for (int c = 0; c < classes; ++c) {
      const auto id = static_cast<std::uint8_t>(c);
      EXPECT_EQ(score.iou[static_cast<std::size_t>(c)], brute_force_iou(labels, id));
      const std::int64_t points = std::count(labels.truth.begin(), labels.truth.end(), id);
      EXPECT_EQ(score.points[static_cast<std::size_t>(c)], points);
      labelled += points;
      if (points == 0) continue;
      ++occurring;
      sum += score.iou[static_cast<std::size_t>(c)];
    }
    EXPECT_EQ(score.occurring, occurring);
    EXPECT_EQ(score.labelled, labelled);
    EXPECT_DOUBLE_EQ(score.miou, occurring > 0 ? sum / occurring : 0.0);
  }
}

TEST(Confusion, classes_without_labels_do_not_enter_the_mean) {
  ConfusionMatrix matrix(3);
  matrix.add(std::vector<std::uint8_t>{0, 0, 0, 0}, std::vector<std::uint8_t>{0, 0, 1, kIgnored});
  const Score score = matrix.score();
  EXPECT_EQ(score.occurring, 1);
  EXPECT_EQ(score.miou, 0.5);  // two of four, one taken for class 1, one without a prediction
  EXPECT_EQ(score.accuracy, 0.5);
  EXPECT_EQ(matrix.count(0, kIgnored), 1);
  EXPECT_EQ(ConfusionMatrix(3).score().miou, 0.0);
}

TEST(Confusion, merging_is_adding) {
  Rng rng(5);
  const Labels a = random_labels(rng, 4, 100), b = random_labels(rng, 4, 50);
  ConfusionMatrix first(4), second(4), both(4);
  first.add(a.truth, a.predicted);
  second.add(b.truth, b.predicted);
  both.add(a.truth, a.predicted);
  both.add(b.truth, b.predicted);
  first.merge(second);
  EXPECT_EQ(first.score().iou, both.score().iou);
  EXPECT_THROW(first.merge(ConfusionMatrix(5)), UsageError);
}

TEST(Confusion, refuses_what_is_no_class) {
  ConfusionMatrix matrix(3);
  EXPECT_THROW(matrix.add(std::vector<std::uint8_t>{3}, std::vector<std::uint8_t>{0}), UsageError);
  EXPECT_THROW(matrix.add(std::vector<std::uint8_t>{0}, std::vector<std::uint8_t>{254}), UsageError);
  EXPECT_THROW(matrix.add(std::vector<std::uint8_t>{0}, std::vector<std::uint8_t>{}), UsageError);
  EXPECT_THROW(ConfusionMatrix(255), UsageError);
}

TEST(Confusion, range_bins) {
  RangeConfusion ranges(2);
  const float inf = INFINITY;
  const std::vector<float> xyz = {0,    0, 99, 6,   8, 0, -19,           0, 0, 0, 49.9f, 0, 50, 0, 0,
                                  1000, 0, 0,  inf, 0, 0, std::nanf(""), 0, 0};
  const std::vector<std::uint8_t> ones(8, 1);
  ranges.add(xyz, ones, ones);
  const std::vector<std::int64_t> expected = {1, 2, 0, 1, 2};  // [0,10) [10,20) [20,30) [30,50) [50,..)
  for (std::size_t bin = 0; bin < expected.size(); ++bin)
    EXPECT_EQ(ranges.bins()[bin].count(1, 1), expected[bin]) << bin;
}

TEST(Bootstrap, is_repeatable_and_surrounds_the_pooled_score) {
  Rng rng(3);
  std::vector<ConfusionMatrix> streets;
  ConfusionMatrix pooled(5);
  for (int s = 0; s < 12; ++s) {
    const Labels labels = random_labels(rng, 5, 400);
    streets.emplace_back(5);
    streets.back().add(labels.truth, labels.predicted);
    pooled.merge(streets.back());
  }
  const auto interval = bootstrap_miou(streets, 7);
  ASSERT_TRUE(interval);
  EXPECT_LT(interval->low, pooled.score().miou);
  EXPECT_GT(interval->high, pooled.score().miou);
  EXPECT_LT(interval->high - interval->low, 0.1);
  const auto again = bootstrap_miou(streets, 7);
  EXPECT_EQ(interval->low, again->low);
  const auto wider = bootstrap_miou(streets, 7, 1000, 0.99);
  EXPECT_GT(wider->high - wider->low, interval->high - interval->low);
  EXPECT_FALSE(bootstrap_miou(std::span(streets).first(1), 7));
}

Sample two_layers() {
  Sample sample;  // class 3 below -1 m, class 1 above, class 2 beyond 20 m
  Rng rng(1);
  for (int i = 0; i < 4000; ++i) {
    const auto x = static_cast<float>(rng.uniform(0, 50)), z = static_cast<float>(rng.uniform(-2, 0));
    sample.xyz.insert(sample.xyz.end(), {x, 0.0f, z});
    sample.intensity.push_back(0.0f);
    sample.labels.push_back(x >= 20.0f ? 2 : z < -1.0f ? 3 : 1);
  }
  return sample;
}

TEST(TrivialBaseline, learns_height_and_range) {
  TrivialBaseline baseline(4);
  const Sample sample = two_layers();
  baseline.fit(sample);
  std::vector<std::uint8_t> predicted(sample.labels.size());
  baseline.predict(sample.xyz, predicted);
  EXPECT_EQ(predicted, sample.labels);
  const std::vector<float> odd = {std::nanf(""), 0, 0, 5, 0, -100, 1e6f, 0, -1.5f, 5, 0, 50};
  std::vector<std::uint8_t> at_edges(4);
  baseline.predict(odd, at_edges);
  EXPECT_EQ(at_edges[0], kIgnored);
  EXPECT_EQ(at_edges[2], 2);  // beyond: no data in the last bin, so the most frequent of that height
  EXPECT_EQ(at_edges[3], 2);  // above all training points: the most frequent of all
}

TEST(TrivialBaseline, survives_saving_and_refuses_damage) {
  TrivialBaseline baseline(4);
  EXPECT_THROW(baseline.predict({}, {}), UsageError);
  baseline.fit(two_layers());
  const std::string text = baseline.to_json();
  EXPECT_EQ(TrivialBaseline::from_json(text, "b.json"), baseline);
  for (const std::string& bad :
       {text.substr(0, text.size() / 2), std::string("{}"), std::string("[]"),
        std::string(R"({"format": "rarefy trivial baseline", "version": 2, "classes": 4, "counts": []})"),
        std::string(R"({"format": "rarefy trivial baseline", "version": 1, "classes": 4, "counts": [1]})")}) {
    try {
      TrivialBaseline::from_json(bad, "b.json");
      FAIL() << bad;
    } catch (const InputError& e) {
      EXPECT_THAT(e.what(), HasSubstr("b.json: "));
    }
  }
}

}  // namespace
}  // namespace rarefy
