#include "train/prepared.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"

namespace rarefy::train {

Preparer::Preparer(Graph graph, std::optional<Pipeline> pipeline)
    : graph_(std::move(graph)), pipeline_(std::move(pipeline)), runner_(graph_) {
  std::set<ValueId> maps;
  for (const Node& node : graph_.nodes())
    if (node.op == "sparse_conv") maps.insert(node.inputs[1]);
  conv_maps_.assign(maps.begin(), maps.end());
}

ValueId Preparer::transpose_in_graph(ValueId map) const {
  const Node& producer = graph_.producer(map);
  if (producer.op == "transpose_map") return producer.inputs[0];
  for (const Node& node : graph_.nodes())
    if (node.op == "transpose_map" && node.inputs[0] == map) return node.outputs[0];
  return -1;
}

bool Preparer::submanifold(ValueId map) const {
  const Node& producer = graph_.producer(map);
  return producer.op == "kernel_map" && producer.inputs[0] == producer.inputs[1] && producer.text("rule") == "block" &&
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
  for (const ValueId map : conv_maps_) {
    if (submanifold(map) || transpose_in_graph(map) >= 0) continue;
    auto& adjoint = out.adjoints[map];
    if (!adjoint) adjoint = std::make_unique<KernelMap>();
    transpose_map(out.map(map), executor, *adjoint);
  }
}

Adjoint Preparer::adjoint(const Prepared& batch, ValueId map) const {
  if (submanifold(map)) return {&batch.map(map), WeightOrder::transposed_flipped};
  const ValueId transposed = transpose_in_graph(map);
  if (transposed >= 0) return {&batch.map(transposed), WeightOrder::transposed};
  return {batch.adjoints.at(map).get(), WeightOrder::transposed};
}

}  // namespace rarefy::train
