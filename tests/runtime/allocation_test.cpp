/// After the largest scan seen, a run allocates nothing: counted by replacing operator new in this program.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/count_allocations.h"
#include "support/examples.h"

namespace rarefy {
namespace {

class AllocationIn : public testing::TestWithParam<Storage> {};

TEST_P(AllocationIn, none_in_the_steady_state) {
  for (const models::ModelDef& def : models::labelling()) {
    SCOPED_TRACE(def.name);
    const Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
    const Graph graph = def.build({.width = 0.2, .classes = 19, .pipeline = pipeline});
    Session session(Model(graph, initial_weights(graph, 1), pipeline), {.threads = 2, .plan = {.storage = GetParam()}});
    Rng rng(3);
    std::vector<float> points(4 * 3000);
    for (float& v : points) v = static_cast<float>(rng.uniform(-4, 4));
    const Inputs inputs{{"points", PointView{points.data(), 3000, 16, {0, 4, 8, 12}}}};
    const Inputs fewer{{"points", PointView{points.data(), 1000, 16, {0, 4, 8, 12}}}};
    (void)session.run(inputs);
    (void)session.run(fewer);
    const std::int64_t memory = session.context().memory_bytes();
    const std::int64_t before = test::allocations.load();
    for (int i = 0; i < 3; ++i) {
      (void)session.run(inputs);
      (void)session.run(fewer);
    }
    EXPECT_EQ(test::allocations.load() - before, 0);
    EXPECT_EQ(session.context().memory_bytes(), memory);
  }
}

INSTANTIATE_TEST_SUITE_P(Storages, AllocationIn, testing::Values(Storage::real, Storage::half),
                         [](const auto& info) { return info.param == Storage::real ? "real" : "half"; });

TEST(Allocation, none_in_the_steady_state_of_tokens_that_are_merged_or_dropped) {
  using Settings = std::map<std::string, std::int64_t>;
  for (const Settings& policy : {Settings{{"merge", 5}}, Settings{{"keep", 60}}, Settings{{"threshold", 900}}}) {
    Settings settings{{"dim", 24}, {"depth", 4}, {"hidden", 32}, {"words", 99}, {"positions", 200}};
    settings.insert(policy.begin(), policy.end());
    const Graph graph = models::build("bert", {.settings = settings});
    Session session(Model(graph, initial_weights(graph, 1)), {.threads = 2});
    std::vector<float> tokens(2 * 300);
    for (std::size_t i = 0; i < 300; ++i) tokens[2 * i] = static_cast<float>(i * 37 % 99);
    const std::vector<std::int64_t> many{0, 120, 120, 300}, few{0, 90};
    const TensorView rows{tokens.data(), Dtype::f32, Device::cpu, 300, 2, 2};
    const TensorView first{tokens.data(), Dtype::f32, Device::cpu, 90, 2, 2};
    const Inputs inputs{{"tokens", RowsView{rows, many}}}, fewer{{"tokens", RowsView{first, few}}};
    (void)session.run(inputs);
    (void)session.run(fewer);
    const std::int64_t before = test::allocations.load();
    for (int i = 0; i < 3; ++i) {
      (void)session.run(inputs);
      (void)session.run(fewer);
    }
    EXPECT_EQ(test::allocations.load() - before, 0);
  }
}

TEST(Allocation, none_in_the_steady_state_of_windows_that_are_dropped) {
  const Graph graph = models::build("swin", {.classes = 3,
                                             .settings = {{"dim", 12},
                                                          {"height", 40},
                                                          {"width", 28},
                                                          {"window", 3},
                                                          {"depth3", 0},
                                                          {"head", 1},
                                                          {"select", 1},
                                                          {"drop", 50}}});
  Session session(Model(graph, initial_weights(graph, 1)), {.threads = 2});
  std::vector<float> pixels(2 * 40 * 28 * 3, 0.5f);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i * 37 % 101) / 100.0f;
  const std::vector<std::int64_t> two{0, 1120, 2240}, one{0, 1120};
  const Inputs both{{"image", RowsView{{pixels.data(), Dtype::f32, Device::cpu, 2240, 3, 3}, two}}},
      first{{"image", RowsView{{pixels.data(), Dtype::f32, Device::cpu, 1120, 3, 3}, one}}};
  for (const Inputs* inputs : {&both, &first}) (void)session.run(*inputs);
  const std::int64_t before = test::allocations.load();
  for (int i = 0; i < 3; ++i)
    for (const Inputs* inputs : {&both, &first}) (void)session.run(*inputs);
  EXPECT_EQ(test::allocations.load() - before, 0);
}

TEST(Allocation, none_in_the_steady_state_of_geometry_that_runs_ahead) {
  const Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
  const Graph graph = models::at("minkunet").build({.width = 0.2, .classes = 19, .pipeline = pipeline});
  const auto plan = Plan::compile(Model(graph, initial_weights(graph, 1), pipeline));
  Geometry first(plan), second(plan);
  Context context(plan, {.threads = 2});
  Rng rng(3);
  std::vector<float> points(4 * 3000);
  for (float& v : points) v = static_cast<float>(rng.uniform(-4, 4));
  const Inputs inputs{{"points", PointView{points.data(), 3000, 16, {0, 4, 8, 12}}}};
  const auto frame = [&] {
    for (Geometry* geometry : {&first, &second}) {
      geometry->prepare(inputs);
      (void)context.run(*geometry);
    }
  };
  frame();
  const std::int64_t before = test::allocations.load();
  for (int i = 0; i < 3; ++i) frame();
  EXPECT_EQ(test::allocations.load() - before, 0);
}

TEST(Allocation, none_by_ops_with_working_memory_of_their_own) {
  Builder b;
  const ValueId points = b.points(4);
  const std::vector<double> size{0.2, 0.2, 0.2};
  const auto voxels = b.voxelize(points, {.voxel_size = size});
  const ValueId fine = b.group_norm(b.linear(b.reduce(points, voxels.index), 8), 2);
  const ValueId coarse = b.conv(fine, {.channels = 8, .kernel = {2}, .stride = {2}});
  const ValueId there = b.layer_norm(b.voxel_to_point(b.softmax(coarse), points, {.voxel_size = size}));
  const DenseOptions box{.min = {-10, -10, -2}, .max = {10, 10, 2}, .axes = 2};
  b.output("points", b.prelu(b.dropout(there)));
  b.output("mean", b.reduce(there, b.locate(points, b.space_of(coarse), size)));
  b.output("back", b.from_dense(b.to_dense(fine, box), b.space_of(fine), box));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)), {.threads = 2});
  Rng rng(3);
  std::vector<float> values(4 * 3000);
  for (float& v : values) v = static_cast<float>(rng.uniform(-2, 2));
  const std::vector<std::int64_t> begin{0, 900, 3000};
  const Inputs inputs{{"points", PointView{values.data(), 3000, 16, {0, 4, 8, 12}, begin}}};
  const Inputs fewer{{"points", PointView{values.data(), 1000, 16, {0, 4, 8, 12}}}};
  (void)session.run(inputs);
  (void)session.run(fewer);
  const std::int64_t before = test::allocations.load();
  for (int i = 0; i < 3; ++i) {
    (void)session.run(inputs);
    (void)session.run(fewer);
  }
  EXPECT_EQ(test::allocations.load() - before, 0);
}

/// The same for every op alone.
TEST(Allocation, none_for_any_op) {
  for (const auto& [name, op] : OpSet::builtin().all()) {
    SCOPED_TRACE(name);
    if (op->is_input) continue;
    for (const OpExample& example : op->examples(7)) {
      Session session(Model(example.graph, example.weights), {.threads = 2});
      const Inputs inputs = test::inputs_of(example);
      for (int i = 0; i < 2; ++i) (void)session.run(inputs);
      const std::int64_t before = test::allocations.load();
      for (int i = 0; i < 2; ++i) (void)session.run(inputs);
      EXPECT_EQ(test::allocations.load() - before, 0);
    }
  }
}

}  // namespace
}  // namespace rarefy
