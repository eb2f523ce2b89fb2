/// One model, eight tasks on TBB's threads, the same bits from each. Usage: many_threads [MODEL.safetensors]
/// rarefy starts no thread here: every task runs its own Context in the thread that TBB gave it.
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "rarefy/error.h"
#include "rarefy/models.h"
#include "rarefy/session.h"

namespace {

/// A wavy ground with a few posts, so that the example needs no file.
std::vector<float> made_up_scan() {
  std::vector<float> points;
  for (int i = 0; i < 20000; ++i) {
    const float x = static_cast<float>(i % 200) * 0.1f - 10.0f, y = static_cast<float>(i / 200) * 0.2f - 10.0f;
    const float z = i % 97 == 0 ? static_cast<float>(i % 11) * 0.2f : 0.1f * std::sin(x);
    points.insert(points.end(), {x, y, z, 0.3f});
  }
  return points;
}

rarefy::Model load_or_build(int argc, char** argv) {
  if (argc > 1) return rarefy::Model::load(argv[1]);
  const rarefy::Pipeline pipeline = rarefy::models::semantic_kitti_pipeline(0.1);
  const rarefy::Graph graph =
      rarefy::models::at("minkunet_small").build({.width = 1.0, .classes = 19, .pipeline = pipeline});
  return {graph, rarefy::initial_weights(graph, 1), pipeline};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const rarefy::Model model = load_or_build(argc, argv);
    const auto plan = rarefy::Plan::compile(model);  // packed once, shared by all
    const std::vector<float> points = made_up_scan();
    const rarefy::PointView scan{points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}, {}};

    constexpr int kTasks = 8;
    std::vector<std::vector<float>> logits(kTasks);
    const tbb::global_control eight(tbb::global_control::max_allowed_parallelism, kTasks);
    tbb::task_arena arena(kTasks);
    arena.execute([&] {
      tbb::parallel_for(0, kTasks, [&](int task) {
        rarefy::Context context(plan);
        const auto result = context.run({{"points", scan}})["logits"].as<float>();
        logits[static_cast<std::size_t>(task)].assign(result.begin(), result.end());
      });
    });
    for (const auto& result : logits) {
      if (result != logits.front()) {
        std::fprintf(stderr, "many_threads: results differ\n");
        return 1;
      }
    }
    std::printf("%d tasks, %zu logits each, all bits equal\n", kTasks, logits.front().size());
  } catch (const rarefy::Error& error) {
    std::fprintf(stderr, "many_threads: %s\n", error.what());
    return 1;
  }
}
