// The part of a run that is made ahead: same bits, same counts, whoever makes it and when.
#include <gtest/gtest.h>

#include <cmath>
#include <semaphore>
#include <thread>

#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

Model make_model(const std::string& builder) {
  const Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
  const Graph graph = models::at(builder).build({.width = 0.2, .classes = 19, .pipeline = pipeline});
  return Model(graph, initial_weights(graph, 5), pipeline);
}

std::vector<float> random_points(Rng& rng) {
  std::vector<float> points;
  const std::int64_t count = rng.integer(0, 900);
  for (std::int64_t p = 0; p < count; ++p) {
    const double x = rng.uniform(-3, 3), y = rng.uniform(-3, 3);
    for (const double v : {x, y, 0.1 * std::sin(x), rng.uniform()}) points.push_back(static_cast<float>(v));
  }
  return points;
}

PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}, {}};
}

using Bits = std::vector<std::uint8_t>;
Bits bits_of_all(const Outputs& outputs) {
  Bits bits;
  for (const Outputs::Entry& entry : outputs.all()) {
    const Bits some = test::bits_of(entry.view);
    bits.insert(bits.end(), some.begin(), some.end());
  }
  return bits;
}

/// Frame by frame: a thread of its own makes the geometry of the next frame while this one computes the network.
std::vector<Bits> run_ahead(const std::shared_ptr<const Plan>& plan, const std::vector<std::vector<float>>& scans,
                            int threads) {
  std::vector<Geometry> turns;
  for (int t = 0; t < 2; ++t) turns.emplace_back(plan, GeometryOptions{.threads = threads});
  Context context(plan, {.threads = threads});
  std::counting_semaphore<2> free(2), made(0);
  std::thread maker([&] {
    for (std::size_t s = 0; s < scans.size(); ++s) {
      free.acquire();
      turns[s % 2].prepare({{"points", view_of(scans[s])}});
      made.release();
    }
  });
  std::vector<Bits> results;
  for (std::size_t s = 0; s < scans.size(); ++s) {
    made.acquire();
    results.push_back(bits_of_all(context.run(turns[s % 2])));
    free.release();
  }
  maker.join();
  return results;
}

TEST(Geometry, made_ahead_by_another_thread_gives_the_same_bits) {
  for (const models::ModelDef& def : models::labelling()) {
    SCOPED_TRACE(def.name);
    const Model model = make_model(def.name);
    const auto plan = Plan::compile(model);
    test::for_random_cases(3, [&](Rng& rng) {
      std::vector<std::vector<float>> scans;
      std::vector<Bits> expected;
      Context plain(plan);
      for (int s = 0; s < 6; ++s) {
        scans.push_back(random_points(rng));
        expected.push_back(bits_of_all(plain.run({{"points", view_of(scans.back())}})));
      }
      for (const int threads : {1, 2}) EXPECT_EQ(run_ahead(plan, scans, threads), expected) << threads << " threads";
    });
  }
}

TEST(Geometry, counts_and_profile_are_those_of_a_plain_run) {
  const Model model = make_model("minkunet");
  const auto plan = Plan::compile(model);
  Rng rng(2);
  std::vector<float> points;
  while (points.size() < 800) points = random_points(rng);
  points[8] = std::numeric_limits<float>::quiet_NaN();
  const Inputs inputs{{"points", view_of(points)}};
  Context plain(plan), other(plan);
  (void)plain.run(inputs);
  Geometry geometry(plan);
  geometry.prepare(inputs);
  EXPECT_EQ(geometry.statistics().macs, 0);
  EXPECT_EQ(geometry.statistics().network_ms, 0);
  EXPECT_EQ(geometry.statistics().voxels, plain.statistics().voxels);
  for (int again = 0; again < 2; ++again) {  // and the same geometry serves twice
    (void)other.run(geometry);
    const RunStatistics &a = plain.statistics(), &b = other.statistics();
    EXPECT_EQ(a.macs, b.macs);
    EXPECT_EQ(a.points, b.points);
    EXPECT_EQ(a.voxels, b.voxels);
    EXPECT_EQ(b.points_not_finite, 1);
    EXPECT_EQ(a.sizes, b.sizes);
    EXPECT_GT(b.voxelize_ms, 0);
    EXPECT_GT(b.maps_ms, 0);
    EXPECT_GE(b.total_ms, b.voxelize_ms + b.maps_ms + b.network_ms);
    ASSERT_EQ(plain.profile().size(), other.profile().size());
    for (std::size_t s = 0; s < plain.profile().size(); ++s) {
      const StepProfile &p = plain.profile()[s], &q = other.profile()[s];
      EXPECT_EQ(std::tie(p.name, p.op, p.kind, p.variant, p.macs, p.rows, p.pairs),
                std::tie(q.name, q.op, q.kind, q.variant, q.macs, q.rows, q.pairs));
    }
  }
  EXPECT_LT(other.memory_bytes(), plain.memory_bytes());  // the maps are not its own
  EXPECT_GT(geometry.memory_bytes(), 0);
}

TEST(Geometry, misuse_is_told_and_both_stay_usable) {
  const Model model = make_model("minkunet_small");
  const auto plan = Plan::compile(model), twin = Plan::compile(model);
  Rng rng(4);
  std::vector<float> points;
  while (points.empty()) points = random_points(rng);
  const Inputs inputs{{"points", view_of(points)}};
  Context context(plan);
  const Bits expected = bits_of_all(context.run(inputs));
  Geometry geometry(plan), foreign(twin);
  test::expect_error<UsageError>([&] { (void)context.run(geometry); }, {"prepare()"});
  foreign.prepare(inputs);
  test::expect_error<UsageError>([&] { (void)context.run(foreign); }, {"another plan"});
  geometry.prepare(inputs);
  test::expect_error<UsageError>([&] { geometry.prepare({{"pints", view_of(points)}}); }, {"'pints'", "'points'"});
  test::expect_error<UsageError>([&] { (void)context.run(geometry); }, {"prepare()"});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(geometry.prepare(inputs, {.stop = stop.get_token()}), Cancelled);
  geometry.prepare(inputs);
  EXPECT_THROW((void)context.run(geometry, {.stop = stop.get_token()}), Cancelled);
  EXPECT_EQ(bits_of_all(context.run(geometry)), expected);
  EXPECT_EQ(bits_of_all(context.run(inputs)), expected);
  points[0] = std::numeric_limits<float>::infinity();
  test::expect_error<InputError>([&] { geometry.prepare(inputs, {.strict = true}); }, {"1 of"});
  test::expect_error<UsageError>([&] { Geometry none(plan, {.threads = 0}); }, {"at least one thread"});
}

TEST(Geometry, counts_towards_the_memory_limit) {
  const Model model = make_model("minkunet_small");
  const auto plan = Plan::compile(model);
  Rng rng(6);
  std::vector<float> points;
  while (points.size() < 2000) points = random_points(rng);
  Geometry geometry(plan);
  geometry.prepare({{"points", view_of(points)}});
  Context free(plan);
  (void)free.run(geometry);
  const std::int64_t features = free.memory_bytes();
  Context limited(plan, {.memory_limit = features + geometry.memory_bytes() / 2});
  test::expect_error<MemoryError>([&] { (void)limited.run(geometry); }, {"needs", "memory_limit"});
}

}  // namespace
}  // namespace rarefy
