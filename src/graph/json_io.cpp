#include "graph/json_io.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/json_read.h"

namespace rarefy {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kGraphVersion = 1;
constexpr int kMaxDepth = 32;

/// Rejects what a lenient parser lets pass: duplicate keys, absurd depth.
Json parse_strict(const std::string& text, const std::string& where, std::string_view what) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    RAREFY_CHECK(depth <= kMaxDepth, InputError, "{}: {} is nested deeper than {} levels", where, what, kMaxDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      RAREFY_CHECK(keys.back().insert(key).second, InputError, "{}: {} holds the key '{}' twice", where, what, key);
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    fail<InputError>("{}: {} is not valid JSON: {}", where, what, error.what());
  }
}

/// Runs `read` and turns the JSON library's complaints into ours.
template <class F>
auto guarded(const std::string& where, std::string_view what, F read) {
  try {
    return read();
  } catch (const Json::exception& error) {
    fail<InputError>("{}: {} has a field of the wrong type: {}", where, what, error.what());
  }
}

Json attribute_to_json(const Attribute& attribute) {
  return std::visit([](const auto& v) { return Json(v); }, attribute);
}

Attribute attribute_from_json(const Json& json, const std::string& where, const std::string& node,
                              const std::string& key) {
  if (json.is_boolean()) return static_cast<std::int64_t>(json.get<bool>());
  if (json.is_number_integer()) return read_integer<std::int64_t>(json, where, "attribute '" + key + "'");
  if (json.is_number_float()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    bool integers = true, numbers = true;
    for (const Json& item : json) {
      integers = integers && item.is_number_integer();
      numbers = numbers && item.is_number();
    }
    if (integers) return read_integers<std::int64_t>(json, where, "attribute '" + key + "'");
    if (numbers) return json.get<std::vector<double>>();
  }
  fail<InputError>("{}: node '{}': attribute '{}' must be a number, a text or a list of numbers", where, node, key);
}

std::string value_name(const Graph& graph, ValueId value) {
  const Value& v = graph.values()[static_cast<std::size_t>(value)];
  const std::string& node = graph.nodes()[static_cast<std::size_t>(v.node)].name;
  return v.output == 0 ? node : fmt::format("{}:{}", node, v.output);
}

/// "node" or "node:2" to a value of what was built so far.
ValueId find_value(const std::map<std::string, std::vector<ValueId>>& made, const std::string& text,
                   const std::string& where, const std::string& user) {
  std::string node = text;
  std::size_t output = 0;
  if (made.find(text) == made.end()) {
    const std::size_t colon = text.rfind(':');
    if (colon != std::string::npos && colon + 1 < text.size() && text.size() - colon <= 5 &&
        text.find_first_not_of("0123456789", colon + 1) == std::string::npos) {
      node = text.substr(0, colon);
      output = std::stoul(text.substr(colon + 1));
    }
  }
  const auto found = made.find(node);
  RAREFY_CHECK(found != made.end(), InputError, "{}: {} refers to '{}', but no earlier node has that name", where, user,
               text);
  RAREFY_CHECK(output < found->second.size(), InputError, "{}: {} refers to output {} of '{}', which has {}", where,
               user, output, node, found->second.size());
  return found->second[output];
}

Json parameter_to_json(const ParameterRef& ref) {
  if (ref.view.empty()) return ref.name;
  Json slices = Json::array();
  for (const auto& s : ref.view.slices) slices.push_back({s.begin, s.end});
  return {{"name", ref.name}, {"view", slices}};
}

ParameterRef parameter_from_json(const Json& json, const std::string& where) {
  if (json.is_string()) return {json.get<std::string>(), {}};
  ParameterRef ref{json.at("name").get<std::string>(), {}};
  for (const Json& slice : json.at("view")) {
    const auto range = read_integers<std::int64_t>(slice, where, "a view");
    RAREFY_CHECK(range.size() == 2, InputError, "{}: a view of '{}' has a range of {} numbers, expected 2", where,
                 ref.name, range.size());
    ref.view.slices.push_back({range[0], range[1]});
  }
  return ref;
}

void add_node(GraphBuilder& builder, const Json& json, const OpSet& ops, const std::string& where,
              std::map<std::string, std::vector<ValueId>>& made) {
  const std::string name = json.at("name").get<std::string>(), op = json.at("op").get<std::string>();
  RAREFY_CHECK(!name.empty(), InputError, "{}: a node of op '{}' has an empty name", where, op);
  RAREFY_CHECK(made.find(name) == made.end(), InputError, "{}: two nodes are named '{}'", where, name);
  try {
    (void)ops.at(op);
  } catch (const UnsupportedError& error) {
    fail<UnsupportedError>("{}: node '{}': {}. The file may come from a newer version of rarefy", where, name,
                           error.what());
  }
  std::vector<ValueId> inputs;
  if (json.contains("inputs"))
    for (const Json& input : json.at("inputs"))
      inputs.push_back(find_value(made, input.get<std::string>(), where, "node '" + name + "'"));
  Attributes attributes;
  if (json.contains("attributes"))
    for (const auto& [key, value] : json.at("attributes").items())
      attributes[key] = attribute_from_json(value, where, name, key);
  std::vector<ParameterRef> parameters;
  if (json.contains("parameters"))
    for (const Json& parameter : json.at("parameters")) parameters.push_back(parameter_from_json(parameter, where));
  made[name] = builder.add(op, std::move(inputs), std::move(attributes), name, std::move(parameters));
}

}  // namespace

std::string graph_to_json(const Graph& graph) {
  Json nodes = Json::array();
  for (const Node& node : graph.nodes()) {
    Json json = {{"name", node.name}, {"op", node.op}};
    Json inputs = Json::array(), parameters = Json::array(), attributes = Json::object();
    for (const ValueId input : node.inputs) inputs.push_back(value_name(graph, input));
    for (const auto& [key, value] : node.attributes) attributes[key] = attribute_to_json(value);
    for (const ParameterRef& ref : node.parameters) parameters.push_back(parameter_to_json(ref));
    json["inputs"] = inputs;
    json["attributes"] = attributes;
    if (!parameters.empty()) json["parameters"] = parameters;
    nodes.push_back(json);
  }
  Json outputs = Json::array();
  for (const GraphOutput& o : graph.outputs())
    outputs.push_back({{"name", o.name}, {"value", value_name(graph, o.value)}});
  return Json{{"version", kGraphVersion}, {"nodes", nodes}, {"outputs", outputs}}.dump();
}

Graph graph_from_json(const std::string& text, const OpSet& ops, const std::string& where) {
  const Json json = parse_strict(text, where, "the graph");
  return guarded(where, "the graph", [&] {
    const auto version = read_integer<std::int64_t>(json.at("version"), where, "the version");
    RAREFY_CHECK(version <= kGraphVersion, UnsupportedError,
                 "{}: the graph has version {}, this rarefy reads up to {}: update rarefy", where, version,
                 kGraphVersion);
    RAREFY_CHECK(version >= 1, InputError, "{}: the graph has version {}", where, version);
    GraphBuilder builder(ops);
    std::map<std::string, std::vector<ValueId>> made;
    try {
      for (const Json& node : json.at("nodes")) add_node(builder, node, ops, where, made);
      for (const Json& o : json.at("outputs")) {
        const std::string name = o.at("name").get<std::string>();
        builder.output(name, find_value(made, o.at("value").get<std::string>(), where, "output '" + name + "'"));
      }
      return builder.build();
    } catch (const UsageError& error) {  // a file is not the caller's mistake
      fail<InputError>("{}: {}", where, error.what());
    } catch (const ShapeError& error) {
      fail<ShapeError>("{}: {}", where, error.what());
    }
  });
}

std::string pipeline_to_json(const Pipeline& p) {
  Json features = Json::array(), classes = Json::array();
  for (const FeatureSpec& f : p.features)
    features.push_back(
        {{"name", f.name}, {"unit", f.unit}, {"offset", f.offset}, {"scale", f.scale}, {"missing", f.missing}});
  for (const ClassSpec& c : p.classes) classes.push_back({{"name", c.name}, {"raw_id", c.raw_id}, {"color", c.color}});
  return Json{{"version", 1},           {"voxel_size", p.voxel_size}, {"rounding", p.rounding},
              {"crop_min", p.crop_min}, {"crop_max", p.crop_max},     {"reduction", p.reduction},
              {"features", features},   {"classes", classes},         {"label_map", p.label_map}}
      .dump();
}

Pipeline pipeline_from_json(const std::string& text, const std::string& where) {
  const Json json = parse_strict(text, where, "the pipeline");
  return guarded(where, "the pipeline", [&] {
    const auto version = read_integer<std::int64_t>(json.at("version"), where, "the version");
    RAREFY_CHECK(version == 1, UnsupportedError,
                 "{}: the pipeline has version {}, this rarefy reads version 1: update rarefy", where, version);
    Pipeline p;
    p.voxel_size = json.at("voxel_size").get<std::vector<double>>();
    p.rounding = json.at("rounding").get<std::string>();
    p.crop_min = json.at("crop_min").get<std::vector<double>>();
    p.crop_max = json.at("crop_max").get<std::vector<double>>();
    p.reduction = json.at("reduction").get<std::string>();
    for (const Json& f : json.at("features"))
      p.features.push_back({f.at("name").get<std::string>(), f.at("unit").get<std::string>(),
                            f.at("offset").get<double>(), f.at("scale").get<double>(), f.value("missing", 0.0)});
    for (const Json& c : json.at("classes")) {
      const auto color = read_integers<std::uint8_t>(c.at("color"), where, "a colour");
      RAREFY_CHECK(color.size() == 3, InputError, "{}: a colour has {} numbers, expected 3", where, color.size());
      p.classes.push_back({c.at("name").get<std::string>(),
                           read_integer<std::int64_t>(c.at("raw_id"), where, "raw_id"),
                           {color[0], color[1], color[2]}});
    }
    p.label_map = json.at("label_map").get<std::string>();
    RAREFY_CHECK(p.classes.size() <= 255, InputError, "{}: the pipeline has {} classes, a label holds up to 255", where,
                 p.classes.size());
    return p;
  });
}

namespace {
constexpr std::pair<std::string_view, Dtype> kDtypes[] = {
    {"F32", Dtype::f32}, {"F64", Dtype::f64}, {"F16", Dtype::f16}, {"BF16", Dtype::bf16},
    {"I8", Dtype::i8},   {"U8", Dtype::u8},   {"I32", Dtype::i32}, {"I64", Dtype::i64}};

Dtype dtype_from_name(const std::string& name, const std::string& where, const std::string& tensor) {
  for (const auto& [known, dtype] : kDtypes)
    if (known == name) return dtype;
  fail<UnsupportedError>("{}: tensor '{}' has dtype '{}'; known are F32, F64, F16, BF16, I8, U8, I32, I64", where,
                         tensor, name);
}
}  // namespace

FileHeader header_from_json(const std::string& text, const std::string& where) {
  const Json json = parse_strict(text, where, "the header");
  RAREFY_CHECK(json.is_object(), InputError, "{}: the header is not a JSON object", where);
  return guarded(where, "the header", [&] {
    FileHeader header;
    for (const auto& [key, value] : json.items()) {
      if (key == "__metadata__") {
        header.metadata = value.get<std::map<std::string, std::string>>();
        continue;
      }
      TensorEntry entry;
      entry.name = key;
      entry.dtype = dtype_from_name(value.at("dtype").get<std::string>(), where, key);
      entry.shape = read_integers<std::int64_t>(value.at("shape"), where, "a shape");
      const auto offsets = read_integers<std::uint64_t>(value.at("data_offsets"), where, "data_offsets");
      RAREFY_CHECK(offsets.size() == 2, InputError, "{}: tensor '{}': data_offsets has {} entries, expected 2", where,
                   key, offsets.size());
      entry.begin = offsets[0];
      entry.end = offsets[1];
      header.tensors.push_back(std::move(entry));
    }
    return header;
  });
}

std::string header_to_json(const FileHeader& header) {
  Json json = Json::object();
  json["__metadata__"] = header.metadata;
  for (const TensorEntry& entry : header.tensors) {
    std::string_view dtype;
    for (const auto& [known, value] : kDtypes)
      if (value == entry.dtype) dtype = known;
    json[entry.name] = {
        {"dtype", std::string(dtype)}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  return json.dump();
}

}  // namespace rarefy
