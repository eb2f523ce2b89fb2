#include "compress/drop_offsets.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"
#include "compress/rewrite.h"
#include "graph/infer.h"
#include "sparse/kernel_map.h"

namespace rarefy::compress {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// The weights of all offsets follow each other: [K, C_in, C_out].
struct Layer {
  const Node* node = nullptr;
  std::int64_t in = 0, out = 0;
};

/// Readers of a map node that may lose offsets together; empty: not that map.
std::vector<Layer> layers_of(const Graph& graph, const Node& map, const std::map<std::string, int>& uses) {
  if (map.op != "kernel_map" || map.inputs[0] != map.inputs[1] || map.text("rule") != "block") return {};
  std::vector<Layer> layers;
  for (const Node& node : graph.nodes()) {
    if (std::find(node.inputs.begin(), node.inputs.end(), map.outputs[0]) == node.inputs.end()) continue;
    if (node.op != "sparse_conv" || node.integer("weight_bits") != 0) return {};
    const ParameterRef& weight = node.parameters[0];
    if (uses.at(weight.name) != 1 || !weight.view.slices.empty()) return {};
    layers.push_back({&node, graph.type(node.inputs[0]).channels, graph.type(node.outputs[0]).channels});
  }
  return layers;
}

std::vector<std::vector<std::int64_t>> offsets_of(const Graph& graph, const Node& map) {
  const int dims = graph.type(map.inputs[0]).dims;
  KernelShape shape = kernel_shape(map, dims);
  shape.dilation.fill(1);  // offsets of the attribute are before dilation
  std::vector<std::vector<std::int64_t>> offsets;
  for (std::int64_t k = 0; k < shape.volume(); ++k) {
    const Extent offset = shape.offset(k);
    offsets.emplace_back(offset.begin(), offset.begin() + dims);
  }
  return offsets;
}

/// Pairs per offset of a space onto itself.
std::vector<std::int64_t> count_pairs(const Graph& graph, const Node& map, const TensorView& sites) {
  const ValueType& space = graph.type(map.inputs[0]);
  Extent stride = to_extent(space.stride);
  Coords coords;
  make_coords(sites.as<std::int32_t>(), space.dims, stride, -1, coords);
  KernelMap pairs;
  build_kernel_map(coords, coords, kernel_shape(map, space.dims), serial_executor(), pairs);
  std::vector<std::int64_t> count(at(pairs.volume), 0);
  for (std::int64_t b = 0; b < pairs.blocks(); ++b)
    for (std::int64_t k = 0; k < pairs.volume; ++k)
      count[at(k)] += pairs.begin[at(b * pairs.volume + k + 1)] - pairs.begin[at(b * pairs.volume + k)];
  return count;
}

/// Sums of products of the columns, over at most so many rows, evenly chosen.
void add_moments(Matrix<const float> x, std::vector<double>& moments) {
  constexpr std::int64_t kRows = 4096;
  const std::int64_t step = std::max<std::int64_t>(1, x.rows / kRows);
  for (std::int64_t r = 0; r < x.rows; r += step) {
    const float* row = x.row(r);
    for (std::int64_t i = 0; i < x.cols; ++i) {
      if (row[i] == 0.0f) continue;
      for (std::int64_t j = 0; j < x.cols; ++j)
        moments[at(i * x.cols + j)] += static_cast<double>(row[i]) * row[j] * static_cast<double>(step);
    }
  }
}

/// trace(W' M W) of each offset.
std::vector<double> squares_made(const Layer& layer, const Weights& weights, const std::vector<double>& moments) {
  const Tensor tensor = weights.resolve(layer.node->parameters[0]);
  const auto w = tensor.as<float>();
  const std::int64_t volume = layer.in * layer.out;
  std::vector<double> energy;
  for (std::int64_t k = 0; k * volume < static_cast<std::int64_t>(w.size()); ++k) {
    double sum = 0;
    for (std::int64_t i = 0; i < layer.in; ++i)
      for (std::int64_t j = 0; j < layer.in; ++j) {
        double product = 0;
        const float *a = &w[at(k * volume + i * layer.out)], *b = &w[at(k * volume + j * layer.out)];
        for (std::int64_t c = 0; c < layer.out; ++c) product += static_cast<double>(a[c]) * b[c];
        sum += moments[at(i * layer.in + j)] * product;
      }
    energy.push_back(std::max(0.0, sum));
  }
  return energy;
}

OffsetGroup observe(const Model& model, const Node& map, const std::vector<Layer>& layers,
                    const std::vector<Inputs>& scans, Executor* executor) {
  const Graph& graph = model.graph();
  std::vector<std::pair<std::string, ValueId>> outputs;
  for (std::size_t l = 0; l < layers.size(); ++l) outputs.emplace_back(std::to_string(l), layers[l].node->inputs[0]);
  Session session(with_outputs(model, outputs), {.executor = executor});
  OffsetGroup group{map.name, {}, offsets_of(graph, map), {}, {}};
  const std::size_t volume = group.offsets.size();
  std::vector<std::int64_t> pairs(volume, 0);
  std::vector<std::vector<double>> moments;
  std::int64_t rows = 0, macs = 0;
  for (const Layer& layer : layers) {
    group.layers.push_back(layer.node->name);
    moments.emplace_back(at(layer.in * layer.in), 0.0);
    macs += layer.in * layer.out;
  }
  for (const Inputs& scan : scans) {
    const Outputs& found = session.run(scan);
    const std::vector<std::int64_t> counted = count_pairs(graph, map, found.coords("0"));
    for (std::size_t k = 0; k < volume; ++k) pairs[k] += counted[k];
    rows += found["0"].rows;
    for (std::size_t l = 0; l < layers.size(); ++l)
      add_moments(found[std::to_string(l)].matrix<const float>(), moments[l]);
  }
  group.energy.assign(volume, 0.0);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    std::vector<double> energy = squares_made(layers[l], model.weights(), moments[l]);
    for (std::size_t k = 0; k < volume; ++k)
      energy[k] *= static_cast<double>(pairs[k]) / std::max(1.0, static_cast<double>(rows));
    const double all = std::accumulate(energy.begin(), energy.end(), 0.0);
    for (std::size_t k = 0; k < volume; ++k) group.energy[k] += all > 0 ? energy[k] / all : 0;
  }
  for (std::size_t k = 0; k < volume; ++k) group.macs.push_back(static_cast<double>(pairs[k] * macs));
  return group;
}

/// An offset and its opposite, when the kernel has it.
struct Candidate {
  std::size_t group;
  std::vector<std::size_t> offsets;
  double energy = 0, macs = 0;
};

std::vector<Candidate> candidates_of(const std::vector<OffsetGroup>& groups) {
  std::vector<Candidate> all;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const OffsetGroup& group = groups[g];
    std::set<std::size_t> done;
    for (std::size_t k = 0; k < group.offsets.size(); ++k) {
      std::vector<std::int64_t> opposite = group.offsets[k];
      for (std::int64_t& step : opposite) step = -step;
      if (opposite == group.offsets[k] || !done.insert(k).second) continue;  // the centre stays
      Candidate c{g, {k}, 0, 0};
      const auto found = std::find(group.offsets.begin(), group.offsets.end(), opposite);
      if (found != group.offsets.end()) c.offsets.push_back(static_cast<std::size_t>(found - group.offsets.begin()));
      for (const std::size_t o : c.offsets) {
        done.insert(o);
        c.energy += group.energy[o];
        c.macs += group.macs[o];
      }
      all.push_back(std::move(c));
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.energy * std::max(1.0, b.macs) < b.energy * std::max(1.0, a.macs);
  });
  return all;
}

Tensor without(const Tensor& weight, const std::vector<std::size_t>& kept) {
  const auto from = weight.as<float>();
  const std::int64_t volume = weight.shape()[1] * weight.shape()[2];
  Tensor result(Dtype::f32, {static_cast<std::int64_t>(kept.size()), weight.shape()[1], weight.shape()[2]});
  auto to = result.mutable_as<float>().begin();
  for (const std::size_t k : kept) to = std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(k) * volume, volume, to);
  return result;
}

}  // namespace

std::vector<OffsetGroup> offset_energies(const Model& model, const std::vector<Inputs>& scans, Executor* executor) {
  RAREFY_CHECK(!scans.empty(), UsageError, "what offsets matter is seen on scans, none was given");
  std::map<std::string, int> uses;
  for (const Node& node : model.graph().nodes())
    for (const ParameterRef& p : node.parameters) ++uses[p.name];
  std::vector<OffsetGroup> groups;
  for (const Node& node : model.graph().nodes()) {
    const std::vector<Layer> layers = layers_of(model.graph(), node, uses);
    if (!layers.empty()) groups.push_back(observe(model, node, layers, scans, executor));
  }
  RAREFY_CHECK(
      !groups.empty(), UnsupportedError,
      "the model has no convolution on real numbers from a space to itself: there are no offsets to leave out");
  return groups;
}

Model drop_offsets(const Model& model, const std::vector<OffsetGroup>& groups, double ratio) {
  RAREFY_CHECK(ratio >= 0.0 && ratio < 1.0, UsageError,
               "drop offsets: the ratio is {}, expected at least 0 and less than 1 (the share of the work)", ratio);
  double all = 0;
  for (const OffsetGroup& group : groups) all = std::accumulate(group.macs.begin(), group.macs.end(), all);
  std::vector<std::set<std::size_t>> gone(groups.size());
  double left_out = 0;
  for (const Candidate& c : candidates_of(groups)) {
    if (ratio == 0.0 || left_out + c.macs > ratio * all) continue;
    left_out += c.macs;
    gone[c.group].insert(c.offsets.begin(), c.offsets.end());
  }
  Weights weights = model.weights();
  Copier copier(model.graph());
  for (const Node& node : model.graph().nodes()) {
    const auto group =
        std::find_if(groups.begin(), groups.end(), [&](const OffsetGroup& g) { return g.map == node.name; });
    const auto& out = group == groups.end() ? std::set<std::size_t>{} : gone[at(group - groups.begin())];
    if (out.empty()) {
      copier.copy(node);
      continue;
    }
    std::vector<std::size_t> kept;
    std::vector<std::int64_t> list;
    for (std::size_t k = 0; k < group->offsets.size(); ++k) {
      if (out.contains(k)) continue;
      kept.push_back(k);
      list.insert(list.end(), group->offsets[k].begin(), group->offsets[k].end());
    }
    Attributes attributes = node.attributes;
    attributes["kernel"] = std::vector<std::int64_t>{1};
    attributes["offsets"] = std::move(list);
    copier.copy(node, copier.inputs_of(node), std::move(attributes));
    for (const Node& layer : model.graph().nodes()) {
      if (std::find(group->layers.begin(), group->layers.end(), layer.name) == group->layers.end()) continue;
      const std::string& name = layer.parameters[0].name;
      RAREFY_CHECK(weights.at(name).shape()[0] == static_cast<std::int64_t>(group->offsets.size()), UsageError,
                   "drop offsets: layer '{}' has {} offsets, {} were observed: these are of another model", layer.name,
                   weights.at(name).shape()[0], group->offsets.size());
      weights.set(name, without(weights.resolve({name, {}}), kept));
    }
  }
  for (const GraphOutput& o : model.graph().outputs()) copier.builder.output(o.name, copier.at(o.value));
  Model result(copier.builder.build(), std::move(weights), model.pipeline());
  result.notes = model.notes;
  return result;
}

}  // namespace rarefy::compress
