#include "graph/infer.h"

namespace rarefy::ops {

OpDef input_sparse() {
  OpDef op;
  op.name = "input_sparse";
  op.doc = "A sparse tensor given from outside: its space and its features.";
  op.outputs = {"sites: space", "x: features"};
  op.attributes = {{"channels", std::int64_t{1}, "columns of the features"},
                   {"dims", std::int64_t{3}, "axes, 1 to 4"},
                   {"stride", std::vector<std::int64_t>{1}, "coordinates are multiples of this, per axis"}};
  op.is_input = true;
  op.geometry = true;
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    const std::int64_t channels = node.integer("channels"), dims = node.integer("dims");
    RAREFY_CHECK(channels >= 1 && channels <= 65536, ShapeError,
                 "node '{}' (input_sparse): channels is {}, expected 1 to 65536", node.name, channels);
    RAREFY_CHECK(dims >= 1 && dims <= kMaxDims, ShapeError, "node '{}' (input_sparse): dims is {}, expected 1 to 4",
                 node.name, dims);
    const auto& given = node.integers("stride");
    RAREFY_CHECK(given.size() == 1 || given.size() == static_cast<std::size_t>(dims), ShapeError,
                 "node '{}' (input_sparse): stride has {} entries, expected 1 or {}", node.name, given.size(), dims);
    ValueType space;
    space.kind = ValueKind::space;
    space.space = args.output_ids[0];
    space.dims = static_cast<int>(dims);
    for (std::int64_t a = 0; a < dims; ++a)
      space.stride.push_back(given.size() == 1 ? given[0] : given[static_cast<std::size_t>(a)]);
    for (const std::int64_t s : space.stride)
      RAREFY_CHECK(s >= 1 && s <= 4096, ShapeError, "node '{}' (input_sparse): stride {} is not in 1 to 4096",
                   node.name, s);
    ValueType x;
    x.space = args.output_ids[0];
    x.channels = channels;
    return {{space, x}, {}};
  };
  return op;
}

}  // namespace rarefy::ops
