#include "graph/elementwise.h"

#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy {
namespace {

Inferred infer_unary(const InferArgs& args) { return {{require_features(args, 0)}, {}}; }

Inferred infer_binary(const InferArgs& args) {
  const ValueType& a = require_features(args, 0);
  const ValueType& b = require_features(args, 1);
  require_space(args, 1, a.space, args.producers[0]);
  RAREFY_CHECK(a.channels == b.channels, ShapeError, "node '{}' ({}): {} has {} channels, {} has {}", args.node.name,
               args.node.op, args.producers[0], a.channels, args.producers[1], b.channels);
  return {{a}, {}};
}

OpDef unary(const char* name, double alpha, const char* doc) {
  OpDef op;
  op.name = name;
  op.doc = doc;
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"alpha", alpha, "constant of the expression; ignored where it does not occur"}};
  op.infer = infer_unary;
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.examples = [op_name = std::string(name)](std::uint64_t seed) {
    return sparse_examples(seed, [&](Builder& b, ValueId x, Rng&) { return b.add(op_name, {x})[0]; });
  };
  return op;
}

OpDef binary(const char* name, const char* doc) {
  OpDef op;
  op.name = name;
  op.doc = doc;
  op.inputs = {"a: features", "b: features"};
  op.outputs = {"y: features"};
  op.infer = infer_binary;
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}, {ChannelRule::Flow::shares, 1, "", 0}};
  op.examples = [op_name = std::string(name)](std::uint64_t seed) {
    return sparse_examples(seed, [&](Builder& b, ValueId x, Rng&) {
      const ValueId other = b.linear(x, b.type(x).channels);
      return b.add(op_name, {x, other})[0];
    });
  };
  return op;
}

}  // namespace

std::vector<OpDef> elementwise_ops() {
  return {
#define RAREFY_UNARY(name, alpha, forward, derivative, doc) unary(#name, alpha, doc),
#define RAREFY_BINARY(name, forward, derivative_a, derivative_b, doc) binary(#name, doc),
#include "graph/elementwise.inc"
#undef RAREFY_UNARY
#undef RAREFY_BINARY
  };
}

}  // namespace rarefy
