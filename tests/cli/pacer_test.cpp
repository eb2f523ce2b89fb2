// How many voxels a frame may have: on a made-up machine, so that no clock decides a test.
#include "stream/pacer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/rng.h"
#include "cli/program.h"

namespace rarefy::cli::stream {
namespace {

/// Two stages that overlap, as in the pipeline: geometry, then the network, one frame each at a time.
struct Drive {
  double deadline_ms, period_ms;
  double slow_from = 1e300;  ///< frame from which on all takes twice as long
  Rng rng{3};
  std::vector<double> latencies;
  std::vector<std::int64_t> voxels;
  int by_rate = 0;

  double noise() { return std::exp(0.04 * rng.normal()); }

  void play(Pacer& pacer, int frames) {
    for (const double n : {60e3, 30e3, 15e3, 1e3})
      pacer.observe(static_cast<std::int64_t>(n), 5 + 2e-4 * n, 4 + 2e-3 * n);
    double geometry_free = 0, network_free = 0;
    for (int i = 0; i < frames; ++i) {
      const double slowness = i >= slow_from ? 2 : 1, arrival = i * period_ms;
      const double start = std::max(arrival + 2, geometry_free);
      const Pacer::Decision d = pacer.allow(start - arrival);
      by_rate += d.bound == Bound::rate ? 1 : 0;
      const std::int64_t there = 60000 + rng.integer(-5000, 5000);
      const std::int64_t n = d.most > 0 ? std::min(there, d.most) : there;
      const double geometry = slowness * noise() * (5 + 2e-4 * static_cast<double>(n));
      const double network = slowness * noise() * (4 + 2e-3 * static_cast<double>(n));
      geometry_free = start + geometry;
      const double begin = std::max(geometry_free, network_free);
      network_free = begin + network;
      pacer.observe(n, geometry, network);
      latencies.push_back(network_free - arrival);
      voxels.push_back(n);
    }
  }
  double share_late() const {
    const auto late = std::count_if(latencies.begin(), latencies.end(), [&](double ms) { return ms > deadline_ms; });
    return static_cast<double>(late) / static_cast<double>(latencies.size());
  }
};

TEST(Pacer, holds_the_99th_percentile_and_uses_the_time) {
  for (const double deadline : {50.0, 100.0, 120.0}) {
    Pacer pacer(deadline, 100);
    Drive drive{deadline, 100};
    drive.play(pacer, 4000);
    EXPECT_LE(drive.share_late(), 0.013) << deadline;
    std::nth_element(drive.latencies.begin(), drive.latencies.begin() + 2000, drive.latencies.end());
    EXPECT_GT(drive.latencies[2000], 0.75 * deadline) << deadline;
  }
}

TEST(Pacer, follows_a_machine_that_becomes_slow) {
  Pacer pacer(100, 100);
  Drive drive{100, 100};
  drive.slow_from = 1000;
  drive.play(pacer, 4000);
  EXPECT_LE(drive.share_late(), 0.02);
  EXPECT_LT(drive.voxels.back(), 0.7 * static_cast<double>(drive.voxels[900]));
}

/// With twice the time per frame that the rate allows, the rate is what bounds: else frames would queue.
TEST(Pacer, a_long_deadline_is_bound_by_the_rate) {
  Pacer pacer(400, 60);
  Drive drive{400, 60};
  drive.play(pacer, 1000);
  EXPECT_EQ(drive.share_late(), 0);
  EXPECT_GT(drive.by_rate, 900);
}

TEST(Pacer, knows_nothing_at_first_and_never_asks_for_less_than_its_least) {
  Pacer pacer(100, 0);
  EXPECT_EQ(pacer.allow(0).most, 0);
  EXPECT_EQ(pacer.allow(0).bound, Bound::none);
  EXPECT_EQ(pacer.least_ms(), 0);
  pacer.observe(50000, 10, 100);
  EXPECT_EQ(pacer.allow(99).most, Pacer::kLeast);
  EXPECT_EQ(pacer.allow(250).most, Pacer::kLeast);
  EXPECT_GT(pacer.least_ms(), 0);
}

}  // namespace
}  // namespace rarefy::cli::stream

namespace rarefy::test {
namespace {

using testing::HasSubstr;

TEST_F(Program, stream_says_of_each_frame_what_it_left_out) {
  for (const char* name : {"a.bin", "b.bin"}) write_street(name);
  const Result whole =
      run("stream a.bin b.bin --rate 0 --drop none --loop --frames 6 --threads 1 --json --whole --deadline 10s");
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_TRUE(whole.json()["thinning"].is_null());
  const Result result = run(
      "stream a.bin b.bin --rate 0 --drop none --loop --frames 6 --threads 1 --json --deadline 10s --log frames.jsonl");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["thinning"]["order"], "spread");
  std::ifstream log(path("frames.jsonl"));
  std::string line;
  int frames = 0;
  while (std::getline(log, line)) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["fate"], "labelled");
    EXPECT_EQ(json["voxels_left_out"], 0);  // ten seconds are enough
    EXPECT_GT(json["voxels"].get<int>(), 100);
    ++frames;
  }
  EXPECT_EQ(frames, 6);
  const Result never = run("stream a.bin --deadline 0.001ms --frames 1");
  EXPECT_EQ(never.code, 2);
  EXPECT_THAT(never.err, HasSubstr("cannot be held by leaving voxels out: the fastest run"));
  EXPECT_EQ(run("stream a.bin --deadline 1s --order upwards --frames 1").code, 2);
}

TEST_F(Program, eval_scores_what_fewer_voxels_cost) {
  write_street("a.bin", true);
  const auto whole = run("eval a.bin --json --threads 1").json();
  EXPECT_FALSE(whole.contains("thinning"));
  const auto half = run("eval a.bin --json --threads 1 --keep 0.5 --order random").json();
  EXPECT_NEAR(half["thinning"]["share_left_out"].get<double>(), 0.5, 0.01);
  EXPECT_EQ(half["points"], whole["points"]);
  for (const auto& row : half["confusion"]) EXPECT_EQ(row.back(), 0) << "a point without a label";
  const Result timely = run("eval a.bin --threads 1 --deadline 10s");
  ASSERT_EQ(timely.code, 0) << timely.err;
  EXPECT_THAT(timely.out, HasSubstr("0 scans missed the deadline"));
  EXPECT_EQ(run("eval a.bin --keep 0.5 --deadline 1s").code, 2);
  EXPECT_EQ(run("eval a.bin --keep 1.5").code, 2);
  write_street("b.bin", true);
  const Result never = run("eval a.bin b.bin --deadline 0.001ms");
  EXPECT_EQ(never.code, 2);
  EXPECT_THAT(never.err, HasSubstr("cannot be held"));
}

}  // namespace
}  // namespace rarefy::test
