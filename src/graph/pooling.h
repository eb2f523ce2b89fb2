#pragma once
/// The attribute `reduction` of pooling ops.
#include <string>

#include "base/check.h"
#include "kernels/pool.h"
#include "rarefy/graph.h"

namespace rarefy {

inline AttributeSpec pooling_attribute() {
  return {"reduction", std::string("max"), "\"max\", \"mean\" (over the rows that exist) or \"sum\""};
}

/// @throws ShapeError naming the node and what is known.
inline Pooling pooling_of(const Node& node) {
  const std::string& reduction = node.text("reduction");
  RAREFY_CHECK(reduction == "max" || reduction == "mean" || reduction == "sum", ShapeError,
               "node '{}' ({}): reduction is '{}', known are 'max', 'mean' and 'sum'", node.name, node.op, reduction);
  return reduction == "max" ? Pooling::max : reduction == "mean" ? Pooling::mean : Pooling::sum;
}

}  // namespace rarefy
