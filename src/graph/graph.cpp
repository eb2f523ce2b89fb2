#include "rarefy/graph.h"

#include <set>

#include "base/check.h"
#include "base/text.h"
#include "graph/graph_data.h"
#include "graph/infer.h"

namespace rarefy {
namespace {

template <class T>
const T& attribute(const Node& node, std::string_view name) {
  const auto found = node.attributes.find(name);
  RAREFY_CHECK(found != node.attributes.end(), UsageError, "node '{}' ({}) has no attribute '{}'", node.name, node.op,
               name);
  const T* value = std::get_if<T>(&found->second);
  RAREFY_CHECK(value != nullptr, UsageError, "node '{}' ({}): attribute '{}' has another type than asked for",
               node.name, node.op, name);
  return *value;
}

}  // namespace

std::int64_t Node::integer(std::string_view name) const { return rarefy::attribute<std::int64_t>(*this, name); }
double Node::number(std::string_view name) const { return rarefy::attribute<double>(*this, name); }
const std::string& Node::text(std::string_view name) const { return rarefy::attribute<std::string>(*this, name); }
const std::vector<std::int64_t>& Node::integers(std::string_view name) const {
  return rarefy::attribute<std::vector<std::int64_t>>(*this, name);
}
const std::vector<double>& Node::numbers(std::string_view name) const {
  return rarefy::attribute<std::vector<double>>(*this, name);
}

Graph::Graph() : data_(std::make_shared<Data>()) {}
Graph::Graph(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

const std::vector<Node>& Graph::nodes() const { return data_->nodes; }
const std::vector<Value>& Graph::values() const { return data_->values; }
const std::vector<std::int32_t>& Graph::inputs() const { return data_->inputs; }
const std::vector<GraphOutput>& Graph::outputs() const { return data_->outputs; }
const OpSet& Graph::ops() const { return data_->ops; }

const Node& Graph::producer(ValueId value) const {
  return nodes()[static_cast<std::size_t>(values()[static_cast<std::size_t>(value)].node)];
}

SymbolicSize Graph::rows(ValueId value) const {
  const ValueType& t = type(value);
  RAREFY_CHECK(t.kind != ValueKind::map, UsageError,
               "value %{} is a kernel map: its pairs are known only when it is built", value);
  return {0, {{t.space, 1}}};
}

std::vector<std::vector<std::int64_t>> Graph::parameter_shapes(const Node& node) const {
  std::vector<std::vector<std::int64_t>> shapes;
  for (const ParameterSpec& spec : data_->specs_of(node)) shapes.push_back(spec.shape);
  return shapes;
}

std::vector<bool> Graph::parameter_trainable(const Node& node) const {
  std::vector<bool> trainable;
  for (const ParameterSpec& spec : data_->specs_of(node)) trainable.push_back(spec.trainable);
  return trainable;
}

std::int64_t Graph::parameters() const {
  std::set<std::string> seen;
  std::int64_t count = 0;
  for (const Node& node : nodes()) {
    const auto& specs = data_->specs_of(node);
    for (std::size_t p = 0; p < specs.size(); ++p) {
      if (!specs[p].trainable || !seen.insert(node.parameters[p].name).second) continue;
      std::int64_t size = 1;
      for (const std::int64_t extent : specs[p].shape) size *= extent;
      count += size;
    }
  }
  return count;
}

std::int64_t CostArgs::rows(ValueId value) const {
  const ValueId space = graph.type(value).space;
  const auto found = sizes.find(space);
  RAREFY_CHECK(found != sizes.end(), UsageError, "the number of rows of space %{} (made by '{}') is not known", space,
               graph.producer(space).name);
  return found->second;
}

std::int64_t CostArgs::pairs(ValueId map) const {
  const auto found = sizes.find(map);
  RAREFY_CHECK(found != sizes.end(), UsageError, "the number of pairs of %{} (made by '{}') is not known", map,
               graph.producer(map).name);
  return found->second;
}

std::int64_t multiply_adds(const Graph& graph, const Node& node, const Sizes& sizes) {
  const OpDef& op = graph.ops().at(node.op);
  return op.macs ? op.macs(CostArgs{node, graph, sizes}) : 0;
}

std::int64_t multiply_adds(const Graph& graph, const Sizes& sizes) {
  std::int64_t total = 0;
  for (const Node& node : graph.nodes()) total += multiply_adds(graph, node, sizes);
  return total;
}

}  // namespace rarefy
