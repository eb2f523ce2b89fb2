#pragma once
/// How ops run. One file per op in runtime/ops; the stem is the op's name (link error names a missing one).
#include <any>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/conv.h"
#include "kernels/conv_half.h"
#include "kernels/conv_int8.h"
#include "rarefy/executor.h"
#include "rarefy/graph.h"
#include "rarefy/session.h"
#include "rarefy/tuning.h"
#include "sparse/coords.h"
#include "sparse/kernel_map.h"
#include "sparse/point_voxel.h"
#include "sparse/thinning.h"
#include "sparse/voxelize.h"

namespace rarefy::runtime {

/// A space at run time. Points: rows and sample_begin only. Sparse: coords too.
struct SpaceValue {
  std::int64_t rows = 0;
  std::vector<std::int64_t> sample_begin;  ///< [B+1]
  const Coords* coords = nullptr;          ///< `own`, or the coords of the voxelization that made the space
  Coords own;
};

/// What geometry nodes make; reused from run to run, so that the steady state allocates nothing. Indexed by ValueId.
/// Shared, so that training can add what depends on features to a batch whose geometry ran ahead.
struct GeometryValues {
  std::vector<std::shared_ptr<SpaceValue>> spaces;
  std::vector<std::shared_ptr<KernelMap>> maps;
  std::vector<std::shared_ptr<Voxels>> indices;
  std::vector<std::shared_ptr<Interpolation>> interpolations;
};

/// A step's epilogue after fusion (values refer to the graph).
struct Fusion {
  const Node* batch_norm = nullptr;
  const Node* add = nullptr;  ///< its other operand is `residual`
  ValueId residual = -1;
  Activation activation = Activation::none;
  float slope = 0.0f;
  const Node* quantize = nullptr;  ///< what ends the chain
};

/// How a value between layers is kept when not as its type says.
struct Kept {
  Dtype dtype = Dtype::u8;         ///< u8 or f16
  Quantization quantization = {};  ///< of bytes
  bool operator==(const Kept&) const = default;
};
/// By ValueId.
using KeptValues = std::vector<std::optional<Kept>>;

/// What prepare may look at; it returns the step's constant state (packed weights and the like).
struct PrepareArgs {
  const Graph& graph;
  const Node& node;
  const Weights& weights;
  const Fusion& fusion;
  const ConvVariant& variant;
  const KeptValues& kept;
  Dtype weights_as = Dtype::f32;   ///< Step::weights_as
  const Tuning* tuning = nullptr;  ///< or null: the cost model decides

  Dataflow dataflow_of(const Node& layer) const {
    return tuning == nullptr ? Dataflow::automatic : dataflow_named(tuning->layer(layer.name).forward);
  }
  /// How bytes stand for the numbers of a value that is kept so.
  std::optional<Quantization> bytes_of(ValueId value) const {
    const auto& as = kept[static_cast<std::size_t>(value)];
    if (!as || as->dtype != Dtype::u8) return {};
    return as->quantization;
  }
};

/// Voxels that a run leaves out.
struct ThinState {
  Thinning wanted;
  std::int64_t left_out = 0;
  ThinScratch scratch;
};

/// Everything that a step sees while it runs. Feature views are sized and placed by the context.
class RunArgs {
 public:
  const Graph* graph = nullptr;
  const Node* node = nullptr;
  const std::any* state = nullptr;  ///< from prepare
  const Fusion* fusion = nullptr;
  GeometryValues* geometry = nullptr;
  const std::vector<TensorView>* features = nullptr;  ///< by ValueId; outputs are in place already
  Executor* executor = nullptr;
  AlignedBuffer* scratch = nullptr;      ///< working memory of the context, grows
  std::string_view* variant = nullptr;   ///< kernel that ran, for the profile
  std::string_view* dataflow = nullptr;  ///< of a convolution, likewise
  ThinState* thin = nullptr;             ///< or null: all voxels stay

  template <class T = float>
  Matrix<const T> input(std::size_t i) const {
    return view(node->inputs[i]).matrix<T>();
  }
  template <class T = float>
  Matrix<T> output(std::size_t i = 0) const {
    return view(node->outputs[i]).matrix<T>();
  }
  const TensorView& view(ValueId value) const { return (*features)[static_cast<std::size_t>(value)]; }
  /// The space that the rows of a value live on.
  SpaceValue& space_of(ValueId value) const { return space(graph->type(value).space); }
  SpaceValue& space(ValueId value) const { return *geometry->spaces[static_cast<std::size_t>(value)]; }
  KernelMap& map(ValueId value) const { return *geometry->maps[static_cast<std::size_t>(value)]; }
  Voxels& index(ValueId value) const { return *geometry->indices[static_cast<std::size_t>(value)]; }
  Interpolation& interpolation(ValueId value) const {
    return *geometry->interpolations[static_cast<std::size_t>(value)];
  }
};

struct RuntimeOp {
  std::function<std::any(const PrepareArgs&)> prepare;  ///< may be empty
  std::function<void(const RunArgs&)> run;
  bool fuses = false;            ///< accepts a Fusion (convolution, linear)
  std::string kind = "network";  ///< for the profile: "voxelize", "maps", "network"
  /// Of ops that compare rows of a sample with each other: how many pairs the run looked at. May be empty.
  std::function<std::int64_t(const RunArgs&)> pairs = {};
};

/// The runtime side of every built-in op.
const std::map<std::string, RuntimeOp, std::less<>>& runtime_ops();
/// @throws UnsupportedError naming the op.
const RuntimeOp& runtime_op(std::string_view op);

/// Runs the geometry part of a graph: spaces, maps, indices. Used by Context, and by training to run ahead.
class GeometryRunner {
 public:
  explicit GeometryRunner(const Graph& graph);
  /// Makes room in `values` for the graph's values (idempotent).
  void allocate(GeometryValues& values) const;
  /// One node that makes spaces, maps or indices.
  void run_node(std::size_t node, GeometryValues& values, const std::vector<TensorView>& features,
                Executor& executor) const;
  /// Runs all nodes of the geometry part (see geometry_part). Input spaces must be filled, and `features` must hold the
  /// views of input features.
  void run(GeometryValues& values, const std::vector<TensorView>& features, Executor& executor) const;

 private:
  Graph graph_;
  std::vector<std::size_t> nodes_;
};

/// Fills the space and the feature view of one "input_points" / "input_sparse" node from the caller's input.
/// `buffer` owns converted data when the layout needs a conversion; otherwise the view points into the caller's memory.
/// @throws UsageError, InputError.
void bind_input(const Graph& graph, const Node& node, const Input& input, const Pipeline* pipeline,
                GeometryValues& values, AlignedBuffer& buffer, std::vector<std::int32_t>& order,
                std::vector<TensorView>& features, bool* intensity_missing);

}  // namespace rarefy::runtime
