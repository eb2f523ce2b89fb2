#pragma once
/// Checks that inference functions share; each message names node, op and what was found.
#include <string>
#include <vector>

#include "base/check.h"
#include "rarefy/graph.h"
#include "sparse/kernel_map.h"

namespace rarefy {

std::string_view name(ValueKind kind);

/// @throws ShapeError unless input `i` is of the kind.
const ValueType& require_kind(const InferArgs& args, std::size_t i, ValueKind kind);
/// Features of float32. @throws ShapeError.
const ValueType& require_features(const InferArgs& args, std::size_t i);
/// @throws ShapeError naming both spaces when features `i` do not live on `space`.
void require_space(const InferArgs& args, std::size_t i, ValueId space, std::string_view what);
/// A space that `samples` made. @throws ShapeError.
const ValueType& require_samples(const InferArgs& args, std::size_t i);

/// The attribute leading: how many rows at the beginning of a sample stay in any case. @throws ShapeError.
void require_leading(const Node& node);
/// The attribute weight_bits: 0 or 2 to 8. @throws ShapeError.
void require_weight_bits(const Node& node);

/// The kernel attributes that downsample, generate and kernel_map share, with their defaults.
std::vector<AttributeSpec> kernel_attributes();
/// The attributes of a node as a KernelShape of `dims` axes (one number stands for all axes). It refers to the node.
/// @throws ShapeError for a wrong number of entries or a value out of range.
KernelShape kernel_shape(const Node& node, int dims);

Extent to_extent(const std::vector<std::int64_t>& values, std::int32_t fill = 1);

}  // namespace rarefy
