#include "base/check.h"
#include "runtime/elementwise.h"
#include "runtime/op.h"

namespace rarefy::runtime {

namespace ops {
#define RAREFY_OP(stem) RuntimeOp stem();
#include "op_list.inc"
#undef RAREFY_OP
}  // namespace ops

const std::map<std::string, RuntimeOp, std::less<>>& runtime_ops() {
  static const auto all = [] {
    std::map<std::string, RuntimeOp, std::less<>> map = elementwise_runtime_ops();
#define RAREFY_OP(stem) map[#stem] = ops::stem();
#include "op_list.inc"
#undef RAREFY_OP
    return map;
  }();
  return all;
}

const RuntimeOp& runtime_op(std::string_view op) {
  const auto found = runtime_ops().find(op);
  RAREFY_CHECK(found != runtime_ops().end(), UnsupportedError, "the runtime cannot execute op '{}'", op);
  return found->second;
}

}  // namespace rarefy::runtime
