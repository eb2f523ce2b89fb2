#include "runtime/attention_step.h"
#include "runtime/shared/site_step.h"
#include "sparse/row_sets.h"

namespace rarefy::runtime::ops {

RuntimeOp select_top() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[1]);
    SpaceValue& to = args.space(node.outputs[0]);
    RowIndex& kept = args.index(node.outputs[1]);
    TopRows wanted{.share = node.number("share"),
                   .count = node.integer("count"),
                   .leading = node.integer("leading"),
                   .round_up = node.text("rounding") == "up",
                   .fuse = node.integer("fuse") != 0};
    if (const auto& above = node.numbers("above"); !above.empty()) wanted.above = above[0];
    top_rows(args.input(0), from.sample_begin, wanted, to.sample_begin, kept, args.index(node.outputs[2]));
    if (node.integer("fuse") != 0) return settle_rows(to);
    settle_kept(from, kept, to);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
