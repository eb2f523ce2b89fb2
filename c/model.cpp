#include "rarefy/model.h"

#include "base/check.h"
#include "base/text.h"
#include "handles.h"

namespace rarefy::c {

std::size_t input_index(const Graph& graph, const char* name) {
  for (std::size_t i = 0; i < graph.inputs().size(); ++i)
    if (input_node(graph, i).name == name) return i;
  std::vector<std::string> known;
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) known.push_back(input_node(graph, i).name);
  fail<UsageError>("the model has no input '{}'{}", name, did_you_mean(name, known));
}

namespace {

/// Element `index` of what has `size`, as a name; null after remembering what is wrong.
template <class Name>
const char* name_at(const rarefy_model* model, std::int64_t index, const char* function, Name name) {
  const char* found = nullptr;
  (void)guarded([&] {
    require(model, function, "model");
    found = name(model->model, index);
  });
  return found;
}

void check_index(std::int64_t index, std::size_t size, const char* what) {
  RAREFY_CHECK(index >= 0 && static_cast<std::size_t>(index) < size, UsageError, "there is no {} {}: the model has {}",
               what, index, size);
}

std::size_t classes(const Model& model) { return model.pipeline() ? model.pipeline()->classes.size() : 0; }

}  // namespace
}  // namespace rarefy::c

using rarefy::Model;

extern "C" {

rarefy_status rarefy_model_load(const char* path, rarefy_model** model) {
  return rarefy::c::guarded([&] {
    rarefy::c::require(model, "rarefy_model_load", "model");
    *model = nullptr;
    rarefy::c::require(path, "rarefy_model_load", "path");
    *model = new rarefy_model{Model::load(path)};
  });
}

rarefy_status rarefy_model_parse(const void* bytes, size_t size, const char* name, rarefy_model** model) {
  return rarefy::c::guarded([&] {
    rarefy::c::require(model, "rarefy_model_parse", "model");
    *model = nullptr;
    if (size > 0) rarefy::c::require(bytes, "rarefy_model_parse", "bytes");
    *model = new rarefy_model{
        Model::parse({static_cast<const std::uint8_t*>(bytes), size}, name != nullptr ? name : "memory")};
  });
}

void rarefy_model_free(rarefy_model* model) { delete model; }

int64_t rarefy_model_inputs(const rarefy_model* model) {
  return model == nullptr ? 0 : static_cast<int64_t>(model->model.graph().inputs().size());
}

int64_t rarefy_model_outputs(const rarefy_model* model) {
  return model == nullptr ? 0 : static_cast<int64_t>(model->model.graph().outputs().size());
}

int64_t rarefy_model_classes(const rarefy_model* model) {
  return model == nullptr ? 0 : static_cast<int64_t>(rarefy::c::classes(model->model));
}

const char* rarefy_model_input_name(const rarefy_model* model, int64_t index) {
  return rarefy::c::name_at(model, index, "rarefy_model_input_name", [](const Model& m, int64_t i) {
    rarefy::c::check_index(i, m.graph().inputs().size(), "input");
    return rarefy::c::input_node(m.graph(), static_cast<std::size_t>(i)).name.c_str();
  });
}

const char* rarefy_model_output_name(const rarefy_model* model, int64_t index) {
  return rarefy::c::name_at(model, index, "rarefy_model_output_name", [](const Model& m, int64_t i) {
    rarefy::c::check_index(i, m.graph().outputs().size(), "output");
    return m.graph().outputs()[static_cast<std::size_t>(i)].name.c_str();
  });
}

const char* rarefy_model_class_name(const rarefy_model* model, int64_t index) {
  return rarefy::c::name_at(model, index, "rarefy_model_class_name", [](const Model& m, int64_t i) {
    rarefy::c::check_index(i, rarefy::c::classes(m), "class");
    return m.pipeline()->classes[static_cast<std::size_t>(i)].name.c_str();
  });
}

rarefy_status rarefy_model_input(const rarefy_model* model, const char* name, int32_t* kind, int64_t* channels,
                                 int64_t* dims) {
  return rarefy::c::guarded([&] {
    rarefy::c::require(model, "rarefy_model_input", "model");
    rarefy::c::require(name, "rarefy_model_input", "name");
    const rarefy::Graph& graph = model->model.graph();
    const rarefy::Node& node = rarefy::c::input_node(graph, rarefy::c::input_index(graph, name));
    if (kind != nullptr) *kind = node.op == "input_sparse" ? RAREFY_SPARSE : RAREFY_POINTS;
    if (channels != nullptr) *channels = node.integer("channels");
    if (dims != nullptr) *dims = graph.type(node.outputs[0]).dims;
  });
}

}  // extern "C"
