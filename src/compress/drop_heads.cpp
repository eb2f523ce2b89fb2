#include "compress/drop_heads.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "compress/rewrite.h"

namespace rarefy::compress {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// One attention and the layers around it, as numbers of nodes.
struct Attention {
  std::int32_t node = -1;
  std::int32_t q = -1, k = -1, v = -1, projection = -1;
  std::vector<std::int32_t> lookers;  ///< that compare queries and keys by head, too
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(graph.values().size()) {
    for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
      for (const ValueId v : graph.nodes()[n].inputs) readers_[at(v)].push_back(static_cast<std::int32_t>(n));
      for (const ParameterRef& p : graph.nodes()[n].parameters) ++uses_[p.name];
    }
    for (const GraphOutput& o : graph.outputs()) readers_[at(o.value)].push_back(-1);
  }

  std::vector<Attention> all() const {
    std::vector<Attention> found;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n)
      if (graph_.nodes()[n].op == "attention")
        if (auto a = attention_at(static_cast<std::int32_t>(n))) found.push_back(std::move(*a));
    return found;
  }

 private:
  bool own_layer(std::int32_t n) const {
    const Node& node = graph_.nodes()[at(n)];
    return node.op == "linear" && std::all_of(node.parameters.begin(), node.parameters.end(),
                                              [&](const ParameterRef& p) { return uses_.at(p.name) == 1; });
  }
  /// Whether all that read a value can do with fewer heads.
  bool narrows(ValueId value, Attention& a) const {
    for (const std::int32_t reader : readers_[at(value)]) {
      if (reader == a.node) continue;
      if (reader < 0) return false;
      const std::string& op = graph_.nodes()[at(reader)].op;
      if (op != "attention_scores" && op != "match_tokens") return false;
      a.lookers.push_back(reader);
    }
    return true;
  }
  std::optional<Attention> attention_at(std::int32_t n) const {
    const Node& node = graph_.nodes()[at(n)];
    const auto maker = [&](std::size_t i) { return graph_.values()[at(node.inputs[i])].node; };
    Attention a{n, maker(0), maker(1), maker(2), -1, {}};
    const auto& out = readers_[at(node.outputs[0])];
    if (out.size() != 1 || out[0] < 0) return {};
    a.projection = out[0];
    for (const std::int32_t layer : {a.q, a.k, a.v, a.projection})
      if (!own_layer(layer)) return {};
    if (readers_[at(node.inputs[2])].size() != 1) return {};
    if (!narrows(node.inputs[0], a) || !narrows(node.inputs[1], a)) return {};
    return a;
  }

  const Graph& graph_;
  std::vector<std::vector<std::int32_t>> readers_;  ///< by value; -1: it is an output
  std::map<std::string, int> uses_;
};

/// The attentions that are named. @throws UsageError for a name that is none of them
std::vector<std::pair<Attention, const HeadChoice*>> named(const Model& model,
                                                           const std::map<std::string, HeadChoice>& choice) {
  const Graph& graph = model.graph();
  std::vector<std::pair<Attention, const HeadChoice*>> found;
  std::vector<std::string> known;
  for (Attention& a : Finder(graph).all()) {
    const Node& node = graph.nodes()[at(a.node)];
    known.push_back(node.name);
    const auto wanted = choice.find(node.name);
    if (wanted == choice.end()) continue;
    const std::int64_t heads = node.integer("heads");
    std::vector<std::int64_t> sorted = wanted->second.order, numbers(at(heads));
    std::sort(sorted.begin(), sorted.end());
    std::iota(numbers.begin(), numbers.end(), std::int64_t{0});
    RAREFY_CHECK(sorted == numbers, UsageError, "heads of '{}': the order must name each of its {} heads once",
                 node.name, heads);
    RAREFY_CHECK(wanted->second.keep >= 1 && wanted->second.keep <= heads, UsageError,
                 "heads of '{}': {} are to stay, expected 1 to {}", node.name, wanted->second.keep, heads);
    found.emplace_back(std::move(a), &wanted->second);
  }
  for (const auto& [name, unused] : choice)
    RAREFY_CHECK(std::find(known.begin(), known.end(), name) != known.end(), UsageError,
                 "'{}' is no attention whose heads can be chosen{}", name, did_you_mean(name, known));
  return found;
}

/// Groups of `group` consecutive entries along an axis of a matrix (or vector), in another order.
Tensor reordered(const Tensor& from, std::size_t axis, const std::vector<std::int64_t>& order) {
  const auto& shape = from.shape();
  const std::int64_t group = shape[axis] / static_cast<std::int64_t>(order.size());
  std::int64_t inner = 1;
  for (std::size_t a = axis + 1; a < shape.size(); ++a) inner *= shape[a];
  const std::int64_t run = group * inner, outer = from.size() / (run * static_cast<std::int64_t>(order.size()));
  Tensor result(Dtype::f32, shape);
  const auto source = from.as<float>();
  auto to = result.mutable_as<float>().begin();
  for (std::int64_t o = 0; o < outer; ++o)
    for (const std::int64_t head : order)
      to = std::copy_n(
          source.begin() + static_cast<std::ptrdiff_t>((o * static_cast<std::int64_t>(order.size()) + head) * run), run,
          to);
  return result;
}

/// The first `size` of an axis of what the parameter is now.
ParameterRef narrowed(ParameterRef ref, std::vector<std::int64_t> shape, std::size_t axis, std::int64_t size) {
  if (ref.view.empty())
    for (const std::int64_t extent : shape) ref.view.slices.push_back({0, extent});
  ref.view.slices[axis].end = ref.view.slices[axis].begin + size;
  return ref;
}

/// Numbers of the largest values first; of equal ones the lower number.
std::vector<std::int64_t> by_size(const std::vector<double>& values) {
  std::vector<std::int64_t> order(values.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t i, std::int64_t j) { return values[at(i)] > values[at(j)]; });
  return order;
}

/// Importance over the blocks so far, and the heads that are left.
struct Cascade {
  std::vector<double> sum;
  std::vector<std::int64_t> order;  ///< those that are left come first
  std::int64_t alive = 0;

  /// The heads of the next block from the most to the least important. The first block knows no other than itself, and
  /// so does one with another number of heads.
  std::vector<std::int64_t> next(const std::vector<double>& own, std::int64_t keep) {
    if (order.size() != own.size()) {
      sum.assign(own.size(), 0.0);
      order = by_size(own);
      alive = static_cast<std::int64_t>(own.size());
    } else {
      std::stable_sort(order.begin(), order.begin() + alive,
                       [&](std::int64_t i, std::int64_t j) { return sum[at(i)] > sum[at(j)]; });
    }
    alive = std::min(alive, keep);
    for (std::size_t h = 0; h < own.size(); ++h) sum[h] += own[h];
    return order;
  }
};

std::int64_t heads_left(std::size_t block, std::size_t blocks, std::int64_t heads, double ratio) {
  const double all = static_cast<double>(blocks), dense = std::ceil(0.3 * all);
  const double depth = all > dense ? (static_cast<double>(block) + 1 - dense) / (all - dense) : 1.0;
  const double left = (1.0 - ratio * std::clamp(depth, 0.0, 1.0)) * static_cast<double>(heads);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(left - 1e-9)), 1, heads);
}

Model remade(const Model& model, Copier& copier, Weights weights) {
  for (const GraphOutput& o : model.graph().outputs()) copier.builder.output(o.name, copier.at(o.value));
  Model result(copier.builder.build(), std::move(weights), model.pipeline());
  result.notes = model.notes;
  return result;
}

}  // namespace

std::vector<HeadScores> head_magnitudes(const Model& model, const std::vector<Inputs>& inputs, Executor* executor) {
  RAREFY_CHECK(!inputs.empty(), UsageError, "which heads matter is seen on inputs, none was given");
  const Graph& graph = model.graph();
  std::vector<HeadScores> scores;
  std::vector<std::pair<std::string, ValueId>> outputs;
  for (const Attention& a : Finder(graph).all()) {
    const Node& node = graph.nodes()[at(a.node)];
    scores.push_back({node.name, std::vector<double>(at(node.integer("heads")), 0.0)});
    outputs.emplace_back(node.name, node.outputs[0]);
  }
  RAREFY_CHECK(!scores.empty(), UnsupportedError,
               "the model has no attention between linear layers of its own: there are no heads to leave out (of a "
               "quantized model: choose heads before quantizing)");
  Session session(with_outputs(model, outputs), {.executor = executor});
  std::vector<std::int64_t> rows(scores.size(), 0);
  for (const Inputs& input : inputs) {
    const Outputs& found = session.run(input);
    for (std::size_t s = 0; s < scores.size(); ++s) {
      const auto y = found[scores[s].attention].matrix<const float>();
      auto& sums = scores[s].magnitude;
      const std::int64_t channels = y.cols / static_cast<std::int64_t>(sums.size());
      for (std::int64_t r = 0; r < y.rows; ++r)
        for (std::int64_t c = 0; c < y.cols; ++c) sums[at(c / channels)] += std::abs(static_cast<double>(y(r, c)));
      rows[s] += y.rows;
    }
  }
  for (std::size_t s = 0; s < scores.size(); ++s)
    for (double& m : scores[s].magnitude) m /= static_cast<double>(std::max<std::int64_t>(1, rows[s]));
  return scores;
}

std::map<std::string, HeadChoice> choose_heads(const std::vector<HeadScores>& scores, const DropHeadsOptions& options) {
  RAREFY_CHECK(options.ratio >= 0.0 && options.ratio < 1.0, UsageError,
               "drop heads: the ratio is {}, expected at least 0 and less than 1 (the share that the last block loses)",
               options.ratio);
  Cascade cascade;
  std::map<std::string, HeadChoice> result;
  for (std::size_t b = 0; b < scores.size(); ++b) {
    const auto& own = scores[b].magnitude;
    const std::int64_t keep = heads_left(b, scores.size(), static_cast<std::int64_t>(own.size()), options.ratio);
    HeadChoice& choice = result[scores[b].attention];
    choice = {cascade.next(own, keep), keep};
    if (options.rule == HeadRule::block) choice.order = by_size(own);
  }
  return result;
}

Model sort_heads(const Model& model, const std::map<std::string, HeadChoice>& choice) {
  const auto& nodes = model.graph().nodes();
  Weights weights = model.weights();
  const auto sort = [&](const ParameterRef& ref, std::size_t axis, const HeadChoice& how) {
    RAREFY_CHECK(ref.view.empty(), UsageError,
                 "parameter '{}' is a part already: sort the heads of the model that it was made from", ref.name);
    RAREFY_CHECK(weights.at(ref.name).dtype() == Dtype::f32, UnsupportedError,
                 "parameter '{}' is {}: choose heads before weights get fewer bits", ref.name,
                 name(weights.at(ref.name).dtype()));
    weights.set(ref.name, reordered(weights.resolve(ref), axis, how.order));
  };
  for (const auto& [a, how] : named(model, choice)) {
    for (const std::int32_t layer : {a.q, a.k, a.v}) {
      const auto& parameters = nodes[at(layer)].parameters;
      sort(parameters[0], 1, *how);
      if (parameters.size() > 1) sort(parameters[1], 0, *how);
    }
    sort(nodes[at(a.projection)].parameters[0], 0, *how);
  }
  Model result(model.graph(), std::move(weights), model.pipeline());
  result.notes = model.notes;
  return result;
}

Model keep_heads(const Model& sorted, const std::map<std::string, HeadChoice>& choice) {
  const Graph& graph = sorted.graph();
  enum class Change : std::uint8_t { none, heads, produces, consumes };
  struct Part {
    Change change = Change::none;
    std::int64_t keep = 0, heads = 1;
  };
  std::vector<Part> parts(graph.nodes().size());
  for (const auto& [a, how] : named(sorted, choice)) {
    const std::int64_t heads = graph.nodes()[at(a.node)].integer("heads");
    if (how->keep == heads) continue;
    for (const std::int32_t n : {a.q, a.k, a.v}) parts[at(n)] = {Change::produces, how->keep, heads};
    parts[at(a.projection)] = {Change::consumes, how->keep, heads};
    parts[at(a.node)] = {Change::heads, how->keep, heads};
    for (const std::int32_t n : a.lookers) parts[at(n)] = {Change::heads, how->keep, heads};
  }
  Copier copier(graph);
  for (std::size_t n = 0; n < parts.size(); ++n) {
    Node node = graph.nodes()[n];
    const Part& part = parts[n];
    const auto shapes = graph.parameter_shapes(graph.nodes()[n]);
    if (part.change == Change::heads) node.attributes["heads"] = part.keep;
    if (part.change == Change::produces) {
      const std::int64_t channels = node.integer("channels") / part.heads * part.keep;
      node.attributes["channels"] = channels;
      node.parameters[0] = narrowed(node.parameters[0], shapes[0], 1, channels);
      if (node.parameters.size() > 1) node.parameters[1] = narrowed(node.parameters[1], shapes[1], 0, channels);
    }
    if (part.change == Change::consumes)
      node.parameters[0] = narrowed(node.parameters[0], shapes[0], 0, shapes[0][0] / part.heads * part.keep);
    copier.copy(node);
  }
  return remade(sorted, copier, sorted.weights());
}

Model drop_heads(const Model& model, const std::map<std::string, HeadChoice>& choice) {
  std::map<std::string, HeadChoice> changed;  // blocks that lose none stay as they are
  for (const auto& [attention, how] : choice)
    if (how.keep < static_cast<std::int64_t>(how.order.size())) changed.emplace(attention, how);
  (void)named(model, choice);
  return keep_heads(sort_heads(model, changed), changed);
}

}  // namespace rarefy::compress
