#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef samples() {
  OpDef op;
  op.name = "samples";
  op.doc = "One row per sample (batch element) of a space: where global features live.";
  op.inputs = {"rows: space"};
  op.outputs = {"samples: space"};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& rows = require_kind(args, 0, ValueKind::space);
    ValueType samples;
    samples.kind = ValueKind::space;
    samples.space = args.output_ids[0];
    samples.target = rows.space;
    return {{samples}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng&) { return b.global_pool(x, "mean"); });
  };
  return op;
}

}  // namespace rarefy::ops
