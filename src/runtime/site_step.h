#pragma once
/// What downsample and generate share at run time: new sites from old ones.
#include "graph/infer.h"
#include "runtime/op.h"

namespace rarefy::runtime {

using MakeSites = void (*)(const Coords& in, const KernelShape& kernel, Executor& executor, Coords& out);

inline RuntimeOp site_op(MakeSites make) {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [make](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[0]);
    SpaceValue& to = args.space(node.outputs[0]);
    make(*from.coords, kernel_shape(node, from.coords->dims), *args.executor, to.own);
    to.coords = &to.own;
    to.rows = to.own.rows();
    to.sample_begin.assign(to.own.batch_begin.begin(), to.own.batch_begin.end());
  };
  return op;
}

}  // namespace rarefy::runtime
