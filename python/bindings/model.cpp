#include "rarefy/model.h"

#include <cstring>

#include "base/check.h"
#include "bindings.h"
#include "rarefy/models.h"

namespace rarefy::python {

py::dict to_python(const Pipeline& p) {
  py::list features, classes;
  for (const FeatureSpec& f : p.features)
    features.append(py::dict(py::arg("name") = f.name, py::arg("unit") = f.unit, py::arg("offset") = f.offset,
                             py::arg("scale") = f.scale, py::arg("missing") = f.missing));
  for (const ClassSpec& c : p.classes)
    classes.append(py::dict(py::arg("name") = c.name, py::arg("raw_id") = c.raw_id,
                            py::arg("color") = py::make_tuple(c.color[0], c.color[1], c.color[2])));
  return py::dict(py::arg("voxel_size") = p.voxel_size, py::arg("rounding") = p.rounding,
                  py::arg("crop_min") = p.crop_min, py::arg("crop_max") = p.crop_max,
                  py::arg("reduction") = p.reduction, py::arg("features") = features, py::arg("classes") = classes,
                  py::arg("label_map") = p.label_map);
}

namespace {

/// dict[key] as T where it is there. @throws UsageError naming what has the wrong type.
template <class T>
void take(const py::dict& dict, const char* key, T& value) {
  if (!dict.contains(key)) return;
  try {
    value = dict[key].cast<T>();
  } catch (const py::cast_error&) {
    fail<UsageError>("pipeline: '{}' has the wrong type: {}", key, py::repr(py::object(dict[key])).cast<std::string>());
  }
}

void check_keys(const py::dict& dict, const py::dict& known) {
  for (const auto& item : dict)
    RAREFY_CHECK(known.contains(item.first), UsageError, "pipeline: unknown key {}; known: {}",
                 py::repr(item.first).cast<std::string>(),
                 py::str(", ").attr("join")(known.attr("keys")()).cast<std::string>());
}

Model make_model(const Graph& graph, const py::dict& weights, const py::object& pipeline,
                 const std::map<std::string, std::string>& notes) {
  Weights store;
  for (const auto& [key, value] : weights) {
    const std::string name = key.cast<std::string>();
    const auto array = py::array::ensure(value, py::array::c_style);
    RAREFY_CHECK(array, UsageError, "weights['{}'] is no array", name);
    std::vector<std::int64_t> shape(array.shape(), array.shape() + array.ndim());
    Tensor tensor(rarefy_dtype(array, "weights['" + name + "']"), shape);
    if (tensor.bytes() > 0) std::memcpy(tensor.mutable_data(), array.data(), static_cast<std::size_t>(tensor.bytes()));
    store.set(name, std::move(tensor));
  }
  check_weights(graph, store);
  std::optional<Pipeline> record;
  if (!pipeline.is_none()) record = pipeline_from(pipeline.cast<py::dict>());
  Model model(graph, std::move(store), std::move(record));
  model.notes = notes;
  return model;
}

/// Read-only views into the store, which is copy on write. Strides are given: pybind11 before 2.12 reads the size of an
/// element where NumPy 2 no longer keeps it.
py::dict weights_of(const Weights& weights) {
  py::dict dict;
  for (const auto& [name, tensor] : weights.all()) {
    auto held = std::make_shared<Tensor>(tensor);
    std::vector<py::ssize_t> shape(tensor.shape().begin(), tensor.shape().end());
    std::vector<py::ssize_t> strides(shape.size(), static_cast<py::ssize_t>(size_of(tensor.dtype())));
    for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
    const void* data = held->data();
    py::array array(numpy_dtype(tensor.dtype()), shape, strides, data, owner_of(held));
    array.attr("setflags")(py::arg("write") = false);
    dict[py::str(name)] = array;
  }
  return dict;
}

py::bytes serialize(const Model& model) {
  const std::vector<std::uint8_t> bytes = model.serialize();
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Model parse(const py::bytes& bytes, const std::string& name) {
  const std::string_view text = bytes;
  return Model::parse({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, name);
}

std::vector<py::dict> inputs_of(const Model& model) {
  std::vector<py::dict> inputs;
  for (const std::int32_t n : model.graph().inputs()) {
    const Node& node = model.graph().nodes()[static_cast<std::size_t>(n)];
    inputs.push_back(py::dict(py::arg("name") = node.name, py::arg("op") = node.op,
                              py::arg("channels") = node.integer("channels"),
                              py::arg("dims") = model.graph().type(node.outputs[0]).dims));
  }
  return inputs;
}

}  // namespace

Pipeline pipeline_from(const py::dict& dict) {
  Pipeline p;
  check_keys(dict, to_python(p));
  take(dict, "voxel_size", p.voxel_size);
  take(dict, "rounding", p.rounding);
  take(dict, "crop_min", p.crop_min);
  take(dict, "crop_max", p.crop_max);
  take(dict, "reduction", p.reduction);
  take(dict, "label_map", p.label_map);
  std::vector<py::dict> features, classes;
  take(dict, "features", features);
  take(dict, "classes", classes);
  for (const py::dict& item : features) {
    FeatureSpec& f = p.features.emplace_back();
    take(item, "name", f.name);
    take(item, "unit", f.unit);
    take(item, "offset", f.offset);
    take(item, "scale", f.scale);
    take(item, "missing", f.missing);
  }
  for (const py::dict& item : classes) {
    ClassSpec& c = p.classes.emplace_back();
    take(item, "name", c.name);
    take(item, "raw_id", c.raw_id);
    take(item, "color", c.color);
  }
  return p;
}

void bind_model(py::module_& m) {
  py::class_<Model>(m, "Model")
      .def(py::init(&make_model), py::arg("graph"), py::arg("weights"), py::arg("pipeline") = py::none(),
           py::arg("notes") = std::map<std::string, std::string>())
      .def_static(
          "load", [](const std::string& path) { return Model::load(path); }, py::arg("path"),
          py::call_guard<py::gil_scoped_release>(), "Reads a model file.")
      .def_static("parse", &parse, py::arg("bytes"), py::arg("name") = "memory", "The same from memory.")
      .def("save", &Model::save, py::arg("path"), py::call_guard<py::gil_scoped_release>(), "Writes a model file.")
      .def("serialize", &serialize, "The bytes of a model file.")
      .def_property_readonly("graph", &Model::graph, "Structure only.")
      .def_property_readonly("inputs", &inputs_of, "Name, op, channels and dimensions of each input.")
      .def_property_readonly(
          "weights", [](const Model& model) { return weights_of(model.weights()); },
          "Parameters by name: read-only views.")
      .def_property_readonly(
          "pipeline",
          [](const Model& model) {
            return model.pipeline() ? std::optional<py::dict>(to_python(*model.pipeline())) : std::nullopt;
          },
          "What lies between raw input and result, or None.")
      .def_readonly("notes", &Model::notes, "Free text pairs kept in the file.");
  m.def(
      "initial_weights",
      [](const Graph& graph, std::uint64_t seed) { return weights_of(initial_weights(graph, seed)); }, py::arg("graph"),
      py::arg("seed"), "Fresh parameters: a function of graph and seed only.");
  m.def(
      "builders",
      [] {
        py::dict dict;
        for (const models::ModelDef& def : models::all()) dict[py::str(def.name)] = def.doc;
        return dict;
      },
      "Published networks by name, with what each says of itself.");
  m.def(
      "build",
      [](const std::string& name, double width, std::int64_t classes, const py::object& pipeline,
         const std::map<std::string, std::int64_t>& settings, std::uint64_t seed) {
        models::ModelOptions options;
        options.settings = settings;
        options.width = width;
        options.classes = classes;
        options.pipeline = models::semantic_kitti_pipeline();
        if (!pipeline.is_none()) options.pipeline = pipeline_from(pipeline.cast<py::dict>());
        const Graph graph = models::build(name, options);
        const bool points = models::at(name).takes == models::Takes::points;
        return Model(graph, initial_weights(graph, seed),
                     points ? std::optional<Pipeline>(options.pipeline) : std::nullopt);
      },
      py::arg("name"), py::arg("width"), py::arg("classes"), py::arg("pipeline"), py::arg("settings"), py::arg("seed"),
      "A published network with fresh parameters.");
}

}  // namespace rarefy::python
