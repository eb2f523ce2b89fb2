#include "graph/example.h"
#include "graph/selection.h"
#include "graph/thinning_order.h"

namespace rarefy::ops {

OpDef thin() {
  OpDef op;
  op.name = "thin";
  op.doc =
      "A share of each sample's voxels, chosen by their points and places before anything is computed for them, as a "
      "space of their own. kept_of_row says for each voxel which kept one it is, or which one's label it gets: the "
      "nearest in the smallest cell that holds one.";
  op.inputs = {"points: features", "voxels: space", "voxel_of_point: index"};
  op.outputs = {"kept: space", "row_of_kept: index", "kept_of_row: index"};
  op.attributes = {{"share", 1.0, "of the voxels of a sample that stays, 0 to 1, rounded up; at least one voxel"},
                   {"order", std::string("spread"), "what stays first: spread, near, points, crowded or random"}};
  op.geometry = true;
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    (void)require_features(args, 0);
    const ValueType& rows = require_kind(args, 1, ValueKind::space);
    const ValueType& index = require_kind(args, 2, ValueKind::index);
    require_space(args, 0, index.space, "the index");
    RAREFY_CHECK(
        index.target == rows.space && args.producers[2].ends_with("(voxelize)"), ShapeError,
        "node '{}' (thin): {} does not say into which voxels of {} the points fall: expected both outputs of one "
        "voxelize",
        node.name, args.producers[2], args.producers[1]);
    const double share = node.number("share");
    RAREFY_CHECK(share >= 0.0 && share <= 1.0, ShapeError, "node '{}' (thin): share is {}, expected 0 to 1", node.name,
                 share);
    (void)voxel_order_named(node.text("order"), node.name);
    return {selection_types(args, rows), {}};
  };
  op.examples = [](std::uint64_t seed) {
    return point_examples(seed, [](Builder& b, ValueId points, Rng& rng) {
      const auto voxels = b.voxelize(points, {.voxel_size = {0.2, 0.2, 0.3}});
      const char* orders[] = {"spread", "near", "points", "crowded", "random"};
      const auto thin = b.add("thin", {points, voxels.space, voxels.index},
                              {{"share", rng.uniform(0.0, 1.0)}, {"order", std::string(orders[rng.integer(0, 4)])}});
      const ValueId kept = b.conv(b.gather(b.reduce(points, voxels.index), thin[1]), {.channels = 3, .kernel = {3}});
      return rng.chance(0.5) ? kept : b.gather(b.gather(kept, thin[2]), voxels.index, -1.0);
    });
  };
  return op;
}

}  // namespace rarefy::ops
