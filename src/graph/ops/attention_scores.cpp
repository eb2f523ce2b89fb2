#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef attention_scores() {
  OpDef op;
  op.name = "attention_scores";
  op.doc =
      "How much attention each row gets, as a mean over heads: from the first row of its sample (the class token: "
      "Liang "
      "et al., ICLR 2022) or from all rows, summed up (Wang et al., HPCA 2021).";
  op.inputs = {"q: features", "k: features", "sizes: features?"};
  op.outputs = {"y: features"};
  op.attributes = {{"heads", std::int64_t{1}, "consecutive groups of channels that attend apart"},
                   {"queries", std::string("all"), "\"first\" or \"all\": whose attention counts"}};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    require_attention(args, 2);
    const std::string& from = args.node.text("queries");
    RAREFY_CHECK(from == "first" || from == "all", ShapeError,
                 "node '{}' (attention_scores): queries is '{}', known are 'first' and 'all'", args.node.name, from);
    ValueType y = args.inputs[0];
    y.channels = 1;
    return {{y}, {}};
  };
  op.macs = [](const CostArgs& args) {
    return args.pairs(args.node.outputs[0]) * args.graph.type(args.node.inputs[0]).channels;
  };
  op.examples = [](std::uint64_t seed) {
    return token_examples(seed, 5, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t heads = rng.integer(1, 3), d = rng.integer(1, 20);
      const ValueId q = b.linear(x, heads * d, true, "q"), k = b.linear(x, heads * d, true, "k");
      const char* from = rng.chance(0.5) ? "first" : "all";
      if (rng.chance(0.5)) return b.attention_scores(q, k, heads, from);
      return b.attention_scores(q, k, heads, from, b.add("softplus", {b.linear(x, 1, true, "sizes")})[0]);
    });
  };
  return op;
}

}  // namespace rarefy::ops
