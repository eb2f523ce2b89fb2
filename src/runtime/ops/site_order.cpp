#include "sparse/site_order.h"

#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp site_order() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    static thread_local SiteOrderScratch scratch;
    const auto y = args.output(0);
    const Node& node = *args.node;
    rarefy::site_order(
        *args.space(node.inputs[0]).coords, node.text("order") == "random" ? SiteOrder::random : SiteOrder::spread,
        static_cast<std::uint64_t>(node.integer("seed")), scratch, {y.data, static_cast<std::size_t>(y.rows)});
  };
  return op;
}

}  // namespace rarefy::runtime::ops
