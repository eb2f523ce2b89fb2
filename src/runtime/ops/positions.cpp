#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp positions() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto& begin = args.space(args.node->inputs[0]).sample_begin;
    const auto y = args.output(0);
    for (std::size_t s = 1; s < begin.size(); ++s)
      for (std::int64_t r = begin[s - 1]; r < begin[s]; ++r) y(r, 0) = static_cast<float>(r - begin[s - 1]);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
