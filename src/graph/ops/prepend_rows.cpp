#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef prepend_rows() {
  OpDef op;
  op.name = "prepend_rows";
  op.doc = "The rows of a space with one more in front of each sample: where a class token goes.";
  op.inputs = {"rows: space"};
  op.outputs = {"longer: space", "row_of_longer: index"};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& rows = require_kind(args, 0, ValueKind::space);
    return {{token_space(args.output_ids[0]), index_type(args.output_ids[0], rows.space)}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId index = b.add("prepend_rows", {b.space_of(x)})[1];
      return b.gather(b.linear(x, rng.integer(1, 9)), index, 0.5);
    });
  };
  return op;
}

}  // namespace rarefy::ops
