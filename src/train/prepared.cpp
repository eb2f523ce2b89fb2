#include "train/prepared.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "graph/geometry_part.h"

namespace rarefy::train {

Preparer::Preparer(Graph graph, std::optional<Pipeline> pipeline)
    : graph_(std::move(graph)), pipeline_(std::move(pipeline)), runner_(graph_) {
  std::set<ValueId> maps;
  for (const Node& node : graph_.nodes())
    for (const ValueId input : node.inputs)
      if (graph_.type(input).kind == ValueKind::map && !graph_.ops().at(node.op).geometry) maps.insert(input);
  maps_.assign(maps.begin(), maps.end());
  const std::vector<bool> ahead = geometry_part(graph_);
  for (std::size_t n = 0; n < ahead.size(); ++n) {
    const auto& outputs = graph_.nodes()[n].outputs;
    late_.push_back(!ahead[n] && std::any_of(outputs.begin(), outputs.end(),
                                             [this](ValueId v) { return graph_.type(v).kind != ValueKind::features; }));
  }
}

bool Preparer::has_late_geometry() const { return std::find(late_.begin(), late_.end(), true) != late_.end(); }

bool Preparer::late_value(ValueId value) const {
  return late_[static_cast<std::size_t>(graph_.values()[static_cast<std::size_t>(value)].node)];
}

ValueId Preparer::transpose_in_graph(ValueId map) const {
  const Node& producer = graph_.producer(map);
  if (producer.op == "transpose_map") return producer.inputs[0];
  if (late_value(map)) return -1;  // a forward pass may leave out what no output needs
  for (const Node& node : graph_.nodes())
    if (node.op == "transpose_map" && node.inputs[0] == map) return node.outputs[0];
  return -1;
}

bool Preparer::submanifold(ValueId map) const {
  const Node& producer = graph_.producer(map);
  return producer.op == "kernel_map" && producer.inputs[0] == producer.inputs[1] && producer.text("rule") == "block" &&
         producer.integers("offsets").empty() &&
         std::all_of(producer.integers("kernel").begin(), producer.integers("kernel").end(),
                     [](std::int64_t size) { return size % 2 == 1; });
}

void Preparer::prepare(const Inputs& inputs, Executor& executor, Prepared& out) const {
  const auto& values = graph_.values();
  out.features.assign(values.size(), TensorView{});
  out.buffers.resize(graph_.inputs().size());
  out.order.resize(graph_.inputs().size());
  runner_.allocate(out.geometry);
  for (const auto& [name, unused] : inputs) {
    const bool known = std::any_of(graph_.inputs().begin(), graph_.inputs().end(), [&, &wanted = name](std::int32_t i) {
      return graph_.nodes()[static_cast<std::size_t>(i)].name == wanted;
    });
    RAREFY_CHECK(known, UsageError, "the graph has no input '{}'", name);
  }
  for (std::size_t i = 0; i < graph_.inputs().size(); ++i) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(graph_.inputs()[i])];
    const auto found =
        std::find_if(inputs.begin(), inputs.end(), [&](const auto& given) { return given.first == node.name; });
    RAREFY_CHECK(found != inputs.end(), UsageError, "the graph's input '{}' is missing", node.name);
    out.order[i].clear();
    bool missing = false;
    runtime::bind_input(graph_, node, found->second, pipeline_ ? &*pipeline_ : nullptr, out.geometry, out.buffers[i],
                        out.order[i], out.features, &missing);
    out.intensity_missing = out.intensity_missing || missing;
  }
  runner_.run(out.geometry, out.features, executor);
  for (const ValueId map : maps_)
    if (!late_value(map)) transpose(map, executor, out);
}

/// Makes the adjoint of a map, unless the map itself or one of the graph is it.
void Preparer::transpose(ValueId map, Executor& executor, Prepared& batch) const {
  if (submanifold(map) || transpose_in_graph(map) >= 0) return;
  auto& adjoint = batch.adjoints[map];
  if (!adjoint) adjoint = std::make_shared<KernelMap>();
  transpose_map(batch.map(map), executor, *adjoint);
}

std::shared_ptr<Prepared> Preparer::extend(std::shared_ptr<const Prepared> batch) const {
  auto result = std::make_shared<Prepared>();
  result->geometry = batch->geometry;
  result->features = batch->features;
  result->adjoints = batch->adjoints;
  for (std::size_t n = 0; n < late_.size(); ++n) {
    if (!late_[n]) continue;
    for (const ValueId value : graph_.nodes()[n].outputs) {
      const auto v = static_cast<std::size_t>(value);
      const ValueKind kind = graph_.type(value).kind;
      if (kind == ValueKind::space) result->geometry.spaces[v] = std::make_shared<runtime::SpaceValue>();
      if (kind == ValueKind::map) result->geometry.maps[v] = std::make_shared<KernelMap>();
      if (kind == ValueKind::index) result->geometry.indices[v] = std::make_shared<Voxels>();
      if (kind == ValueKind::interpolation) result->geometry.interpolations[v] = std::make_shared<Interpolation>();
    }
  }
  result->ahead = std::move(batch);
  return result;
}

void Preparer::run_late(std::size_t node, const std::vector<TensorView>& features, Executor& executor,
                        Prepared& batch) const {
  runner_.run_node(node, batch.geometry, features, executor);
  for (const ValueId value : graph_.nodes()[node].outputs)
    if (std::find(maps_.begin(), maps_.end(), value) != maps_.end()) transpose(value, executor, batch);
}

Adjoint Preparer::adjoint(const Prepared& batch, ValueId map) const {
  if (submanifold(map)) return {&batch.map(map), WeightOrder::transposed_flipped};
  const ValueId transposed = transpose_in_graph(map);
  if (transposed >= 0) return {&batch.map(transposed), WeightOrder::transposed};
  return {batch.adjoints.at(map).get(), WeightOrder::transposed};
}

}  // namespace rarefy::train
