#include "oracle/graph.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/infer.h"
#include "oracle/machine.h"
#include "oracle/rows.h"
#include "oracle/sparse.h"

namespace rarefy::oracle {
namespace {

using std::erf;
using std::exp;
using std::expm1;
using std::log1p;
using std::tanh;

struct Machine : MachineState {
  void input(const Node& node, const OpExample::Data& data) {
    Space& space = spaces[node.outputs[0]];
    space.rows = data.rows;
    space.dims = graph.type(node.outputs[0]).dims;
    Result x{data.rows, data.cols, {}, {}};
    if (node.op == "input_points") {
      space.sample_begin = data.sample_begin.empty() ? std::vector<std::int64_t>{0, data.rows} : data.sample_begin;
      space.samples = static_cast<std::int64_t>(space.sample_begin.size()) - 1;
      x.values.assign(data.values.begin(), data.values.end());
    } else {
      space.samples = data.batches;
      std::map<Site, std::int64_t> order;
      for (std::int64_t r = 0; r < data.rows; ++r) {
        Site site{};
        for (int a = 0; a <= space.dims; ++a)
          site[static_cast<std::size_t>(a)] = data.coords[static_cast<std::size_t>(r * (1 + space.dims) + a)];
        order[site] = r;
        space.samples = std::max(space.samples, site[0] + 1);
      }
      space.samples = std::max(space.samples, data.batches);
      for (const auto& [site, r] : order) {
        space.sites.push_back(site);
        for (std::int64_t c = 0; c < data.cols; ++c)
          x.values.push_back(data.values[static_cast<std::size_t>(r * data.cols + c)]);
      }
    }
    features[node.outputs[1]] = x;
  }

  Extent stride_of(ValueId space) { return to_extent(graph.type(space).stride); }

  void voxelize_points(const Node& node) {
    const Result& x = features.at(node.inputs[0]);
    std::vector<float> points(x.values.begin(), x.values.end());
    VoxelizeOptions options;
    const auto& size = node.numbers("voxel_size");
    options.dims = static_cast<int>(size.size());
    for (std::size_t a = 0; a < size.size(); ++a) options.voxel_size[a] = static_cast<float>(size[a]);
    for (std::size_t a = 0; a < node.numbers("crop_min").size(); ++a)
      options.crop_min[a] = static_cast<float>(node.numbers("crop_min")[a]);
    for (std::size_t a = 0; a < node.numbers("crop_max").size(); ++a)
      options.crop_max[a] = static_cast<float>(node.numbers("crop_max")[a]);
    set_rounding(node.text("rounding"), options);
    const VoxelMap map = voxelize({points.data(), x.rows, x.cols}, space_of(node.inputs[0]).sample_begin, options);
    Space& space = spaces[node.outputs[0]];
    space.dims = options.dims;
    space.samples = space_of(node.inputs[0]).samples;
    auto& index = indices[node.outputs[1]];
    index.assign(static_cast<std::size_t>(x.rows), -1);
    for (const auto& [site, members] : map.voxels) {
      for (const std::int64_t p : members) index[static_cast<std::size_t>(p)] = space.rows;
      space.sites.push_back(site);
      ++space.rows;
    }
  }

  void reduce_points(const Node& node) {
    const Result& x = features.at(node.inputs[0]);
    const auto& index = indices.at(node.inputs[1]);
    Result y = blank(node.outputs[0]);
    std::vector<int> count(static_cast<std::size_t>(y.rows), 0);
    const std::string& how = node.text("reduction");
    for (std::int64_t p = 0; p < x.rows; ++p) {
      const std::int64_t v = index[static_cast<std::size_t>(p)];
      if (v < 0) continue;
      const int seen = count[static_cast<std::size_t>(v)]++;
      for (std::int64_t c = 0; c < x.cols; ++c) {
        double& to = y.values[static_cast<std::size_t>(v * x.cols + c)];
        const double from = x.values[static_cast<std::size_t>(p * x.cols + c)];
        if (how == "mean" || how == "sum")
          to += from;
        else if (seen == 0)
          to = from;
        else if (how == "max")
          to = std::max(to, from);
      }
    }
    if (how == "mean")
      for (std::int64_t i = 0; i < y.rows * y.cols; ++i)
        y.values[static_cast<std::size_t>(i)] /= std::max(1, count[static_cast<std::size_t>(i / y.cols)]);
    features[node.outputs[0]] = y;
  }

  /// Groups: of a depthwise convolution as many as channels; its weights [K, C] are [K, 1, C].
  void convolve(const Node& node, const std::vector<Pair>& pairs) {
    const Result& x = features.at(node.inputs[0]);
    const std::int64_t channels = graph.type(node.outputs[0]).channels;
    const std::int64_t groups = node.op == "grouped_conv"     ? node.integer("groups")
                                : node.op == "depthwise_conv" ? channels
                                                              : 1;
    std::vector<double> w = parameter(node, 0);
    if (node.op == "sparse_conv" || node.op == "linear") round_to_bits(w, channels, node.integer("weight_bits"));
    Result y = grouped_conv(x, pairs, w, groups, space_of(node.outputs[0]).rows, channels);
    if (node.parameters.size() > 1) {
      const std::vector<double> bias = parameter(node, 1);
      for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += bias[i % bias.size()];
    }
    features[node.outputs[0]] = y;
  }

  /// Symmetric integers times a scale per column, rounded as float32 numbers are.
  static void round_to_bits(std::vector<double>& w, std::int64_t cols, std::int64_t bits) {
    if (bits == 0) return;
    const auto steps = static_cast<float>((1 << (bits - 1)) - 1);
    std::vector<float> largest(static_cast<std::size_t>(cols), 0.0f);
    for (std::size_t i = 0; i < w.size(); ++i)
      largest[i % largest.size()] = std::max(largest[i % largest.size()], std::abs(static_cast<float>(w[i])));
    for (std::size_t i = 0; i < w.size(); ++i) {
      const float scale = largest[i % largest.size()] > 0.0f ? largest[i % largest.size()] / steps : 1.0f;
      w[i] = static_cast<double>(std::nearbyint(static_cast<float>(w[i]) / scale)) * scale;
    }
  }

  void quantize(const Node& node) {
    Result y = features.at(node.inputs[0]);
    const auto scale = static_cast<float>(parameter(node, 0)[0]);
    const std::int64_t bits = node.integer("bits");
    const double low = node.integer("has_sign") != 0 ? -static_cast<double>((1 << (bits - 1)) - 1) : 0.0;
    const double high = static_cast<double>((1 << (node.integer("has_sign") != 0 ? bits - 1 : bits)) - 1);
    for (double& v : y.values) {
      const float steps = static_cast<float>(v) * (1.0f / scale);
      v = std::min(std::max(std::nearbyint(static_cast<double>(steps)), low), high) * scale;
    }
    features[node.outputs[0]] = y;
  }

  void pool_pairs(const Node& node) {
    std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(space_of(node.outputs[0]).rows));
    for (const Pair& p : maps.at(node.inputs[1])) members[static_cast<std::size_t>(p.out)].push_back(p.in);
    features[node.outputs[0]] = pool(features.at(node.inputs[0]), members, node.text("reduction"));
  }

  void pool_all(const Node& node) {
    const Space& rows = space_of(node.inputs[0]);
    std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(rows.samples));
    for (std::int64_t r = 0; r < rows.rows; ++r) members[static_cast<std::size_t>(rows.sample_of(r))].push_back(r);
    features[node.outputs[0]] = pool(features.at(node.inputs[0]), members, node.text("reduction"));
  }

  void spread(const Node& node) {
    const Space& rows = spaces.at(node.inputs[1]);
    std::vector<std::int64_t> index;
    for (std::int64_t r = 0; r < rows.rows; ++r) index.push_back(rows.sample_of(r));
    features[node.outputs[0]] = pick(features.at(node.inputs[0]), index, 0.0);
  }

  void count_samples(const Node& node) {
    Space samples;
    samples.rows = samples.samples = spaces.at(node.inputs[0]).samples;
    for (std::int64_t s = 0; s <= samples.rows; ++s) samples.sample_begin.push_back(s);
    spaces[node.outputs[0]] = samples;
  }

  void join_sites(const Node& node) {
    const Space &a = spaces.at(node.inputs[0]), &b = spaces.at(node.inputs[1]);
    const Joined joined = join(a.sites, b.sites, node.op == "site_intersection");
    Space out;
    out.dims = a.dims;
    out.samples = std::max(a.samples, b.samples);
    out.sites = joined.sites;
    out.rows = static_cast<std::int64_t>(out.sites.size());
    spaces[node.outputs[0]] = out;
    indices[node.outputs[1]] = joined.in_a;
    indices[node.outputs[2]] = joined.in_b;
  }

  void select_rows(const Node& node) {
    const Space& from = spaces.at(node.inputs[1]);
    const Result& scores = features.at(node.inputs[0]);
    auto &kept = indices[node.outputs[1]], &place = indices[node.outputs[2]];
    Space out;
    out.dims = from.dims;
    out.samples = from.samples;
    std::vector<std::int64_t> count(static_cast<std::size_t>(from.samples), 0);
    for (std::int64_t r = 0; r < from.rows; ++r) {
      const std::int64_t sample = from.sample_of(r);
      std::int64_t place_in_sample = 0;
      for (std::int64_t other = 0; other < r; ++other) place_in_sample += from.sample_of(other) == sample ? 1 : 0;
      const bool stays = place_in_sample < node.integer("leading") ||
                         scores.values[static_cast<std::size_t>(r)] > node.number("threshold");
      place.push_back(stays ? out.rows : -1);
      if (!stays) continue;
      kept.push_back(r);
      ++out.rows;
      ++count[static_cast<std::size_t>(from.sample_of(r))];
      if (out.dims > 0) out.sites.push_back(from.sites[static_cast<std::size_t>(r)]);
    }
    out.sample_begin.push_back(0);
    for (const std::int64_t c : count) out.sample_begin.push_back(out.sample_begin.back() + c);
    spaces[node.outputs[0]] = out;
  }

  void normalise(const Node& node) {
    Result y = features.at(node.inputs[0]);
    const auto gamma = parameter(node, 0), beta = parameter(node, 1), mean = parameter(node, 2),
               variance = parameter(node, 3);
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      const std::size_t c = i % gamma.size();
      y.values[i] = (y.values[i] - mean[c]) / std::sqrt(variance[c] + node.number("epsilon")) * gamma[c] + beta[c];
    }
    features[node.outputs[0]] = y;
  }

  void concatenate(const Node& node) {
    Result y = blank(node.outputs[0]);
    y.values.clear();
    for (std::int64_t r = 0; r < y.rows; ++r)
      for (const ValueId input : node.inputs) {
        const Result& x = features.at(input);
        y.values.insert(y.values.end(), x.values.begin() + r * x.cols, x.values.begin() + (r + 1) * x.cols);
      }
    features[node.outputs[0]] = y;
  }

  void gather_back(const Node& node) {
    features[node.outputs[0]] = pick(features.at(node.inputs[0]), indices.at(node.inputs[1]), node.number("fill"));
  }

  void largest(const Node& node) {
    const Result& x = features.at(node.inputs[0]);
    Result y = blank(node.outputs[0]);
    for (std::int64_t r = 0; r < x.rows; ++r) {
      const auto row = x.values.begin() + r * x.cols;
      y.values[static_cast<std::size_t>(r)] = static_cast<double>(std::max_element(row, row + x.cols) - row);
    }
    features[node.outputs[0]] = y;
  }

  void columns(const Node& node) {
    const Result& x = features.at(node.inputs[0]);
    Result y = blank(node.outputs[0]);
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t c = 0; c < y.cols; ++c) {
        const auto i = static_cast<std::size_t>(c);
        y.values[static_cast<std::size_t>(r * y.cols + c)] =
            (x.values[static_cast<std::size_t>(r * x.cols + node.integers("columns")[i])] - node.numbers("offset")[i]) *
            node.numbers("scale")[i];
      }
    features[node.outputs[0]] = y;
  }

  bool elementwise(const Node& node) {
    Result y = features.count(node.inputs[0]) != 0 ? features.at(node.inputs[0]) : Result{};
    [[maybe_unused]] const double alpha = node.attributes.count("alpha") != 0 ? node.number("alpha") : 0.0;
#define RAREFY_UNARY(op_name, unused_alpha, forward, derivative, doc) \
  if (node.op == #op_name) {                                          \
    for (double& value : y.values) {                                  \
      const double x = value;                                         \
      value = forward;                                                \
    }                                                                 \
    features[node.outputs[0]] = y;                                    \
    return true;                                                      \
  }
#define RAREFY_BINARY(op_name, forward, derivative_a, derivative_b, doc) \
  if (node.op == #op_name) {                                             \
    const Result& other = features.at(node.inputs[1]);                   \
    for (std::size_t i = 0; i < y.values.size(); ++i) {                  \
      const double a = y.values[i], b = other.values[i];                 \
      y.values[i] = forward;                                             \
    }                                                                    \
    features[node.outputs[0]] = y;                                       \
    return true;                                                         \
  }
#include "graph/elementwise.inc"
#undef RAREFY_UNARY
#undef RAREFY_BINARY
    return false;
  }

  void geometry(const Node& node) {
    const ValueId from = node.inputs[0];
    if (node.op == "samples") return count_samples(node);
    if (node.op == "site_union" || node.op == "site_intersection") return join_sites(node);
    if (node.op == "transpose_map") {
      auto& pairs = maps[node.outputs[0]];
      for (const Pair& p : maps.at(from)) pairs.push_back({0, p.offset, p.in, p.out});
      return;
    }
    const Space& in = spaces.at(from);
    const KernelShape kernel = kernel_shape(node, in.dims);
    if (node.op == "kernel_map") {
      maps[node.outputs[0]] = kernel_pairs(in.sites, spaces.at(node.inputs[1]).sites, kernel, stride_of(from));
      return;
    }
    Space out;
    out.dims = in.dims;
    out.samples = in.samples;
    out.sites = node.op == "downsample" ? downsample(in.sites, kernel, stride_of(from))
                                        : generate(in.sites, kernel, stride_of(from));
    out.rows = static_cast<std::int64_t>(out.sites.size());
    spaces[node.outputs[0]] = out;
  }

  void step(const Node& node) {
    if (run_point_voxel_op(*this, node) || run_norm_op(*this, node) || run_dense_op(*this, node) ||
        run_token_op(*this, node) || run_window_op(*this, node) || run_selection_op(*this, node))
      return;
    if (node.op == "voxelize") return voxelize_points(node);
    if (graph.ops().at(node.op).geometry) return geometry(node);
    if (node.op == "reduce") return reduce_points(node);
    if (node.op == "sparse_conv" || node.op == "grouped_conv" || node.op == "depthwise_conv")
      return convolve(node, maps.at(node.inputs[1]));
    if (node.op == "pool") return pool_pairs(node);
    if (node.op == "global_pool") return pool_all(node);
    if (node.op == "broadcast") return spread(node);
    if (node.op == "select") return select_rows(node);
    if (node.op == "linear") {
      std::vector<Pair> rows;
      for (std::int64_t r = 0; r < features.at(node.inputs[0]).rows; ++r) rows.push_back({0, 0, r, r});
      return convolve(node, rows);
    }
    if (node.op == "batch_norm") return normalise(node);
    if (node.op == "concat") return concatenate(node);
    if (node.op == "quantize") return quantize(node);
    if (node.op == "gather") return gather_back(node);
    if (node.op == "argmax") return largest(node);
    if (node.op == "select_columns") return columns(node);
    if (!elementwise(node)) fail<UnsupportedError>("the graph oracle does not know op '{}'", node.op);
  }
};

}  // namespace

std::map<std::string, Result> run(const Graph& graph, const Weights& weights,
                                  const std::vector<OpExample::Data>& inputs) {
  Machine machine{{graph, weights, {}, {}, {}, {}, {}}};
  std::size_t next = 0;
  for (const Node& node : graph.nodes()) {
    if (graph.ops().at(node.op).is_input)
      machine.input(node, inputs.at(next++));
    else
      machine.step(node);
  }
  std::map<std::string, Result> results;
  const auto keep = [&](const std::string& name, ValueId value) {
    Result result = machine.features.at(value);
    const Space& space = machine.space_of(value);
    for (const Site& site : space.sites)
      for (int a = 0; a <= space.dims; ++a)
        result.coords.push_back(static_cast<std::int32_t>(site[static_cast<std::size_t>(a)]));
    results[name] = std::move(result);
  };
  for (const auto& [value, unused] : machine.features) {
    const Value& v = graph.values()[static_cast<std::size_t>(value)];
    const std::string& node = graph.producer(value).name;
    keep(v.output == 0 ? node : node + ":" + std::to_string(v.output), value);
  }
  for (const GraphOutput& o : graph.outputs())
    if (machine.features.count(o.value) != 0) keep("=" + o.name, o.value);
  return results;
}

}  // namespace rarefy::oracle
