#include "models/foreign/convert.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "graph/infer.h"

namespace rarefy::models::foreign {
namespace {

/// Tensors of the state dict that share a prefix: "stem.0" has "kernel", or "weight" and "bias", ...
struct Module {
  std::string name;
  std::map<std::string, const Tensor*> tensors;
  bool used = false;

  const Tensor* find(const std::string& leaf) const {
    const auto found = tensors.find(leaf);
    return found == tensors.end() ? nullptr : found->second;
  }
  bool is_norm() const { return find("running_mean") != nullptr; }
};

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string shapes_of(const Module& module) {
  std::string text;
  for (const auto& [leaf, tensor] : module.tensors)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", leaf, shape_text(tensor->shape()));
  return text;
}

std::vector<Module> modules_of(const StateDict& dict) {
  std::vector<Module> modules;
  std::map<std::string, std::size_t> at;
  for (const auto& [name, tensor] : dict.tensors) {
    const std::size_t dot = name.find_last_of('.');
    const std::string leaf = dot == std::string::npos ? name : name.substr(dot + 1);
    const std::string prefix = dot == std::string::npos ? std::string() : name.substr(0, dot);
    if (leaf == "num_batches_tracked") continue;
    const auto [found, added] = at.try_emplace(prefix, modules.size());
    if (added) modules.push_back({prefix, {}, false});
    modules[found->second].tensors[leaf] = &tensor;
  }
  return modules;
}

/// A node of ours that has parameters.
struct Layer {
  const Node* node = nullptr;
  std::string name;  ///< what its parameters' names share
  std::vector<std::vector<std::int64_t>> shapes;
  std::optional<KernelTarget> kernel;  ///< of convolutions

  bool is_norm() const { return node->op == "batch_norm"; }
  std::string shapes_text() const {
    std::string text;
    for (std::size_t p = 0; p < shapes.size(); ++p) {
      const std::string& name = node->parameters[p].name;
      text +=
          fmt::format("{}{} {}", p == 0 ? "" : ", ", name.substr(name.find_last_of('.') + 1), shape_text(shapes[p]));
    }
    return text;
  }
};

/// Extents of the kernel whose map a convolution uses.
KernelTarget target_of(const Graph& graph, const Node& conv) {
  const Node* map = &graph.producer(conv.inputs[1]);
  while (map->op == "transpose_map") map = &graph.producer(map->inputs[0]);
  const int dims = graph.type(map->inputs[0]).dims;
  const KernelShape shape = kernel_shape(*map, dims);
  KernelTarget target;
  target.size.assign(shape.size.begin(), shape.size.begin() + dims);
  target.in = conv.op == "depthwise_conv" ? 1 : graph.type(conv.inputs[0]).channels;
  target.out = graph.type(conv.outputs[0]).channels;
  return target;
}

std::vector<Layer> layers_of(const Graph& graph) {
  std::vector<Layer> layers;
  for (const Node& node : graph.nodes()) {
    if (node.parameters.empty()) continue;
    const std::string& first = node.parameters[0].name;
    Layer layer{&node, first.substr(0, first.find_last_of('.')), graph.parameter_shapes(node), {}};
    for (const ParameterRef& parameter : node.parameters)
      RAREFY_CHECK(parameter.view.empty(), UnsupportedError,
                   "node '{}' uses a part of parameter '{}': extract the sub-network first", node.name, parameter.name);
    if (node.op == "sparse_conv" || node.op == "depthwise_conv") layer.kernel = target_of(graph, node);
    layers.push_back(std::move(layer));
  }
  return layers;
}

/// [C], or [1, C] as MinkowskiEngine keeps biases.
std::optional<Tensor> vector_of(const Tensor* tensor, std::int64_t size) {
  using Shape = std::vector<std::int64_t>;
  if (tensor == nullptr || (tensor->shape() != Shape{size} && tensor->shape() != Shape{1, size})) return std::nullopt;
  return reshaped(to_float(*tensor), {size});
}

std::optional<Tensor> kernel_of(const Module& module, const KernelTarget& target, const Source& source) {
  for (const char* leaf : {"kernel", "weight"})
    if (const Tensor* tensor = module.find(leaf)) return kernel_to_rarefy(*tensor, source.layout, source.axes, target);
  return std::nullopt;
}

/// A linear layer is PyTorch's (its weight is transposed), or a convolution with a kernel of one offset.
std::optional<Tensor> matrix_of(const Module& module, std::int64_t in, std::int64_t out, const Source& source) {
  const Tensor* weight = module.find("weight");
  if (weight != nullptr && weight->shape().size() == 2 && source.layout != KernelLayout::rarefy) {
    if (weight->shape() != std::vector<std::int64_t>{out, in}) return std::nullopt;
    return transposed(to_float(*weight));
  }
  for (std::size_t dims = 1; dims <= 4; ++dims) {
    const auto kernel = kernel_of(module, {std::vector<std::int64_t>(dims, 1), in, out}, source);
    if (kernel) return reshaped(*kernel, {in, out});
  }
  return std::nullopt;
}

/// The layer's parameters from a module, in the node's order; nothing when it is of another kind or shape.
std::optional<std::vector<Tensor>> fit(const Layer& layer, const Module& module, const Source& source) {
  if (layer.is_norm() != module.is_norm()) return std::nullopt;
  std::vector<Tensor> parameters;
  for (std::size_t p = 0; p < layer.shapes.size(); ++p) {
    const std::string& name = layer.node->parameters[p].name;
    const std::string leaf = name.substr(name.find_last_of('.') + 1);
    const auto& shape = layer.shapes[p];
    std::optional<Tensor> tensor;
    if (leaf == "weight" && layer.kernel) {
      tensor = kernel_of(module, *layer.kernel, source);
      if (tensor && shape.size() == 2) tensor = reshaped(*tensor, shape);  // depthwise: one input channel
    } else if (leaf == "weight" && layer.node->op == "linear") {
      tensor = matrix_of(module, shape[0], shape[1], source);
    } else if (shape.size() == 1) {
      tensor = vector_of(module.find(leaf), shape[0]);
    } else if (const Tensor* same = module.find(leaf); same != nullptr && same->shape() == shape) {
      tensor = to_float(*same);
    }
    if (!tensor) return std::nullopt;
    parameters.push_back(std::move(*tensor));
  }
  // A bias that ours has no place for would be lost.
  if (module.tensors.size() != layer.shapes.size()) return std::nullopt;
  return parameters;
}

struct Matcher {
  const Source& source;
  std::vector<Layer> layers;
  std::vector<Module> modules;
  std::vector<char> done;  ///< by layer
  Conversion result;

  void take(std::size_t l, Module& module, std::vector<Tensor> parameters, bool by_name) {
    const Node& node = *layers[l].node;
    for (std::size_t p = 0; p < parameters.size(); ++p)
      result.weights.set(node.parameters[p].name, std::move(parameters[p]));
    result.matched.push_back({layers[l].name, module.name, by_name});
    module.used = true;
    done[l] = 1;
  }

  void by_name() {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      std::vector<std::string> names{layers[l].name};
      if (source.names != nullptr)
        for (std::string& name : source.names(layers[l].name)) names.push_back(std::move(name));
      for (const std::string& name : names) {
        const auto module =
            std::find_if(modules.begin(), modules.end(), [&](const Module& m) { return !m.used && m.name == name; });
        if (module == modules.end()) continue;
        if (auto parameters = fit(layers[l], *module, source)) {
          take(l, *module, std::move(*parameters), true);
        } else {
          result.differs.push_back({layers[l].name, name, layers[l].shapes_text(), shapes_of(*module)});
          module->used = true;
          done[l] = 1;
        }
        break;
      }
    }
  }

  void by_order() {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      if (done[l] != 0) continue;
      for (Module& module : modules) {
        if (module.used) continue;
        auto parameters = fit(layers[l], module, source);
        if (!parameters) continue;
        take(l, module, std::move(*parameters), false);
        break;
      }
    }
  }

  /// What is left on both sides, kind by kind: probably the same layer in another size.
  void name_the_rest() {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      if (done[l] != 0) continue;
      const auto other = std::find_if(modules.begin(), modules.end(), [&](const Module& m) {
        return !m.used && m.is_norm() == layers[l].is_norm() && m.tensors.size() == layers[l].shapes.size() &&
               rank_fits(layers[l], m);
      });
      if (other == modules.end()) {
        result.missing.push_back(fmt::format("{} ({})", layers[l].name, layers[l].shapes_text()));
        continue;
      }
      result.differs.push_back({layers[l].name, other->name, layers[l].shapes_text(), shapes_of(*other)});
      other->used = true;
    }
    for (const Module& module : modules)
      if (!module.used) result.unexpected.push_back(fmt::format("{} ({})", module.name, shapes_of(module)));
  }

  static bool rank_fits(const Layer& layer, const Module& module) {
    const Tensor* weight = module.find("kernel") != nullptr ? module.find("kernel") : module.find("weight");
    if (weight == nullptr) return false;
    if (layer.is_norm()) return true;
    return layer.kernel ? weight->shape().size() >= 3 : weight->shape().size() <= 2;
  }
};

}  // namespace

Conversion convert(const Graph& graph, const StateDict& given, const Source& source) {
  const StateDict dict = source.prepare != nullptr ? source.prepare(given) : given;
  const Source actual = resolve(source, dict);
  Matcher matcher{actual, layers_of(graph), modules_of(dict), {}, {}};
  matcher.done.resize(matcher.layers.size(), 0);
  matcher.by_name();
  matcher.by_order();
  matcher.name_the_rest();
  return std::move(matcher.result);
}

}  // namespace rarefy::models::foreign
