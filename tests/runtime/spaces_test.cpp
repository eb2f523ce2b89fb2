/// What a session does with samples, chosen rows and forced kernels beyond what the conformance test checks.
#include <gtest/gtest.h>

#include "base/cpu.h"
#include "rarefy/builder.h"
#include "rarefy/error.h"
#include "rarefy/session.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

/// Sites 0 .. n - 1 of one axis, site i in sample i % samples, one feature each.
struct Line {
  std::vector<std::int32_t> coords;
  std::vector<float> values;
  std::int64_t samples;
  Line(std::int64_t n, std::int64_t samples_) : samples(samples_) {
    for (std::int64_t i = 0; i < n; ++i) {
      coords.push_back(static_cast<std::int32_t>(i % samples));
      coords.push_back(static_cast<std::int32_t>(i));
      values.push_back(static_cast<float>(i));
    }
  }
  SparseView view() {
    return {coords.data(),
            {values.data(), Dtype::f32, Device::cpu, static_cast<std::int64_t>(values.size()), 1, 1},
            samples};
  }
};

TEST(Samples, of_different_batches_are_refused_and_the_session_goes_on) {
  Builder b;
  const ValueId x = b.sparse_input(1, 1), other = b.sparse_input(1, 1, {1}, "other");
  b.output("y", b.broadcast(b.global_pool(x, "sum"), other));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  Line three(6, 3), two(4, 2), empty(0, 3);
  test::expect_error<ShapeError>(
      [&] {
        (void)session.run({{"x", three.view()}, {"other", two.view()}});
      },
      {"broadcast", "2 samples", "there are 3"});
  const auto y = session.run({{"x", three.view()}, {"other", three.view()}})["y"].as<float>();
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), (std::vector<float>{3, 3, 5, 5, 7, 7}));
  EXPECT_EQ(session.run({{"x", empty.view()}, {"other", three.view()}})["y"].as<float>()[5], 0.0f);
}

TEST(Selection, all_none_and_some_rows_by_turns) {
  Builder b;
  const ValueId x = b.sparse_input(1, 1);
  const ValueId kept = b.prune(x, x, 2.5);
  b.output("kept", kept);
  b.output("y", b.global_pool(b.pool(kept, "sum", {.kernel = {2}, .stride = {2}}), "sum"));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  for (const std::int64_t rows : {6, 2, 0, 9, 6}) {
    Line line(rows, 1);
    const Outputs& found = session.run({{"x", line.view()}});
    float sum = 0.0f;
    std::vector<std::int32_t> sites;
    for (std::int64_t i = 3; i < rows; ++i) {
      sum += static_cast<float>(i);
      sites.insert(sites.end(), {0, static_cast<std::int32_t>(i)});
    }
    const auto coords = found.coords("kept").as<std::int32_t>();
    EXPECT_EQ(std::vector<std::int32_t>(coords.begin(), coords.end()), sites);
    EXPECT_EQ(found["y"].as<float>()[0], sum);
  }
}

/// The mask of a caller who knows nothing of the order of our rows: ones and zeros over sites of its own.
TEST(Selection, by_a_mask_over_sites_of_its_own) {
  for (const double threshold : {0.0, 0.1, -0.3}) {
    Builder b;
    const ValueId x = b.sparse_input(1, 1), mask = b.sparse_input(1, 1, {1}, "mask");
    const ValueId kept = b.prune(b.linear(x, 1, false, "same"), mask, threshold);
    b.output("kept", kept);
    b.output("y", b.conv(kept, {.channels = 1, .name = "conv"}));
    const Graph graph = b.build();
    Weights weights = initial_weights(graph, 1);
    weights.mutable_at("same.weight").mutable_as<float>()[0] = 1.0f;
    Session session(Model(graph, weights));
    Line line(6, 1);
    // Backwards, with sites that x lacks; sites 1 and 4 of x have no mask.
    const std::vector<std::int32_t> sites{0, 9, 0, 5, 0, 3, 0, 2, 0, 0, 0, -1};
    std::vector<float> values{1, 1, -1, 1, -1, 1};
    const SparseView given{sites.data(), {values.data(), Dtype::f32, Device::cpu, 6, 1, 1}, 1};
    const Outputs& found = session.run({{"x", line.view()}, {"mask", given}});
    const auto kept_values = found["kept"].as<float>();
    EXPECT_EQ(std::vector<float>(kept_values.begin(), kept_values.end()), (std::vector<float>{2, 5})) << threshold;
    Line none(0, 1);
    EXPECT_EQ(session.run({{"x", none.view()}, {"mask", given}})["y"].rows, 0);
  }
  Builder b;
  const ValueId x = b.sparse_input(1, 1), flat = b.sparse_input(1, 2, {1}, "flat");
  test::expect_error<ShapeError>([&] { (void)b.prune(x, flat); }, {"locate", "2", "1"});
}

/// How many rows stay is known only in the middle of the run: what their layers take is checked then.
TEST(Selection, layers_on_the_rows_that_stay_respect_the_memory_limit) {
  Builder b;
  const ValueId x = b.sparse_input(1, 1);
  b.output("y", b.linear(b.prune(x, x, -1.0), 4000));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)), {.memory_limit = 2'000'000});
  Line few(20, 1), many(2000, 1);
  EXPECT_EQ(session.run({{"x", few.view()}})["y"].rows, 20);
  test::expect_error<MemoryError>([&] { (void)session.run({{"x", many.view()}}); }, {"32 MB", "2 MB"});
  EXPECT_EQ(session.run({{"x", few.view()}})["y"].rows, 20);
}

TEST(Variants, of_channelwise_and_grouped_layers_are_the_forced_ones) {
  Builder b;
  const ValueId x = b.linear(b.sparse_input(1, 1), 6);
  ValueId y = b.conv(b.depthwise_conv(x, {.kernel = {3}}), {.channels = 6, .kernel = {3}, .groups = 2});
  y = b.pool(y, "max", {.kernel = {3}});
  b.output("y", b.global_pool(y));
  const Graph graph = b.build();
  Line line(50, 2);
  for (const cpu::Isa isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!cpu::has(isa)) continue;
    Session session(Model(graph, initial_weights(graph, 1)), {.plan = {.isa = std::string(cpu::name(isa))}});
    (void)session.run({{"x", line.view()}});
    for (const StepProfile& p : session.profile())
      EXPECT_TRUE(p.kind != "network" || p.variant == cpu::name(isa)) << p.op << " ran " << p.variant;
  }
}

}  // namespace
}  // namespace rarefy
