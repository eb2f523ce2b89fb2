#include "runtime/attention_step.h"

namespace rarefy::runtime::ops {
namespace {

bool from_all(const RunArgs& args) { return args.node->text("queries") == "all"; }

}  // namespace

RuntimeOp attention_scores() {
  RuntimeOp op;
  op.prepare = remember_variant;
  op.run = [](const RunArgs& args) {
    attention_received(isa_of(args), attention_input(args, 2), from_all(args) ? Queries::all : Queries::first,
                       *args.executor, *args.scratch, args.output(0));
    *args.variant = cpu::name(isa_of(args));
  };
  op.pairs = [](const RunArgs& args) {
    const SpaceValue& rows = args.space_of(args.node->inputs[0]);
    return from_all(args) ? attention_pairs(rows.sample_begin) : rows.rows;
  };
  return op;
}

}  // namespace rarefy::runtime::ops
