#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef concat() {
  OpDef op;
  op.name = "concat";
  op.doc = "Channels of several features over one space, one after another.";
  op.inputs = {"x: features"};
  op.variadic = true;
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::joins, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y = require_features(args, 0);
    for (std::size_t i = 1; i < args.inputs.size(); ++i) {
      y.channels += require_features(args, i).channels;
      require_space(args, i, y.space, args.producers[0]);
    }
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId other = b.linear(x, rng.integer(1, 20));
      return rng.chance(0.5) ? b.concat({other, x, b.relu(other)}) : b.concat({x, other});
    });
  };
  return op;
}

}  // namespace rarefy::ops
