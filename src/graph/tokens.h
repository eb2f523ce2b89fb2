#pragma once
/// Checks and types that ops on tokens share: rows without coordinates that belong to samples.
#include "graph/infer.h"

namespace rarefy {

/// Attribute "heads", which must divide the channels. @throws ShapeError
std::int64_t require_heads(const Node& node, std::int64_t channels, std::string_view what);
/// Features of one column on the space. @throws ShapeError
void require_column(const InferArgs& args, std::size_t i, ValueId space, std::string_view what);
/// q, k and optionally sizes at `sizes`: one space, equal channels, heads. @throws ShapeError
void require_attention(const InferArgs& args, std::size_t sizes);
/// A new space of rows without coordinates.
ValueType token_space(ValueId id);
/// For each row of `rows` a row of `target`.
ValueType index_type(ValueId rows, ValueId target);

}  // namespace rarefy
