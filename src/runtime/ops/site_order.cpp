#include "sparse/site_order.h"

#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp site_order() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    static thread_local SiteOrderScratch scratch;
    static thread_local std::vector<float> values;  // the output may lie between other columns
    const auto y = args.output(0);
    const Node& node = *args.node;
    values.resize(static_cast<std::size_t>(y.rows));
    rarefy::site_order(*args.space(node.inputs[0]).coords,
                       node.text("order") == "random" ? SiteOrder::random : SiteOrder::spread,
                       static_cast<std::uint64_t>(node.integer("seed")), scratch, values);
    for (std::int64_t r = 0; r < y.rows; ++r) y(r, 0) = values[static_cast<std::size_t>(r)];
  };
  return op;
}

}  // namespace rarefy::runtime::ops
