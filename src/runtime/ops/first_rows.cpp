#include "runtime/shared/samples.h"
#include "sparse/row_sets.h"

namespace rarefy::runtime::ops {

RuntimeOp first_rows() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const SpaceValue& rows = args.space(args.node->inputs[0]);
    require_samples(*args.node, rows, args.space(args.node->inputs[1]));
    rarefy::first_rows(rows.sample_begin, args.index(args.node->outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
