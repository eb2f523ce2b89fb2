#pragma once
/// Windows of tokens at run time.
#include "base/check.h"
#include "graph/images/windows.h"
#include "runtime/attention_step.h"

namespace rarefy::runtime {

/// How many images of `tokens` rows a space holds. @throws InputError for one of another size
inline std::int64_t images_of(const Node& node, const SpaceValue& space, std::int64_t tokens) {
  const auto& begin = space.sample_begin;
  if (space.rows == 0) return 0;
  for (std::size_t s = 1; s < begin.size(); ++s)
    RAREFY_CHECK(begin[s] - begin[s - 1] == tokens, InputError, "node '{}' ({}): image {} has {} rows, expected {}",
                 node.name, node.op, s - 1, begin[s] - begin[s - 1], tokens);
  return static_cast<std::int64_t>(begin.size()) - 1;
}

}  // namespace rarefy::runtime
