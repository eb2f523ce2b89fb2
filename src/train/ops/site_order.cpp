#include "sparse/site_order.h"

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

/// Places have no gradient.
TrainOp site_order() {
  return {[](const ForwardArgs& args) {
    const Coords& coords = *args.batch->space(args.node.inputs[0]).coords;
    at::Tensor y = empty_matrix(coords.rows(), 1);
    SiteOrderScratch scratch;
    rarefy::site_order(coords, args.node.text("order") == "random" ? SiteOrder::random : SiteOrder::spread,
                       static_cast<std::uint64_t>(args.node.integer("seed")), scratch,
                       {y.data_ptr<float>(), static_cast<std::size_t>(coords.rows())});
    return y;
  }};
}

}  // namespace rarefy::train::ops
