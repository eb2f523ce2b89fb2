#include "base/check.h"
#include "graph/infer.h"
#include "rarefy/graph.h"

namespace rarefy {
namespace {

std::string text(const Attribute& attribute) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_arithmetic_v<T>)
          return fmt::format("{}", v);
        else if constexpr (std::is_same_v<T, std::string>)
          return v;
        else
          return fmt::format("[{}]", fmt::join(v, ","));
      },
      attribute);
}

std::string text(const ValueType& type) {
  switch (type.kind) {
    case ValueKind::space:
      if (type.target >= 0) return fmt::format("samples of %{}", type.target);
      return type.dims == 0 ? "points" : fmt::format("{}-d sites, stride {}", type.dims, fmt::join(type.stride, "x"));
    case ValueKind::map:
      return fmt::format("map %{} -> %{}, {} offsets", type.space, type.target, type.channels);
    case ValueKind::index:
      return fmt::format("index %{} -> %{}", type.space, type.target);
    case ValueKind::features:
      return fmt::format("{}[%{}, {}]", name(type.dtype), type.space, type.channels);
    case ValueKind::interpolation:
      return fmt::format("interpolation %{} -> %{}, {} corners", type.space, type.target, type.channels);
  }
  return {};
}

std::string attributes_text(const Graph& graph, const Node& node) {
  std::string result;
  const OpDef& op = graph.ops().at(node.op);
  for (const AttributeSpec& spec : op.attributes) {
    const Attribute& value = node.attributes.at(spec.name);
    if (spec.default_value && *spec.default_value == value) continue;
    result += fmt::format("{}{}={}", result.empty() ? "" : ", ", spec.name, text(value));
  }
  return result;
}

}  // namespace

std::string Graph::to_text() const {
  std::string result;
  for (const Node& node : nodes()) {
    std::vector<std::string> outs, ins;
    for (const ValueId v : node.outputs) outs.push_back(fmt::format("%{}: {}", v, text(type(v))));
    for (const ValueId v : node.inputs) ins.push_back(fmt::format("%{}", v));
    result += fmt::format("{} = {}({})", fmt::join(outs, ", "), node.op, fmt::join(ins, ", "));
    const std::string attributes = attributes_text(*this, node);
    if (!attributes.empty()) result += fmt::format(" {{{}}}", attributes);
    result += fmt::format("  # {}\n", node.name);
  }
  for (const GraphOutput& o : outputs()) result += fmt::format("output {} = %{}\n", o.name, o.value);
  return result;
}

std::string Graph::to_dot() const {
  std::string result = "digraph rarefy {\n  rankdir=TB; node [shape=box, fontname=\"sans-serif\"];\n";
  for (std::size_t n = 0; n < nodes().size(); ++n) {
    const Node& node = nodes()[n];
    const bool geometry = ops().at(node.op).geometry;
    result += fmt::format("  n{} [label=\"{}\\n{}\"{}];\n", n, node.name, node.op,
                          geometry ? ", style=filled, fillcolor=\"#e8eef7\"" : "");
    for (const ValueId v : node.inputs)
      result +=
          fmt::format("  n{} -> n{} [label=\"{}\"];\n", values()[static_cast<std::size_t>(v)].node, n, text(type(v)));
  }
  for (const GraphOutput& o : outputs()) {
    result += fmt::format("  \"out_{}\" [label=\"{}\", shape=ellipse];\n", o.name, o.name);
    result += fmt::format("  n{} -> \"out_{}\";\n", values()[static_cast<std::size_t>(o.value)].node, o.name);
  }
  return result + "}\n";
}

}  // namespace rarefy
