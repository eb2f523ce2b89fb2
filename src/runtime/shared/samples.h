#pragma once
/// What ops on samples (batch elements) share.
#include "base/check.h"
#include "runtime/op.h"

namespace rarefy::runtime {

/// Number of samples of a space.
inline std::int64_t samples_of(const SpaceValue& space) {
  return space.sample_begin.empty() ? 0 : static_cast<std::int64_t>(space.sample_begin.size()) - 1;
}

/// @throws ShapeError naming the node unless the space of `rows` has as many samples as the space of `samples` has
/// rows.
inline void require_samples(const Node& node, const SpaceValue& rows, const SpaceValue& samples) {
  RAREFY_CHECK(samples_of(rows) == samples.rows, ShapeError,
               "node '{}' ({}): the rows belong to {} samples, but there are {}: use samples of the same batch",
               node.name, node.op, samples_of(rows), samples.rows);
}

}  // namespace rarefy::runtime
