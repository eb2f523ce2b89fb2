#pragma once
/// A plan on the GPU: what its values are there, and how ops run. One DeviceOp per op that the GPU can run; the others
/// are named when a plan is compiled.
#include <any>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/cuda/conv.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernel_map.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/sites.h"
#include "runtime/device.h"

namespace rarefy::runtime::cuda {

using namespace rarefy::cuda;  // NOLINT: the kernels of this back end
using rarefy::cuda::Sites;     // not the builder's choice of that name

/// A space at run time. Points: rows and sample_begin only.
struct DeviceSpace {
  std::int64_t rows = 0;
  std::int64_t batches = 1;
  std::vector<std::int64_t> sample_begin;  ///< of points
  Sites* sites = nullptr;                  ///< `own`, or those of the voxelization that made the space
  Sites own;
  DeviceBuffer sample_of_row;  ///< int32: of points, when there are several samples
};

/// For each row of a space, a row of another.
struct DeviceIndex {
  PointVoxels voxels;                  ///< of a voxelization
  DeviceBuffer located;                ///< of a locate node
  DeviceBuffer begin, order, scratch;  ///< its inverse
  const std::int32_t* row_of = nullptr;
  std::int64_t rows = 0;
  const std::int32_t* inverse_begin = nullptr;  ///< null: not made
  const std::int32_t* inverse_order = nullptr;
};

struct DeviceInterpolation {
  DeviceBuffer row, weight;
  int corners = 0;
  std::int64_t rows = 0;
};

/// All values of a run, by ValueId.
struct DeviceValues {
  std::vector<std::unique_ptr<DeviceSpace>> spaces;
  std::vector<std::unique_ptr<DeviceMap>> maps;
  std::vector<std::unique_ptr<DeviceIndex>> indices;
  std::vector<std::unique_ptr<DeviceInterpolation>> interpolations;
  std::vector<Matrix2d> features;
};

/// Maps that steps asked for, until they are made together.
struct PendingMaps {
  std::vector<MapRequest> built;
  std::vector<TransposeRequest> transposed;
  void make(Stream stream);
  void clear();
};

/// Working memory that one step uses at a time.
struct DeviceScratch {
  DeviceBuffer workspace;     ///< of convolutions
  DeviceBuffer converted[3];  ///< inputs in the plan's type
  DeviceBuffer sorting;       ///< of kernel maps
  PinnedBuffer sizes;         ///< for reading rows
  PendingMaps maps;
};

/// What features are stored as.
constexpr Type real_type(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::f16 ? Type::f16 : arithmetic == Arithmetic::bf16 ? Type::bf16 : Type::f32;
}

/// What a step sees.
class DeviceArgs {
 public:
  const Graph& graph;
  const Node& node;
  const std::any& state;
  const Fusion& fusion;
  Arithmetic arithmetic;
  DeviceValues& values;
  DeviceScratch& scratch;
  Stream stream;
  std::string_view* dataflow;  ///< of a convolution, for the profile

  Type type() const { return real_type(arithmetic); }
  const Matrix2d& features(ValueId v) const { return values.features[static_cast<std::size_t>(v)]; }
  const Matrix2d& input(std::size_t i) const { return features(node.inputs[i]); }
  const Matrix2d& output(std::size_t i = 0) const { return features(node.outputs[i]); }
  /// A value in the plan's type, converted when it is of another. @param slot  which of the converted ones
  Matrix2d real(ValueId v, std::size_t slot) const;
  Matrix2d real_input(std::size_t i) const { return real(node.inputs[i], i); }
  DeviceSpace& space(ValueId v) const { return *values.spaces[static_cast<std::size_t>(v)]; }
  DeviceSpace& space_of(ValueId v) const { return space(graph.type(v).space); }
  DeviceMap& map(ValueId v) const { return *values.maps[static_cast<std::size_t>(v)]; }
  DeviceIndex& index(ValueId v) const { return *values.indices[static_cast<std::size_t>(v)]; }
  DeviceInterpolation& interpolation(ValueId v) const { return *values.interpolations[static_cast<std::size_t>(v)]; }
};

/// When a step runs: sites first, so that the host has to learn sizes once only.
enum class Phase : std::uint8_t { voxels, sites, maps, network };

struct DeviceOp {
  Phase phase = Phase::network;
  std::any (*prepare)(const PrepareArgs& args, Arithmetic arithmetic) = nullptr;  ///< may be null
  void (*run)(const DeviceArgs& args) = nullptr;
};
/// Null when the GPU cannot run it.
const DeviceOp* device_op(std::string_view op);

/// The constant side: one per step of the plan.
struct DeviceStep {
  const DeviceOp* op = nullptr;
  std::any state;
};
struct DevicePlan {
  Arithmetic arithmetic = Arithmetic::f16;
  std::vector<DeviceStep> steps;
};

void compile(Plan::Impl& plan);
std::unique_ptr<DeviceRun> make_run(const Plan::Impl& plan);

/// Folds the batch norm, uploads and packs: sparse_conv and linear.
std::any prepare_conv(const PrepareArgs& args, Arithmetic arithmetic);
void run_conv(const DeviceArgs& args);
void run_linear(const DeviceArgs& args);

/// An element-wise op of graph/elementwise.inc; b is empty for those of one input. Null when there is none of the name.
using ElementwiseKernel = void (*)(const Matrix2d& a, const Matrix2d& b, float alpha, Stream stream, const Matrix2d& y);
ElementwiseKernel elementwise_kernel(std::string_view name);
void run_elementwise(const DeviceArgs& args);

}  // namespace rarefy::runtime::cuda
