#include "runtime/shared/samples.h"

#include <numeric>

namespace rarefy::runtime::ops {

RuntimeOp samples() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    SpaceValue& out = args.space(args.node->outputs[0]);
    out.rows = samples_of(args.space(args.node->inputs[0]));
    out.coords = nullptr;
    out.sample_begin.resize(static_cast<std::size_t>(out.rows + 1));
    std::iota(out.sample_begin.begin(), out.sample_begin.end(), 0);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
