#include "compress/score_voxels.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "compress/rewrite.h"

namespace rarefy::compress {
namespace {

/// Sums of a linear regression with a constant term; the constant is the last unknown.
class Regression {
 public:
  explicit Regression(std::size_t features = 0)
      : unknowns_(features + 1), squares_(unknowns_ * unknowns_, 0.0), products_(unknowns_, 0.0) {}

  void add(const float* x, double wanted) {
    std::vector<double>& row = row_;
    row.assign(x, x + unknowns_ - 1);
    row.push_back(1.0);
    for (std::size_t i = 0; i < unknowns_; ++i) {
      if (row[i] == 0.0) continue;  // features behind a ReLU are often zero
      for (std::size_t j = 0; j <= i; ++j) squares_[i * unknowns_ + j] += row[i] * row[j];
      products_[i] += row[i] * wanted;
    }
  }

  /// Least squares with a small ridge, by Cholesky's decomposition.
  LinearScore solve() const {
    std::vector<double> l = squares_;
    const std::size_t n = unknowns_;
    double trace = 0;
    for (std::size_t i = 0; i < n; ++i) trace += l[i * n + i];
    const double ridge = 1e-4 * trace / static_cast<double>(n) + 1e-12;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = l[i * n + j] + (i == j ? ridge : 0.0);
        for (std::size_t k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
        l[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-300)) : sum / l[j * n + j];
      }
    }
    std::vector<double> w = products_;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < i; ++k) w[i] -= l[i * n + k] * w[k];
      w[i] /= l[i * n + i];
    }
    for (std::size_t i = n; i-- > 0;) {
      for (std::size_t k = i + 1; k < n; ++k) w[i] -= l[k * n + i] * w[k];
      w[i] /= l[i * n + i];
    }
    LinearScore score;
    for (std::size_t i = 0; i + 1 < n; ++i) score.weight.push_back(static_cast<float>(w[i]));
    score.bias = static_cast<float>(w[n - 1]);
    score.deviation = static_cast<float>(deviation(w));
    return score;
  }

 private:
  /// Of the predictions, from the same sums.
  double deviation(const std::vector<double>& w) const {
    const std::size_t n = unknowns_;
    const double rows = squares_[n * n - 1];
    if (rows <= 0) return 0;
    double square = 0, sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      sum += w[i] * squares_[(n - 1) * n + i];
      for (std::size_t j = 0; j < n; ++j) square += w[i] * w[j] * squares_[std::max(i, j) * n + std::min(i, j)];
    }
    return std::sqrt(std::max(0.0, square / rows - sum / rows * (sum / rows)));
  }

  std::size_t unknowns_;
  std::vector<double> squares_;  ///< lower triangle
  std::vector<double> products_;
  std::vector<double> row_;
};

/// The blocks of one stage.
struct Stage {
  std::string name;
  ValueId x = -1;
  std::vector<ValueId> branches;  ///< what each block adds
};

std::vector<Stage> stages_of(const Graph& graph) {
  std::vector<Stage> stages;
  for (const ResidualBlock& block : residual_blocks(graph)) {
    if (stages.empty() || stages.back().name != block.stage) stages.push_back({block.stage, block.x, {}});
    const Node& last = graph.nodes()[static_cast<std::size_t>(block.branch.back())];
    stages.back().branches.push_back(last.outputs[0]);
  }
  return stages;
}

/// The model with the outputs "x", "0", "1", ... (what each block adds), and for cells "instead0", "instead1", ...
Model observed(const Model& model, const Stage& stage, const DropVoxelsOptions& options) {
  Copier copier(model.graph());
  for (const Node& node : model.graph().nodes()) copier.copy(node);
  GraphBuilder& b = copier.builder;
  b.output("x", copier.at(stage.x));
  const ValueId rows = copier.at(model.graph().type(stage.x).space);
  const bool cells = options.surroundings == Surroundings::cells;
  ValueId cell_of_row = -1;
  if (cells) {
    const std::vector<std::int64_t> edge{options.cell};
    const ValueId space = b.add("downsample", {rows}, {{"kernel", edge}, {"stride", edge}}, "observed.cells")[0];
    cell_of_row = b.add("locate", {rows, space}, {}, "observed.cell_of_row")[0];
  }
  for (std::size_t i = 0; i < stage.branches.size(); ++i) {
    const ValueId branch = copier.at(stage.branches[i]);
    b.output(std::to_string(i), branch);
    if (!cells) continue;
    const std::string name = "observed.mean" + std::to_string(i);
    const ValueId mean = b.add("reduce", {branch, cell_of_row}, {{"reduction", std::string("mean")}}, name)[0];
    b.output("instead" + std::to_string(i), b.add("gather", {mean, cell_of_row}, {}, name + ".back")[0]);
  }
  return Model(b.build(), model.weights(), model.pipeline());
}

void observe(const Outputs& found, const Stage& stage, bool cells, Regression& regression) {
  const auto x = found["x"].matrix<const float>();
  for (std::int64_t r = 0; r < x.rows; ++r) {
    double wanted = 0;
    for (std::size_t b = 0; b < stage.branches.size(); ++b) {
      const auto branch = found[std::to_string(b)].matrix<const float>();
      const auto instead = cells ? found["instead" + std::to_string(b)].matrix<const float>() : branch;
      double sum = 0;
      for (std::int64_t c = 0; c < branch.cols; ++c)
        sum += std::abs(static_cast<double>(branch(r, c)) - (cells ? static_cast<double>(instead(r, c)) : 0.0));
      wanted += sum / static_cast<double>(std::max<std::int64_t>(1, branch.cols));
    }
    if (std::isfinite(wanted)) regression.add(x.row(r), wanted);
  }
}

/// By name of a selection: the score that its share of the rows of all scans together does not exceed.
std::map<std::string, double> thresholds_by_node(const Model& dropped, const std::vector<Inputs>& scans,
                                                 Executor* executor) {
  std::vector<std::pair<std::string, ValueId>> outputs;
  std::map<std::string, double> share;
  for (const Node& node : dropped.graph().nodes()) {
    if (node.op != "select_best") continue;
    outputs.emplace_back(node.name, node.inputs[0]);
    share[node.name] = 1.0 - node.number("share");
  }
  Session session(with_outputs(dropped, outputs), {.executor = executor});
  std::map<std::string, std::vector<float>> scores;
  for (const Inputs& scan : scans) {
    const Outputs& found = session.run(scan);
    for (const auto& [name, unused] : outputs) {
      const auto values = found[name].as<float>();
      scores[name].insert(scores[name].end(), values.begin(), values.end());
    }
  }
  std::map<std::string, double> by_node;
  for (auto& [name, values] : scores) {
    if (values.empty()) continue;
    const auto last = static_cast<std::ptrdiff_t>(share[name] * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), values.begin() + last, values.end());
    by_node[name] = values[static_cast<std::size_t>(last)];
  }
  return by_node;
}

}  // namespace

std::map<std::string, LinearScore> learn_scores(const Model& model, const std::vector<Inputs>& scans,
                                                Executor* executor, const DropVoxelsOptions& options) {
  RAREFY_CHECK(!scans.empty(), UsageError, "scores are learned from scans, none was given");
  const std::vector<Stage> stages = stages_of(model.graph());
  RAREFY_CHECK(!stages.empty(), UnsupportedError, "the model has no residual block around which voxels could be led");
  std::map<std::string, LinearScore> scores;
  for (const Stage& stage : stages) {  // one after another: their features would not fit side by side
    Session session(observed(model, stage, options), {.executor = executor});
    Regression regression(static_cast<std::size_t>(model.graph().type(stage.x).channels));
    for (const Inputs& scan : scans)
      observe(session.run(scan), stage, options.surroundings == Surroundings::cells, regression);
    scores[stage.name] = regression.solve();
  }
  return scores;
}

std::map<std::string, double> pooled_thresholds(const Model& model, const DropVoxelsOptions& options,
                                                const std::vector<Inputs>& scans, Executor* executor) {
  RAREFY_CHECK(!scans.empty(), UsageError, "thresholds are found on scans, none was given");
  DropVoxelsOptions by_share = options;
  by_share.thresholds.clear();
  const auto by_node = thresholds_by_node(drop_voxels(model, by_share), scans, executor);
  // Blocks of a stage that keep the same rows share one node, which has the name of the first.
  std::map<std::string, double> thresholds;
  double latest = 0;
  for (const ResidualBlock& block : residual_blocks(model.graph())) {
    const auto own = options.ratios.find(block.name), stage = options.ratios.find(block.stage);
    const double ratio = own != options.ratios.end()     ? own->second
                         : stage != options.ratios.end() ? stage->second
                                                         : 0.0;
    if (ratio <= 0) continue;
    if (const auto found = by_node.find(block.name + ".kept"); found != by_node.end()) latest = found->second;
    thresholds[block.name] = latest;
  }
  return thresholds;
}

Model with_pooled_thresholds(const Model& dropped, const std::vector<Inputs>& scans, Executor* executor) {
  RAREFY_CHECK(!scans.empty(), UsageError, "thresholds are found on scans, none was given");
  RAREFY_CHECK(drops_voxels(dropped.graph()), UnsupportedError,
               "the model drops no voxels: drop some first (rarefy compress --what voxels)");
  const auto thresholds = thresholds_by_node(dropped, scans, executor);
  Copier copier(dropped.graph());
  for (const Node& node : dropped.graph().nodes()) {
    Attributes attributes = node.attributes;
    if (const auto found = thresholds.find(node.name); found != thresholds.end()) {
      attributes["share"] = 1.0;
      attributes["above"] = std::vector<double>{found->second};
    }
    copier.copy(node, copier.inputs_of(node), std::move(attributes));
  }
  for (const GraphOutput& o : dropped.graph().outputs()) copier.builder.output(o.name, copier.at(o.value));
  Model result(copier.builder.build(), dropped.weights(), dropped.pipeline());
  result.notes = dropped.notes;
  return result;
}

}  // namespace rarefy::compress
