#pragma once
/// The one description of a network: spaces, maps and features as typed values of a graph. Structure only, no weights.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rarefy/export.h"
#include "rarefy/tensor.h"
#include "rarefy/weights.h"

namespace rarefy {

/// Number of a value in its graph.
using ValueId = std::int32_t;

/// What a value is.
enum class ValueKind : std::uint8_t {
  space,          ///< an ordered set of rows with batch offsets; sparse spaces have coordinates at a stride
  map,            ///< kernel map between two sparse spaces
  index,          ///< for each row of one space, a row of another (points to voxels)
  features,       ///< a matrix over the rows of one space
  interpolation,  ///< for each row of one space, the sites of another around its position and their weights
};

/// Number of rows as an affine expression in the sizes of spaces: constant + sum of coefficient * rows(space).
struct SymbolicSize {
  std::int64_t constant = 0;
  std::map<ValueId, std::int64_t> terms;
  bool operator==(const SymbolicSize&) const = default;
};

/// What is known of a value before anything runs.
struct ValueType {
  ValueKind kind = ValueKind::features;
  /// features, index, interpolation: the space of the rows; map: the input space; space: itself
  ValueId space = -1;
  /// map: the output space; index, interpolation: the space that is pointed into; space of samples: that of their rows
  ValueId target = -1;
  std::int64_t channels = 0;         ///< features: columns; map: kernel volume K; interpolation: corners, 2^dims
  Dtype dtype = Dtype::f32;          ///< features
  int dims = 0;                      ///< space: 1 to 4; 0 = rows without coordinates (points)
  std::vector<std::int64_t> stride;  ///< space: stride per axis in finest voxels
  bool operator==(const ValueType&) const = default;
};

/// Value of an attribute. Booleans are written as the integers 0 and 1.
using Attribute = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>>;
using Attributes = std::map<std::string, Attribute, std::less<>>;

/// One operation. Inputs and outputs are values; parameters are references into a Weights store.
struct RAREFY_API Node {
  std::string op;
  std::string name;  ///< unique in its graph
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
  std::vector<ParameterRef> parameters;

  /// An attribute as its type. @throws UsageError when the node has none of this name and type.
  std::int64_t integer(std::string_view attribute) const;
  double number(std::string_view attribute) const;
  const std::string& text(std::string_view attribute) const;
  const std::vector<std::int64_t>& integers(std::string_view attribute) const;
  const std::vector<double>& numbers(std::string_view attribute) const;
};

/// A value: its type and where it comes from.
struct Value {
  ValueType type;
  std::int32_t node = -1;   ///< producer
  std::int32_t output = 0;  ///< which of the producer's outputs
};

/// A graph output by name.
struct GraphOutput {
  std::string name;
  ValueId value = -1;
};

class OpSet;
class Graph;
/// Fresh parameters for a graph: a function of (graph, seed) only.
RAREFY_API Weights initial_weights(const Graph& graph, std::uint64_t seed);

/// Immutable and cheap to copy. Nodes are in topological order.
class RAREFY_API Graph {
 public:
  Graph();
  const std::vector<Node>& nodes() const;
  const std::vector<Value>& values() const;
  /// Nodes that bring data in ("input_points", "input_sparse"), by node index, in order.
  const std::vector<std::int32_t>& inputs() const;
  const std::vector<GraphOutput>& outputs() const;
  const ValueType& type(ValueId value) const { return values()[static_cast<std::size_t>(value)].type; }
  const Node& producer(ValueId value) const;
  /// Rows of a value as an expression in the spaces' sizes.
  SymbolicSize rows(ValueId value) const;
  /// Shapes that the parameters of a node must have (after their views), in the order of Node::parameters.
  /// `node` is one of nodes(), not a copy.
  std::vector<std::vector<std::int64_t>> parameter_shapes(const Node& node) const;
  /// Whether an optimiser may change the parameter (false: running statistics).
  std::vector<bool> parameter_trainable(const Node& node) const;
  /// Number of trainable values, each stored parameter counted once.
  std::int64_t parameters() const;
  const OpSet& ops() const;

  /// One line per node, for people.
  std::string to_text() const;
  /// Graphviz: `dot -Tsvg`.
  std::string to_dot() const;

 private:
  friend class GraphBuilder;
  friend RAREFY_API Weights initial_weights(const Graph& graph, std::uint64_t seed);
  struct Data;
  explicit Graph(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

/// Actual sizes, by value: rows of spaces, pairs of maps, and pairs of rows that attention compares (its first output).
using Sizes = std::map<ValueId, std::int64_t>;
/// Multiply-adds of one node, and of the graph, for given sizes. @throws UsageError naming a size that is missing.
RAREFY_API std::int64_t multiply_adds(const Graph& graph, const Node& node, const Sizes& sizes);
RAREFY_API std::int64_t multiply_adds(const Graph& graph, const Sizes& sizes);

// ---- what an op means
// ------------------------------------------------------------------------------------------------

/// A parameter that a node needs.
struct ParameterSpec {
  enum class Init : std::uint8_t { zeros, ones, quarter, kaiming_uniform };
  std::string suffix;  ///< appended to the node's name: "weight", "bias", "running_mean"
  std::vector<std::int64_t> shape;
  Init init = Init::zeros;
  std::int64_t fan_in = 1;  ///< kaiming_uniform: U(-1, 1) / sqrt(fan_in), as in the published MinkUNet
  bool trainable = true;
};

/// What inference of one node may look at.
struct InferArgs {
  const Node& node;
  std::vector<ValueType> inputs;       ///< types of node.inputs
  std::vector<ValueId> output_ids;     ///< ids that the outputs will get (a new space is its own `space`)
  std::vector<std::string> producers;  ///< "name (op)" of each input, for messages
};
struct Inferred {
  std::vector<ValueType> outputs;
  std::vector<ParameterSpec> parameters;
};

/// What cost functions may look at.
struct CostArgs {
  const Node& node;
  const Graph& graph;
  const Sizes& sizes;
  std::int64_t rows(ValueId features_or_space) const;  ///< @throws UsageError when unknown
  /// Of a map; of an op that compares rows of a sample with each other (attention), by its first output that is no
  /// space.
  /// @throws UsageError when unknown
  std::int64_t pairs(ValueId map) const;
};

/// How channels run through an op: from these rules channel pruning derives which channels belong together.
struct ChannelRule {
  enum class Flow : std::uint8_t {
    consumes,  ///< axis `axis` of the parameter is as long as input `input` has channels
    produces,  ///< axis `axis` of the parameter is as long as the output has channels; they are free to shrink
    shares,    ///< input and output have the same channels (element-wise); parameter axis likewise when named
    joins,     ///< the output's channels are those of all inputs, one after another
    fixed,     ///< the channels mean something outside (classes, coordinates): never prune
  };
  Flow flow = Flow::shares;
  int input = 0;
  std::string parameter;  ///< suffix, or empty
  int axis = 0;
};

/// An attribute that an op understands.
struct AttributeSpec {
  std::string name;
  std::optional<Attribute> default_value;  ///< absent: must be given
  std::string doc;
};

struct OpExample;

/// Everything that an op means. One per file of src/graph/ops; users add their own to an OpSet.
struct OpDef {
  std::string name;
  std::string doc;                  ///< one sentence and the source
  std::vector<std::string> inputs;  ///< "x: features", for documentation and arity; "x: features?" may be left out
  bool variadic = false;            ///< the last input may repeat
  std::vector<std::string> outputs;
  std::vector<AttributeSpec> attributes;
  std::function<Inferred(const InferArgs&)> infer;    ///< @throws ShapeError
  std::function<std::int64_t(const CostArgs&)> macs;  ///< absent: counts as zero
  std::vector<ChannelRule> channels;
  bool geometry = false;  ///< depends on coordinates only: may run ahead
  bool is_input = false;
  std::function<std::vector<OpExample>(std::uint64_t seed)> examples;  ///< feed the conformance test
};

/// The set of ops that graphs may use: a value, extended by copying.
class RAREFY_API OpSet {
 public:
  /// One entry per file of graph/ops and per row of the element-wise table.
  static const OpSet& builtin();
  const OpDef* find(std::string_view name) const;
  /// @throws UnsupportedError naming the nearest candidates.
  const OpDef& at(std::string_view name) const;
  /// @throws UsageError when the name is taken.
  void add(OpDef op);
  const std::map<std::string, std::shared_ptr<const OpDef>, std::less<>>& all() const { return ops_; }

 private:
  std::map<std::string, std::shared_ptr<const OpDef>, std::less<>> ops_;
};

/// A small graph around one op with everything needed to run it: what the conformance test feeds on.
struct OpExample {
  /// Data of one graph input: points [rows, cols] with sample_begin, or a sparse tensor with coords [rows, 1 + dims].
  struct Data {
    std::string name;
    std::vector<std::int32_t> coords;
    std::vector<float> values;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::vector<std::int64_t> sample_begin;
    std::int64_t batches = -1;
  };
  Graph graph;
  Weights weights;
  std::vector<Data> inputs;
};

// ---- building
// --------------------------------------------------------------------------------------------------------

/// Adds nodes one by one; types are inferred and errors thrown at once, naming node and op. Equal nodes without
/// parameters are merged. The convenience layer on top, with one function per kind of layer, is Builder (builder.h).
class RAREFY_API GraphBuilder {
 public:
  explicit GraphBuilder(OpSet ops = OpSet::builtin());
  ~GraphBuilder();
  GraphBuilder(GraphBuilder&&) noexcept;
  GraphBuilder& operator=(GraphBuilder&&) noexcept;

  /// @param name        unique; empty = the op's name with a number
  /// @param parameters  empty = one per ParameterSpec, named NAME.suffix
  /// @return the outputs
  std::vector<ValueId> add(std::string op, std::vector<ValueId> inputs, Attributes attributes = {},
                           std::string name = {}, std::vector<ParameterRef> parameters = {});
  void output(std::string name, ValueId value);
  const ValueType& type(ValueId value) const;
  /// @throws UsageError without outputs. Nodes that no output needs are dropped.
  Graph build() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// @throws ShapeError naming node, parameter, expected and found shapes when the store does not fit the graph.
RAREFY_API void check_weights(const Graph& graph, const Weights& weights);

}  // namespace rarefy
