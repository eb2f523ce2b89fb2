#pragma once
/// What ops that keep some rows of a space share: inputs "scores: features" and "rows: space", outputs "kept: space",
/// "row_of_kept: index" and "kept_of_row: index".
#include <vector>

#include "graph/infer.h"

namespace rarefy {

/// The space of the rows. @throws ShapeError unless there is one score for each
const ValueType& require_scores(const InferArgs& args);
/// Types of the outputs. @param kept  what the space of the rows that stay is, apart from its number
std::vector<ValueType> selection_types(const InferArgs& args, ValueType kept);

}  // namespace rarefy
