#include "compress/choose_ratios.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace rarefy::compress {
namespace {

/// Labels of the dense model on the scans, to compare with.
class LabelJudge {
 public:
  LabelJudge(const Model& dense, const std::vector<Inputs>& scans, Executor* executor)
      : scans_(scans), executor_(executor) {
    const auto& outputs = dense.graph().outputs();
    RAREFY_CHECK(std::any_of(outputs.begin(), outputs.end(), [](const GraphOutput& o) { return o.name == "labels"; }),
                 UnsupportedError, "ratios are chosen by the labels that change, but there is no output 'labels'");
    Session session(dense, {.executor = executor});
    for (const Inputs& scan : scans) {
      const auto labels = session.run(scan)["labels"].as<std::uint8_t>();
      wanted_.emplace_back(labels.begin(), labels.end());
    }
  }

  double changed(const Model& model, Changed by) const {
    Session session(model, {.executor = executor_});
    std::vector<std::int64_t> same(256), wanted(256), found(256);  // by label
    for (std::size_t s = 0; s < scans_.size(); ++s) {
      const auto labels = session.run(scans_[s])["labels"].as<std::uint8_t>();
      for (std::size_t i = 0; i < labels.size(); ++i) {
        ++wanted[wanted_[s][i]];
        ++found[labels[i]];
        if (labels[i] == wanted_[s][i]) ++same[labels[i]];
      }
    }
    return by == Changed::labels ? of_labels(same, wanted) : of_classes(same, wanted, found);
  }

 private:
  using Counts = std::vector<std::int64_t>;

  static double of_labels(const Counts& same, const Counts& wanted) {
    const auto all = std::accumulate(wanted.begin(), wanted.end(), std::int64_t{0});
    if (all == 0) return 0;
    const auto right = std::accumulate(same.begin(), same.end(), std::int64_t{0});
    return static_cast<double>(all - right) / static_cast<double>(all);
  }

  static double of_classes(const Counts& same, const Counts& wanted, const Counts& found) {
    double sum = 0;
    int classes = 0;
    for (std::size_t c = 0; c < wanted.size(); ++c) {
      if (wanted[c] == 0) continue;
      ++classes;
      sum += static_cast<double>(same[c]) / static_cast<double>(wanted[c] + found[c] - same[c]);
    }
    return classes > 0 ? 1.0 - sum / classes : 0;
  }

  const std::vector<Inputs>& scans_;
  Executor* executor_;
  std::vector<std::vector<std::uint8_t>> wanted_;
};

class Search {
 public:
  Search(const Model& model, const std::vector<Inputs>& scans, const ChooseRatiosOptions& options)
      : model_(model), options_(options), judge_(model, scans, options.executor) {
    for (const ResidualBlock& block : residual_blocks(model.graph()))
      if (std::find(stages_.begin(), stages_.end(), block.stage) == stages_.end()) stages_.push_back(block.stage);
    RAREFY_CHECK(!stages_.empty(), UnsupportedError,
                 "the model has no residual block around which voxels could be led");
    level_.assign(stages_.size(), 0);
  }

  RatiosChoice run() {
    measure_table();
    RatiosChoice choice;
    choice.ms_dense = dense_ms_;
    for (;;) {
      choice.ratios = ratios();
      choice.model = dropped(choice.ratios);
      choice.ms_promised = promised();
      const auto times = options_.time({model_, choice.model});
      choice.ms_dense = whole_ms(times[0]);
      choice.ms = whole_ms(times[1]);
      fastest_ = std::min(fastest_, choice.ms);
      if (choice.ms <= options_.budget_ms) break;
      RAREFY_CHECK(
          step(), UsageError,
          "a budget of {:.1f} ms cannot be reached by dropping voxels: the fastest found takes {:.1f} ms here, "
          "the dense model {:.1f} ms. Take a larger budget, a narrower model or larger voxels",
          options_.budget_ms, fastest_, choice.ms_dense);
    }
    choice.changed = choice.ratios.empty() ? 0 : judge_.changed(choice.model, options_.by);
    for (const auto& row : table_) choice.table.insert(choice.table.end(), row.begin(), row.end());
    return choice;
  }

 private:
  Model dropped(const std::map<std::string, double>& ratios) const {
    if (ratios.empty()) return model_;
    DropVoxelsOptions how = options_.drop;
    how.ratios = ratios;
    return drop_voxels(model_, how);
  }

  void measure_table() {
    const auto total = static_cast<std::int64_t>(stages_.size());
    for (const std::string& stage : stages_) {
      std::vector<Model> models{model_};
      for (const double ratio : options_.levels) models.push_back(dropped({{stage, ratio}}));
      const std::vector<NetworkTimes> times = options_.time(models);
      const double dense = whole_ms(times[0]);
      if (table_.empty()) dense_ms_ = dense;
      std::vector<RatioCost> row;
      for (std::size_t l = 0; l < options_.levels.size(); ++l) {
        // Against the dense model of the same turns: the machine may have become slower or faster since the first.
        const double ms = whole_ms(times[l + 1]) - dense + dense_ms_;
        row.push_back({stage, options_.levels[l], ms, judge_.changed(models[l + 1], options_.by)});
      }
      table_.push_back(std::move(row));
      if (options_.progress) options_.progress({"stages", static_cast<std::int64_t>(table_.size()), total});
    }
  }

  double saved(std::size_t stage, std::size_t level) const {
    return level == 0 ? 0.0 : dense_ms_ - table_[stage][level - 1].ms;
  }
  double changed(std::size_t stage, std::size_t level) const {
    return level == 0 ? 0.0 : table_[stage][level - 1].changed;
  }

  double promised() const {
    double ms = dense_ms_;
    for (std::size_t s = 0; s < stages_.size(); ++s) ms -= saved(s, level_[s]);
    return ms;
  }

  std::map<std::string, double> ratios() const {
    std::map<std::string, double> result;
    for (std::size_t s = 0; s < stages_.size(); ++s)
      if (level_[s] > 0) result[stages_[s]] = options_.levels[level_[s] - 1];
    return result;
  }

  /// Takes the step, of one stage to its next level that saves time, that saves most per label changed. False: none
  /// saves any.
  bool step() {
    std::size_t best_stage = 0, best_level = 0;
    double best = 0;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      for (std::size_t l = level_[s] + 1; l <= options_.levels.size(); ++l) {
        const double time = saved(s, l) - saved(s, level_[s]);
        const double labels = std::max(1e-6, changed(s, l) - changed(s, level_[s]));
        if (time <= 0) continue;
        if (time / labels > best) {
          best = time / labels;
          best_stage = s;
          best_level = l;
        }
        break;
      }
    }
    if (best_level == 0) return false;
    level_[best_stage] = best_level;
    return true;
  }

  const Model& model_;
  const ChooseRatiosOptions& options_;
  const LabelJudge judge_;
  std::vector<std::string> stages_;
  std::vector<std::size_t> level_;             ///< by stage: 0 = dense, else one more than the index in levels
  std::vector<std::vector<RatioCost>> table_;  ///< by stage and level
  double dense_ms_ = 0;
  double fastest_ = 1e300;
};

}  // namespace

double whole_ms(const NetworkTimes& times) {
  double sum = 0;
  for (const auto& [unused, ms] : times.step) sum += ms;
  return sum;
}

RatiosChoice choose_ratios(const Model& model, const std::vector<Inputs>& scans, const ChooseRatiosOptions& options) {
  RAREFY_CHECK(!scans.empty(), UsageError, "ratios are chosen on scans, none was given");
  RAREFY_CHECK(options.budget_ms > 0, UsageError, "a budget of {} ms makes no sense", options.budget_ms);
  double last = 0;
  for (const double level : options.levels) {
    RAREFY_CHECK(level > last && level < 1, UsageError, "levels must ascend between 0 and 1, got {}", level);
    last = level;
  }
  return Search(model, scans, options).run();
}

}  // namespace rarefy::compress
