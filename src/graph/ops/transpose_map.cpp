#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef transpose_map() {
  OpDef op;
  op.name = "transpose_map";
  op.doc = "The same pairs with input and output exchanged: what a transposed (inverse) convolution runs on.";
  op.inputs = {"map: map"};
  op.outputs = {"transposed: map"};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType map = require_kind(args, 0, ValueKind::map);
    std::swap(map.space, map.target);
    return {{map}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t kernel = rng.integer(2, 3);
      const ValueId coarse = b.conv(x, {.channels = 4, .kernel = {kernel}, .stride = {2}});
      return b.conv_transposed(coarse, x, {.channels = 3, .kernel = {kernel}, .stride = {2}});
    });
  };
  return op;
}

}  // namespace rarefy::ops
