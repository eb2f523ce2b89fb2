#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef merge_rows() {
  OpDef op;
  op.name = "merge_rows";
  op.doc =
      "The mean of the rows that became one, weighted by their sizes (how many tokens each stands for). The new sizes "
      "are "
      "reduce with 'sum'. Bolya et al., ICLR 2023, section 3.1.";
  op.inputs = {"x: features", "sizes: features", "merged_of_row: index"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    require_column(args, 1, x.space, args.producers[0]);
    const ValueType& index = require_kind(args, 2, ValueKind::index);
    require_space(args, 0, index.space, "the index");
    ValueType y = x;
    y.space = index.target;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return token_examples(seed, 8, [](Builder& b, ValueId x, Rng& rng) {
      const auto merged = b.match_tokens(x, {.remove = rng.integer(0, 8), .leading = rng.integer(0, 1)});
      const ValueId sizes = b.add("softplus", {b.linear(x, 1, true, "sizes")})[0];
      return b.merge_rows(b.linear(x, rng.integer(1, 9), true, "features"), sizes, merged.merged_of_row);
    });
  };
  return op;
}

}  // namespace rarefy::ops
