#pragma once
/// What ops that select rows of a space share.
#include <utility>
#include <vector>

#include "graph/infer.h"

namespace rarefy {

/// The outputs "kept: space", "row_of_kept: index" and "kept_of_row: index" of a selection with the inputs "scores:
/// features" and "rows: space". @throws ShapeError unless there is one score per row.
inline std::vector<ValueType> selection_types(const InferArgs& args) {
  const ValueType& scores = require_kind(args, 0, ValueKind::features);
  RAREFY_CHECK(scores.channels == 1, ShapeError,
               "node '{}' ({}): {} has {} channels, rows are selected by one score each", args.node.name, args.node.op,
               args.producers[0], scores.channels);
  const ValueType& rows = require_kind(args, 1, ValueKind::space);
  require_space(args, 0, rows.space, args.producers[1]);
  ValueType kept = rows;
  kept.space = args.output_ids[0];
  kept.target = -1;
  ValueType row_of_kept;
  row_of_kept.kind = ValueKind::index;
  row_of_kept.space = kept.space;
  row_of_kept.target = scores.space;
  ValueType kept_of_row = row_of_kept;
  std::swap(kept_of_row.space, kept_of_row.target);
  return {kept, row_of_kept, kept_of_row};
}

}  // namespace rarefy
