#include "runtime/attention_step.h"

namespace rarefy::runtime::ops {

RuntimeOp attention() {
  RuntimeOp op;
  op.prepare = remember_variant;
  op.run = [](const RunArgs& args) {
    AttentionInput in = attention_input(args, 3);
    in.v = args.input(2);
    rarefy::attention(isa_of(args), in, *args.executor, *args.scratch, args.output(0));
    *args.variant = cpu::name(isa_of(args));
  };
  op.pairs = [](const RunArgs& args) { return attention_pairs(args.space_of(args.node->inputs[0]).sample_begin); };
  return op;
}

}  // namespace rarefy::runtime::ops
