#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef class_token() {
  OpDef op;
  op.name = "class_token";
  op.doc =
      "For each row of the index's space the row of x that it points to; rows that point nowhere are one and the same "
      "learned row: the class token. Devlin et al., NAACL 2019; Dosovitskiy et al., ICLR 2021.";
  op.inputs = {"x: features", "row_of_longer: index"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "weight", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const ValueType& index = require_kind(args, 1, ValueKind::index);
    require_space(args, 0, index.target, "the index points into");
    ValueType y = x;
    y.space = index.space;
    return {{y}, {{"weight", {x.channels}, ParameterSpec::Init::kaiming_uniform, 833, true}}};  // see embedding
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(
        seed, [](Builder& b, ValueId x, Rng& rng) { return b.class_token(b.linear(x, rng.integer(1, 20))); });
  };
  return op;
}

}  // namespace rarefy::ops
