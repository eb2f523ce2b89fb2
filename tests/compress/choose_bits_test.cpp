// Bits by accuracy and by time: with known times, so that what is chosen is known too.
#include "compress/choose_bits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "compress/small_network.h"
#include "kernels/conv_int8.h"
#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

using test::small_network, test::some_points, test::view_of;
using testing::HasSubstr;

/// ms of a layer on real numbers, with 8 and with 7 bits.
struct Ms {
  double real = 3, eight = 2, seven = 1;
};

/// A machine on which every layer takes what it is told to; `border` is added to the network for every layer that keeps
/// real numbers beside integers.
struct KnownMachine {
  std::map<std::string, Ms> layers = {};
  double border = 0;

  TimeNetworks times() const {
    return [machine = *this](const std::vector<Model>& models) {
      std::vector<NetworkTimes> all;
      for (const Model& model : models) all.push_back(machine.of(model.graph()));
      return all;
    };
  }
  NetworkTimes of(const Graph& graph) const {
    NetworkTimes times;
    int real = 0, integer = 0;
    for (const Node& node : graph.nodes()) {
      if (node.op != "sparse_conv" && node.op != "linear") continue;
      const auto own = layers.find(node.name);
      const Ms ms = own != layers.end() ? own->second : Ms{};
      const std::int64_t bits = node.integer("weight_bits");
      ++(bits == 0 ? real : integer);
      times.step[node.name] = bits == 0 ? ms.real : bits == 8 ? ms.eight : ms.seven;
      times.network_ms += times.step[node.name];
    }
    if (integer > 0) times.network_ms += border * (real - 1);  // the first layer is always real
    return times;
  }
};

/// Five linear layers over a few thousand rows. `third` has one huge weight per channel, for an input that is always
/// zero: it costs nothing but takes most steps of the other weights away.
struct Chain {
  Model model;
  OpExample example;

  Chain() {
    Builder b;
    ValueId x = b.sparse_input(4, 3);
    for (const char* name : {"first", "second", "third", "fourth"}) x = b.relu(b.linear(x, 16, true, name));
    b.output("logits", b.linear(x, 5, true, "last"));
    const Graph graph = b.build();
    Weights weights = initial_weights(graph, 11);
    weights.mutable_at("second.bias").mutable_as<float>()[0] = -1e6f;
    auto third = weights.mutable_at("third.weight").mutable_as<float>();
    for (std::size_t c = 0; c < 16; ++c) third[c] = 30.0f;
    model = Model(graph, weights);
    OpExample::Data data{"x", {}, {}, 3000, 4, {}, 1};
    Rng rng(11);
    for (std::int32_t i = 0; i < 3000; ++i) {
      data.coords.insert(data.coords.end(), {0, i, 0, 0});
      for (int c = 0; c < 4; ++c) data.values.push_back(static_cast<float>(rng.normal()));
    }
    example = {graph, weights, {data}};
  }
  Inputs inputs() const { return test::inputs_of(example); }
  BitsChoice choose(const ChooseBitsOptions& options) const {
    Calibration calibration(model);
    calibration.observe(inputs());
    return choose_bits(calibration, {inputs()}, options);
  }
  /// Share of rows whose label is not that of the original.
  double changed(const Model& other) const {
    Session a(model), b(other);
    const TensorView x = a.run(inputs())["logits"], y = b.run(inputs())["logits"];
    int changed = 0;
    for (std::int64_t r = 0; r < x.rows; ++r) {
      const float *p = &x.matrix<const float>()(r, 0), *q = &y.matrix<const float>()(r, 0);
      changed += std::max_element(p, p + 5) - p != std::max_element(q, q + 5) - q ? 1 : 0;
    }
    return changed / static_cast<double>(x.rows);
  }
  double changed_at(const std::map<std::string, int>& bits) const {
    Calibration calibration(model);
    calibration.observe(inputs());
    return changed(calibration.quantize({.bits = 8, .layers = bits}));
  }
};

std::map<std::string, int> bits_of(const BitsChoice& choice) {
  std::map<std::string, int> bits;
  for (const LayerChoice& layer : choice.layers) bits[layer.layer] = layer.bits;
  return bits;
}

const LayerChoice& layer_of(const BitsChoice& choice, const std::string& name) {
  for (const LayerChoice& layer : choice.layers)
    if (layer.layer == name) return layer;
  throw std::runtime_error("no layer " + name);
}

TEST(ChooseBits, a_sensitive_layer_keeps_8_bits_and_the_bound_holds) {
  const Chain chain;
  const double eight = chain.changed_at({});
  const double others = chain.changed_at({{"second", 7}, {"fourth", 7}, {"last", 7}});
  const double all = chain.changed_at({{"second", 7}, {"third", 7}, {"fourth", 7}, {"last", 7}});
  ASSERT_LT(others + 0.004, all) << "the network was to have one sensitive layer";
  const double loss = (others + all) / 2 - eight;
  const BitsChoice choice = chain.choose({.loss = loss, .time = KnownMachine{}.times(), .seven_pays = true});
  EXPECT_EQ(bits_of(choice),
            (std::map<std::string, int>{{"first", 0}, {"second", 7}, {"third", 8}, {"fourth", 7}, {"last", 7}}));
  EXPECT_DOUBLE_EQ(choice.changed_eight, eight);
  EXPECT_DOUBLE_EQ(choice.changed, others);
  EXPECT_DOUBLE_EQ(choice.changed, chain.changed(choice.model));
  EXPECT_LE(choice.changed, eight + loss);
  for (const char* other : {"second", "fourth", "last"})
    EXPECT_GT(*layer_of(choice, "third").sensitivity, *layer_of(choice, other).sensitivity) << other;
  EXPECT_THAT(layer_of(choice, "third").why, HasSubstr("exceed the loss"));
  EXPECT_THAT(layer_of(choice, "first").why, HasSubstr("network's input"));
  EXPECT_DOUBLE_EQ(choice.ms, 3 + 1 + 2 + 1 + 1);
  EXPECT_DOUBLE_EQ(choice.ms_eight, 3 + 4 * 2);
}

TEST(ChooseBits, a_loss_that_allows_all_gives_7_bits_to_all_and_one_that_allows_nothing_bounds_them) {
  const Chain chain;
  const BitsChoice all = chain.choose({.loss = 1, .time = KnownMachine{}.times(), .seven_pays = true});
  EXPECT_EQ(bits_of(all),
            (std::map<std::string, int>{{"first", 0}, {"second", 7}, {"third", 7}, {"fourth", 7}, {"last", 7}}));
  const BitsChoice none = chain.choose({.loss = 0, .time = KnownMachine{}.times(), .seven_pays = true});
  EXPECT_LE(chain.changed(none.model), chain.changed_at({}));
}

TEST(ChooseBits, seven_bits_only_where_they_are_faster) {
  const Chain chain;
  KnownMachine machine;
  machine.layers["second"].seven = 1.99;  // within what times say
  machine.layers["last"].seven = 2.5;
  const BitsChoice choice = chain.choose({.loss = 1, .time = machine.times(), .seven_pays = true});
  EXPECT_EQ(bits_of(choice),
            (std::map<std::string, int>{{"first", 0}, {"second", 8}, {"third", 7}, {"fourth", 7}, {"last", 8}}));
  EXPECT_THAT(layer_of(choice, "last").why, HasSubstr("no faster"));
  // Kernels that take 8 bits as fast: nothing is gained, nothing is asked.
  const BitsChoice eight = chain.choose({.loss = 1, .time = machine.times(), .seven_pays = false});
  for (const LayerChoice& layer : eight.layers) {
    EXPECT_EQ(layer.bits, layer.layer == "first" ? 0 : 8) << layer.layer;
    EXPECT_FALSE(layer.sensitivity.has_value());
  }
}

TEST(ChooseBits, a_layer_that_integers_make_slower_keeps_real_numbers) {
  const Chain chain;
  KnownMachine machine;
  machine.layers["third"] = {1, 5, 4};
  const BitsChoice choice = chain.choose({.loss = 1, .time = machine.times(), .seven_pays = true});
  EXPECT_EQ(bits_of(choice),
            (std::map<std::string, int>{{"first", 0}, {"second", 7}, {"third", 0}, {"fourth", 7}, {"last", 7}}));
  EXPECT_THAT(layer_of(choice, "third").why, HasSubstr("faster on real numbers"));
  EXPECT_DOUBLE_EQ(layer_of(choice, "third").ms_real, 1);
  EXPECT_DOUBLE_EQ(layer_of(choice, "third").ms_integers, 5);
  for (const Node& node : choice.model.graph().nodes()) {
    if (node.name != "third") continue;
    EXPECT_EQ(node.integer("weight_bits"), 0);
    EXPECT_EQ(choice.model.graph().producer(node.inputs[0]).op, "relu") << "no conversion in front";
  }
  // Valid, also as a file, and what it says is what it computes.
  const Model loaded = Model::parse(choice.model.serialize(), "memory");
  Session session(loaded);
  const TensorView found = session.run(chain.inputs())["logits"];
  const oracle::Result wanted = oracle::run(loaded.graph(), loaded.weights(), chain.example.inputs).at("=logits");
  double squares = 0, difference = 0;
  for (std::int64_t i = 0; i < found.rows * found.cols; ++i) {
    const double y = wanted.values[static_cast<std::size_t>(i)];
    squares += y * y;
    difference += std::pow(found.matrix<const float>()(i / found.cols, i % found.cols) - y, 2);
  }
  // A sum at the edge of two steps may be rounded to either.
  EXPECT_LT(std::sqrt(difference / squares), 0.01);
  EXPECT_DOUBLE_EQ(choice.changed, chain.changed(loaded));
  // The profile says so.
  for (const StepProfile& step : session.profile()) {
    if (step.name != "third") {
      EXPECT_EQ(step.note, "") << step.name;
      continue;
    }
    EXPECT_THAT(step.note, HasSubstr("kept real numbers: faster here: 1.000 ms, on integers 5.000 ms"));
    EXPECT_EQ(step.variant, name(select_conv_variant()));
  }
}

TEST(ChooseBits, what_makes_the_whole_slower_is_not_done) {
  const Chain chain;
  KnownMachine machine{.layers = {{"second", {6, 2, 1}}, {"third", {1, 5, 4}}, {"last", {1, 1.5, 1.5}}}, .border = 1};
  // All on integers: 3 + 1 + 5 + 1 + 1.5 = 11.5. "third" and "last" real: 7 + 2 borders; "third" alone: 7.5 + 1 border.
  EXPECT_EQ(bits_of(chain.choose({.loss = 1, .time = machine.times(), .seven_pays = true})).at("last"), 0);
  machine.border = 2.5;
  const BitsChoice one = chain.choose({.loss = 1, .time = machine.times(), .seven_pays = true});
  EXPECT_EQ(bits_of(one).at("third"), 0);
  EXPECT_EQ(bits_of(one).at("last"), 8);
  EXPECT_THAT(layer_of(one, "last").why, HasSubstr("real numbers are faster here, but not in the whole"));
  EXPECT_DOUBLE_EQ(one.ms, 10);
  machine.border = 5;
  const BitsChoice none = chain.choose({.loss = 1, .time = machine.times(), .seven_pays = true});
  EXPECT_EQ(bits_of(none).at("third"), 8);
  EXPECT_DOUBLE_EQ(none.ms, 11.5);
}

TEST(ChooseBits, a_network_that_integers_make_slower_stays_as_it_is) {
  const Chain chain;
  KnownMachine machine;
  for (const char* layer : {"second", "third", "fourth", "last"}) machine.layers[layer] = {1, 2, 1.5};
  const BitsChoice choice = chain.choose({.time = machine.times(), .seven_pays = true});
  for (const Node& node : choice.model.graph().nodes()) EXPECT_NE(node.op, "quantize");
  EXPECT_EQ(choice.changed, 0);
  EXPECT_EQ(choice.ms, choice.ms_real);
  EXPECT_EQ(choice.model.notes.size(), 4u);
  // Each layer faster on integers, the whole slower: whatever the reason, the whole decides.
  const BitsChoice whole = chain.choose({.loss = 1,
                                         .time =
                                             [](const std::vector<Model>& models) {
                                               auto times = KnownMachine{}.times()(models);
                                               times[0].network_ms = 1;
                                               return times;
                                             },
                                         .seven_pays = true});
  for (const LayerChoice& layer : whole.layers) EXPECT_EQ(layer.bits, 0);
  EXPECT_EQ(whole.ms, 1);
  Session session(whole.model);
  session.run(chain.inputs());
  EXPECT_THAT(session.profile().back().note, HasSubstr("the whole network is faster here"));
}

TEST(ChooseBits, layers_behind_a_concatenation_share_bits) {
  const Model model = small_network(12);
  const auto points = some_points(12, 1500);
  const Inputs inputs{{"points", view_of(points)}};
  Calibration calibration(model);
  calibration.observe(inputs);
  KnownMachine machine;
  machine.layers["up1.res1.conv1"] = {1, 3, 2.5};
  // Between what 8 and 7 bits everywhere change: some groups fit, some do not.
  const BitsChoice all = choose_bits(calibration, {inputs}, {.loss = 1, .time = machine.times(), .seven_pays = true});
  ASSERT_GT(all.changed, all.changed_eight);
  const BitsChoice choice =
      choose_bits(calibration, {inputs},
                  {.loss = (all.changed - all.changed_eight) / 2, .time = machine.times(), .seven_pays = true});
  EXPECT_LE(choice.changed, choice.changed_eight + (all.changed - all.changed_eight) / 2);
  std::map<int, std::set<int>> bits;
  std::set<int> occurring;
  for (const LayerChoice& layer : choice.layers) {
    if (layer.bits == 0) continue;
    bits[layer.group].insert(layer.bits);
    occurring.insert(layer.bits);
  }
  EXPECT_EQ(occurring, (std::set<int>{7, 8}));
  for (const auto& [group, found] : bits) EXPECT_EQ(found.size(), 1u) << group;
  EXPECT_EQ(layer_of(choice, "up1.res1.conv1").group, layer_of(choice, "up1.res1.shortcut").group);
  EXPECT_EQ(layer_of(choice, "up1.res1.conv1").bits, 0);
  EXPECT_NE(layer_of(choice, "up1.res1.shortcut").bits, 0);
  const Graph& graph = choice.model.graph();
  for (const Node& node : graph.nodes()) {
    if (node.op != "concat" || graph.producer(node.inputs[0]).op != "quantize") continue;
    for (const ValueId v : node.inputs)
      EXPECT_EQ(graph.producer(v).integer("bits"), graph.producer(node.inputs[0]).integer("bits")) << node.name;
  }
  // What has bits runs on integers: no layer fell back to rounded real numbers.
  Session session(choice.model), reals(choice.model, {.plan = {.fuse = false, .integers = false}});
  EXPECT_LT(test::relative_error(session.run(inputs)["logits"], reals.run(inputs)["logits"]), 0.02);
  const auto chosen = bits_of(choice);
  for (const StepProfile& step : session.profile()) {
    const auto layer = chosen.find(step.name);
    if (layer == chosen.end()) continue;
    const std::string_view wanted =
        layer->second != 0 ? select_int8_variant(layer->second).name : name(select_conv_variant());
    EXPECT_EQ(step.variant, wanted) << step.name;
  }
}

TEST(ChooseBits, same_choice_for_any_number_of_threads) {
  const Model model = small_network(13);
  const auto points = some_points(13, 1200);
  const Inputs inputs{{"points", view_of(points)}};
  std::vector<BitsChoice> found;
  for (const int threads : {1, 4}) {
    const auto pool = make_thread_pool(threads);
    Calibration calibration(model, threads);
    calibration.observe(inputs);
    found.push_back(
        choose_bits(calibration, {inputs},
                    {.loss = 0.01, .time = KnownMachine{}.times(), .seven_pays = true, .executor = pool.get()}));
  }
  EXPECT_EQ(found[0].model.serialize(), found[1].model.serialize());
  EXPECT_EQ(found[0].changed, found[1].changed);
  for (std::size_t l = 0; l < found[0].layers.size(); ++l)
    EXPECT_EQ(found[0].layers[l].sensitivity, found[1].layers[l].sensitivity) << found[0].layers[l].layer;
}

TEST(ChooseBits, says_what_is_missing) {
  const Chain chain;
  Calibration calibration(chain.model);
  const ChooseBitsOptions options{.time = KnownMachine{}.times()};
  test::expect_error<UsageError>([&] { (void)choose_bits(calibration, {chain.inputs()}, options); },
                                 {"nothing was observed"});
  calibration.observe(chain.inputs());
  test::expect_error<UsageError>([&] { (void)choose_bits(calibration, {}, options); }, {"needs scans"});
  test::expect_error<UsageError>([&] { (void)choose_bits(calibration, {chain.inputs()}, {}); }, {"time_in_turns"});
  test::expect_error<UsageError>(
      [&] { (void)choose_bits(calibration, {chain.inputs()}, {.loss = 2, .time = options.time}); }, {"0 to 1, not 2"});
  Builder b;
  b.output("height", b.linear(b.linear(b.sparse_input(4, 3), 3), 1));
  const Graph graph = b.build();
  Calibration single(Model(graph, initial_weights(graph, 1)));
  single.observe(chain.inputs());
  test::expect_error<UnsupportedError>([&] { (void)choose_bits(single, {chain.inputs()}, options); },
                                       {"no output has several real channels"});
}

TEST(Timing, layers_bear_the_conversions_in_front_of_them) {
  const Chain chain;
  Calibration calibration(chain.model);
  calibration.observe(chain.inputs());
  const Model model = calibration.quantize({});
  // relu's of the first layer, which runs on real numbers: a step of its own, for the second alone.
  const std::string conversion = model.graph()
                                     .producer([&] {
                                       for (const Node& node : model.graph().nodes())
                                         if (node.name == "second") return node.inputs[0];
                                       return ValueId{0};
                                     }())
                                     .name;
  const auto layers = layer_times(model, {10, {{"first", 1}, {"second", 2}, {conversion, 0.5}, {"third", 4}}});
  EXPECT_EQ(layers,
            (std::map<std::string, double>{{"first", 1}, {"second", 2.5}, {"third", 4}, {"fourth", 0}, {"last", 0}}));
  const Model shared = small_network(14);
  const auto points = some_points(14, 500);
  Calibration other(shared);
  other.observe({{"points", view_of(points)}});
  const Model quantized = other.quantize({});
  std::string stem;
  for (const Node& node : quantized.graph().nodes())
    if (node.op == "quantize" && stem.empty()) stem = node.name;
  double sum = 0;
  for (const auto& [layer, ms] : layer_times(quantized, {0, {{stem, 1.0}}})) sum += ms;
  EXPECT_DOUBLE_EQ(sum, 1.0);
}

TEST(Timing, in_turns_measures_every_step_of_every_model) {
  const Model model = small_network(15);
  const auto points = some_points(15, 2000);
  const Inputs inputs{{"points", view_of(points)}};
  Calibration calibration(model);
  calibration.observe(inputs);
  const auto times = time_in_turns(inputs, serial_executor(), 3)({model, calibration.quantize({})});
  ASSERT_EQ(times.size(), 2u);
  for (std::size_t m = 0; m < 2; ++m) {
    EXPECT_GT(times[m].network_ms, 0);
    const auto layers = layer_times(m == 0 ? model : calibration.quantize({}), times[m]);
    EXPECT_GT(layers.size(), 20u);
    for (const auto& [layer, ms] : layers) EXPECT_GT(ms, 0) << layer;
  }
}

}  // namespace
}  // namespace rarefy::compress
