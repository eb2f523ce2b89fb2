/// Squeeze-and-excitation against plain loops, for batches of samples of any size.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "rarefy/error.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Doubles = std::vector<double>;

/// Samples of these sizes on a line, sample after sample; features in rows that are wider than the matrix.
struct Samples {
  std::vector<std::int64_t> sizes;
  std::int64_t channels, stride;
  std::vector<std::int32_t> coords;
  std::vector<float> values;

  Samples(std::vector<std::int64_t> sizes_, std::int64_t channels_, Rng& rng)
      : sizes(std::move(sizes_)), channels(channels_), stride(channels_ + 3) {
    for (std::size_t s = 0; s < sizes.size(); ++s) {
      for (std::int64_t r = 0; r < sizes[s]; ++r) {
        coords.push_back(static_cast<std::int32_t>(s));
        coords.push_back(static_cast<std::int32_t>(r));
        for (std::int64_t c = 0; c < stride; ++c)
          values.push_back(c < channels ? static_cast<float>(rng.normal()) : std::nanf(""));
      }
    }
  }
  std::int64_t rows() const { return static_cast<std::int64_t>(coords.size()) / 2; }
  double at(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * stride + c)]; }
  Inputs inputs() {
    return {{"x", SparseView{coords.data(),
                             {values.data(), Dtype::f32, Device::cpu, rows(), channels, stride},
                             static_cast<std::int64_t>(sizes.size())}}};
  }
};

/// y = f(W x + b), one sample.
Doubles layer(const Model& model, const std::string& name, const Doubles& x, bool bias,
              const std::function<double(double)>& f) {
  const auto w = model.weights().at(name + ".weight").as<float>();
  const std::size_t outputs = w.size() / x.size();
  Doubles y(outputs, 0.0);
  for (std::size_t o = 0; o < outputs; ++o) {
    if (bias) y[o] = model.weights().at(name + ".bias").as<float>()[o];
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += x[i] * w[i * outputs + o];
    y[o] = f(y[o]);
  }
  return y;
}

Doubles expected_output(const Model& model, const Samples& x, bool bias) {
  const auto relu = [](double v) { return std::max(v, 0.0); };
  const auto sigmoid = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
  Doubles y;
  std::int64_t first = 0;
  for (const std::int64_t size : x.sizes) {
    Doubles mean(static_cast<std::size_t>(x.channels), 0.0);
    for (std::int64_t r = first; r < first + size; ++r)
      for (std::int64_t c = 0; c < x.channels; ++c)
        mean[static_cast<std::size_t>(c)] += x.at(r, c) / static_cast<double>(size);
    const Doubles gate = layer(model, "se.excite", layer(model, "se.squeeze", mean, bias, relu), bias, sigmoid);
    for (std::int64_t r = first; r < first + size; ++r)
      for (std::int64_t c = 0; c < x.channels; ++c) y.push_back(x.at(r, c) * gate[static_cast<std::size_t>(c)]);
    first += size;
  }
  return y;
}

Model random_model(std::int64_t channels, const SqueezeExciteOptions& options, std::uint64_t seed) {
  Builder b;
  b.output("y", b.squeeze_excite(b.sparse_input(channels, 1), options));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, seed);
  Rng rng(seed);
  for (const char* bias : {"se.squeeze.bias", "se.excite.bias"}) {  // they begin at zero
    if (!options.bias) continue;
    for (float& v : weights.mutable_at(bias).mutable_as<float>()) v = static_cast<float>(rng.normal());
  }
  return Model(graph, weights);
}

TEST(SqueezeExcite, equals_plain_loops_for_samples_of_any_size) {
  test::for_random_cases(30, [](Rng& rng) {
    const std::int64_t channels = rng.integer(1, 40), reduction = rng.integer(1, 20);
    const bool bias = rng.chance(0.5);
    const Model model = random_model(channels, {.reduction = reduction, .bias = bias, .name = "se"}, rng.bits());
    EXPECT_EQ(model.weights().at("se.squeeze.weight").shape().back(), std::max<std::int64_t>(1, channels / reduction));
    Session one(model), many(model, {.threads = 3});
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{rng.integer(1, 3000), 0, 1, rng.integer(2, 50)}, {0, 0, 7}, {5}, {0}}) {
      Samples x(sizes, channels, rng);
      const Outputs& found = one.run(x.inputs());
      test::expect_matches(found, "y", {x.rows(), channels, expected_output(model, x, bias), {}});
      EXPECT_EQ(test::bits_of(found["y"]), test::bits_of(many.run(x.inputs())["y"]));
    }
  });
}

/// The other poolings and gates are nodes of the table, whose values the conformance test proves.
TEST(SqueezeExcite, takes_other_poolings_and_gates_and_survives_the_model_file) {
  Rng rng(4);
  const Model model = random_model(
      12, {.reduction = 3, .pooling = "max", .activation = "silu", .gate = "hardsigmoid", .name = "se"}, 5);
  const Model copy = Model::parse(model.serialize(), "memory");
  EXPECT_EQ(copy.graph().to_text(), model.graph().to_text());
  Samples x({40, 0, 3}, 12, rng);
  std::vector<float> packed;
  for (std::int64_t r = 0; r < x.rows(); ++r)
    for (std::int64_t c = 0; c < 12; ++c) packed.push_back(static_cast<float>(x.at(r, c)));
  const OpExample::Data data{"x", x.coords, packed, x.rows(), 12, {}, 3};
  const auto expected = oracle::run(model.graph(), model.weights(), {data});
  Session session(copy);
  test::expect_matches(session.run(x.inputs()), "y", expected.at("=y"));
}

TEST(SqueezeExcite, names_what_makes_no_sense) {
  Builder b;
  const ValueId x = b.sparse_input(4, 1);
  test::expect_error<UsageError>([&] { (void)b.squeeze_excite(x, {.reduction = 0, .name = "se"}); },
                                 {"squeeze_excite 'se'", "reduction is 0"});
  test::expect_error<UnsupportedError>([&] { (void)b.squeeze_excite(x, {.gate = "sigmod"}); }, {"sigmod", "sigmoid"});
}

}  // namespace
}  // namespace rarefy
