/// GraphModule against the runtime, and its gradients against finite differences, over the op table and all models.
#include "train/graph_module.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "rarefy/builder.h"
#include "rarefy/error.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/random_cases.h"
#include "tiny_scans.h"
#include "train/autograd.h"
#include "train/batches.h"

namespace rarefy::train {
namespace {

std::shared_ptr<Prepared> prepare(const GraphModule& module, const Inputs& inputs) {
  auto batch = std::make_shared<Prepared>();
  module.preparer().prepare(inputs, serial_executor(), *batch);
  return batch;
}

void expect_close(const TensorView& expected, const at::Tensor& found, double relative, const std::string& what) {
  ASSERT_EQ(found.size(0), expected.rows) << what;
  ASSERT_EQ(found.size(1), expected.cols) << what;
  if (expected.dtype == Dtype::u8) {  // labels: a tie in rounding may flip one
    const at::Tensor labels = found.contiguous();
    for (std::int64_t r = 0; r < expected.rows; ++r)
      for (std::int64_t c = 0; c < expected.cols; ++c)
        ASSERT_EQ(labels.data_ptr<std::uint8_t>()[r * expected.cols + c], expected.matrix<std::uint8_t>()(r, c))
            << what << " row " << r;
    return;
  }
  const at::Tensor plain = found.detach().contiguous();
  double scale = 0.0;
  for (std::int64_t r = 0; r < expected.rows; ++r)
    for (std::int64_t c = 0; c < expected.cols; ++c)
      scale = std::max(scale, std::abs(static_cast<double>(expected.matrix<float>()(r, c))));
  for (std::int64_t r = 0; r < expected.rows; ++r)
    for (std::int64_t c = 0; c < expected.cols; ++c)
      ASSERT_NEAR(plain.data_ptr<float>()[r * expected.cols + c], expected.matrix<float>()(r, c), relative * scale)
          << what << " row " << r;
}

/// sum of outputs times fixed random numbers, in double.
double weighted_sum(const at::Tensor& y, std::uint64_t seed) {
  const at::Tensor plain = y.detach().contiguous();
  Rng rng(seed);
  double sum = 0.0;
  for (std::int64_t i = 0; i < plain.numel(); ++i) sum += plain.data_ptr<float>()[i] * rng.normal();
  return sum;
}
at::Tensor weights_of_sum(const at::Tensor& y, std::uint64_t seed) {
  at::Tensor w = at::empty(y.sizes(), at::kFloat);
  Rng rng(seed);
  for (std::int64_t i = 0; i < w.numel(); ++i) w.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return w;
}

/// The directional derivative of weighted_sum along a random direction in the space of each parameter.
void expect_gradients(const Graph& graph, const Weights& weights, const Inputs& inputs, std::uint64_t seed) {
  GraphModule module(graph, weights, serial_executor());
  const auto batch = prepare(module, inputs);
  const auto run = [&] { return module.forward(batch, {"y"}, Mode::training)[0]; };
  const at::Tensor y = run();
  if (!y.requires_grad()) return;
  module.clear_gradients();
  y.backward(weights_of_sum(y, seed));
  for (auto& p : module.parameters()) {
    if (!p.trainable) continue;
    Rng rng(seed, 3);
    at::NoGradGuard no_gradient;
    const at::Tensor direction = at::empty(p.value.sizes(), at::kFloat);
    double expected = 0.0, size = 0.0;
    const at::Tensor gradient = p.value.grad().defined() ? p.value.grad().contiguous() : at::zeros(p.value.sizes());
    for (std::int64_t i = 0; i < direction.numel(); ++i) {
      direction.data_ptr<float>()[i] = static_cast<float>(rng.normal());
      const double term = static_cast<double>(gradient.data_ptr<float>()[i]) * direction.data_ptr<float>()[i];
      expected += term;
      size += term * term;
    }
    const at::Tensor before = p.value.clone();
    // A kink of an activation between the three points changes the quotient by half of the second difference. Large
    // steps meet more kinks and more curvature, small ones more rounding: one of them must agree.
    const double middle = weighted_sum(run(), seed);
    double best = std::numeric_limits<double>::infinity();
    std::string found;
    for (const double step : {2e-3, 5e-4, 1e-4}) {
      p.value.copy_(before + step * direction);
      const double above = weighted_sum(run(), seed);
      p.value.copy_(before - step * direction);
      const double below = weighted_sum(run(), seed);
      const double quotient = (above - below) / (2 * step), kinks = std::abs(above - 2 * middle + below) / step;
      const double excess = std::abs(quotient - expected) - kinks;
      if (excess < best) found = std::to_string(quotient);
      best = std::min(best, excess);
    }
    p.value.copy_(before);
    EXPECT_LE(best, 0.03 * std::sqrt(size) + 2e-2)
        << "parameter " << p.name << ": gradient " << expected << ", quotient " << found;
  }
}

class TrainConformance : public testing::TestWithParam<std::string> {
 protected:
  template <class F>
  void for_examples(F f) {
    const OpDef& op = OpSet::builtin().at(GetParam());
    if (op.is_input) return;  // they occur in every example
    test::for_random_cases(5, [&](Rng& rng) {
      for (const OpExample& example : op.examples(rng.bits())) {
        f(example, rng);
        if (testing::Test::HasFatalFailure()) return;
      }
    });
  }
};

TEST_P(TrainConformance, forward_equals_the_runtime) {
  for_examples([](const OpExample& example, Rng&) {
    Session session(Model(example.graph, example.weights));
    const Outputs& expected = session.run(test::inputs_of(example));
    GraphModule module(example.graph, example.weights, serial_executor());
    const auto batch = prepare(module, test::inputs_of(example));
    for (const GraphOutput& output : example.graph.outputs())
      expect_close(expected[output.name], module.forward(batch, {output.name}, Mode::inference)[0], 1e-5, output.name);
  });
}

TEST_P(TrainConformance, gradients_equal_finite_differences) {
  if (GetParam() == "quantize")
    GTEST_SKIP() << "rounding has no derivative; quantize_test.cpp tests what stands for it";
  if (GetParam() == "hard_gate") GTEST_SKIP() << "a step has no derivative; tokens_test.cpp tests what stands for it";
  for_examples([](const OpExample& example, Rng& rng) {
    expect_gradients(example.graph, example.weights, test::inputs_of(example), rng.bits());
  });
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : OpSet::builtin().all()) names.push_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Ops, TrainConformance, testing::ValuesIn(op_names()),
                         [](const auto& info) { return info.param; });

/// Gradients with respect to inputs: a linear layer before the op sees them.
class InputGradient : public testing::TestWithParam<std::string> {
 public:
  static ValueId apply(const std::string& kind, Builder& b, ValueId x, Rng& rng) {
    const std::int64_t channels = rng.integer(1, 20);
    if (kind == "submanifold") return b.conv(x, {.channels = channels, .kernel = {3}, .bias = true});
    if (kind == "dilated") return b.conv(x, {.channels = channels, .kernel = {3}, .dilation = {2}});
    if (kind == "strided") return b.conv(x, {.channels = channels, .kernel = {3}, .stride = {2}});
    if (kind == "padded")
      return b.conv(x, {.channels = channels, .kernel = {3}, .stride = {2}, .padding = {1}, .rule = Rule::padded});
    if (kind == "transposed") {
      const ValueId coarse = b.conv(x, {.channels = 5, .kernel = {2}, .stride = {2}});
      return b.conv_transposed(coarse, x, {.channels = channels, .kernel = {2}, .stride = {2}});
    }
    if (kind == "generative")
      return b.conv_generative(b.conv(x, {.channels = 5, .kernel = {2}, .stride = {2}}),
                               {.channels = channels, .kernel = {2}, .stride = {2}});
    if (kind == "cross")
      return b.conv(x, {.channels = channels, .offsets = cross_offsets(b.type(b.space_of(x)).dims, 2)});
    if (kind == "depthwise") return b.depthwise_conv(x, {.kernel = {3}, .bias = true});
    if (kind == "depthwise_strided") return b.depthwise_conv(x, {.kernel = {3}, .stride = {2}});
    if (kind == "grouped") return b.conv(b.linear(x, 6), {.channels = 9, .kernel = {3}, .groups = 3, .bias = true});
    if (kind == "grouped_strided")
      return b.conv(b.linear(x, 6), {.channels = 4, .kernel = {2}, .stride = {2}, .groups = 2});
    for (const std::string reduction : {"max", "mean", "sum"}) {
      if (kind == "pool_" + reduction) return b.pool(x, reduction, {.kernel = {3}, .stride = {2}});
      if (kind == "centred_pool_" + reduction) return b.pool(x, reduction, {.kernel = {3}});
      if (kind == "unpool_" + reduction)
        return b.unpool(b.pool(x, "mean", {.kernel = {3}, .stride = {2}}), x, {.kernel = {3}, .stride = {2}},
                        reduction);
      if (kind == "global_" + reduction) return b.global_pool(x, reduction);
    }
    if (kind == "broadcast") return b.add("mul", {x, b.broadcast(b.add("sigmoid", {b.global_pool(x)})[0], x)})[0];
    if (kind == "squeeze_excite")
      return b.squeeze_excite(x, {.reduction = rng.integer(1, 4),
                                  .pooling = rng.chance(0.3) ? "max" : "mean",
                                  .activation = "silu",  // no kinks in the path of the quotient
                                  .bias = rng.chance(0.5)});
    if (kind == "linear") return b.linear(x, channels);
    if (kind == "batch_norm") return b.batch_norm(x);
    if (kind == "batch_norm_relu") return b.relu(b.batch_norm(x));
    if (kind == "residual") return b.relu(b.add_values(b.batch_norm(b.linear(x, b.type(x).channels)), x));
    if (kind == "residual_of_norms")
      return b.relu(b.add_values(b.batch_norm(b.linear(x, 7)), b.batch_norm(b.linear(x, 7))));
    if (kind == "concat") return b.concat({x, b.linear(x, channels), x});
    if (kind == "point_to_voxel" || kind == "devoxelized" || kind == "nearest") {
      const ValueId coarse = b.conv(x, {.channels = channels, .kernel = {2}, .stride = {3}});
      if (kind == "point_to_voxel") return b.point_to_voxel(x, b.space_of(coarse));
      return b.voxel_to_point(coarse, b.space_of(x), {.nearest = kind == "nearest", .renormalise = rng.chance(0.5)});
    }
    if (kind == "dense_and_back") {
      const std::size_t dims = static_cast<std::size_t>(b.type(b.space_of(x)).dims);
      const DenseOptions box{
          .min = std::vector<std::int64_t>(dims, -2), .max = std::vector<std::int64_t>(dims, 3), .axes = 1};
      return b.from_dense(b.add("tanh", {b.to_dense(x, box)})[0], b.space_of(x), box);
    }
    if (kind == "same_twice") return b.add_values(x, x);
    return b.add(kind, OpSet::builtin().at(kind).inputs.size() == 2
                           ? std::vector<ValueId>{x, b.linear(x, b.type(x).channels)}
                           : std::vector<ValueId>{x})[0];
  }
};

TEST_P(InputGradient, equals_finite_differences) {
  test::for_random_cases(6, [](Rng& rng) {
    for (const OpExample& data : OpSet::builtin().at("linear").examples(rng.bits())) {
      const Node& input = data.graph.nodes()[static_cast<std::size_t>(data.graph.inputs()[0])];
      Builder b;
      const ValueId x =
          b.sparse_input(input.integer("channels"), static_cast<int>(input.integer("dims")), {1}, data.inputs[0].name);
      Rng choice = rng.fork(1);
      b.output("y", apply(GetParam(), b, b.linear(x, choice.integer(1, 20), true, "first"), choice));
      const Graph graph = b.build();
      expect_gradients(graph, initial_weights(graph, rng.bits()), test::inputs_of(data), rng.bits());
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Kinds, InputGradient,
                         testing::Values("submanifold", "dilated", "strided", "padded", "transposed", "generative",
                                         "cross", "depthwise", "depthwise_strided", "grouped", "grouped_strided",
                                         "pool_max", "pool_mean", "pool_sum", "centred_pool_max", "centred_pool_mean",
                                         "centred_pool_sum", "unpool_max", "unpool_mean", "unpool_sum", "global_max",
                                         "global_mean", "global_sum", "broadcast", "squeeze_excite", "linear",
                                         "batch_norm", "batch_norm_relu", "residual", "residual_of_norms", "concat",
                                         "same_twice", "relu", "leaky_relu", "sigmoid", "tanh", "scale", "add", "mul",
                                         "elu", "gelu", "gelu_tanh", "silu", "hardswish", "hardsigmoid", "softplus",
                                         "softmax", "prelu", "layer_norm", "group_norm", "dropout", "point_to_voxel",
                                         "devoxelized", "nearest", "dense_and_back"),
                         [](const auto& info) { return info.param; });

TEST(PointGradients, reduce_and_gather_equal_finite_differences) {
  test::for_random_cases(6, [](Rng& rng) {
    for (const char* reduction : {"mean", "first", "max"}) {
      const Scan scan = test::tiny_scan(rng.bits(), 300);
      Builder b;
      const ValueId points = b.points(4);
      const auto voxels =
          b.voxelize(points, {.voxel_size = {1, 1, 1}, .crop_min = {-5, -9, -9}, .crop_max = {9, 9, 9}});
      const ValueId features = b.linear(points, 6, true, "points.linear");
      const ValueId y = b.conv(b.reduce(features, voxels.index, reduction), {.channels = 4});
      b.output("y", b.gather(y, voxels.index, 0.5));
      const Graph graph = b.build();
      std::vector<float> data;
      for (std::int64_t i = 0; i < scan.size(); ++i) {
        for (int a = 0; a < 3; ++a) data.push_back(scan.xyz[static_cast<std::size_t>(3 * i + a)]);
        data.push_back(scan.intensity[static_cast<std::size_t>(i)]);
      }
      const PointView view{data.data(), scan.size(), 16, {0, 4, 8, 12}, {}};
      expect_gradients(graph, initial_weights(graph, 5), {{"points", view}}, rng.bits());
    }
  });
}

/// Features of two inputs over the union or intersection of their sites, and of the rows that a selection keeps: each
/// passes through a linear layer first, whose parameters see the gradient.
TEST(SpaceGradients, of_aligned_and_pruned_features_equal_finite_differences) {
  test::for_random_cases(6, [](Rng& rng) {
    for (const OpExample& data : OpSet::builtin().at("site_union").examples(rng.bits())) {
      for (const std::string kind : {"add", "multiply", "concat", "prune"}) {
        Builder b;
        std::vector<ValueId> features;
        for (std::size_t i = 0; i < 2; ++i) {
          const Node& input = data.graph.nodes()[static_cast<std::size_t>(data.graph.inputs()[i])];
          const ValueId x =
              b.sparse_input(input.integer("channels"), static_cast<int>(input.integer("dims")), {1}, input.name);
          ValueId y = b.linear(x, 4, true, "first_" + input.name);
          if (kind == "prune") {
            y = b.prune(y, b.select_columns(x, {0}, {0.0}, {1.0}));
            y = b.conv(b.conv(y, {.channels = 4}), {.channels = 4, .kernel = {2}, .stride = {2}});
          }
          features.push_back(y);
        }
        b.output("y", kind == "add"        ? b.add_aligned(features, Sites::common)
                      : kind == "multiply" ? b.multiply_aligned(features, Sites::united)
                                           : b.concat_aligned(features));
        const Graph graph = b.build();
        expect_gradients(graph, initial_weights(graph, rng.bits()), test::inputs_of(data), rng.bits());
      }
    }
  });
}

/// Two passes over one batch with different scores keep their spaces apart until both were differentiated.
TEST(GraphModule, passes_over_one_batch_select_rows_of_their_own) {
  Builder b;
  const ValueId x = b.sparse_input(1, 1);
  const ValueId scores = b.linear(x, 1, true, "scores");
  b.output("y", b.conv(b.prune(b.linear(x, 2, false, "in"), scores), {.channels = 1, .name = "conv"}));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  weights.mutable_at("scores.weight").mutable_as<float>()[0] = 1.0f;
  const std::vector<std::int32_t> coords{0, 0, 0, 1, 0, 2, 0, 3};
  const std::vector<float> values{-1.0f, 1.0f, 2.0f, 3.0f};
  const TensorView view{const_cast<float*>(values.data()), Dtype::f32, Device::cpu, 4, 1, 1};
  const auto gradient_of = [&](const GraphModule& m) {
    for (const auto& p : m.parameters())
      if (p.name == "conv.weight") return p.value.grad().clone();
    return at::Tensor();
  };
  GraphModule module(graph, weights, serial_executor());
  const auto batch = prepare(module, {{"x", SparseView{coords.data(), view, 1}}});
  const at::Tensor first = module.forward(batch, {"y"}, Mode::training)[0];
  EXPECT_EQ(first.size(0), 3);
  {
    at::NoGradGuard no_gradient;
    for (auto& p : module.parameters())
      if (p.name == "scores.bias") p.value.fill_(-2.5f);
  }
  EXPECT_EQ(module.forward(batch, {"y"}, Mode::training)[0].size(0), 1);
  first.backward(at::ones({3, 1}));
  GraphModule fresh(graph, weights, serial_executor());
  fresh.forward(prepare(fresh, {{"x", SparseView{coords.data(), view, 1}}}), {"y"}, Mode::training)[0].backward(
      at::ones({3, 1}));
  EXPECT_TRUE(at::equal(gradient_of(module), gradient_of(fresh)));
}

TEST(GraphModule, equals_the_session_for_every_model) {
  for (const models::ModelDef& def : models::labelling()) {
    const Graph graph = def.build({.width = 0.25, .classes = 19, .pipeline = models::semantic_kitti_pipeline(0.4)});
    Weights weights = initial_weights(graph, 3);
    Rng rng(11);
    const Weights fresh = weights;
    for (const auto& [name, tensor] : fresh.all())
      if (name.find(".bn") != std::string::npos)
        for (float& v : weights.mutable_at(name).mutable_as<float>()) v = static_cast<float>(rng.uniform(0.5, 1.5));
    const Scan scan = test::tiny_scan(4, 3000);
    std::vector<float> data;
    for (std::int64_t i = 0; i < scan.size(); ++i) {
      for (int a = 0; a < 3; ++a) data.push_back(scan.xyz[static_cast<std::size_t>(3 * i + a)]);
      data.push_back(scan.intensity[static_cast<std::size_t>(i)]);
    }
    const PointView view{data.data(), scan.size(), 16, {0, 4, 8, 12}, {}};
    Session session(Model(graph, weights, models::semantic_kitti_pipeline(0.4)));
    const Outputs& expected = session.run({{"points", view}});
    GraphModule module(graph, weights, serial_executor(), models::semantic_kitti_pipeline(0.4));
    const auto found = module.forward(prepare(module, {{"points", view}}), {"logits"}, Mode::inference);
    expect_close(expected["logits"], found[0], 1e-4, def.name);
  }
}

/// A few points whose fourth column is the fourth coordinate.
std::vector<float> random_points(std::int64_t count, Rng& rng) {
  std::vector<float> points;
  for (std::int64_t i = 0; i < 4 * count; ++i) points.push_back(static_cast<float>(rng.uniform(-1.5, 1.5)));
  return points;
}

TEST(GraphModule, sparse_unet_in_two_to_four_dimensions) {
  for (const std::int64_t dims : {2, 3, 4}) {
    models::ModelOptions options{.width = 0.5, .classes = 4, .pipeline = models::semantic_kitti_pipeline(0.25)};
    models::add_settings({"dims=" + std::to_string(dims), "levels=3", "channels=4", "blocks=1"}, options);
    const Graph graph = models::build("sparse_unet", options);
    Rng rng(7);
    for (const std::int64_t count : {400, 1, 0}) {
      const std::vector<float> points = random_points(count + 1, rng);
      const std::vector<std::int64_t> begin{0, count / 2, count / 2, count};  // the second sample is empty
      const PointView view{points.data(), count, 16, {0, 4, 8, 12}, begin};
      Session session(Model(graph, initial_weights(graph, 3), options.pipeline));
      const Outputs& expected = session.run({{"points", view}});
      GraphModule module(graph, initial_weights(graph, 3), serial_executor(), options.pipeline);
      const auto batch = prepare(module, {{"points", view}});
      expect_close(expected["logits"], module.forward(batch, {"logits"}, Mode::inference)[0], 1e-4, "logits");
      const at::Tensor logits = module.forward(batch, {"logits"}, Mode::training)[0];
      logits.backward(at::ones_like(logits));
      double sum = 0.0;
      for (const auto& p : module.parameters())
        if (p.trainable && p.value.grad().defined()) sum += p.value.grad().abs().sum().item<double>();
      EXPECT_TRUE(std::isfinite(sum));
      EXPECT_EQ(sum > 0.0, count > 0) << dims << " dimensions, " << count << " points";
    }
  }
}

TEST(GraphModule, empty_input_forward_and_backward) {
  for (const models::ModelDef& def : models::labelling()) {
    const Graph graph = def.build({.width = 0.1, .classes = 19, .pipeline = models::semantic_kitti_pipeline(0.4)});
    GraphModule module(graph, initial_weights(graph, 1), serial_executor(), models::semantic_kitti_pipeline(0.4));
    float nothing[4] = {};
    const auto batch = prepare(module, {{"points", PointView{nothing, 0, 16, {0, 4, 8, 12}, {}}}});
    const at::Tensor logits = module.forward(batch, {"logits"}, Mode::training)[0];
    EXPECT_EQ(logits.size(0), 0);
    EXPECT_EQ(logits.size(1), 19);
    logits.backward(at::zeros({0, 19}));
    for (const auto& p : module.parameters())
      if (p.trainable && p.value.grad().defined()) {
        EXPECT_EQ(p.value.grad().abs().sum().item<float>(), 0.0f) << p.name;
      }
  }
}

TEST(GraphModule, weights_survive_the_round_trip) {
  Builder b;
  const ValueId x = b.sparse_input(3, 3);
  b.output("logits", b.linear(x, 4, true, "head"));
  const Graph graph = b.build();
  const Weights weights = initial_weights(graph, 9);
  GraphModule module(graph, weights, serial_executor());
  const Weights back = module.weights();
  for (const auto& [name, tensor] : weights.all()) {
    const auto expected = tensor.as<float>(), found = back.at(name).as<float>();
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.begin(), found.end())) << name;
  }
  EXPECT_THROW(module.output("nothing"), UsageError);
}

}  // namespace
}  // namespace rarefy::train
