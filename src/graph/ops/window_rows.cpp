#include "graph/example.h"
#include "graph/images/windows.h"

namespace rarefy::ops {

OpDef window_rows() {
  OpDef op;
  op.name = "window_rows";
  op.doc =
      "The tokens of windows, window by window: a space whose samples are the windows. With row_of_kept, of those "
      "windows only: what a selection among them keeps. Liu et al., ICCV 2021; Chen et al. (SparseViT), CVPR 2023.";
  op.inputs = {"tokens: space", "windows: space", "row_of_kept: index?"};
  op.outputs = {"rows: space", "token_of_row: index", "row_of_token: index"};
  op.attributes = window_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& tokens = require_kind(args, 0, ValueKind::space);
    const ValueType& windows = require_kind(args, 1, ValueKind::space);
    (void)window_grid(args.node);
    if (args.inputs.size() > 2) {
      const ValueType& kept = require_kind(args, 2, ValueKind::index);
      RAREFY_CHECK(kept.target == windows.space, ShapeError,
                   "node '{}' (window_rows): {} does not point into the windows {}", args.node.name, args.producers[2],
                   args.producers[1]);
    }
    const ValueId rows = args.output_ids[0];
    return {{token_space(rows), index_type(rows, tokens.space), index_type(tokens.space, rows)}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return window_examples(seed, [](Builder& b, ValueId x, const WindowOptions& o, Rng& rng) {
      const auto windows = b.windows(b.space_of(x), o);
      ValueId kept = -1;
      if (rng.chance(0.7)) {
        const ValueId scores = b.reduce(b.select_columns(x, {0}, {0.1}, {1.0}), windows.window_of_token, "mean");
        kept = b.add("select_best", {scores, windows.space}, {{"share", rng.uniform(0.0, 1.0)}})[1];
      }
      const auto rows = b.window_rows(b.space_of(x), windows.space, o, kept);
      const ValueId all = b.linear(x, 5), made = b.linear(b.gather(x, rows.token_of_row), 5);
      return b.add("overlay", {all, made, rows.row_of_token})[0];
    });
  };
  return op;
}

}  // namespace rarefy::ops
