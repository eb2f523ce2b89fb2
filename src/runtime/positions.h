#pragma once
/// Positions at run time: of a space, or of points.
#include "base/check.h"
#include "runtime/op.h"

namespace rarefy::runtime {

/// Input 0 of a node that looks for positions (graph/positions.h).
/// @throws UsageError when they are features that the network computes: geometry runs before it.
inline Positions positions_of(const RunArgs& args) {
  const Node& node = *args.node;
  const ValueId from = node.inputs[0];
  const ValueType& type = args.graph->type(from);
  Positions positions;
  const SpaceValue& space = args.space(type.space);
  if (type.kind == ValueKind::space) {
    positions.sites = space.coords;
    return positions;
  }
  const Node& producer = args.graph->producer(from);
  RAREFY_CHECK(args.graph->ops().at(producer.op).is_input, UsageError,
               "node '{}' ({}): positions must be the features of an input or a space, but '{}' ({}) computes them; "
               "spaces and neighbours are found before the network runs",
               node.name, node.op, producer.name, producer.op);
  positions.points = args.input(0);
  positions.sample_begin = space.sample_begin;
  const auto& size = node.numbers("voxel_size");
  for (std::size_t a = 0; a < positions.voxel_size.size(); ++a)
    positions.voxel_size[a] = static_cast<float>(size[size.size() == 1 ? 0 : std::min(a, size.size() - 1)]);
  return positions;
}

}  // namespace rarefy::runtime
