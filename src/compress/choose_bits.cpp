#include "compress/choose_bits.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/conv_int8.h"

namespace rarefy::compress {
namespace {

using LayerBits = std::map<std::string, int>;

/// Measured times that differ by less say nothing.
constexpr double kClearly = 1.02;
/// To put groups in order a few scans will do; the bound is measured on all.
constexpr std::size_t kScansOfSensitivity = 4;

/// How far an output is from that of real numbers.
struct Difference {
  double error = 0;    ///< squared, relative to the squares
  double changed = 0;  ///< share of rows with another label
};

/// The output to compare. @throws UnsupportedError
std::string compared_output(const Graph& graph) {
  std::string first;
  for (const GraphOutput& o : graph.outputs()) {
    const ValueType& type = graph.type(o.value);
    if (type.kind != ValueKind::features || type.dtype != Dtype::f32 || type.channels < 2) continue;
    if (o.name == "logits") return o.name;
    if (first.empty()) first = o.name;
  }
  RAREFY_CHECK(!first.empty(), UnsupportedError,
               "bits are chosen by the labels that change, but no output has several real channels to choose a label "
               "from: give all layers the same bits");
  return first;
}

/// Runs networks on the scans and compares their output with that of the original.
class Judge {
 public:
  Judge(const Model& real, const std::vector<Inputs>& scans, Executor* executor)
      : output_(compared_output(real.graph())), scans_(scans), executor_(executor) {
    Session session(real, {.executor = executor});
    for (const Inputs& scan : scans) {
      const TensorView found = session.run(scan)[output_];
      std::vector<float>& rows = reference_.emplace_back();
      for (std::int64_t r = 0; r < found.rows; ++r)
        for (std::int64_t c = 0; c < found.cols; ++c) rows.push_back(found.matrix<const float>()(r, c));
    }
  }

  std::size_t scans() const { return scans_.size(); }

  /// On `count` of the scans, evenly spread.
  Difference of(const Model& model, std::size_t count) const {
    Session session(model, {.executor = executor_});
    Sums sums;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t s = i * scans_.size() / count;
      const Matrix<const float> found = session.run(scans_[s])[output_].matrix<const float>();
      RAREFY_CHECK(found.rows * found.cols == static_cast<std::int64_t>(reference_[s].size()), UnsupportedError,
                   "the rows of output '{}' depend on rounding: outputs cannot be compared row by row", output_);
      for (std::int64_t r = 0; r < found.rows; ++r)
        sums.add(&found(r, 0), reference_[s].data() + r * found.cols, found.cols);
    }
    return {sums.squares > 0 ? sums.error / sums.squares : 0,
            sums.rows > 0 ? static_cast<double>(sums.changed) / static_cast<double>(sums.rows) : 0};
  }

 private:
  struct Sums {
    double error = 0, squares = 0;
    std::int64_t changed = 0, rows = 0;

    /// Without the mean of the row, which labels do not depend on.
    void add(const float* found, const float* wanted, std::int64_t channels) {
      const double found_mean = std::accumulate(found, found + channels, 0.0) / static_cast<double>(channels);
      const double mean = std::accumulate(wanted, wanted + channels, 0.0) / static_cast<double>(channels);
      for (std::int64_t c = 0; c < channels; ++c) {
        const double y = wanted[c] - mean, off = found[c] - found_mean - y;
        squares += y * y;
        error += off * off;
      }
      const auto label = std::max_element(found, found + channels) - found;
      changed += label != std::max_element(wanted, wanted + channels) - wanted ? 1 : 0;
      ++rows;
    }
  };

  std::string output_;
  const std::vector<Inputs>& scans_;
  Executor* executor_;
  std::vector<std::vector<float>> reference_;  ///< by scan
};

class Search {
 public:
  Search(const Calibration& calibration, const std::vector<Inputs>& scans, const ChooseBitsOptions& options)
      : calibration_(calibration),
        options_(options),
        judge_(calibration.model(), scans, options.executor),
        groups_(calibration.groups()),
        seven_pays_(options.seven_pays.value_or(select_int8_variant(7).kernels != select_int8_variant(8).kernels)),
        sensitivity_(groups_.size()) {}

  BitsChoice run() {
    eight_ = quantized(uniform(8));
    changed_eight_ = judge(eight_).changed;
    time_layers();
    if (seven_pays_) order_groups();
    choose_seven();
    keep_real();
    return result();
  }

 private:
  LayerBits uniform(int bits) const {
    LayerBits all;
    for (const LayerGroup& group : groups_)
      for (const std::string& layer : group) all[layer] = bits;
    return all;
  }
  Model quantized(const LayerBits& bits) const {
    return calibration_.quantize({.bits = 8, .rule = options_.rule, .layers = bits});
  }
  Difference judge(const Model& model, std::size_t most_scans = std::numeric_limits<std::size_t>::max()) {
    const Difference difference = judge_.of(model, std::min(judge_.scans(), most_scans));
    // The most that it can take: every group once, then halving.
    std::int64_t total = 4;
    for (std::size_t n = groups_.size(); seven_pays_ && n > 0; n /= 2) ++total;
    if (seven_pays_) total += static_cast<std::int64_t>(groups_.size());
    if (options_.progress) options_.progress({"networks", ++judged_, total});
    return difference;
  }

  void time_layers() {
    std::vector<Model> models{calibration_.model(), eight_};
    if (seven_pays_) models.push_back(quantized(uniform(7)));
    const std::vector<NetworkTimes> times = options_.time(models);
    real_ms_ = layer_times(models[0], times[0]);
    integer_ms_[8] = layer_times(models[1], times[1]);
    if (seven_pays_) integer_ms_[7] = layer_times(models[2], times[2]);
  }

  /// What the group takes with these bits, each layer on what is faster for it.
  double best_ms(const LayerGroup& group, int bits) const {
    double ms = 0;
    for (const std::string& layer : group) ms += std::min(real_ms_.at(layer), integer_ms_.at(bits).at(layer));
    return ms;
  }

  /// Groups that 7 bits make faster, most gain per error first.
  void order_groups() {
    std::vector<double> worth(groups_.size(), 0);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      LayerBits alone = uniform(0);
      for (const std::string& layer : groups_[g]) alone[layer] = 7;
      sensitivity_[g] = judge(quantized(alone), kScansOfSensitivity).error;
      const double eight = best_ms(groups_[g], 8), seven = best_ms(groups_[g], 7);
      if (eight <= kClearly * seven) continue;
      worth[g] = (eight - seven) / std::max(*sensitivity_[g], 1e-30);
      order_.push_back(g);
    }
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return worth[a] > worth[b]; });
  }

  LayerBits first_at_seven(std::size_t count) const {
    LayerBits bits = uniform(8);
    for (std::size_t i = 0; i < count; ++i)
      for (const std::string& layer : groups_[order_[i]]) bits[layer] = 7;
    return bits;
  }

  /// As many as the bound allows, by halving: `low` holds, as measured, and `high` does not.
  void choose_seven() {
    const auto holds = [this](std::size_t count) {
      const double changed = judge(quantized(first_at_seven(count))).changed;
      if (changed > changed_eight_ + options_.loss) return false;
      changed_ = changed;
      return true;
    };
    changed_ = changed_eight_;
    std::size_t low = 0, high = order_.size();
    if (high > 0 && holds(high)) low = high;
    while (high > low + 1) {
      const std::size_t middle = (low + high) / 2;
      (holds(middle) ? low : high) = middle;
    }
    bits_ = first_at_seven(low);
  }

  double integer_ms(const std::string& layer) const { return integer_ms_.at(bits_.at(layer)).at(layer); }

  /// Layers that are faster on real numbers keep them, those that gain most first, as many as make the whole no slower.
  void keep_real() {
    for (const auto& [layer, bits] : bits_)
      if (integer_ms(layer) > kClearly * real_ms_.at(layer)) slow_.push_back(layer);
    const auto gain = [this](const std::string& layer) { return integer_ms(layer) - real_ms_.at(layer); };
    std::stable_sort(slow_.begin(), slow_.end(),
                     [&](const std::string& a, const std::string& b) { return gain(a) > gain(b); });
    const Model all_integers = quantized(bits_);
    for (std::size_t count = slow_.size();; count /= 2) {
      kept_ = bits_;
      for (std::size_t i = 0; i < count; ++i) kept_[slow_[i]] = 0;
      model_ = count == 0 ? all_integers : quantized(kept_);
      std::vector<Model> models{calibration_.model(), eight_, all_integers};
      if (count > 0) models.push_back(model_);
      const std::vector<NetworkTimes> times = options_.time(models);
      ms_real_ = times[0].network_ms;
      ms_eight_ = times[1].network_ms;
      ms_ = times.back().network_ms;
      if (count == 0) break;
      if (ms_ > times[2].network_ms) continue;
      const double changed = judge(model_).changed;
      if (changed > changed_eight_ + options_.loss) continue;
      changed_ = changed;
      break;
    }
    whole_is_slower_ = ms_ > ms_real_;
    if (!whole_is_slower_) return;
    kept_ = uniform(0);
    model_ = calibration_.model();
    ms_ = ms_real_;
    changed_ = 0;
  }

  std::string why(const std::string& layer, std::size_t group) const {
    if (whole_is_slower_) return "the network as a whole is faster on real numbers";
    if (kept_.at(layer) == 0) return "faster on real numbers";
    std::string text = "7 bits are faster, the loss allows them";
    if (kept_.at(layer) == 8) {
      const bool faster = std::find(order_.begin(), order_.end(), group) != order_.end();
      text = !seven_pays_ ? "7 bits have no kernels of their own here"
             : faster     ? "7 bits are faster, but would exceed the loss"
                          : "7 bits are no faster";
    }
    if (std::find(slow_.begin(), slow_.end(), layer) != slow_.end())
      text += "; real numbers are faster here, but not in the whole";
    return text;
  }

  BitsChoice result() {
    BitsChoice choice;
    for (const Node& node : calibration_.model().graph().nodes()) {
      if (node.op != "sparse_conv" && node.op != "linear") continue;
      LayerChoice& layer = choice.layers.emplace_back();
      layer.layer = node.name;
      layer.ms_real = real_ms_.at(node.name);
      layer.why = "reads the network's input";
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        if (std::find(groups_[g].begin(), groups_[g].end(), node.name) == groups_[g].end()) continue;
        layer.group = static_cast<int>(g);
        layer.bits = kept_.at(node.name);
        layer.ms_integers = integer_ms(node.name);
        layer.sensitivity = sensitivity_[g];
        layer.why = why(node.name, g);
        if (layer.bits == 0)
          model_.notes["kept_real." + node.name] =
              whole_is_slower_
                  ? fmt::format("the whole network is faster here: {:.1f} ms ({})", ms_real_, cpu::model_name())
                  : fmt::format("faster here: {:.3f} ms, on integers {:.3f} ms ({})", layer.ms_real, layer.ms_integers,
                                cpu::model_name());
      }
    }
    choice.model = std::move(model_);
    choice.changed_eight = changed_eight_;
    choice.changed = changed_;
    choice.ms_real = ms_real_;
    choice.ms_eight = ms_eight_;
    choice.ms = ms_;
    return choice;
  }

  const Calibration& calibration_;
  const ChooseBitsOptions& options_;
  Judge judge_;
  const std::vector<LayerGroup>& groups_;
  bool seven_pays_;
  std::int64_t judged_ = 0;
  Model eight_;
  double changed_eight_ = 0;
  std::map<std::string, double> real_ms_;
  std::map<int, std::map<std::string, double>> integer_ms_;  ///< by bits
  std::vector<std::optional<double>> sensitivity_;           ///< by group
  std::vector<std::size_t> order_;                           ///< groups that may go to 7 bits
  LayerBits bits_;                                           ///< with all layers on integers
  std::vector<std::string> slow_;                            ///< layers that integers make slower
  LayerBits kept_;                                           ///< what is chosen
  Model model_;
  bool whole_is_slower_ = false;
  double changed_ = 0, ms_real_ = 0, ms_eight_ = 0, ms_ = 0;
};

}  // namespace

BitsChoice choose_bits(const Calibration& calibration, const std::vector<Inputs>& scans,
                       const ChooseBitsOptions& options) {
  RAREFY_CHECK(calibration.observed() > 0, UsageError,
               "choose_bits: nothing was observed yet; call observe with representative inputs");
  RAREFY_CHECK(!scans.empty(), UsageError, "choose_bits: needs scans to measure accuracy on, got none");
  RAREFY_CHECK(options.loss >= 0 && options.loss <= 1, UsageError,
               "choose_bits: the loss is a share of the labels, 0 to 1, not {}", options.loss);
  RAREFY_CHECK(options.time != nullptr, UsageError, "choose_bits: needs times; see time_in_turns()");
  return Search(calibration, scans, options).run();
}

}  // namespace rarefy::compress
