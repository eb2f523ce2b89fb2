#include "graph/example.h"
#include "graph/infer.h"
#include "graph/pooling.h"

namespace rarefy::ops {

OpDef pool() {
  OpDef op;
  op.name = "pool";
  op.doc =
      "Maximum, mean or sum of the rows that a kernel map joins with each output row; zero for a row that it joins "
      "with "
      "none. Over a transposed map: unpooling. Choy et al., CVPR 2019, section 3.";
  op.inputs = {"x: features", "map: map"};
  op.outputs = {"y: features"};
  op.attributes = {pooling_attribute()};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const ValueType& map = require_kind(args, 1, ValueKind::map);
    require_space(args, 0, map.space, "the map " + args.producers[1] + " reads");
    (void)pooling_of(args.node);
    ValueType y = x;
    y.space = map.target;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const char* reductions[] = {"max", "mean", "sum"};
      const char* reduction = reductions[rng.integer(0, 2)];
      const ValueId wide = b.linear(x, rng.integer(1, 40));
      if (rng.chance(0.4)) return b.pool(wide, reduction, {.kernel = {3}, .dilation = {rng.integer(1, 2)}});
      const ConvOptions options{.kernel = {rng.integer(2, 3)}, .stride = {rng.integer(2, 3)}};
      const ValueId coarse = b.pool(wide, reduction, options);
      return rng.chance(0.5) ? coarse : b.unpool(coarse, x, options, reductions[rng.integer(0, 2)]);
    });
  };
  return op;
}

}  // namespace rarefy::ops
