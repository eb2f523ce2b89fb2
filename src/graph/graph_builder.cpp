#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "base/text.h"
#include "graph/graph_data.h"
#include "graph/infer.h"
#include "rarefy/graph.h"

namespace rarefy {

struct GraphBuilder::State {
  OpSet ops;
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<std::vector<ParameterSpec>> specs;
  std::vector<GraphOutput> outputs;
  std::set<std::string> names;
  std::map<std::string, std::size_t> merged;  ///< key of a parameter-free node -> its index
  std::map<std::string, int> counters;

  const ValueType& type(ValueId value) const {
    RAREFY_CHECK(value >= 0 && value < static_cast<ValueId>(values.size()), UsageError,
                 "there is no value %{}; this builder has {}", value, values.size());
    return values[static_cast<std::size_t>(value)].type;
  }
  std::string producer(ValueId value) const {
    const Node& node = nodes[static_cast<std::size_t>(values[static_cast<std::size_t>(value)].node)];
    return fmt::format("'{}' ({})", node.name, node.op);
  }
};

namespace {

/// Converts where it loses nothing: integers to numbers, lists likewise.
Attribute coerce(const Attribute& given, const Attribute& wanted) {
  if (given.index() == wanted.index()) return given;
  if (const auto* i = std::get_if<std::int64_t>(&given)) {
    if (std::holds_alternative<double>(wanted)) return static_cast<double>(*i);
    if (std::holds_alternative<std::vector<std::int64_t>>(wanted)) return std::vector<std::int64_t>{*i};
  }
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&given);
      list != nullptr && std::holds_alternative<std::vector<double>>(wanted))
    return std::vector<double>(list->begin(), list->end());
  if (const auto* list = std::get_if<std::vector<double>>(&given);
      list != nullptr && list->empty() && std::holds_alternative<std::vector<std::int64_t>>(wanted))
    return std::vector<std::int64_t>{};
  return given;
}

std::string_view type_name(const Attribute& attribute) {
  static constexpr std::string_view kNames[] = {"an integer", "a number", "a text", "a list of integers",
                                                "a list of numbers"};
  return kNames[attribute.index()];
}

Attributes complete_attributes(const OpDef& op, const std::string& node, Attributes given) {
  Attributes complete;
  std::vector<std::string> known;
  for (const AttributeSpec& spec : op.attributes) {
    known.push_back(spec.name);
    const auto found = given.find(spec.name);
    if (found == given.end()) {
      RAREFY_CHECK(spec.default_value.has_value(), UsageError, "node '{}' ({}): attribute '{}' must be given ({})",
                   node, op.name, spec.name, spec.doc);
      complete[spec.name] = *spec.default_value;
      continue;
    }
    Attribute value = found->second;
    if (spec.default_value) {
      value = coerce(value, *spec.default_value);
      RAREFY_CHECK(value.index() == spec.default_value->index(), UsageError,
                   "node '{}' ({}): attribute '{}' must be {}, got {}", node, op.name, spec.name,
                   type_name(*spec.default_value), type_name(value));
    }
    complete[spec.name] = std::move(value);
    given.erase(found);
  }
  RAREFY_CHECK(given.empty(), UsageError, "node '{}' ({}): unknown attribute '{}'{}", node, op.name,
               given.begin()->first, did_you_mean(given.begin()->first, known));
  return complete;
}

std::string merge_key(const Node& node) {
  std::string key = node.op;
  for (const ValueId input : node.inputs) key += fmt::format("|{}", input);
  for (const auto& [name, value] : node.attributes) {
    key += fmt::format("|{}=", name);
    std::visit(
        [&key](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_arithmetic_v<T>)
            key += fmt::format("{}", v);
          else if constexpr (std::is_same_v<T, std::string>)
            key += v;
          else
            for (const auto& item : v) key += fmt::format("{},", item);
        },
        value);
  }
  return key;
}

void check_arity(const OpDef& op, const Node& node) {
  const std::size_t most = op.inputs.size(), found = node.inputs.size();
  const auto optional = [](const std::string& input) { return !input.empty() && input.back() == '?'; };
  const auto least = most - static_cast<std::size_t>(std::count_if(op.inputs.begin(), op.inputs.end(), optional));
  const bool fits = found >= least && (op.variadic || found <= most);
  RAREFY_CHECK(fits, UsageError, "node '{}' ({}): takes {}{} inputs ({}), got {}", node.name, op.name,
               op.variadic || least < most ? "at least " : "", least, join(op.inputs), found);
}

}  // namespace

GraphBuilder::GraphBuilder(OpSet ops) : state_(std::make_unique<State>()) { state_->ops = std::move(ops); }
GraphBuilder::~GraphBuilder() = default;
GraphBuilder::GraphBuilder(GraphBuilder&&) noexcept = default;
GraphBuilder& GraphBuilder::operator=(GraphBuilder&&) noexcept = default;

const ValueType& GraphBuilder::type(ValueId value) const { return state_->type(value); }

std::vector<ValueId> GraphBuilder::add(std::string op_name, std::vector<ValueId> inputs, Attributes attributes,
                                       std::string name, std::vector<ParameterRef> parameters) {
  State& s = *state_;
  const OpDef& op = s.ops.at(op_name);
  const bool named = !name.empty();
  Node node;
  node.op = op_name;
  node.name = named ? name : fmt::format("{}_{}", op_name, s.counters[op_name]);
  node.inputs = std::move(inputs);
  node.attributes = complete_attributes(op, node.name, std::move(attributes));
  check_arity(op, node);

  std::vector<ValueType> input_types;
  std::vector<std::string> producers;
  for (const ValueId input : node.inputs) {
    input_types.push_back(s.type(input));
    producers.push_back(s.producer(input));
  }
  const std::string key = merge_key(node);
  if (!op.is_input && parameters.empty()) {
    if (const auto found = s.merged.find(key); found != s.merged.end()) return s.nodes[found->second].outputs;
  }
  std::vector<ValueId> output_ids;
  for (std::size_t o = 0; o < op.outputs.size(); ++o) output_ids.push_back(static_cast<ValueId>(s.values.size() + o));
  const InferArgs infer_args{node, input_types, output_ids, producers};
  Inferred inferred = op.infer(infer_args);
  RAREFY_CHECK(inferred.outputs.size() == op.outputs.size(), UsageError,
               "op '{}' declares {} outputs, its inference gave {}", op.name, op.outputs.size(),
               inferred.outputs.size());
  RAREFY_CHECK(parameters.empty() || parameters.size() == inferred.parameters.size(), UsageError,
               "node '{}' ({}): has {} parameters, {} references were given", node.name, op.name,
               inferred.parameters.size(), parameters.size());
  if (parameters.empty())
    for (const ParameterSpec& spec : inferred.parameters) parameters.push_back({node.name + "." + spec.suffix, {}});
  node.parameters = std::move(parameters);
  RAREFY_CHECK(s.names.insert(node.name).second, UsageError, "two nodes are named '{}'", node.name);
  if (!named) ++s.counters[op_name];

  const auto index = static_cast<std::int32_t>(s.nodes.size());
  for (std::size_t o = 0; o < inferred.outputs.size(); ++o)
    s.values.push_back({std::move(inferred.outputs[o]), index, static_cast<std::int32_t>(o)});
  node.outputs = output_ids;
  if (!op.is_input && inferred.parameters.empty()) s.merged.emplace(key, s.nodes.size());
  s.specs.push_back(std::move(inferred.parameters));
  s.nodes.push_back(std::move(node));
  return output_ids;
}

void GraphBuilder::output(std::string name, ValueId value) {
  (void)type(value);
  for (const GraphOutput& o : state_->outputs)
    RAREFY_CHECK(o.name != name, UsageError, "two outputs are named '{}'", name);
  state_->outputs.push_back({std::move(name), value});
}

Graph GraphBuilder::build() const {
  const State& s = *state_;
  RAREFY_CHECK(!s.outputs.empty(), UsageError, "a graph needs at least one output: call output(name, value)");
  std::vector<char> live(s.nodes.size(), 0);
  for (const GraphOutput& o : s.outputs)
    live[static_cast<std::size_t>(s.values[static_cast<std::size_t>(o.value)].node)] = 1;
  for (std::size_t n = s.nodes.size(); n-- > 0;) {
    if (s.ops.at(s.nodes[n].op).is_input) live[n] = 1;
    if (live[n] == 0) continue;
    for (const ValueId input : s.nodes[n].inputs)
      live[static_cast<std::size_t>(s.values[static_cast<std::size_t>(input)].node)] = 1;
  }

  auto data = std::make_shared<Graph::Data>();
  data->ops = s.ops;
  std::vector<ValueId> renamed(s.values.size(), -1);
  for (std::size_t n = 0; n < s.nodes.size(); ++n) {
    if (live[n] == 0) continue;
    Node node = s.nodes[n];
    const auto index = static_cast<std::int32_t>(data->nodes.size());
    for (ValueId& input : node.inputs) input = renamed[static_cast<std::size_t>(input)];
    for (ValueId& output : node.outputs) {
      const ValueId fresh = static_cast<ValueId>(data->values.size());
      renamed[static_cast<std::size_t>(output)] = fresh;
      Value value = s.values[static_cast<std::size_t>(output)];
      value.node = index;
      data->values.push_back(std::move(value));
      output = fresh;
    }
    if (s.ops.at(node.op).is_input) data->inputs.push_back(index);
    data->specs.push_back(s.specs[n]);
    data->nodes.push_back(std::move(node));
  }
  for (Value& value : data->values) {
    if (value.type.space >= 0) value.type.space = renamed[static_cast<std::size_t>(value.type.space)];
    if (value.type.target >= 0) value.type.target = renamed[static_cast<std::size_t>(value.type.target)];
  }
  for (const GraphOutput& o : s.outputs) data->outputs.push_back({o.name, renamed[static_cast<std::size_t>(o.value)]});
  return Graph(std::move(data));
}

}  // namespace rarefy
