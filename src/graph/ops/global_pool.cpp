#include "graph/example.h"
#include "graph/infer.h"
#include "graph/pooling.h"

namespace rarefy::ops {

OpDef global_pool() {
  OpDef op;
  op.name = "global_pool";
  op.doc = "Maximum, mean or sum over all rows of each sample; zero for a sample without rows.";
  op.inputs = {"x: features", "samples: space"};
  op.outputs = {"y: features"};
  op.attributes = {pooling_attribute()};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    require_samples(args, 1);
    (void)pooling_of(args.node);
    ValueType y = x;
    y.space = args.inputs[1].space;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    const char* reductions[] = {"max", "mean", "sum"};
    auto examples = sparse_examples(seed, [&](Builder& b, ValueId x, Rng& rng) {
      return b.global_pool(b.linear(x, rng.integer(1, 40)), reductions[rng.integer(0, 2)]);
    });
    for (OpExample& e : point_examples(seed, [&](Builder&b, ValueId points, Rng&rng) {
           return b.global_pool(b.linear(points, rng.integer(1, 9)), reductions[rng.integer(0, 2)]);
         }))
      examples.push_back(std::move(e));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
