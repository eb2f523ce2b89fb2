#include "kernels/token_merge.h"
#include "runtime/attention_step.h"

namespace rarefy::runtime::ops {

RuntimeOp match_tokens() {
  RuntimeOp op;
  op.kind = "maps";
  op.prepare = remember_variant;
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    SpaceValue& merged = args.space(node.outputs[0]);
    AlignedBuffer own;  // training has no working memory to lend
    rarefy::match_tokens(
        isa_of(args), args.input(0), args.space(node.inputs[1]).sample_begin,
        {.remove = node.integer("remove"), .heads = node.integer("heads"), .leading = node.integer("leading")},
        *args.executor, args.scratch != nullptr ? *args.scratch : own, merged.sample_begin,
        args.index(node.outputs[1]));
    settle_rows(merged);
    *args.variant = cpu::name(isa_of(args));
  };
  op.pairs = [](const RunArgs& args) { return match_pairs(args.space(args.node->inputs[1]).sample_begin); };
  return op;
}

}  // namespace rarefy::runtime::ops
