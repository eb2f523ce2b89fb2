#include "graph/site_join.h"

#include <utility>

#include "graph/example.h"

namespace rarefy {
namespace {

Inferred infer(const InferArgs& args) {
  const Node& node = args.node;
  const ValueType& a = require_kind(args, 0, ValueKind::space);
  const ValueType& b = require_kind(args, 1, ValueKind::space);
  RAREFY_CHECK(a.dims > 0 && a.dims == b.dims, ShapeError, "node '{}' ({}): {} has {} axes, {} has {}", node.name,
               node.op, args.producers[0], a.dims, args.producers[1], b.dims);
  for (std::size_t axis = 0; axis < a.stride.size(); ++axis)
    RAREFY_CHECK(a.stride[axis] == b.stride[axis], ShapeError,
                 "node '{}' ({}): along axis {} the sites of {} are {} apart, those of {} are {}: bring both to one "
                 "stride first (a strided or a transposed convolution, pooling or unpooling)",
                 node.name, node.op, axis, args.producers[0], a.stride[axis], args.producers[1], b.stride[axis]);
  ValueType sites = a;
  sites.space = args.output_ids[0];
  ValueType index;
  index.kind = ValueKind::index;
  index.space = sites.space;
  Inferred result{{sites, index, index}, {}};
  result.outputs[1].target = a.space;
  result.outputs[2].target = b.space;
  return result;
}

}  // namespace

OpDef site_join(std::string name, std::string doc) {
  OpDef op;
  op.name = std::move(name);
  op.doc = std::move(doc);
  op.inputs = {"a: space", "b: space"};
  op.outputs = {"sites: space", "row_of_a: index", "row_of_b: index"};
  op.geometry = true;
  op.infer = infer;
  return op;
}

std::vector<OpExample> joined_examples(std::uint64_t seed, Sites sites) {
  return two_input_examples(seed, [sites](Builder& b, ValueId x, ValueId other, Rng& rng) {
    const std::int64_t channels = rng.integer(1, 12);
    const ValueId p = b.linear(x, channels), q = b.linear(other, channels);
    if (rng.chance(0.3)) return b.concat_aligned({p, b.linear(other, 3), x}, sites);
    return rng.chance(0.5) ? b.add_aligned({p, q, b.relu(p)}, sites) : b.multiply_aligned({p, q}, sites);
  });
}

}  // namespace rarefy
