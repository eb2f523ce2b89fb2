#pragma once
/// Positions at run time: of a space, or of points.
#include "base/check.h"
#include "runtime/op.h"

namespace rarefy::runtime {

/// @throws UsageError when input 0 of a node that looks for positions are features that the network computes: geometry
/// runs before it.
inline void require_input_positions(const Graph& graph, const Node& node) {
  const Node& producer = graph.producer(node.inputs[0]);
  RAREFY_CHECK(graph.ops().at(producer.op).is_input, UsageError,
               "node '{}' ({}): positions must be the features of an input or a space, but '{}' ({}) computes them; "
               "spaces and neighbours are found before the network runs",
               node.name, node.op, producer.name, producer.op);
}

/// Edge of the finest voxel, by which the positions of points are divided.
inline std::array<float, kMaxDims> voxel_size_of_positions(const Node& node) {
  std::array<float, kMaxDims> edge{};
  const auto& size = node.numbers("voxel_size");
  for (std::size_t a = 0; a < edge.size(); ++a)
    edge[a] = static_cast<float>(size[size.size() == 1 ? 0 : std::min(a, size.size() - 1)]);
  return edge;
}

/// Input 0 of a node that looks for positions (graph/positions.h). @throws UsageError as require_input_positions
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
  require_input_positions(*args.graph, node);
  positions.points = args.input(0);
  positions.sample_begin = space.sample_begin;
  positions.voxel_size = voxel_size_of_positions(node);
  return positions;
}

}  // namespace rarefy::runtime
