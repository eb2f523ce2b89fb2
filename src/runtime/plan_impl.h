#pragma once
/// What compiling a model produces. Internal.
#include <any>
#include <memory>
#include <string>
#include <vector>

#include "rarefy/session.h"
#include "runtime/op.h"

namespace rarefy::runtime {

namespace cuda {
struct DevicePlan;
}

/// One executed step: a node, with what was fused into it.
struct Step {
  std::int32_t node = -1;
  const RuntimeOp* op = nullptr;
  Fusion fusion;
  ValueId result = -1;            ///< the value that the fused chain ends in
  Dtype weights_as = Dtype::f32;  ///< of a convolution or linear layer: f16 = its weights are kept in 16 bits
  bool ahead = false;             ///< depends on coordinates only, as does all that it reads
  std::any state;
  std::string label;           ///< "sparse_conv+batch_norm+relu"
  std::string kind;            ///< for the profile: "voxelize", "maps" or "network"
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

/// What the values of a quantize node are stored as. @throws UsageError when its scale is not a positive number.
Quantization quantization_of(const Node& quantize, const Weights& weights);
/// How the bytes of a value would be read, or none: a value that a quantize node makes, or a concatenation of such with
/// one scale.
std::optional<Quantization> quantization_of(const Graph& graph, const Weights& weights, ValueId value);

/// True for a convolution or linear layer with integer weights whose input is quantized.
bool computes_on_integers(const Graph& graph, const Weights& weights, const Node& node);

/// Which nodes run as one step, those that may run ahead first. Without fusion: one step per node.
/// A chain starts at a convolution or linear layer and takes up batch norm, residual add, activation, and quantization
/// when the layer computes on integers.
std::vector<Step> make_steps(const Graph& graph, const Weights& weights, bool fuse);

/// Sets Step::weights_as. Layers that are quantized, and those with a weight that 16 bits cannot hold, keep real
/// weights.
void choose_weights(const Graph& graph, const Weights& weights, Storage storage, std::vector<Step>& steps);

/// Which values are kept as bytes: those that a quantize node makes and that only integer layers read (unless options
/// say that there are none). And which in 16 bits: those that a layer with such weights makes and that only such layers
/// read. Concatenations of one kind are kept alike. Graph outputs are kept as they are.
KeptValues choose_storage(const Graph& graph, const Weights& weights, const PlanOptions& options,
                          const std::vector<Step>& steps);

/// Buffers and places of all features values. Inputs of a concatenation lie inside its output where possible; buffers
/// are reused within a space once their last reader is done.
struct Layout {
  std::vector<Placement> places;  ///< by ValueId
  std::vector<BufferSpec> buffers;
  KeptValues kept;
  std::int64_t row_multiple = 1;  ///< elements to which the rows of matrices of several real columns are padded

  Dtype dtype(const Graph& graph, ValueId value) const {
    const auto& as = kept[static_cast<std::size_t>(value)];
    return as ? as->dtype : graph.type(value).dtype;
  }
};
Layout make_layout(const Graph& graph, const std::vector<Step>& steps, bool share, KeptValues kept,
                   std::int64_t row_multiple = 1);

}  // namespace rarefy::runtime

namespace rarefy {

struct Plan::Impl {
  Model model;
  PlanOptions options;
  const ConvVariant* variant = nullptr;
  std::vector<runtime::Step> steps;  ///< what may run ahead first, then the rest, each in topological order
  std::size_t steps_ahead = 0;       ///< number of the former
  runtime::Layout layout;
  std::shared_ptr<const runtime::cuda::DevicePlan> device;  ///< null: a plan for the CPU
};

}  // namespace rarefy
