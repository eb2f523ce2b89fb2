/// Norms and activations against LibTorch's dense operators, forward and backward; dropout as a function of its seed.
#include <gtest/gtest.h>

#include <functional>

#include "rarefy/builder.h"
#include "support/examples.h"
#include "support/random_cases.h"
#include "train/graph_module.h"
#include "train/torch_executor.h"

namespace rarefy::train {
namespace {

/// Two samples on a line, one feature matrix.
struct Rows {
  std::int64_t rows, cols;
  std::vector<std::int32_t> coords;
  std::vector<float> values;

  Rows(std::int64_t first, std::int64_t second, std::int64_t cols_, Rng& rng) : rows(first + second), cols(cols_) {
    for (std::int64_t r = 0; r < rows; ++r) {
      coords.push_back(r < first ? 0 : 1);
      coords.push_back(static_cast<std::int32_t>(r));
    }
    for (std::int64_t i = 0; i < rows * cols; ++i) values.push_back(static_cast<float>(rng.normal()));
  }
  Inputs inputs() {
    return {{"x", SparseView{coords.data(), {values.data(), Dtype::f32, Device::cpu, rows, cols, cols}, 2}}};
  }
  at::Tensor tensor() { return at::from_blob(values.data(), {rows, cols}, at::kFloat).clone(); }
};

/// Output "y" and the gradients of the first layer's weight, ours and LibTorch's, for the same linear layer before
/// both.
void expect_equal(Rows& data, const std::function<ValueId(Builder&, ValueId)>& ours,
                  const std::function<at::Tensor(const at::Tensor&)>& theirs, const std::string& what) {
  Builder b;
  const ValueId first = b.linear(b.sparse_input(data.cols, 1), data.cols, false, "first");
  b.output("y", ours(b, first));
  const Graph graph = b.build();
  GraphModule module(graph, initial_weights(graph, 3), serial_executor());
  auto batch = std::make_shared<Prepared>();
  const Inputs inputs = data.inputs();
  module.preparer().prepare(inputs, serial_executor(), *batch);
  const at::Tensor y = module.forward(batch, {"y"}, Mode::training)[0];
  at::Tensor weight;
  for (auto& p : module.parameters())
    if (p.name == "first.weight") weight = p.value;
  const at::Tensor copy = weight.detach().clone().set_requires_grad(true);
  const at::Tensor expected = theirs(at::matmul(data.tensor(), copy));
  EXPECT_TRUE(at::allclose(y, expected, 1e-4, 2e-5)) << what << " forward";
  const at::Tensor gradient = at::sin(at::arange(y.numel(), at::kFloat)).reshape(y.sizes());
  y.backward(gradient);
  expected.backward(gradient);
  EXPECT_TRUE(at::allclose(weight.grad(), copy.grad(), 1e-3, 1e-4)) << what << " backward";
}

TEST(Layers, activations_equal_libtorch) {
  using Function = std::function<at::Tensor(const at::Tensor&)>;
  const std::map<std::string, Function> table = {
      {"relu", [](const at::Tensor& x) { return at::relu(x); }},
      {"leaky_relu", [](const at::Tensor& x) { return at::leaky_relu(x); }},
      {"elu", [](const at::Tensor& x) { return at::elu(x); }},
      {"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
      {"gelu_tanh", [](const at::Tensor& x) { return at::gelu(x, "tanh"); }},
      {"silu", [](const at::Tensor& x) { return at::silu(x); }},
      {"hardswish", [](const at::Tensor& x) { return at::hardswish(x); }},
      {"hardsigmoid", [](const at::Tensor& x) { return at::hardsigmoid(x); }},
      {"sigmoid", [](const at::Tensor& x) { return at::sigmoid(x); }},
      {"tanh", [](const at::Tensor& x) { return at::tanh(x); }},
      {"softplus", [](const at::Tensor& x) { return at::softplus(x); }},
      {"softmax", [](const at::Tensor& x) { return at::softmax(x, 1); }}};
  for (const auto& [name, theirs] : table) {
    Rng rng(3);
    Rows data(70, 40, 9, rng);
    for (float& v : data.values) v *= 4.0f;
    expect_equal(
        data, [op = name](Builder& b, ValueId x) { return b.add(op, {x})[0]; }, theirs, name);
  }
}

/// LibTorch's norms of each sample as an image of one line.
TEST(Layers, norms_equal_libtorch_sample_by_sample) {
  test::for_random_cases(10, [](Rng& rng) {
    const std::int64_t groups = rng.integer(1, 4), cols = groups * rng.integer(1, 5);
    const std::int64_t first = rng.integer(2, 700), second = rng.integer(2, 40);
    Rows data(first, second, cols, rng);
    expect_equal(
        data, [=](Builder& b, ValueId x) { return b.group_norm(x, groups); },
        [=](const at::Tensor& x) {
          std::vector<at::Tensor> parts;
          for (const at::Tensor& sample : {x.narrow(0, 0, first), x.narrow(0, first, second)})
            parts.push_back(at::group_norm(sample.t().unsqueeze(0), groups).squeeze(0).t());
          return at::cat(parts);
        },
        "group_norm");
    if (cols > 1)
      expect_equal(
          data, [](Builder& b, ValueId x) { return b.layer_norm(x); },
          [=](const at::Tensor& x) { return at::layer_norm(x, {cols}); }, "layer_norm");
  });
}

class Dropout : public testing::Test {
 protected:
  Dropout() : rng_(5), data_(600, 400, 32, rng_) {
    Builder b;
    const ValueId x = b.linear(b.sparse_input(32, 1), 32, false, "first");
    b.output("a", b.dropout(x, 0.3, "a"));
    b.output("b", b.dropout(b.relu(x), 0.3, "b"));
    b.output("x", x);
    graph_ = b.build();
  }

  at::Tensor forward(GraphModule& module, const std::string& output, Mode mode = Mode::training) {
    auto batch = std::make_shared<Prepared>();
    inputs_ = data_.inputs();
    module.preparer().prepare(inputs_, serial_executor(), *batch);
    return module.forward(batch, {output}, mode)[0];
  }

  Rng rng_;
  Rows data_;
  Graph graph_;
  Inputs inputs_;
};

TEST_F(Dropout, drops_the_share_and_scales_the_rest) {
  GraphModule module(graph_, initial_weights(graph_, 1), serial_executor());
  module.set_random({1, 2});
  const at::Tensor x = forward(module, "x"), y = forward(module, "a");
  const at::Tensor kept = y.ne(0);
  EXPECT_NEAR(kept.to(at::kFloat).mean().item<double>(), 0.7, 0.01);
  EXPECT_TRUE(at::allclose(y, x * kept.to(at::kFloat) / 0.7f));
  for (const std::int64_t axis : {0, 1}) {  // no row and no column is special
    const at::Tensor share = kept.to(at::kFloat).mean(axis);
    EXPECT_GT(share.min().item<double>(), axis == 0 ? 0.6 : 0.2);
    EXPECT_LT(share.max().item<double>(), axis == 0 ? 0.8 : 1.01);
  }
  EXPECT_TRUE(at::equal(forward(module, "a", Mode::inference), x));
}

TEST_F(Dropout, is_a_function_of_seed_step_and_node) {
  const auto executor = make_thread_pool(4);
  GraphModule module(graph_, initial_weights(graph_, 1), serial_executor());
  GraphModule threaded(graph_, initial_weights(graph_, 1), *executor);
  const auto mask = [&](GraphModule& m, StepSeed seed, const std::string& output = "a") {
    m.set_random(seed);
    return forward(m, output).ne(0);
  };
  const at::Tensor mine = mask(module, {1, 2});
  EXPECT_TRUE(at::equal(mine, mask(module, {1, 2})));
  EXPECT_TRUE(at::equal(mine, mask(threaded, {1, 2})));
  for (const StepSeed other : {StepSeed{1, 3}, StepSeed{2, 2}}) {
    const double equal = mine.eq(mask(module, other)).to(at::kFloat).mean().item<double>();
    EXPECT_NEAR(equal, 0.7 * 0.7 + 0.3 * 0.3, 0.02);
  }
  // Where the ReLU let a value through, the other node's mask is visible: it is another one.
  const at::Tensor positive = forward(module, "x").gt(0), b = mask(module, {1, 2}, "b");
  const double equal = mine.eq(b).masked_select(positive).to(at::kFloat).mean().item<double>();
  EXPECT_NEAR(equal, 0.7 * 0.7 + 0.3 * 0.3, 0.03);
}

}  // namespace
}  // namespace rarefy::train
