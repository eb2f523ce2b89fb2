#pragma once
/// What the ops between sparse and dense share: the box in their attributes.
#include "graph/infer.h"
#include "sparse/box.h"

namespace rarefy {

/// Attributes "min" and "max" of such an op.
std::vector<AttributeSpec> box_attributes();
/// The box of a node on a grid of `stride`, from its attributes; its first `image_dims` axes are those of the image.
/// @throws ShapeError naming the attribute and axis.
Box box_of(const Node& node, const std::vector<std::int64_t>& stride, int image_dims);
/// The same while inference runs: stride of the space in one input, axes of the image in another. @throws ShapeError.
Box infer_box(const InferArgs& args, std::size_t sites_input, std::size_t image_input);
/// Box of a to_dense or from_dense node. @throws ShapeError unless its image lives on a space that a "box" node with
/// the same bounds made for the same samples.
Box checked_box(const Graph& graph, const Node& node);

}  // namespace rarefy
