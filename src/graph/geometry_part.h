#pragma once
/// Which part of a graph may run ahead of the rest.
#include <vector>

#include "rarefy/graph.h"

namespace rarefy {

/// By node: whether it belongs to the geometry part, which depends on nothing but the graph's inputs. A geometry op on
/// something that features decide (the sites that a `select` keeps) runs in its place among the layers instead.
std::vector<bool> geometry_part(const Graph& graph);

}  // namespace rarefy
