#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef dropout() {
  OpDef op;
  op.name = "dropout";
  op.doc =
      "In training, zeros a share `ratio` of the elements and divides the others by 1 - ratio; a function of seed, "
      "step, "
      "node name and element. Costs nothing at inference. Srivastava et al., JMLR 2014.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"ratio", 0.5, "share of the elements that is dropped, from 0 to below 1"}};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const double ratio = args.node.number("ratio");
    RAREFY_CHECK(ratio >= 0.0 && ratio < 1.0, ShapeError, "node '{}' (dropout): ratio is {}, expected 0 to below 1",
                 args.node.name, ratio);
    return {{require_features(args, 0)}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId y = b.linear(x, rng.integer(1, 20));
      const ValueId dropped = b.dropout(y, rng.uniform(0.0, 0.9));
      return rng.chance(0.5) ? b.add_values(dropped, y) : dropped;
    });
  };
  return op;
}

}  // namespace rarefy::ops
