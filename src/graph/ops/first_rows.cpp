#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef first_rows() {
  OpDef op;
  op.name = "first_rows";
  op.doc = "For each sample its first row: where the class token is. A sample without rows points nowhere.";
  op.inputs = {"rows: space", "samples: space"};
  op.outputs = {"row_of_sample: index"};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& rows = require_kind(args, 0, ValueKind::space);
    return {{index_type(require_samples(args, 1).space, rows.space)}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(
        seed, [](Builder& b, ValueId x, Rng& rng) { return b.first_row(b.linear(x, rng.integer(1, 20))); });
  };
  return op;
}

}  // namespace rarefy::ops
