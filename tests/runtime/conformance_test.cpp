/// What every op owes, checked over the op table: shapes, values against the oracle, bits for any number of threads, a
/// round trip through the model file, counted multiply-adds, fused = unfused, empty inputs.
#include <gtest/gtest.h>

#include "oracle/graph.h"
#include "rarefy/session.h"
#include "runtime/op.h"
#include "support/examples.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

class Conformance : public testing::TestWithParam<std::string> {
 protected:
  template <class F>
  void for_examples(F f) {
    const OpDef& op = OpSet::builtin().at(GetParam());
    if (op.is_input) return;  // they occur in every example
    ASSERT_TRUE(op.examples) << "op '" << op.name << "' has no examples";
    test::for_random_cases(10, [&](Rng& rng) {
      for (const OpExample& example : op.examples(rng.bits())) {
        f(example);
        if (testing::Test::HasFatalFailure()) return;
      }
    });
  }
};

TEST_P(Conformance, an_example_uses_the_op) {
  const OpDef& op = OpSet::builtin().at(GetParam());
  if (op.is_input) return;
  bool used = false;
  for (const OpExample& example : op.examples(1))
    for (const Node& node : example.graph.nodes()) used = used || node.op == op.name;
  EXPECT_TRUE(used);
}

TEST_P(Conformance, equals_the_oracle_fused_or_not) {
  for_examples([](const OpExample& example) {
    const auto expected = oracle::run(example.graph, example.weights, example.inputs);
    const Model model(example.graph, example.weights);
    for (const bool optimised : {true, false}) {
      Session session(model, {.plan = {.fuse = optimised, .share_memory = optimised}});
      const Outputs& found = session.run(test::inputs_of(example));
      for (const GraphOutput& o : example.graph.outputs())
        test::expect_matches(found, o.name, expected.at("=" + o.name));
    }
  });
}

TEST_P(Conformance, same_bits_for_any_number_of_threads_and_any_run) {
  for_examples([](const OpExample& example) {
    const Model model(example.graph, example.weights);
    std::vector<std::vector<std::uint8_t>> results;
    for (const int threads : {1, 4}) {
      Session session(model, {.threads = threads});
      for (int run = 0; run < 2; ++run) results.push_back(test::bits_of(session.run(test::inputs_of(example))["y"]));
    }
    for (const auto& result : results) EXPECT_EQ(result, results.front());
  });
}

TEST_P(Conformance, survives_the_model_file) {
  for_examples([](const OpExample& example) {
    const Model model(example.graph, example.weights);
    const std::vector<std::uint8_t> file = model.serialize();
    const Model loaded = Model::parse(file, "memory");
    EXPECT_EQ(loaded.graph().to_text(), model.graph().to_text());
    EXPECT_EQ(loaded.serialize(), file);
    Session a(model), b(loaded);
    EXPECT_EQ(test::bits_of(a.run(test::inputs_of(example))["y"]), test::bits_of(b.run(test::inputs_of(example))["y"]));
  });
}

TEST_P(Conformance, inferred_shapes_are_those_that_come_out) {
  for_examples([](const OpExample& example) {
    Session session(Model(example.graph, example.weights));
    const Outputs& found = session.run(test::inputs_of(example));
    for (const GraphOutput& o : example.graph.outputs()) {
      const ValueType& type = example.graph.type(o.value);
      EXPECT_EQ(found[o.name].cols, type.channels);
      EXPECT_EQ(found[o.name].dtype, type.dtype);
      const SymbolicSize rows = example.graph.rows(o.value);
      ASSERT_EQ(rows.terms.size(), 1u);
      EXPECT_EQ(found[o.name].rows, session.statistics().sizes.at(rows.terms.begin()->first));
    }
  });
}

/// Rows of a sample with each other, one multiply-add per pair and channel.
bool compares(const Node& node) {
  return node.op == "attention" || node.op == "attention_scores" || node.op == "match_tokens" ||
         node.op == "window_attention";
}

bool multiplies(const Node& node) {
  return node.op == "sparse_conv" || node.op == "linear" || node.op == "grouped_conv" || node.op == "depthwise_conv" ||
         compares(node);
}

/// Multiply-adds as the oracle would count them: one per pair, input channel and output channel of one group.
TEST_P(Conformance, multiply_adds_are_those_of_the_pairs) {
  for_examples([](const OpExample& example) {
    Session session(Model(example.graph, example.weights));
    (void)session.run(test::inputs_of(example));
    std::int64_t counted = 0;
    for (const StepProfile& p : session.profile()) {
      for (const Node& node : example.graph.nodes()) {
        if (node.name != p.name || !multiplies(node)) continue;
        const std::int64_t in = example.graph.type(node.inputs[0]).channels;
        if (compares(node)) {
          const bool sums = node.op == "attention" || node.op == "window_attention";
          const std::int64_t values = sums ? example.graph.type(node.inputs[2]).channels : 0;
          counted += p.pairs * (in / (node.op == "match_tokens" ? node.integer("heads") : 1) + values);
          continue;
        }
        const std::int64_t groups = node.op == "grouped_conv"     ? node.integer("groups")
                                    : node.op == "depthwise_conv" ? in
                                                                  : 1;
        const std::int64_t product = in / groups * example.graph.type(node.outputs[0]).channels;
        counted += product * (node.op == "linear" ? p.rows : p.pairs);
      }
    }
    EXPECT_EQ(session.statistics().macs, counted);
    EXPECT_EQ(multiply_adds(example.graph, session.statistics().sizes), counted);
  });
}

TEST_P(Conformance, the_runtime_knows_it) { EXPECT_NO_THROW(runtime::runtime_op(GetParam())); }

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : OpSet::builtin().all()) names.push_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Ops, Conformance, testing::ValuesIn(op_names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rarefy
