/// The channel rule of every op must be true of its examples: pruning will be derived from it.
#include <gtest/gtest.h>

#include <algorithm>

#include "rarefy/graph.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Flow = ChannelRule::Flow;

/// Length of the named parameter's axis, or -1 where this node has no such parameter (a layer without bias).
std::int64_t axis_length(const Graph& graph, const Node& node, const ChannelRule& rule) {
  const auto shapes = graph.parameter_shapes(node);
  for (std::size_t p = 0; p < shapes.size(); ++p) {
    const std::string& name = node.parameters[p].name;
    if (name == node.name + "." + rule.parameter) return shapes[p].at(static_cast<std::size_t>(rule.axis));
  }
  return -1;
}

void check_rule(const Graph& graph, const Node& node, const ChannelRule& rule) {
  const ValueId out = *std::find_if(node.outputs.begin(), node.outputs.end(),
                                    [&](ValueId v) { return graph.type(v).kind == ValueKind::features; });
  const std::int64_t produced = graph.type(out).channels;
  const auto consumed = [&] { return graph.type(node.inputs.at(static_cast<std::size_t>(rule.input))).channels; };
  const std::int64_t length = rule.parameter.empty() ? -1 : axis_length(graph, node, rule);
  switch (rule.flow) {
    case Flow::consumes:
      EXPECT_TRUE(length == -1 || length == consumed());
      break;
    case Flow::produces:
      EXPECT_TRUE(length == -1 || length == produced);
      break;
    case Flow::shares:
      EXPECT_EQ(consumed(), produced);
      EXPECT_TRUE(length == -1 || length == produced);
      break;
    case Flow::joins: {
      std::int64_t sum = 0;
      for (const ValueId input : node.inputs) sum += graph.type(input).channels;
      EXPECT_EQ(sum, produced);
      break;
    }
    case Flow::fixed:
      break;
  }
}

TEST(ChannelRule, every_op_on_features_has_a_true_one) {
  for (const auto& [name, op] : OpSet::builtin().all()) {
    SCOPED_TRACE(name);
    if (op->is_input || !op->examples) continue;
    test::for_random_cases(5, [&, op = op](Rng& rng) {
      for (const OpExample& example : op->examples(rng.bits())) {
        for (const Node& node : example.graph.nodes()) {
          const OpDef& def = OpSet::builtin().at(node.op);
          const bool makes_features = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) {
            return example.graph.type(v).kind == ValueKind::features;
          });
          EXPECT_TRUE(!makes_features || !def.channels.empty()) << node.op << " says nothing about its channels";
          if (!makes_features || def.is_input) continue;
          for (const ChannelRule& rule : def.channels) check_rule(example.graph, node, rule);
        }
      }
    });
  }
}

}  // namespace
}  // namespace rarefy
