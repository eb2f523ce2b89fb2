#include "base/check.h"
#include "base/text.h"
#include "graph/elementwise.h"
#include "rarefy/graph.h"

namespace rarefy {

namespace ops {
#define RAREFY_OP(stem) OpDef stem();
#include "op_list.inc"
#undef RAREFY_OP
}  // namespace ops

const OpSet& OpSet::builtin() {
  static const OpSet all = [] {
    OpSet set;
#define RAREFY_OP(stem) set.add(ops::stem());
#include "op_list.inc"
#undef RAREFY_OP
    for (OpDef& op : elementwise_ops()) set.add(std::move(op));
    return set;
  }();
  return all;
}

const OpDef* OpSet::find(std::string_view name) const {
  const auto found = ops_.find(name);
  return found == ops_.end() ? nullptr : found->second.get();
}

const OpDef& OpSet::at(std::string_view name) const {
  const OpDef* op = find(name);
  if (op != nullptr) return *op;
  std::vector<std::string> known;
  for (const auto& [known_name, unused] : ops_) known.push_back(known_name);
  fail<UnsupportedError>("there is no op '{}'{}", name, did_you_mean(name, known));
}

void OpSet::add(OpDef op) {
  RAREFY_CHECK(find(op.name) == nullptr, UsageError, "an op named '{}' exists already", op.name);
  std::string name = op.name;
  ops_.emplace(std::move(name), std::make_shared<const OpDef>(std::move(op)));
}

}  // namespace rarefy
