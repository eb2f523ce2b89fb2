#include <gtest/gtest.h>

#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

/// Outputs of every kind: planned features, joined ones, an index, an input, coordinates.
Model model_with_all_outputs() {
  Builder b;
  const auto points = b.points(4);
  const auto voxels = b.voxelize(points, {.voxel_size = {0.5, 0.5, 0.5}});
  const auto x = b.conv(b.reduce(points, voxels.index), {.channels = 6});
  const auto y = b.relu(b.conv(x, {.channels = 5}));
  b.output("x", x);
  b.output("joined", b.concat({x, y}));
  b.output("labels", b.gather(b.argmax(y), voxels.index, 255));
  b.output("index", voxels.index);
  b.output("points", points);
  const Graph graph = b.build();
  Model model(graph, initial_weights(graph, 4));
  return model;
}

std::vector<float> scan(Rng& rng) {
  std::vector<float> points(static_cast<std::size_t>(4 * rng.integer(0, 300)));
  for (float& v : points) v = static_cast<float>(rng.uniform(-3.0, 3.0));
  return points;
}

struct Kept {
  std::vector<Outputs::Entry> entries;
  std::vector<std::vector<std::uint8_t>> bits;
  std::vector<std::vector<std::int32_t>> coords;
  std::vector<float> points;
  std::shared_ptr<void> owner;
};

void remember(const Outputs& outputs, Kept& kept) {
  kept.entries = outputs.all();
  for (const Outputs::Entry& e : kept.entries) {
    kept.bits.push_back(test::bits_of(e.view));
    kept.coords.push_back(e.coords != nullptr ? *e.coords : std::vector<std::int32_t>());
  }
}

TEST(ReleaseOutputs, results_stay_where_and_as_they_are) {
  const Model model = model_with_all_outputs();
  test::for_random_cases(10, [&](Rng& rng) {
    auto context = std::make_unique<Context>(Plan::compile(model));
    std::vector<Kept> all(3);
    for (Kept& kept : all) {
      kept.points = scan(rng);
      const PointView view{kept.points.data(), static_cast<std::int64_t>(kept.points.size()) / 4, 16, {0, 4, 8, 12}};
      remember(context->run({{"points", view}}), kept);
      kept.owner = context->release_outputs();
    }
    context.reset();
    for (const Kept& kept : all)
      for (std::size_t o = 0; o < kept.entries.size(); ++o)
        EXPECT_EQ(test::bits_of(kept.entries[o].view), kept.bits[o]) << kept.entries[o].name;
  });
}

TEST(ReleaseOutputs, a_run_after_it_gives_the_same_and_takes_memory_anew) {
  const Model model = model_with_all_outputs();
  Rng rng(2, 0);
  std::vector<float> points = scan(rng);
  points.resize(400, 0.5f);
  const PointView view{points.data(), 100, 16, {0, 4, 8, 12}};
  Context context(Plan::compile(model));
  Kept first, second;
  remember(context.run({{"points", view}}), first);
  const std::int64_t before = context.memory_bytes();
  first.owner = context.release_outputs();
  EXPECT_LT(context.memory_bytes(), before);
  remember(context.run({{"points", view}}), second);
  EXPECT_EQ(first.bits, second.bits);
  EXPECT_EQ(first.coords, second.coords);
  for (std::size_t o = 0; o < first.entries.size(); ++o) {
    const bool callers = first.entries[o].name == "points";
    EXPECT_EQ(first.entries[o].view.data == second.entries[o].view.data, callers) << first.entries[o].name;
  }
}

}  // namespace
}  // namespace rarefy
