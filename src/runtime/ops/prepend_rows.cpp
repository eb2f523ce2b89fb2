#include "runtime/attention_step.h"
#include "sparse/row_sets.h"

namespace rarefy::runtime::ops {

RuntimeOp prepend_rows() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    SpaceValue& longer = args.space(args.node->outputs[0]);
    rarefy::prepend_rows(args.space(args.node->inputs[0]).sample_begin, longer.sample_begin,
                         args.index(args.node->outputs[1]));
    settle_rows(longer);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
