#include "compress/thin_voxels.h"

#include <algorithm>

#include "base/check.h"
#include "compress/rewrite.h"

namespace rarefy::compress {
namespace {

const char* name_of(VoxelOrder order) {
  switch (order) {
    case VoxelOrder::near:
      return "near";
    case VoxelOrder::points:
      return "points";
    case VoxelOrder::crowded:
      return "crowded";
    case VoxelOrder::random:
      return "random";
    case VoxelOrder::spread:
      break;
  }
  return "spread";
}

const Node& voxels_of(const Graph& graph) {
  const Node* found = nullptr;
  for (const Node& node : graph.nodes()) {
    RAREFY_CHECK(node.op != "thin", UnsupportedError, "the model thins its voxels already: start from the one before");
    if (node.op == "voxelize") found = &node;
  }
  RAREFY_CHECK(found != nullptr, UnsupportedError, "the model makes no voxels of points: there are none to leave out");
  return *found;
}

}  // namespace

Model thin_voxels(const Model& model, double share, VoxelOrder order) {
  RAREFY_CHECK(share > 0 && share <= 1, UsageError, "a share of {} of the voxels makes no sense: above 0, at most 1",
               share);
  const Node& voxelize = voxels_of(model.graph());
  const ValueId index = voxelize.outputs[1];
  Copier copier(model.graph());
  GraphBuilder& b = copier.builder;
  ValueId row_of_kept = -1, kept_of_row = -1, index_of_all = -1;
  for (const Node& node : model.graph().nodes()) {
    const bool by_index = std::find(node.inputs.begin(), node.inputs.end(), index) != node.inputs.end();
    if (&node == &voxelize) {
      copier.copy(node);
      index_of_all = copier.at(index);
      const auto thin = b.add("thin", {copier.at(node.inputs[0]), copier.at(node.outputs[0]), index_of_all},
                              {{"share", share}, {"order", std::string(name_of(order))}}, "thin");
      copier.to[static_cast<std::size_t>(node.outputs[0])] = thin[0];
      row_of_kept = thin[1];
      kept_of_row = thin[2];
    } else if (by_index && node.op == "reduce") {
      copier.copy(node);
      ValueId& made = copier.to[static_cast<std::size_t>(node.outputs[0])];
      made = b.add("gather", {made, row_of_kept}, {}, node.name + ".kept")[0];
    } else if (by_index && node.op == "gather") {
      const ValueId all = b.add("gather", {copier.at(node.inputs[0]), kept_of_row}, {}, node.name + ".all")[0];
      copier.copy(node, {all, index_of_all}, node.attributes);
    } else {
      RAREFY_CHECK(!by_index, UnsupportedError, "node '{}' ({}) reads into which voxels points fall: cannot thin them",
                   node.name, node.op);
      copier.copy(node);
    }
  }
  for (const GraphOutput& o : model.graph().outputs()) b.output(o.name, copier.at(o.value));
  Model result(b.build(), model.weights(), model.pipeline());
  result.notes = model.notes;
  return result;
}

}  // namespace rarefy::compress
