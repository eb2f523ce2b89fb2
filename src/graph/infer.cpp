#include "graph/infer.h"

#include <limits>

namespace rarefy {

std::string_view name(ValueKind kind) {
  switch (kind) {
    case ValueKind::space:
      return "space";
    case ValueKind::map:
      return "map";
    case ValueKind::index:
      return "index";
    case ValueKind::features:
      return "features";
    case ValueKind::interpolation:
      return "interpolation";
  }
  return "?";
}

const ValueType& require_kind(const InferArgs& args, std::size_t i, ValueKind kind) {
  const ValueType& type = args.inputs[i];
  RAREFY_CHECK(type.kind == kind, ShapeError, "node '{}' ({}): input {} must be {}, but {} is {}", args.node.name,
               args.node.op, i, name(kind), args.producers[i], name(type.kind));
  return type;
}

const ValueType& require_features(const InferArgs& args, std::size_t i) {
  const ValueType& type = require_kind(args, i, ValueKind::features);
  RAREFY_CHECK(type.dtype == Dtype::f32, ShapeError, "node '{}' ({}): input {} must be float32, but {} gives {}",
               args.node.name, args.node.op, i, args.producers[i], name(type.dtype));
  return type;
}

void require_space(const InferArgs& args, std::size_t i, ValueId space, std::string_view what) {
  const ValueId found = args.inputs[i].space;
  RAREFY_CHECK(
      found == space, ShapeError,
      "node '{}' ({}): input {} ({}) lives on space %{}, but {} on space %{}: features of different spaces do not fit "
      "together",
      args.node.name, args.node.op, i, args.producers[i], found, what, space);
}

void require_leading(const Node& node) {
  const std::int64_t leading = node.integer("leading");
  RAREFY_CHECK(leading >= 0 && leading <= std::numeric_limits<std::int32_t>::max(), ShapeError,
               "node '{}' ({}): leading is {}, expected 0 to {}", node.name, node.op, leading,
               std::numeric_limits<std::int32_t>::max());
}

void require_weight_bits(const Node& node) {
  const std::int64_t bits = node.integer("weight_bits");
  RAREFY_CHECK(bits == 0 || (bits >= 2 && bits <= 8), ShapeError,
               "node '{}' ({}): weight_bits is {}, expected 0 (as they are) or 2 to 8", node.name, node.op, bits);
}

const ValueType& require_samples(const InferArgs& args, std::size_t i) {
  const ValueType& type = require_kind(args, i, ValueKind::space);
  RAREFY_CHECK(
      type.target >= 0, ShapeError,
      "node '{}' ({}): input {} must be a space of samples, as the op 'samples' makes it, but {} makes another",
      args.node.name, args.node.op, i, args.producers[i]);
  return type;
}

std::vector<AttributeSpec> kernel_attributes() {
  using List = std::vector<std::int64_t>;
  return {
      {"kernel", List{3}, "extent per axis, 1 to 7; one number for all axes"},
      {"stride", List{1}, "stride per axis"},
      {"dilation", List{1}, "distance between kernel offsets"},
      {"padding", List{0}, "padded rule only"},
      {"rule", std::string("block"), "\"block\" (as MinkowskiEngine) or \"padded\" (as spconv and dense convolution)"},
      {"cells", List{0},
       "padded rule, downsampling: outputs are those of a grid from 0 to cells - 1, in units of their stride; 0: all"},
      {"offsets", List{}, "not empty: the kernel is this list, one number per axis each, instead of the box `kernel`"}};
}

Extent to_extent(const std::vector<std::int64_t>& values, std::int32_t fill) {
  Extent extent;
  extent.fill(fill);
  for (std::size_t a = 0; a < values.size() && a < extent.size(); ++a) extent[a] = static_cast<std::int32_t>(values[a]);
  return extent;
}

namespace {
Extent per_axis(const Node& node, std::string_view attribute, int dims, std::int32_t fill) {
  const auto& values = node.integers(attribute);
  RAREFY_CHECK(values.size() == 1 || values.size() == static_cast<std::size_t>(dims), ShapeError,
               "node '{}' ({}): attribute '{}' has {} entries, the space has {} axes (give 1 or {})", node.name,
               node.op, attribute, values.size(), dims, dims);
  Extent extent;
  extent.fill(fill);
  for (int a = 0; a < dims; ++a) {
    const std::int64_t value = values.size() == 1 ? values[0] : values[static_cast<std::size_t>(a)];
    RAREFY_CHECK(value >= 0 && value <= std::numeric_limits<std::int32_t>::max(), ShapeError,
                 "node '{}' ({}): attribute '{}' has {} on axis {}", node.name, node.op, attribute, value, a);
    extent[static_cast<std::size_t>(a)] = static_cast<std::int32_t>(value);
  }
  return extent;
}
}  // namespace

KernelShape kernel_shape(const Node& node, int dims) {
  KernelShape kernel;
  kernel.dims = dims;
  kernel.size = per_axis(node, "kernel", dims, 1);
  kernel.stride = per_axis(node, "stride", dims, 1);
  kernel.dilation = per_axis(node, "dilation", dims, 1);
  kernel.padding = per_axis(node, "padding", dims, 0);
  kernel.cells = per_axis(node, "cells", dims, 0);
  const std::string& rule = node.text("rule");
  RAREFY_CHECK(rule == "block" || rule == "padded", ShapeError,
               "node '{}' ({}): rule is '{}', known are 'block' and 'padded'", node.name, node.op, rule);
  kernel.rule = rule == "block" ? CoordinateRule::block : CoordinateRule::padded;
  kernel.offsets = node.integers("offsets");
  return kernel;
}

}  // namespace rarefy
