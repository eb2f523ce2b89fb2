#pragma once
/// What ops that make sites of old ones share at run time.
#include "graph/infer.h"
#include "runtime/op.h"
#include "sparse/site_sets.h"

namespace rarefy::runtime {

/// The space is what `own` holds now.
inline void settle(SpaceValue& space) {
  space.coords = &space.own;
  space.rows = space.own.rows();
  space.sample_begin.assign(space.own.batch_begin.begin(), space.own.batch_begin.end());
}

/// After a selection of rows of `from`: the space of those that stay.
inline void settle_kept(const SpaceValue& from, const RowIndex& kept, SpaceValue& to) {
  if (from.coords != nullptr) {
    select_coords(*from.coords, kept, to.own);
    settle(to);
    return;
  }
  to.coords = nullptr;
  to.rows = static_cast<std::int64_t>(kept.voxel_of_point.size());
  select_samples(from.sample_begin, kept, to.sample_begin);
}

using MakeSites = void (*)(const Coords& in, const KernelShape& kernel, Executor& executor, Coords& out);

inline RuntimeOp site_op(MakeSites make) {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [make](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[0]);
    SpaceValue& to = args.space(node.outputs[0]);
    make(*from.coords, kernel_shape(node, from.coords->dims), *args.executor, to.own);
    settle(to);
  };
  return op;
}

using JoinSites = void (*)(const Coords& a, const Coords& b, Coords& out, RowIndex& row_of_a, RowIndex& row_of_b);

inline RuntimeOp join_op(JoinSites join) {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [join](const RunArgs& args) {
    const Node& node = *args.node;
    SpaceValue& to = args.space(node.outputs[0]);
    join(*args.space(node.inputs[0]).coords, *args.space(node.inputs[1]).coords, to.own, args.index(node.outputs[1]),
         args.index(node.outputs[2]));
    settle(to);
  };
  return op;
}

}  // namespace rarefy::runtime
