#include "graph/images/windows.h"

#include "graph/example.h"

namespace rarefy::ops {

OpDef windows() {
  OpDef op;
  op.name = "windows";
  op.doc =
      "The windows of images of tokens, line by line; shifted ones are cut at the edges of the image, which is what "
      "Swin's cyclic shift and mask come to. Liu et al., ICCV 2021, section 3.2.";
  op.inputs = {"tokens: space"};
  op.outputs = {"windows: space", "window_of_token: index"};
  op.attributes = window_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& tokens = require_kind(args, 0, ValueKind::space);
    (void)window_grid(args.node);
    return {{token_space(args.output_ids[0]), index_type(tokens.space, args.output_ids[0])}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return window_examples(seed, [](Builder& b, ValueId x, const WindowOptions& o, Rng& rng) {
      const auto windows = b.windows(b.space_of(x), o);
      return b.reduce(b.linear(x, rng.integer(1, 9)), windows.window_of_token, rng.chance(0.5) ? "mean" : "sum");
    });
  };
  return op;
}

}  // namespace rarefy::ops
