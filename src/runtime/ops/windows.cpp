#include "runtime/windows.h"

namespace rarefy::runtime::ops {

RuntimeOp windows() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const WindowGrid grid = window_grid(*args.node);
    const std::int64_t images = images_of(*args.node, args.space(args.node->inputs[0]), grid.tokens());
    SpaceValue& out = args.space(args.node->outputs[0]);
    RowIndex& index = args.index(args.node->outputs[1]);
    const std::size_t samples = std::max<std::size_t>(1, args.space(args.node->inputs[0]).sample_begin.size());
    // The same images make the same windows in every run: they are kept.
    const bool same = out.sample_begin.size() == samples && out.rows == images * grid.windows() &&
                      static_cast<std::int64_t>(index.voxel_of_point.size()) == images * grid.tokens() && images > 0;
    if (same) return;
    // The index first: should it run out of memory, `out` does not yet say that it is there.
    windows_of_tokens(grid, images, index);
    out.sample_begin.resize(samples);
    for (std::size_t s = 0; s < samples; ++s)
      out.sample_begin[s] = images == 0 ? 0 : static_cast<std::int64_t>(s) * grid.windows();
    settle_rows(out);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
