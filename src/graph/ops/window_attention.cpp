#include "graph/example.h"
#include "graph/images/windows.h"

namespace rarefy::ops {

OpDef window_attention() {
  OpDef op;
  op.name = "window_attention";
  op.doc =
      "Multi-head attention within windows: softmax(q k / sqrt(channels of a head) + bias of the relative position) v. "
      "The table holds one number per head for every step along lines and columns. Liu et al., ICCV 2021, equation 4.";
  op.inputs = {"q: features", "k: features", "v: features", "token_of_row: index"};
  op.outputs = {"y: features"};
  op.attributes = window_attributes();
  op.attributes.push_back({"heads", std::int64_t{1}, "consecutive groups of channels that attend apart"});
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // whole heads only
  op.infer = [](const InferArgs& args) -> Inferred {
    require_attention(args, 4);
    const ValueType& v = require_features(args, 2);
    require_space(args, 2, args.inputs[0].space, "the queries");
    const std::int64_t heads = require_heads(args.node, v.channels, "values");
    const ValueType& index = require_kind(args, 3, ValueKind::index);
    require_space(args, 0, index.space, "the index");
    const std::int64_t steps = 2 * window_grid(args.node).window - 1;
    using Init = ParameterSpec::Init;
    // Swin draws the table with a deviation of 0.02: uniform numbers of as many inputs have it.
    constexpr std::int64_t kInputs = 833;
    return {{v}, {{"relative_position_bias_table", {steps * steps, heads}, Init::kaiming_uniform, kInputs, true}}};
  };
  op.macs = [](const CostArgs& args) {
    return args.pairs(args.node.outputs[0]) *
           (args.graph.type(args.node.inputs[0]).channels + args.graph.type(args.node.inputs[2]).channels);
  };
  op.examples = [](std::uint64_t seed) {
    return window_examples(seed, [](Builder& b, ValueId x, const WindowOptions& o, Rng& rng) {
      const std::int64_t heads = rng.integer(1, 3), d = rng.integer(1, 20), e = rng.integer(1, 20);
      const auto windows = b.windows(b.space_of(x), o);
      ValueId kept = -1;
      if (rng.chance(0.5)) {
        const ValueId scores = b.reduce(b.select_columns(x, {0}, {0.1}, {1.0}), windows.window_of_token, "mean");
        kept = b.add("select_best", {scores, windows.space}, {{"share", 0.6}})[1];
      }
      const auto rows = b.window_rows(b.space_of(x), windows.space, o, kept);
      const ValueId t = b.gather(x, rows.token_of_row);
      const ValueId q = b.linear(t, heads * d, true, "q"), k = b.linear(t, heads * d, true, "k");
      return b.window_attention(q, k, b.linear(t, heads * e, true, "v"), rows.token_of_row, heads, o);
    });
  };
  return op;
}

}  // namespace rarefy::ops
