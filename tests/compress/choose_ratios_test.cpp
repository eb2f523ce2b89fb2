// Ratios by measured time: with times that are known, so that the choice is.
#include "compress/choose_ratios.h"

#include <gtest/gtest.h>

#include "compress/score_voxels.h"
#include "compress/small_network.h"
#include "rarefy/builder.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

/// 100 ms, less what each stage saves at its ratio.
TimeNetworks known_times(std::map<std::string, double> saved_by_dropping_all) {
  return [saved = std::move(saved_by_dropping_all)](const std::vector<Model>& models) {
    std::vector<NetworkTimes> times;
    for (const Model& model : models) {
      NetworkTimes t;
      t.step["all"] = 100;
      for (const Node& node : model.graph().nodes()) {
        if (node.op != "select_best") continue;
        const std::string stage = node.name.substr(0, node.name.find('.'));
        const auto found = saved.find(stage);
        if (found != saved.end()) t.step["all"] -= found->second * (1.0 - node.number("share"));
      }
      times.push_back(t);
    }
    return times;
  };
}

struct Data {
  Model model = test::small_network(2);
  std::vector<float> points = test::some_points(1, 1500);
  std::vector<Inputs> scans{{{"points", test::view_of(points)}}};
};

TEST(ChooseRatios, keeps_the_budget_and_leaves_stages_dense_that_gain_nothing) {
  const Data data;
  ChooseRatiosOptions options{.budget_ms = 80, .time = known_times({{"up1", 30}, {"up4", 30}, {"down1", -20}})};
  std::int64_t reported = 0;
  options.progress = [&](const ProgressReport& report) { reported = report.done; };
  const RatiosChoice choice = choose_ratios(data.model, data.scans, options);
  EXPECT_EQ(reported, 8);
  EXPECT_EQ(choice.table.size(), 8 * options.levels.size());
  EXPECT_LE(choice.ms, 80);
  EXPECT_NEAR(choice.ms, choice.ms_promised, 1e-9);
  EXPECT_EQ(choice.ms_dense, 100);
  for (const auto& [stage, ratio] : choice.ratios)
    EXPECT_TRUE(stage == "up1" || stage == "up4") << stage << " " << ratio;
  EXPECT_TRUE(drops_voxels(choice.model.graph()));
}

TEST(ChooseRatios, a_budget_that_the_dense_model_keeps_drops_nothing) {
  const Data data;
  const RatiosChoice choice =
      choose_ratios(data.model, data.scans, {.budget_ms = 101, .time = known_times({{"up1", 30}})});
  EXPECT_TRUE(choice.ratios.empty());
  EXPECT_FALSE(drops_voxels(choice.model.graph()));
  EXPECT_EQ(choice.changed, 0);
}

TEST(ChooseRatios, complains) {
  const Data data;
  const auto times = known_times({{"up1", 30}, {"up4", 30}});
  test::expect_error<UsageError>([&] { (void)choose_ratios(data.model, data.scans, {.budget_ms = 20, .time = times}); },
                                 {"20.0 ms cannot be reached", "fastest found takes 46.0 ms", "dense model 100.0 ms"});
  test::expect_error<UsageError>([&] { (void)choose_ratios(data.model, {}, {.budget_ms = 20, .time = times}); },
                                 {"none was given"});
  test::expect_error<UsageError>(
      [&] {
        (void)choose_ratios(data.model, data.scans, {.budget_ms = 20, .levels = {0.5, 1.0}, .time = times});
      },
      {"levels", "got 1"});
}

/// Lone voxels with positive weights: what the block adds is linear in the features, and is found.
TEST(LearnedScores, find_a_linear_rule) {
  Builder b;
  const ValueId x = b.sparse_input(3, 1);
  const ValueId branch = b.conv(x, {.channels = 3, .kernel = {3}, .name = "s.one.conv"});
  b.output("y", b.relu(b.add_values(branch, x)));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  const auto w = weights.mutable_at("s.one.conv.weight").mutable_as<float>();
  std::fill(w.begin(), w.end(), 0.0f);
  for (int i = 0; i < 3; ++i) w[static_cast<std::size_t>(9 + 3 * i)] = static_cast<float>(3 * (i + 1));  // to channel 0
  std::vector<std::int32_t> coords;
  std::vector<float> values;
  Rng rng(3);
  for (int i = 0; i < 200; ++i) {
    coords.insert(coords.end(), {0, 5 * i});
    for (int c = 0; c < 3; ++c) values.push_back(static_cast<float>(rng.uniform(0.0, 1.0)));
  }
  const SparseView view{coords.data(), {values.data(), Dtype::f32, Device::cpu, 200, 3, 3}, 1};
  const auto scores = learn_scores(Model(graph, weights), {{{"x", view}}});
  const LinearScore& score = scores.at("s");
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(score.weight[static_cast<std::size_t>(i)], i + 1.0, 0.01);
  EXPECT_NEAR(score.bias, 0.0, 0.02);
}

TEST(Thresholds, drop_the_share_over_all_scans_together) {
  const Model model = test::small_network(2);
  const std::vector<float> few = test::some_points(1, 500), many = test::some_points(2, 3000);
  const std::vector<Inputs> scans{{{"points", test::view_of(few)}}, {{"points", test::view_of(many)}}};
  DropVoxelsOptions how{.ratios = {{"up4", 0.5}}};
  how.thresholds = pooled_thresholds(model, how, scans);
  EXPECT_EQ(how.thresholds.size(), 2u);
  Session session(drop_voxels(model, how));
  std::int64_t kept = 0, all = 0;
  for (const Inputs& scan : scans) {
    session.run(scan);
    for (const StepProfile& p : session.profile())
      if (p.name == "up4.res1.kept") kept += p.rows;
    all += session.statistics().voxels;
  }
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(all), 0.5, 0.01);
}

/// Shares in the model become thresholds; of these scans together each block drops the same share.
TEST(Thresholds, of_a_model_that_drops_by_share) {
  const Model model = test::small_network(2);
  const std::vector<float> few = test::some_points(1, 500), many = test::some_points(2, 3000);
  const std::vector<Inputs> scans{{{"points", test::view_of(few)}}, {{"points", test::view_of(many)}}};
  const Model by_share = drop_voxels(model, {.ratios = {{"down2", 0.3}, {"up4", 0.6}}});
  const Model by_threshold = with_pooled_thresholds(by_share, scans);
  EXPECT_NEAR(left_out_as_asked(by_share.graph()), (2 * 0.3 + 2 * 0.6) / 16, 1e-9);
  std::map<std::string, double> rows[2], all;
  for (int m = 0; m < 2; ++m) {
    const Graph& graph = (m == 0 ? by_share : by_threshold).graph();
    Session session(m == 0 ? by_share : by_threshold);
    for (const Inputs& scan : scans) {
      session.run(scan);
      for (const BlockRows& block : block_rows(graph))
        rows[m][block.block] += static_cast<double>(session.statistics().sizes.at(block.space));
    }
  }
  EXPECT_EQ(rows[0].size(), 16u);
  for (const auto& [block, count] : rows[0]) EXPECT_NEAR(rows[1].at(block), count, 4.0) << block;
  test::expect_error<UnsupportedError>([&] { (void)with_pooled_thresholds(model, scans); }, {"drops no voxels"});
}

/// The table's figures are those of plain loops over the labels.
TEST(ChooseRatios, counts_labels_or_classes) {
  const Data data;
  const Model third = drop_voxels(data.model, {.ratios = {{"up4", 0.3}}});
  Session before(data.model), after(third);
  const auto wanted = before.run(data.scans[0])["labels"].as<std::uint8_t>();
  const auto found = after.run(data.scans[0])["labels"].as<std::uint8_t>();
  double same = 0, iou = 0;
  int classes = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) same += wanted[i] == found[i] ? 1 : 0;
  for (int c = 0; c < 256; ++c) {
    double both = 0, either = 0, in_wanted = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      both += wanted[i] == c && found[i] == c ? 1 : 0;
      either += wanted[i] == c || found[i] == c ? 1 : 0;
      in_wanted += wanted[i] == c ? 1 : 0;
    }
    if (in_wanted == 0) continue;
    ++classes;
    iou += both / either;
  }
  for (const Changed by : {Changed::labels, Changed::classes}) {
    const RatiosChoice choice = choose_ratios(
        data.model, data.scans, {.budget_ms = 101, .by = by, .levels = {0.3}, .time = known_times({{"up4", 30}})});
    const double expected = by == Changed::labels ? 1 - same / static_cast<double>(wanted.size()) : 1 - iou / classes;
    bool seen = false;
    for (const RatioCost& cost : choice.table) {
      if (cost.stage != "up4") continue;
      seen = true;
      EXPECT_NEAR(cost.changed, expected, 1e-9);
      EXPECT_GT(cost.changed, 0.0);
    }
    EXPECT_TRUE(seen);
  }
}

}  // namespace
}  // namespace rarefy::compress
