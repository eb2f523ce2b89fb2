#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp select_columns() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto& columns = args.node->integers("columns");
    const auto& offset = args.node->numbers("offset");
    const auto& scale = args.node->numbers("scale");
    const auto x = args.input(0);
    const auto y = args.output(0);
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::size_t c = 0; c < columns.size(); ++c)
          y(r, static_cast<std::int64_t>(c)) =
              (x(r, columns[c]) - static_cast<float>(offset[c])) * static_cast<float>(scale[c]);
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
