#include "rarefy/graph.h"

#include "base/check.h"
#include "bindings.h"
#include "rarefy/builder.h"

namespace rarefy::python {
namespace {

py::object to_python(const Attribute& attribute) {
  return std::visit([](const auto& v) -> py::object { return py::cast(v); }, attribute);
}

std::string kind_name(ValueKind kind) {
  switch (kind) {
    case ValueKind::space:
      return "space";
    case ValueKind::map:
      return "map";
    case ValueKind::index:
      return "index";
    case ValueKind::interpolation:
      return "interpolation";
    case ValueKind::features:
      return "features";
  }
  return "?";
}

py::dict describe(const OpDef& op) {
  py::list attributes;
  for (const AttributeSpec& spec : op.attributes)
    attributes.append(py::make_tuple(
        spec.name, spec.default_value ? to_python(*spec.default_value) : py::object(py::none()), spec.doc));
  py::dict dict;
  dict["doc"] = op.doc;
  dict["inputs"] = op.inputs;
  dict["variadic"] = op.variadic;
  dict["outputs"] = op.outputs;
  dict["attributes"] = attributes;
  return dict;
}

py::dict describe(const ValueType& type) {
  py::dict dict;
  dict["kind"] = kind_name(type.kind);
  dict["space"] = type.space;
  dict["target"] = type.target;
  dict["channels"] = type.channels;
  dict["dims"] = type.dims;
  dict["stride"] = type.stride;
  dict["dtype"] = std::string(name(type.dtype));
  return dict;
}

std::vector<ValueId> add(Builder& b, const std::string& op, std::vector<ValueId> inputs, Attributes attributes,
                         const std::string& name, const std::vector<std::string>& parameters) {
  std::vector<ParameterRef> refs;
  for (const std::string& parameter : parameters) refs.push_back({parameter, {}});
  return b.add(op, std::move(inputs), std::move(attributes), name, std::move(refs));
}

ConvOptions options(std::int64_t channels, std::vector<std::int64_t> kernel, std::vector<std::int64_t> stride,
                    std::vector<std::int64_t> dilation, std::vector<std::int64_t> padding, const std::string& rule,
                    bool bias, std::string name) {
  RAREFY_CHECK(rule == "block" || rule == "padded", UsageError, "rule must be 'block' or 'padded', found '{}'", rule);
  ConvOptions options;
  options.channels = channels;
  options.kernel = std::move(kernel);
  options.stride = std::move(stride);
  options.dilation = std::move(dilation);
  options.padding = std::move(padding);
  options.rule = rule == "block" ? Rule::block : Rule::padded;
  options.bias = bias;
  options.name = std::move(name);
  return options;
}

py::list nodes(const Graph& graph) {
  py::list list;
  for (const Node& node : graph.nodes()) {
    py::dict attributes, dict;
    for (const auto& [key, value] : node.attributes) attributes[py::str(key)] = to_python(value);
    py::list parameters;
    const auto shapes = graph.parameter_shapes(node);
    const auto trainable = graph.parameter_trainable(node);
    for (std::size_t p = 0; p < shapes.size(); ++p)
      parameters.append(py::make_tuple(node.parameters[p].name, py::tuple(py::cast(shapes[p])), bool(trainable[p])));
    dict["name"] = node.name;
    dict["op"] = node.op;
    dict["inputs"] = node.inputs;
    dict["outputs"] = node.outputs;
    dict["attributes"] = attributes;
    dict["parameters"] = parameters;
    list.append(dict);
  }
  return list;
}

py::dict value_dict(const Graph& graph) {
  py::dict dict;
  for (const GraphOutput& output : graph.outputs()) {
    py::dict type = describe(graph.type(output.value));
    const ValueId space = graph.type(output.value).space;
    type["space_dims"] = space >= 0 ? graph.type(space).dims : 0;
    type["space_stride"] = space >= 0 ? graph.type(space).stride : std::vector<std::int64_t>();
    dict[py::str(output.name)] = type;
  }
  return dict;
}

void bind_builder(py::module_& m) {
  using Numbers = std::vector<std::int64_t>;
  py::class_<Builder>(m, "GraphBuilder")
      .def(py::init<>())
      .def("add", &add, py::arg("op"), py::arg("inputs"), py::arg("attributes"), py::arg("name") = "",
           py::arg("parameters") = std::vector<std::string>(), "Adds a node; returns its outputs.")
      .def("conv",
           [](Builder& b, ValueId x, std::int64_t channels, Numbers kernel, Numbers stride, Numbers dilation,
              Numbers padding, const std::string& rule, bool bias, std::string name) {
             return b.conv(x, options(channels, kernel, stride, dilation, padding, rule, bias, name));
           })
      .def("conv_transposed",
           [](Builder& b, ValueId x, ValueId like, std::int64_t channels, Numbers kernel, Numbers stride,
              Numbers dilation, Numbers padding, const std::string& rule, bool bias, std::string name) {
             return b.conv_transposed(x, like, options(channels, kernel, stride, dilation, padding, rule, bias, name));
           })
      .def("conv_generative",
           [](Builder& b, ValueId x, std::int64_t channels, Numbers kernel, Numbers stride, Numbers dilation,
              Numbers padding, const std::string& rule, bool bias, std::string name) {
             return b.conv_generative(x, options(channels, kernel, stride, dilation, padding, rule, bias, name));
           })
      .def("conv_to",
           [](Builder& b, ValueId x, ValueId like, std::int64_t channels, Numbers kernel, Numbers stride,
              Numbers dilation, Numbers padding, const std::string& rule, bool bias, std::string name) {
             return b.conv_to(x, like, options(channels, kernel, stride, dilation, padding, rule, bias, name));
           })
      .def("squeeze_excite",
           [](Builder& b, ValueId x, std::int64_t reduction, std::string pooling, std::string activation,
              std::string gate, bool bias, std::string name) {
             return b.squeeze_excite(x, {.reduction = reduction,
                                         .pooling = std::move(pooling),
                                         .activation = std::move(activation),
                                         .gate = std::move(gate),
                                         .bias = bias,
                                         .name = std::move(name)});
           })
      .def("unpool",
           [](Builder& b, ValueId x, ValueId like, Numbers kernel, Numbers stride, Numbers dilation, Numbers padding,
              const std::string& rule, std::string reduction) {
             return b.unpool(x, like, options(0, kernel, stride, dilation, padding, rule, false, {}),
                             std::move(reduction));
           })
      .def("prune", &Builder::prune, py::arg("x"), py::arg("scores"), py::arg("threshold") = 0.0,
           "Features of the rows whose score is above the threshold.")
      .def(
          "align",
          [](Builder& b, std::vector<ValueId> values, bool common) {
            return b.align(std::move(values), common ? Sites::common : Sites::united);
          },
          py::arg("values"), py::arg("common"), "The values over one space: union or intersection of their sites.")
      .def("output", &Builder::output, py::arg("name"), py::arg("value"), "Names a result of the graph.")
      .def(
          "type", [](const Builder& b, ValueId value) { return describe(b.type(value)); }, py::arg("value"),
          "What is known of a value before anything runs.")
      .def("build", &Builder::build, "The graph so far; nodes that no output needs are dropped.");
}

}  // namespace

void bind_graph(py::module_& m) {
  m.def(
      "ops",
      [] {
        py::dict dict;
        for (const auto& [name, op] : OpSet::builtin().all()) dict[py::str(name)] = describe(*op);
        return dict;
      },
      "The table of ops: doc, inputs, outputs, and attributes as (name, default, doc).");
  py::class_<Graph>(m, "Graph")
      .def_property_readonly("nodes", &nodes, "One dict per node, in topological order.")
      .def_property_readonly("outputs", &value_dict, "Type of each output by its name.")
      .def_property_readonly("parameters", &Graph::parameters, "Number of trainable values.")
      .def("to_text", &Graph::to_text, "One line per node.")
      .def("to_dot", &Graph::to_dot, "Graphviz.");
  bind_builder(m);
}

}  // namespace rarefy::python
