#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef positions() {
  OpDef op;
  op.name = "positions";
  op.doc = "The place of each row in its sample, from 0.";
  op.inputs = {"rows: space"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y;
    y.space = require_kind(args, 0, ValueKind::space).space;
    y.channels = 1;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      return b.concat({b.linear(b.positions(x), rng.integer(1, 5)), x});
    });
  };
  return op;
}

}  // namespace rarefy::ops
