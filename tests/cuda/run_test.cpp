/// Sessions on a GPU against the oracle and against the CPU.
#include "runtime/cuda/run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_points.h"

namespace rarefy {
namespace {

/// Skips without a GPU.
class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (gpus().empty()) GTEST_SKIP() << "no GPU here";
  }
};

SessionOptions on_gpu(Precision precision) { return {.plan = {.device = Device::cuda, .precision = precision}}; }

struct Tolerance {
  Precision precision;
  double relative;  ///< of the largest magnitude
};
constexpr Tolerance kTolerances[] = {
    {Precision::fp32, 1e-4}, {Precision::tf32, 5e-3}, {Precision::fp16, 1e-2}, {Precision::bf16, 6e-2}};

using test::surface_points;

Model make_model(const std::string& builder = "minkunet_small", double width = 0.25) {
  const Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
  const Graph graph = models::at(builder).build({.width = width, .classes = 19, .pipeline = pipeline});
  return Model(graph, initial_weights(graph, 5), pipeline);
}

PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}};
}

bool runs_on_gpu(const Graph& graph) {
  for (const Node& node : graph.nodes())
    if (!graph.ops().at(node.op).is_input && runtime::cuda::device_op(node.op) == nullptr) return false;
  return true;
}

using GpuSession = OnGpu;

TEST_F(GpuSession, ops_equal_the_oracle) {
  std::set<std::string> proven;
  for (const auto& [name, op] : OpSet::builtin().all()) {
    if (op->is_input || !op->examples) continue;
    SCOPED_TRACE(name);
    test::for_random_cases(6, [&, &op = op](Rng& rng) {
      for (const OpExample& example : op->examples(rng.bits())) {
        if (!runs_on_gpu(example.graph)) continue;
        const auto expected = oracle::run(example.graph, example.weights, example.inputs);
        const Model model(example.graph, example.weights);
        for (const bool optimised : {true, false}) {
          SessionOptions options = on_gpu(Precision::fp32);
          options.plan.fuse = options.plan.share_memory = optimised;
          Session session(model, options);
          const Outputs& found = session.run(test::inputs_of(example));
          for (const GraphOutput& o : example.graph.outputs())
            test::expect_matches(found, o.name, expected.at("=" + o.name), 2e-5);
        }
        for (const Node& node : example.graph.nodes()) proven.insert(node.op);
      }
    });
    if (testing::Test::HasFailure()) return;
  }
  for (const char* op : {"sparse_conv", "linear", "concat", "interpolate", "to_dense", "downsample", "gelu"})
    EXPECT_TRUE(proven.contains(op)) << op;
}

TEST_F(GpuSession, models_equal_the_oracle_in_every_precision) {
  for (const models::ModelDef& def : models::labelling()) {
    SCOPED_TRACE(def.name);
    const Model model = make_model(def.name, 0.25);
    if (!runs_on_gpu(model.graph())) continue;
    const std::vector<float> points = surface_points(900, Rng(1));
    const std::vector<std::int64_t> begin{0, 300, 900};
    OpExample::Data data{"points", {}, points, 900, 4, begin, -1};
    const auto expected = oracle::run(model.graph(), model.weights(), {data});
    PointView view = view_of(points);
    view.sample_begin = begin;
    for (const Tolerance& t : kTolerances) {
      SCOPED_TRACE(name(t.precision));
      Session session(model, on_gpu(t.precision));
      for (int run = 0; run < 2; ++run) {
        const Outputs& found = session.run({{"points", view}});
        test::expect_matches(found, "logits", expected.at("=logits"), t.relative);
        EXPECT_EQ(found["labels"].rows, 900);
      }
    }
  }
}

TEST_F(GpuSession, same_bits_in_any_run_and_after_other_sizes) {
  const Model model = make_model("minkunet", 0.5);
  const std::vector<float> large = surface_points(6000, Rng(3)), small = surface_points(40, Rng(4));
  for (const Tolerance& t : kTolerances) {
    Session session(model, on_gpu(t.precision));
    const auto first = test::bits_of(session.run({{"points", view_of(large)}})["logits"]);
    const auto few = test::bits_of(session.run({{"points", view_of(small)}})["logits"]);
    EXPECT_EQ(test::bits_of(session.run({{"points", view_of(large)}})["logits"]), first);
    EXPECT_EQ(test::bits_of(session.run({{"points", view_of(small)}})["logits"]), few);
    Session fresh(model, on_gpu(t.precision));
    EXPECT_EQ(test::bits_of(fresh.run({{"points", view_of(small)}})["logits"]), few);
  }
}

TEST_F(GpuSession, the_steady_state_allocates_nothing_on_the_device) {
  const Model model = make_model("minkunet", 0.5);
  const std::vector<float> points = surface_points(3000, Rng(3));
  Session session(model, on_gpu(Precision::fp16));
  session.run({{"points", view_of(points)}})["labels"];
  const std::int64_t held = session.context().memory_bytes(), free = cuda::free_memory();
  for (int run = 0; run < 3; ++run) session.run({{"points", view_of(points)}})["labels"];
  EXPECT_EQ(session.context().memory_bytes(), held);
  EXPECT_EQ(cuda::free_memory(), free);
}

TEST_F(GpuSession, counts_are_those_of_the_cpu) {
  const Model model = make_model("minkunet", 0.25);
  std::vector<float> points = surface_points(2000, Rng(7));
  points[0] = std::numeric_limits<float>::quiet_NaN();
  points[5] = std::numeric_limits<float>::infinity();
  points[8] = 1e9f;
  Session gpu(model, on_gpu(Precision::fp16)), cpu(model);
  const Outputs& found = gpu.run({{"points", view_of(points)}}, {.time_steps = true});
  const Outputs& expected = cpu.run({{"points", view_of(points)}});
  const RunStatistics &a = gpu.statistics(), &b = cpu.statistics();
  EXPECT_EQ(a.sizes, b.sizes);
  EXPECT_EQ(a.macs, b.macs);
  EXPECT_EQ(a.points, b.points);
  EXPECT_EQ(a.voxels, b.voxels);
  EXPECT_EQ(a.points_not_finite, 2);
  EXPECT_EQ(a.points_outside, b.points_outside);
  const auto coords = found.coords("logits").as<std::int32_t>(), wanted = expected.coords("logits").as<std::int32_t>();
  EXPECT_TRUE(std::equal(coords.begin(), coords.end(), wanted.begin(), wanted.end()));
  const auto labels = found["labels"].as<std::uint8_t>();
  EXPECT_EQ(labels[0], 255);
  EXPECT_EQ(labels[1], 255);
  EXPECT_EQ(labels[2], 255);
  EXPECT_NE(labels[3], 255);
  for (const StepProfile& step : gpu.profile()) EXPECT_GE(step.ms, 0.0) << step.name;
  test::expect_error<InputError>(
      [&] {
        gpu.run({{"points", view_of(points)}}, {.strict = true});
      },
      {"3 of 2000 points cannot be used"});
  gpu.run({{"points", view_of(points)}});  // usable after an error
}

TEST_F(GpuSession, takes_scans_of_nothing) {
  const Model model = make_model("spvcnn", 0.25);
  Session session(model, on_gpu(Precision::fp16));
  EXPECT_EQ(session.run({{"points", PointView{}}})["labels"].rows, 0);
  const std::vector<float> nan(4 * 5, std::numeric_limits<float>::quiet_NaN());
  const auto labels = session.run({{"points", view_of(nan)}})["labels"];
  ASSERT_EQ(labels.rows, 5);
  EXPECT_EQ(labels.as<std::uint8_t>()[4], 255);
  const std::vector<float> one = surface_points(1, Rng(1));
  EXPECT_EQ(session.run({{"points", view_of(one)}})["logits"].rows, 1);
}

TEST_F(GpuSession, released_outputs_stay) {
  const Model model = make_model();
  const std::vector<float> points = surface_points(500, Rng(2)), others = surface_points(400, Rng(9));
  Session session(model, on_gpu(Precision::fp16));
  const TensorView logits = session.run({{"points", view_of(points)}})["logits"];
  const auto bits = test::bits_of(logits);
  const auto owner = session.context().release_outputs();
  session.run({{"points", view_of(others)}})["logits"];
  EXPECT_EQ(test::bits_of(logits), bits);
}

TEST_F(GpuSession, geometry_may_be_bound_ahead) {
  const auto plan = Plan::compile(make_model(), {.device = Device::cuda});
  const std::vector<float> points = surface_points(500, Rng(2));
  Context context(plan);
  const auto bits = test::bits_of(context.run({{"points", view_of(points)}})["logits"]);
  Geometry geometry(plan);
  geometry.prepare({{"points", view_of(points)}});
  EXPECT_EQ(test::bits_of(context.run(geometry)["logits"]), bits);
}

TEST_F(GpuSession, ops_that_it_lacks_are_named) {
  Builder b;
  const ValueId x = b.sparse_input(4, 3);
  b.output("y", b.global_pool(x));
  const Graph graph = b.build();
  test::expect_error<UnsupportedError>(
      [&] { Plan::compile(Model(graph, initial_weights(graph, 1)), {.device = Device::cuda}); },
      {"global_pool", "GPU"});
}

TEST(Gpu, without_one_the_error_says_what_to_do) {
  if (!gpus().empty()) GTEST_SKIP() << "there is a GPU here";
  test::expect_error<UnsupportedError>([&] { Plan::compile(make_model(), {.device = Device::cuda}); },
                                       {"no GPU can be used here", "--device cpu"});
}

}  // namespace
}  // namespace rarefy
