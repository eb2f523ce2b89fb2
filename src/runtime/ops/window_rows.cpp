#include "runtime/windows.h"

namespace rarefy::runtime::ops {

RuntimeOp window_rows() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const WindowGrid grid = window_grid(node);
    const std::int64_t images = images_of(node, args.space(node.inputs[0]), grid.tokens());
    const RowIndex* kept = node.inputs.size() > 2 ? &args.index(node.inputs[2]) : nullptr;
    SpaceValue& rows = args.space(node.outputs[0]);
    RowIndex &token_of_row = args.index(node.outputs[1]), &row_of_token = args.index(node.outputs[2]);
    const std::int64_t tokens = images * grid.tokens();
    const bool same = kept == nullptr && rows.rows == tokens && images > 0 &&
                      static_cast<std::int64_t>(token_of_row.voxel_of_point.size()) == tokens;
    if (same) return;  // all windows of as many images: what is there already
    rows_of_windows(grid, images, kept, rows.sample_begin, token_of_row, row_of_token);
    settle_rows(rows);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
