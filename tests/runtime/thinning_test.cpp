/// Fewer voxels ahead of the network, and the cost model that says how many: on a clock of its own.
#include "rarefy/thinning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "rarefy/voxel_budget.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

struct Street {
  Model model;
  std::vector<float> points;
  explicit Street(std::uint64_t seed, const char* builder = "minkunet", std::int64_t count = 3000) {
    const models::ModelOptions options{.width = 0.15, .pipeline = models::semantic_kitti_pipeline(0.2)};
    const Graph graph = models::build(builder, options);
    model = Model(graph, initial_weights(graph, seed), options.pipeline);
    Rng rng(seed);
    for (std::int64_t i = 0; i < 4 * count; ++i)
      points.push_back(static_cast<float>(i % 4 < 2 ? 8 * rng.normal() : rng.uniform()));
  }
  PointView view() const { return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}}; }
};

TEST(ThinnedRun, is_the_run_on_the_points_of_the_voxels_that_stay) {
  for (const char* builder : {"minkunet", "spvcnn"}) {
    const Street street(3, builder);
    Session session(street.model, {.threads = 2});
    const std::int64_t all = session.run({{"points", street.view()}})["logits"].rows;
    EXPECT_EQ(session.statistics().voxels_left_out, 0);
    const Thinning wanted{.most = all / 3};
    const Outputs& found = session.run({{"points", street.view()}}, {.thinning = wanted});
    EXPECT_EQ(session.statistics().voxels, all / 3);
    EXPECT_EQ(session.statistics().voxels_left_out, all - all / 3);
    const auto labels = found["labels"].as<std::uint8_t>();
    EXPECT_EQ(std::count(labels.begin(), labels.end(), 255), 0);
    const auto sites = found.coords("logits").as<std::int32_t>();
    const auto bits = test::bits_of(found["logits"]);

    std::vector<float> kept;
    for (std::size_t p = 0; p < street.points.size(); p += 4) {
      std::int32_t site[4] = {0};
      for (std::size_t a = 0; a < 3; ++a)
        site[1 + a] = static_cast<std::int32_t>(std::floor(street.points[p + a] / 0.2f));
      for (std::size_t r = 0; r < sites.size(); r += 4)
        if (std::equal(site, site + 4, sites.begin() + static_cast<std::ptrdiff_t>(r)))
          kept.insert(kept.end(), street.points.begin() + static_cast<std::ptrdiff_t>(p),
                      street.points.begin() + static_cast<std::ptrdiff_t>(p) + 4);
    }
    Session alone(street.model);
    const PointView view{kept.data(), static_cast<std::int64_t>(kept.size()) / 4, 16, {0, 4, 8, 12}};
    EXPECT_EQ(test::bits_of(alone.run({{"points", view}})["logits"]), bits);
  }
}

TEST(ThinnedRun, is_the_same_for_any_threads_and_ahead_and_leaves_the_next_run_alone) {
  const Street street(5);
  const RunOptions thinned{.thinning = {.share = 0.4, .order = VoxelOrder::near}};
  Session one(street.model), four(street.model, {.threads = 4});
  const auto whole = test::bits_of(one.run({{"points", street.view()}})["logits"]);
  const auto bits = test::bits_of(one.run({{"points", street.view()}}, thinned)["labels"]);
  EXPECT_EQ(test::bits_of(four.run({{"points", street.view()}}, thinned)["labels"]), bits);
  const auto plan = Plan::compile(street.model);
  Geometry geometry(plan);
  Context context(plan);
  geometry.prepare({{"points", street.view()}}, thinned);
  EXPECT_EQ(test::bits_of(context.run(geometry)["labels"]), bits);
  EXPECT_GT(context.statistics().voxels_left_out, 0);
  EXPECT_EQ(test::bits_of(one.run({{"points", street.view()}})["logits"]), whole);
}

TEST(ThinnedRun, complains_and_goes_on) {
  const Street street(5);
  Session session(street.model);
  test::expect_error<UsageError>(
      [&] {
        (void)session.run({{"points", street.view()}}, {.thinning = {.share = 2.0}});
      },
      {"share of 2"});
  EXPECT_GT(session.run({{"points", street.view()}})["logits"].rows, 0);
}

/// A machine whose time is known: 5 ms and 2 ms per thousand voxels, give or take; from run 1500 on it is half as fast.
struct Machine {
  Rng rng{7};
  double slowness = 1;
  double run(std::int64_t voxels) {
    const double noise = std::exp(0.05 * rng.normal());
    return slowness * noise * (5 + 2e-3 * static_cast<double>(voxels));
  }
};

TEST(VoxelBudget, holds_99_of_100_runs_within_their_time_and_wastes_little) {
  for (const double deadline : {50.0, 100.0}) {
    Machine machine;
    VoxelBudget budget;
    for (const std::int64_t voxels : {60000, 30000, 15000}) budget.observe(voxels, machine.run(voxels));
    int late = 0, late_after_change = 0;
    double used = 0;
    constexpr int kRuns = 6000;
    for (int i = 0; i < kRuns; ++i) {
      if (i == 1500) machine.slowness = 2;
      const auto there = static_cast<std::int64_t>(60000 + 5000 * machine.rng.normal());
      const std::int64_t voxels = std::min(there, budget.voxels_within(deadline));
      const double ms = machine.run(voxels);
      budget.observe(voxels, ms);
      late += ms > deadline ? 1 : 0;
      late_after_change += ms > deadline && i >= 1500 && i < 1600 ? 1 : 0;
      used += ms / deadline / kRuns;
    }
    EXPECT_LE(late, kRuns / 100 + 30) << deadline;  // the change itself costs some
    EXPECT_LE(late_after_change, 30) << deadline;
    EXPECT_GT(used, 0.75) << deadline;
  }
}

TEST(VoxelBudget, finds_the_line_and_never_promises_nonsense) {
  VoxelBudget budget({.memory = 1000});
  EXPECT_EQ(budget.voxels_within(10), 0);  // nothing is known: no limit
  EXPECT_EQ(budget.expected_ms(1000), 0);
  for (int i = 1; i <= 50; ++i) budget.observe(1000 * i, 3 + 2.0 * i);
  EXPECT_NEAR(budget.expected_ms(20000), 43, 0.1);
  EXPECT_NEAR(static_cast<double>(budget.voxels_within(budget.factor() * 43)), 20000, 100);
  EXPECT_EQ(budget.voxels_within(0.5), 1);
  EXPECT_EQ(budget.voxels_within(-5), 1);
  EXPECT_GE(budget.least_ms(), 3);
  budget.observe(1000, -1);
  budget.observe(1000, std::nan(""));
  EXPECT_EQ(budget.observed(), 50);
  VoxelBudget flat;  // one size only
  for (int i = 0; i < 10; ++i) flat.observe(50000, 100);
  EXPECT_GT(flat.voxels_within(200), 50000);
  EXPECT_LT(flat.voxels_within(50), 30000);
  test::expect_error<UsageError>([] { VoxelBudget wrong({.in_time = 1.0}); }, {"in time"});
}

}  // namespace
}  // namespace rarefy
