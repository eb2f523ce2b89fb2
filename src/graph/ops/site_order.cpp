#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef site_order() {
  OpDef op;
  op.name = "site_order";
  op.doc =
      "A number per site that depends on its place alone, larger for what should stay first: a hash in [0, 1), or that "
      "plus the level of the largest cell of 2, 4, .. 32 sites for which the site stands.";
  op.inputs = {"rows: space"};
  op.outputs = {"y: features"};
  op.attributes = {{"order", std::string("spread"), "\"spread\" or \"random\" (the hash alone)"},
                   {"seed", std::int64_t{0}, "of the hash"}};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& rows = require_kind(args, 0, ValueKind::space);
    RAREFY_CHECK(rows.dims > 0, ShapeError, "node '{}' (site_order): {} has no coordinates", args.node.name,
                 args.producers[0]);
    const std::string& order = args.node.text("order");
    RAREFY_CHECK(order == "spread" || order == "random", ShapeError,
                 "node '{}' (site_order): order is '{}', known are 'spread' and 'random'", args.node.name, order);
    ValueType y;
    y.kind = ValueKind::features;
    y.space = rows.space;
    y.channels = 1;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId at = rng.chance(0.5) ? x : b.conv(x, {.channels = 2, .kernel = {2}, .stride = {rng.integer(2, 3)}});
      const ValueId scores =
          b.add("site_order", {b.space_of(at)},
                {{"order", std::string(rng.chance(0.5) ? "spread" : "random")}, {"seed", rng.integer(0, 99)}})[0];
      return rng.chance(0.5) ? scores : b.concat({scores, b.linear(at, 3)});
    });
  };
  return op;
}

}  // namespace rarefy::ops
