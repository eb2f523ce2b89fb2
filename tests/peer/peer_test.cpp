/// The peer of the benchmarks computes what rarefy computes: layers against the oracle, networks and training steps
/// against the library.
#include "peers/peer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "oracle/conv.h"
#include "rarefy/builder.h"
#include "rarefy/error.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"
#include "train/learner.h"

namespace rarefy::peer {
namespace {

std::vector<float> uniform(Rng& rng, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

/// Sites, map, features and weights of a submanifold layer.
struct LayerCase {
  explicit LayerCase(Rng& rng) {
    const auto stride = static_cast<std::int32_t>(std::int64_t{1} << rng.integer(0, 3));
    coords = test::random_coords(
        rng, {.dims = 3, .stride = {stride, stride, stride, 1}, .batches = rng.integer(1, 3), .anywhere = true});
    size = 2 * rng.integer(0, 2) + 1;
    in = rng.integer(1, 9);
    out = rng.integer(1, 9);
    const auto s = static_cast<std::int32_t>(size);
    build_kernel_map(coords, coords, {.size = {s, s, s, 1}}, serial_executor(), map);
    rows.resize(static_cast<std::size_t>(4 * coords.rows()));
    write_coords(coords, rows.data());
    x = uniform(rng, coords.rows() * in);
    gy = uniform(rng, coords.rows() * out);
    weight = uniform(rng, size * size * size * in * out);
  }
  Matrix<const float> features() const { return {x.data(), coords.rows(), in}; }
  Matrix<const float> gradient() const { return {gy.data(), coords.rows(), out}; }
  Layer layer() const { return Layer(rows, coords.stride[0], size, features(), weight, out); }

  Coords coords;
  KernelMap map;
  std::int64_t size, in, out;
  std::vector<std::int32_t> rows;
  std::vector<float> x, gy, weight;
};

void expect_near(const oracle::Values& expected, std::span<const float> found) {
  ASSERT_EQ(found.size(), expected.value.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], expected.value[i], 1e-5 * (expected.magnitude[i] + 1e-3)) << "value " << i;
}

TEST(Peer, layers_equal_the_oracle) {
  test::for_random_cases(40, [](Rng& rng) {
    const LayerCase c(rng);
    Layer layer = c.layer();
    layer.build_map();
    EXPECT_EQ(layer.pairs(), c.map.pairs());
    layer.forward();
    expect_near(oracle::conv(c.features(), c.weight, &c.map, c.out, nullptr, {}), layer.output());
    layer.forward_for_gradient();
    layer.backward(c.gradient());
    const std::vector<float> found = layer.gradients();
    const std::span<const float> both(found);
    expect_near(oracle::conv_input_gradient(c.gradient(), c.weight, &c.map, c.coords.rows(), c.in),
                both.first(c.x.size()));
    expect_near(oracle::conv_weight_gradient(c.features(), c.gradient(), &c.map, c.map.volume),
                both.subspan(c.x.size()));
  });
}

TEST(Peer, dense_layers_equal_sparse_ones_at_the_sites) {
  test::for_random_cases(20, [](Rng& rng) {
    std::vector<std::int32_t> rows;
    for (std::int32_t cell = 0; cell < 9 * 8 * 7; ++cell)
      if (rng.chance(0.3)) rows.insert(rows.end(), {0, 2 * (cell / 56 - 4), 2 * (cell / 7 % 8), 2 * (cell % 7 - 9)});
    const auto count = static_cast<std::int64_t>(rows.size()) / 4;
    const std::vector<float> x = uniform(rng, count * 3), weight = uniform(rng, 27 * 3 * 5);
    Layer sparse(rows, 2, 3, {x.data(), count, 3}, weight, 5);
    DenseLayer dense(rows, 2, 3, {x.data(), count, 3}, weight, 5);
    sparse.build_map();
    sparse.forward();
    dense.forward();
    const std::vector<float> a = sparse.output(), b = dense.output();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4);
  });
}

/// A small MinkUNet with batch norms that do something, and a cloud of points.
struct NetworkCase {
  explicit NetworkCase(Rng& rng) {
    models::ModelOptions options{.width = 0.125, .classes = 5, .pipeline = models::semantic_kitti_pipeline(0.2)};
    const Graph graph = models::at("minkunet").build(options);
    Weights weights = initial_weights(graph, rng.bits());
    for (const auto& [name, tensor] : weights.all()) {
      const bool positive = name.ends_with("running_var"), any = name.ends_with("running_mean");
      if (!positive && !any) continue;
      Tensor changed = tensor;
      for (float& v : changed.mutable_as<float>())
        v = static_cast<float>(positive ? rng.uniform(0.5, 2) : rng.uniform(-0.5, 0.5));
      weights.set(name, changed);
    }
    model = Model(graph, weights, options.pipeline);
    for (int i = 0; i < 1500; ++i) {  // a rough floor and a wall
      const double u = rng.uniform(-4, 4), v = rng.uniform(-4, 4);
      const bool wall = rng.chance(0.3);
      for (const double value : {u, wall ? 3.0 : v, wall ? v / 2 : 0.1 * std::sin(3 * u), rng.uniform(0, 1)})
        points.push_back(static_cast<float>(value));
    }
  }
  Matrix<const float> matrix() const { return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 4}; }
  Inputs inputs() const {
    return {{"points", PointView{points.data(), matrix().rows, 16, {.x = 0, .y = 4, .z = 8, .intensity = 12}}}};
  }
  Model model;
  std::vector<float> points;
};

TEST(Peer, networks_equal_the_library_with_new_and_with_cached_maps) {
  test::for_random_cases(5, [](Rng& rng) {
    const NetworkCase c(rng);
    Session session(c.model);
    const Outputs& expected = session.run(c.inputs());
    Network network(c.model);
    network.run(c.matrix());
    for (int i = 0; i < 2; ++i) {
      const auto logits = expected["logits"].as<float>();
      const std::vector<float> found = network.logits();
      ASSERT_EQ(found.size(), logits.size());
      for (std::size_t v = 0; v < found.size(); ++v) ASSERT_NEAR(found[v], logits[v], 1e-4) << v;
      EXPECT_EQ(network.labels().size(), c.points.size() / 4);
      network.run_features();
    }
  });
}

TEST(Peer, training_steps_equal_the_librarys) {
  test::for_random_cases(4, [](Rng& rng) {
    const NetworkCase c(rng);
    train::LearnerOptions options;
    options.loss.lovasz = 0;
    options.clip = options.average = 0;
    train::Learner learner(c.model, options, serial_executor());
    auto batch = std::make_shared<train::Prepared>();
    learner.preparer().prepare(c.inputs(), serial_executor(), *batch);
    std::int64_t voxels = 0;
    for (const auto& index : batch->geometry.indices)
      if (index) voxels = index->coords.rows();
    std::vector<std::uint8_t> labels(static_cast<std::size_t>(voxels));
    for (auto& label : labels) label = rng.chance(0.2) ? 255 : static_cast<std::uint8_t>(rng.integer(0, 4));
    const double loss = learner.step(batch, labels, 1e-3).loss.total;
    const train::Learner::State state = learner.state();
    for (const auto backward : {Trainer::Backward::autograd, Trainer::Backward::handwritten}) {
      Trainer trainer(c.model, 1e-3, backward);
      trainer.step(c.matrix(), labels);
      EXPECT_NEAR(trainer.loss(), loss, 1e-5 * std::abs(loss));
      for (const auto& [name, gradient] : trainer.gradients()) {
        // AdamW's first moment after one step is a tenth of the gradient.
        const std::vector<float>& moment = state.at("first/" + name);
        ASSERT_EQ(moment.size(), gradient.size()) << name;
        double difference = 0, size = 0;
        for (std::size_t i = 0; i < gradient.size(); ++i) {
          difference += std::pow(10.0 * moment[i] - gradient[i], 2);
          size += std::pow(gradient[i], 2);
        }
        // An activation within rounding of zero may fall on either side.
        EXPECT_LE(std::sqrt(difference), 2e-2 * std::sqrt(size) + 1e-6) << name;
      }
    }
  });
}

TEST(Peer, what_it_does_not_have_is_named) {
  Builder b;
  const ValueId points = b.points(4);
  const Builder::Voxelized voxels = b.voxelize(points, {});
  b.output("logits", b.add("sigmoid", {b.reduce(points, voxels.index)})[0]);
  const Graph graph = b.build();
  test::expect_error<UnsupportedError>([&] { Network network(Model(graph, initial_weights(graph, 1))); },
                                       {"peer", "sigmoid"});
}

}  // namespace
}  // namespace rarefy::peer
