#include "graph/infer.h"

namespace rarefy::ops {

OpDef input_points() {
  OpDef op;
  op.name = "input_points";
  op.doc = "Points of one or several scans: a space without coordinates, and its features, coordinates first.";
  op.outputs = {"points: space", "x: features"};
  op.attributes = {
      {"channels", std::int64_t{4}, "columns; the first three are x, y, z in metres, the fourth is intensity"}};
  op.is_input = true;
  op.geometry = true;
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const std::int64_t channels = args.node.integer("channels");
    RAREFY_CHECK(channels >= 1 && channels <= 65536, ShapeError,
                 "node '{}' (input_points): channels is {}, expected 1 to 65536", args.node.name, channels);
    ValueType space;
    space.kind = ValueKind::space;
    space.space = args.output_ids[0];
    ValueType x;
    x.space = args.output_ids[0];
    x.channels = channels;
    return {{space, x}, {}};
  };
  return op;
}

}  // namespace rarefy::ops
