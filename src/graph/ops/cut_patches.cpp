#include "graph/example.h"
#include "graph/images/patches.h"

namespace rarefy::ops {

OpDef cut_patches() {
  OpDef op;
  op.name = "cut_patches";
  op.doc =
      "The pixels of each patch as one row: channel by channel, each line by line, the order of a convolution's "
      "kernel. "
      "A linear layer on it is the patch embedding of Dosovitskiy et al., ICLR 2021.";
  op.inputs = {"x: features", "patches: space"};
  op.outputs = {"y: features"};
  op.attributes = patch_attributes();
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const PatchGrid grid = patch_grid(args.node);
    ValueType y = require_features(args, 0);
    y.space = require_kind(args, 1, ValueKind::space).space;
    y.channels *= grid.patch * grid.patch;
    return {{y}, {}};
  };
  op.examples = patch_examples;
  return op;
}

}  // namespace rarefy::ops
