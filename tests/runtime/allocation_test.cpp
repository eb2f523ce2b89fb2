/// After the largest scan seen, a run allocates nothing: counted by replacing operator new in this program.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/count_allocations.h"
#include "support/examples.h"

namespace rarefy {
namespace {

TEST(Allocation, none_in_the_steady_state) {
  for (const models::ModelDef& def : models::all()) {
    SCOPED_TRACE(def.name);
    const Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
    const Graph graph = def.build({.width = 0.2, .classes = 19, .pipeline = pipeline});
    Session session(Model(graph, initial_weights(graph, 1), pipeline), {.threads = 2});
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
