#pragma once
/// What compiling a model produces. Internal.
#include <any>
#include <memory>
#include <string>
#include <vector>

#include "rarefy/session.h"
#include "runtime/op.h"

namespace rarefy::runtime {

/// One executed step: a node, with what was fused into it.
struct Step {
  std::int32_t node = -1;
  const RuntimeOp* op = nullptr;
  Fusion fusion;
  ValueId result = -1;  ///< the value that the fused chain ends in
  std::any state;
  std::string label;           ///< "sparse_conv+batch_norm+relu"
  std::vector<ValueId> reads;  ///< features that it reads, the residual included
};

/// Where a features value lies: columns of a buffer whose rows are those of the value's space.
struct Placement {
  std::int32_t buffer = -1;     ///< -1: not a planned features value (graph inputs, geometry)
  std::int64_t column = 0;      ///< first element in the buffer's row
  std::int64_t row_stride = 0;  ///< elements
};

struct BufferSpec {
  ValueId space = -1;
  std::int64_t row_bytes = 0;
};

/// Which nodes run as one step. Without fusion: one step per node.
/// A chain starts at a convolution or linear layer and takes up batch norm, residual add and activation.
std::vector<Step> make_steps(const Graph& graph, bool fuse);

/// Buffers and places of all features values. Inputs of a concatenation lie inside its output where possible; buffers
/// are reused within a space once their last reader is done.
struct Layout {
  std::vector<Placement> places;  ///< by ValueId
  std::vector<BufferSpec> buffers;
};
Layout make_layout(const Graph& graph, const std::vector<Step>& steps, bool share);

}  // namespace rarefy::runtime

namespace rarefy {

struct Plan::Impl {
  Model model;
  PlanOptions options;
  const ConvVariant* variant = nullptr;
  std::vector<runtime::Step> steps;  ///< geometry first, then the rest, each in topological order
  runtime::Layout layout;
};

}  // namespace rarefy
