#include "graph/images/patches.h"

#include "graph/example.h"

namespace rarefy::ops {

OpDef patches() {
  OpDef op;
  op.name = "patches";
  op.doc = "The square patches of images whose pixels are rows, line by line: one row per patch, in the same order.";
  op.inputs = {"pixels: space"};
  op.outputs = {"patches: space"};
  op.attributes = patch_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    (void)require_kind(args, 0, ValueKind::space);
    (void)patch_grid(args.node);
    return {{token_space(args.output_ids[0])}, {}};
  };
  op.examples = patch_examples;
  return op;
}

}  // namespace rarefy::ops
