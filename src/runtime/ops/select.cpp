#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp select() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[1]);
    SpaceValue& to = args.space(node.outputs[0]);
    RowIndex& kept = args.index(node.outputs[1]);
    const double threshold = node.number("threshold");
    const std::int64_t leading = node.integer("leading");
    if (args.view(node.inputs[0]).dtype == Dtype::f32) {
      select_rows(args.input<float>(0), from.sample_begin, threshold, leading, kept, args.index(node.outputs[2]));
    } else {
      select_rows(args.input<std::uint8_t>(0), from.sample_begin, threshold, leading, kept,
                  args.index(node.outputs[2]));
    }
    if (from.coords != nullptr) {
      select_coords(*from.coords, kept, to.own);
      settle(to);
      return;
    }
    to.coords = nullptr;
    to.rows = static_cast<std::int64_t>(kept.voxel_of_point.size());
    select_samples(from.sample_begin, kept, to.sample_begin);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
