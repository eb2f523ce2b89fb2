#include "graph/box.h"

#include <algorithm>
#include <limits>

namespace rarefy {

std::vector<AttributeSpec> box_attributes() {
  return {{"min", std::vector<std::int64_t>{}, "first site per axis, in finest voxels; multiples of the stride"},
          {"max", std::vector<std::int64_t>{}, "end per axis, itself outside"}};
}

Box box_of(const Node& node, const std::vector<std::int64_t>& stride, int image_dims) {
  const auto &low = node.integers("min"), &high = node.integers("max");
  RAREFY_CHECK(low.size() == stride.size() && high.size() == stride.size(), ShapeError,
               "node '{}' ({}): min has {} entries, max has {}, expected {}, one per axis", node.name, node.op,
               low.size(), high.size(), stride.size());
  Box box;
  box.dims = static_cast<int>(stride.size());
  box.image_dims = image_dims;
  for (std::size_t a = 0; a < stride.size(); ++a) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max() / 2;
    RAREFY_CHECK(low[a] >= -kMost && high[a] <= kMost && low[a] < high[a], ShapeError,
                 "node '{}' ({}): the box along {} is [{}, {}): it must not be empty", node.name, node.op, kAxisName[a],
                 low[a], high[a]);
    RAREFY_CHECK(low[a] % stride[a] == 0, ShapeError,
                 "node '{}' ({}): min along {} is {}, not a multiple of the stride {}", node.name, node.op,
                 kAxisName[a], low[a], stride[a]);
    box.low[a] = static_cast<std::int32_t>(low[a]);
    box.cells[a] = static_cast<std::int32_t>((high[a] - low[a] + stride[a] - 1) / stride[a]);
    box.stride[a] = static_cast<std::int32_t>(stride[a]);
  }
  return box;
}

Box infer_box(const InferArgs& args, std::size_t sites_input, std::size_t image_input) {
  const ValueType& sites = require_kind(args, sites_input, ValueKind::space);
  const ValueType& image = require_kind(args, image_input, ValueKind::space);
  RAREFY_CHECK(image.dims >= 1 && image.dims <= sites.dims, ShapeError,
               "node '{}' ({}): {} has {} axes, the image of {} has {}: expected 1 to as many", args.node.name,
               args.node.op, args.producers[sites_input], sites.dims, args.producers[image_input], image.dims);
  return box_of(args.node, sites.stride, image.dims);
}

Box checked_box(const Graph& graph, const Node& node) {
  const bool makes_image = node.op == "to_dense";
  const ValueId image = node.inputs[makes_image ? 2 : 1], sites = node.inputs[makes_image ? 1 : 2];
  const ValueType& type = graph.type(image);
  const Node& producer = graph.producer(image);
  const Box box = box_of(node, graph.type(sites).stride, type.dims);
  bool fits = producer.op == "box" && graph.type(producer.inputs[0]).dims == box.dims;
  if (fits) {
    const Box made = box_of(producer, type.stride, type.dims);
    for (std::size_t a = 0; a < static_cast<std::size_t>(type.dims); ++a)
      fits = fits && made.low[a] == box.low[a] && made.cells[a] == box.cells[a] && made.stride[a] == box.stride[a];
  }
  RAREFY_CHECK(fits, ShapeError,
               "node '{}' ({}): the image must live on a box with the same min, max and stride, made from the sparse "
               "tensor's sites, but '{}' ({}) made its space",
               node.name, node.op, producer.name, producer.op);
  return box;
}

}  // namespace rarefy
