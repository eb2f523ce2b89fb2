#include <cmath>
#include <set>

#include "base/check.h"
#include "base/rng.h"
#include "base/text.h"
#include "graph/graph_data.h"
#include "rarefy/graph.h"

namespace rarefy {
namespace {

std::string text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace

Weights initial_weights(const Graph& graph, std::uint64_t seed) {
  Weights weights;
  for (const Node& node : graph.nodes()) {
    const auto& specs = graph.data_->specs_of(node);
    for (std::size_t p = 0; p < specs.size(); ++p) {
      const ParameterRef& ref = node.parameters[p];
      if (weights.contains(ref.name)) continue;
      RAREFY_CHECK(ref.view.empty(), UsageError,
                   "parameter '{}' is used through a view: its full shape is not known to the graph", ref.name);
      Tensor tensor(Dtype::f32, specs[p].shape);
      auto values = tensor.mutable_as<float>();
      Rng rng(seed, hash_name(ref.name));  // not by its place: a parameter keeps its values when the graph changes
      const double bound = 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(1, specs[p].fan_in)));
      for (float& v : values) {
        switch (specs[p].init) {
          case ParameterSpec::Init::zeros:
            v = 0.0f;
            break;
          case ParameterSpec::Init::ones:
            v = 1.0f;
            break;
          case ParameterSpec::Init::quarter:
            v = 0.25f;
            break;
          case ParameterSpec::Init::kaiming_uniform:
            v = static_cast<float>(rng.uniform(-bound, bound));
            break;
        }
      }
      weights.set(ref.name, std::move(tensor));
    }
  }
  return weights;
}

void check_weights(const Graph& graph, const Weights& weights) {
  for (const Node& node : graph.nodes()) {
    const auto shapes = graph.parameter_shapes(node);
    for (std::size_t p = 0; p < shapes.size(); ++p) {
      const ParameterRef& ref = node.parameters[p];
      RAREFY_CHECK(weights.contains(ref.name), ShapeError, "node '{}' ({}): parameter '{}' is missing", node.name,
                   node.op, ref.name);
      const Tensor& stored = weights.at(ref.name);
      RAREFY_CHECK(stored.dtype() == Dtype::f32 || stored.dtype() == Dtype::f16, ShapeError,
                   "node '{}' ({}): parameter '{}' is {}, expected f32 or f16", node.name, node.op, ref.name,
                   name(stored.dtype()));
      const auto shape = ref.view.empty() ? stored.shape() : weights.resolve(ref).shape();
      RAREFY_CHECK(shape == shapes[p], ShapeError, "node '{}' ({}): parameter '{}' has shape {}, expected {}",
                   node.name, node.op, ref.name, text(shape), text(shapes[p]));
    }
  }
}

}  // namespace rarefy
