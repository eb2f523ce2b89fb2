#include "runtime/patches.h"

#include "base/check.h"
#include "runtime/attention_step.h"

namespace rarefy::runtime::ops {

RuntimeOp patches() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const PatchGrid grid = patch_grid(*args.node);
    const auto& pixels = args.space(args.node->inputs[0]).sample_begin;
    SpaceValue& out = args.space(args.node->outputs[0]);
    for (std::size_t s = 1; s < pixels.size(); ++s) {
      const std::int64_t rows = pixels[s] - pixels[s - 1];
      RAREFY_CHECK(rows == grid.pixels() || pixels.back() == 0, InputError,
                   "node '{}' (patches): image {} has {} pixels, expected {} lines of {}: {}", args.node->name, s - 1,
                   rows, grid.height, grid.width, grid.pixels());
    }
    const bool none = pixels.empty() || pixels.back() == 0;
    out.sample_begin.resize(std::max<std::size_t>(1, pixels.size()));
    for (std::size_t s = 0; s < out.sample_begin.size(); ++s)
      out.sample_begin[s] = none ? 0 : static_cast<std::int64_t>(s) * grid.patches();
    settle_rows(out);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
