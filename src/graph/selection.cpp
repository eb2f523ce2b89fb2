#include "graph/selection.h"

#include "base/check.h"
#include "graph/tokens.h"

namespace rarefy {

const ValueType& require_scores(const InferArgs& args) {
  const ValueType& scores = require_kind(args, 0, ValueKind::features);
  RAREFY_CHECK(scores.channels == 1, ShapeError,
               "node '{}' ({}): {} has {} channels, rows are selected by one score each", args.node.name, args.node.op,
               args.producers[0], scores.channels);
  const ValueType& rows = require_kind(args, 1, ValueKind::space);
  require_space(args, 0, rows.space, args.producers[1]);
  return rows;
}

std::vector<ValueType> selection_types(const InferArgs& args, ValueType kept) {
  const ValueId rows = args.inputs[1].space;
  kept.space = args.output_ids[0];
  kept.target = -1;
  return {kept, index_type(kept.space, rows), index_type(rows, kept.space)};
}

}  // namespace rarefy
