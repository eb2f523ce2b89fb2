#include "runtime/op.h"

namespace rarefy::runtime::ops {

/// Bound before the run by bind_input.
RuntimeOp input_points() {
  RuntimeOp op;
  op.run = [](const RunArgs&) {};
  return op;
}

}  // namespace rarefy::runtime::ops
