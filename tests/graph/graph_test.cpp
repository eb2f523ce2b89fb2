#include <gtest/gtest.h>

#include "base/check.h"
#include "graph/json_io.h"
#include "rarefy/builder.h"
#include "rarefy/model.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

TEST(Graph, equal_geometry_is_merged_and_layers_are_not) {
  Builder b;
  const ValueId x = b.sparse_input(4, 3);
  const ValueId y = b.conv(b.conv(x, {.channels = 4}), {.channels = 4});
  const ValueId down = b.conv(y, {.channels = 8, .kernel = {2}, .stride = {2}});
  const ValueId again = b.conv(x, {.channels = 8, .kernel = {2}, .stride = {2}});
  EXPECT_EQ(b.space_of(down), b.space_of(again));
  b.output("y", b.add_values(down, again));
  const Graph graph = b.build();
  int maps = 0, convs = 0, spaces = 0;
  for (const Node& node : graph.nodes()) {
    maps += node.op == "kernel_map";
    convs += node.op == "sparse_conv";
    spaces += node.op == "downsample";
  }
  EXPECT_EQ(maps, 2);
  EXPECT_EQ(spaces, 1);
  EXPECT_EQ(convs, 4);
}

TEST(Graph, features_of_different_spaces_do_not_add) {
  Builder b;
  const ValueId x = b.sparse_input(4, 3, {1}, "scan");
  const ValueId down = b.conv(x, {.channels = 4, .kernel = {2}, .stride = {2}, .name = "down"});
  test::expect_error<ShapeError>([&] { b.add_values(x, down); }, {"add_0", "scan", "down", "space %0"});
}

TEST(Graph, messages_name_node_op_and_what_was_found) {
  Builder b;
  const ValueId x = b.sparse_input(4, 3);
  test::expect_error<UnsupportedError>([&] { b.add("spars_conv", {x}); },
                                       {"spars_conv", "did you mean", "sparse_conv"});
  test::expect_error<UsageError>(
      [&] {
        b.add("linear", {x}, {{"chanels", std::int64_t{3}}});
      },
      {"linear", "chanels", "channels"});
  test::expect_error<UsageError>(
      [&] {
        b.add("linear", {x}, {{"channels", std::string("three")}});
      },
      {"channels", "integer", "text"});
  test::expect_error<UsageError>([&] { b.add("linear", {x, x}); }, {"linear", "takes 1", "got 2"});
  test::expect_error<UsageError>([&] { b.add("linear", {99}); }, {"%99"});
  test::expect_error<ShapeError>([&] { b.conv(x, {.channels = 4, .kernel = {2}}); }, {"odd", "axis 0", "2"});
  test::expect_error<ShapeError>([&] { b.conv(x, {.channels = 0}); }, {"channels is 0"});
  test::expect_error<ShapeError>(
      [&] {
        b.conv(x, {.channels = 4, .kernel = {3, 3}});
      },
      {"kernel", "2 entries", "3 axes"});
  test::expect_error<ShapeError>([&] { b.sparse_input(1, 5); }, {"dims is 5"});
  (void)b.linear(x, 3, true, "same");
  test::expect_error<UsageError>([&] { (void)b.linear(x, 3, true, "same"); }, {"two nodes are named 'same'"});
  test::expect_error<UsageError>([&] { (void)Builder().build(); }, {"at least one output"});
}

TEST(Graph, rows_are_expressions_in_the_sizes_of_spaces) {
  Builder b;
  const ValueId x = b.sparse_input(4, 2);
  const ValueId y = b.conv(x, {.channels = 2, .kernel = {2}, .stride = {2}});
  b.output("y", y);
  const Graph graph = b.build();
  const ValueId out = graph.outputs()[0].value;
  EXPECT_EQ(graph.rows(out), (SymbolicSize{0, {{graph.type(out).space, 1}}}));
  EXPECT_NE(graph.rows(out), graph.rows(graph.nodes()[0].outputs[1]));
}

TEST(Graph, what_no_output_needs_is_dropped) {
  Builder b;
  const ValueId x = b.sparse_input(4, 3);
  (void)b.conv(x, {.channels = 4, .kernel = {5}, .name = "unused"});
  b.output("y", b.linear(x, 2));
  EXPECT_EQ(b.build().nodes().size(), 2u);
}

TEST(Graph, text_and_dot_show_every_node) {
  Builder b;
  const ValueId x = b.sparse_input(4, 3, {1}, "scan");
  b.output("y", b.relu(b.conv(x, {.channels = 7, .name = "first"})));
  const Graph graph = b.build();
  for (const Node& node : graph.nodes()) {
    EXPECT_NE(graph.to_text().find(node.name), std::string::npos);
    EXPECT_NE(graph.to_dot().find(node.name), std::string::npos);
  }
  EXPECT_NE(graph.to_text().find("channels=7"), std::string::npos);
}

TEST(Graph, a_foreign_op_is_a_value_of_the_op_set) {
  OpSet ops = OpSet::builtin();
  OpDef twice;
  twice.name = "my_twice";
  twice.doc = "2 x";
  twice.inputs = {"x: features"};
  twice.outputs = {"y: features"};
  twice.infer = [](const InferArgs& args) -> Inferred { return {{args.inputs[0]}, {}}; };
  ops.add(twice);
  EXPECT_THROW(ops.add(twice), UsageError);
  Builder b(ops);
  b.output("y", b.add("my_twice", {b.sparse_input(3, 2)})[0]);
  const Graph graph = b.build();
  const std::string json = graph_to_json(graph);
  EXPECT_EQ(graph_to_json(graph_from_json(json, ops, "memory")), json);
  test::expect_error<UnsupportedError>([&] { (void)graph_from_json(json, OpSet::builtin(), "file"); },
                                       {"file", "my_twice", "newer version"});
}

TEST(Weights, copies_share_memory_until_written) {
  Weights a;
  a.set("w", Tensor(Dtype::f32, {2, 3}));
  Weights b = a;
  EXPECT_EQ(a.at("w").data(), b.at("w").data());
  b.mutable_at("w").mutable_as<float>()[4] = 5.0f;
  EXPECT_NE(a.at("w").data(), b.at("w").data());
  EXPECT_EQ(a.at("w").as<float>()[4], 0.0f);
  EXPECT_EQ(b.at("w").as<float>()[4], 5.0f);
  test::expect_error<UsageError>([&] { (void)a.at("v"); }, {"'v'", "'w'"});
  EXPECT_THROW((void)a.at("w").as<double>(), UsageError);
}

TEST(Weights, a_view_is_a_part_and_a_graph_may_run_on_it) {
  Weights weights;
  Tensor full(Dtype::f32, {3, 4});
  for (std::size_t i = 0; i < 12; ++i) full.mutable_as<float>()[i] = static_cast<float>(i);
  weights.set("shared.weight", full);
  const ParameterRef part{"shared.weight", {{{1, 3}, {0, 2}}}};
  const Tensor view = weights.resolve(part);
  EXPECT_EQ(view.shape(), (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(std::vector<float>(view.as<float>().begin(), view.as<float>().end()), (std::vector<float>{4, 5, 8, 9}));

  Builder b;
  const ValueId x = b.sparse_input(2, 3);
  const auto y = b.add("linear", {x}, {{"channels", std::int64_t{2}}, {"bias", std::int64_t{0}}}, "part", {part});
  b.output("y", y[0]);
  const Graph graph = b.build();
  EXPECT_NO_THROW(check_weights(graph, weights));
  const Model model(graph, weights);
  EXPECT_EQ(Model::parse(model.serialize(), "memory").graph().nodes()[1].parameters[0], part);
  const ParameterRef outside{"shared.weight", {{{1, 4}, {0, 2}}}};
  test::expect_error<ShapeError>([&] { (void)weights.resolve(outside); }, {"shared.weight", "axis 0", "[1, 4) of 3"});
}

TEST(Weights, a_store_that_does_not_fit_is_refused_by_name) {
  Builder b;
  b.output("y", b.linear(b.sparse_input(2, 3), 5, true, "head"));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  weights.set("head.weight", Tensor(Dtype::f32, {2, 4}));
  test::expect_error<ShapeError>([&] { check_weights(graph, weights); }, {"head", "linear", "[2, 4]", "[2, 5]"});
  weights.erase("head.weight");
  test::expect_error<ShapeError>([&] { check_weights(graph, weights); }, {"head.weight", "missing"});
}

TEST(Weights, initial_values_depend_on_names_and_seed_only) {
  Builder b;
  b.output("y", b.linear(b.sparse_input(2, 3), 5, true, "head"));
  const Graph graph = b.build();
  const auto values = [&](std::uint64_t seed) {
    const Weights w = initial_weights(graph, seed);
    return std::vector<float>(w.at("head.weight").as<float>().begin(), w.at("head.weight").as<float>().end());
  };
  EXPECT_EQ(values(3), values(3));
  EXPECT_NE(values(3), values(4));
}

}  // namespace
}  // namespace rarefy
