#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp select_best() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[1]);
    RowIndex& kept = args.index(node.outputs[1]);
    BestRows wanted{.share = node.number("share")};
    if (const auto& above = node.numbers("above"); !above.empty()) wanted.above = above[0];
    select_best_rows(args.input(0), from.sample_begin, wanted, kept, args.index(node.outputs[2]));
    settle_kept(from, kept, args.space(node.outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
