#include "graph/box.h"

#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp box() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const ValueType& type = args.graph->type(node.outputs[0]);
    SpaceValue& image = args.space(node.outputs[0]);
    fill_box(box_of(node, type.stride, type.dims), args.space(node.inputs[0]).coords->batches(), image.own);
    image.coords = &image.own;
    image.rows = image.own.rows();
    image.sample_begin.assign(image.own.batch_begin.begin(), image.own.batch_begin.end());
  };
  return op;
}

}  // namespace rarefy::runtime::ops
