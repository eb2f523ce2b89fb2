#include "graph/tokens.h"

namespace rarefy {

std::int64_t require_heads(const Node& node, std::int64_t channels, std::string_view what) {
  const std::int64_t heads = node.integer("heads");
  RAREFY_CHECK(heads >= 1 && channels % heads == 0, ShapeError,
               "node '{}' ({}): {} heads do not share {} channels of {} evenly", node.name, node.op, heads, channels,
               what);
  return heads;
}

void require_column(const InferArgs& args, std::size_t i, ValueId space, std::string_view what) {
  const ValueType& x = require_features(args, i);
  require_space(args, i, space, what);
  RAREFY_CHECK(x.channels == 1, ShapeError, "node '{}' ({}): {} has {} channels, expected one number per row",
               args.node.name, args.node.op, args.producers[i], x.channels);
}

void require_attention(const InferArgs& args, std::size_t sizes) {
  const ValueType &q = require_features(args, 0), &k = require_features(args, 1);
  require_space(args, 1, q.space, "the queries");
  RAREFY_CHECK(q.channels == k.channels, ShapeError,
               "node '{}' ({}): queries ({}) have {} channels, keys ({}) have {}: they must have the same",
               args.node.name, args.node.op, args.producers[0], q.channels, args.producers[1], k.channels);
  (void)require_heads(args.node, q.channels, "queries and keys");
  if (args.inputs.size() > sizes) require_column(args, sizes, q.space, "the queries");
}

ValueType token_space(ValueId id) {
  ValueType space;
  space.kind = ValueKind::space;
  space.space = id;
  return space;
}

ValueType index_type(ValueId rows, ValueId target) {
  ValueType index;
  index.kind = ValueKind::index;
  index.space = rows;
  index.target = target;
  return index;
}

}  // namespace rarefy
