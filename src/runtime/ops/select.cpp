#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp select() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[1]);
    RowIndex& kept = args.index(node.outputs[1]);
    const double threshold = node.number("threshold");
    const std::int64_t leading = node.integer("leading");
    if (args.view(node.inputs[0]).dtype == Dtype::f32) {
      select_rows(args.input<float>(0), from.sample_begin, threshold, leading, kept, args.index(node.outputs[2]));
    } else {
      select_rows(args.input<std::uint8_t>(0), from.sample_begin, threshold, leading, kept,
                  args.index(node.outputs[2]));
    }
    settle_kept(from, kept, args.space(node.outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
