#include "train/op.h"

namespace rarefy::train::ops {

TrainOp select_columns() {
  return {[](const ForwardArgs& args) {
    const auto& columns = args.node.integers("columns");
    std::vector<float> offset, scale;
    for (const double v : args.node.numbers("offset")) offset.push_back(static_cast<float>(v));
    for (const double v : args.node.numbers("scale")) scale.push_back(static_cast<float>(v));
    const auto row = [](std::vector<float>& v) {
      return at::from_blob(v.data(), {1, static_cast<std::int64_t>(v.size())}, at::kFloat).clone();
    };
    at::Tensor index = at::empty({static_cast<std::int64_t>(columns.size())}, at::kLong);
    std::copy(columns.begin(), columns.end(), index.data_ptr<std::int64_t>());
    return (at::index_select(args.input(0), 1, index) - row(offset)) * row(scale);
  }};
}

}  // namespace rarefy::train::ops
