#include "base/check.h"
#include "train/op.h"

namespace rarefy::train {
namespace ops {
#define RAREFY_TRAIN_OP(stem) TrainOp stem();
#include "train_op_list.inc"
#undef RAREFY_TRAIN_OP
// Every op of the graph must have its file in train/ops: taking the address makes a missing one a link error.
#define RAREFY_OP(stem) TrainOp stem();
#include "op_list.inc"
#undef RAREFY_OP
}  // namespace ops

const std::map<std::string, TrainOp, std::less<>>& train_ops() {
  static const std::map<std::string, TrainOp, std::less<>> all = [] {
    auto table = elementwise_train_ops();
#define RAREFY_OP(stem) table.emplace(#stem, ops::stem());
#include "op_list.inc"
#undef RAREFY_OP
    return table;
  }();
  return all;
}

const TrainOp& train_op(std::string_view op) {
  const auto found = train_ops().find(op);
  RAREFY_CHECK(found != train_ops().end(), UnsupportedError, "training: there is no derivative of op '{}'", op);
  return found->second;
}

}  // namespace rarefy::train
