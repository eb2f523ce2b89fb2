#pragma once
/// Post-training quantization: which features and layers become integers, and with which scales.
///
/// quantize() puts a quantize node behind every feature that a layer reads, so that the layers' products run on
/// integers (kernels/conv_int8.h), and rounds the layers' weights. Layers that read the network's input keep real
/// numbers. Features that meet in a concatenation share a scale, and so the layers that read them share their bits:
/// they are a group. A layer that keeps real numbers though others of its group do not reads the features as they are,
/// not the rounded ones. Further training of the result is quantization-aware training.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rarefy/model.h"
#include "rarefy/session.h"

namespace rarefy::compress {

/// How the scale of a feature follows from what was seen of it.
enum class ScaleRule : std::uint8_t {
  minmax,      ///< the largest magnitude is the largest step
  mse,         ///< a share of that: the one, of 0.30, 0.31 .. 1.00, with the least mean squared error
  percentile,  ///< the magnitude that 99.99 % of the values stay below
};

struct QuantizeOptions {
  int bits = 8;  ///< of features and weights, 2 to 8
  ScaleRule rule = ScaleRule::mse;
  /// By node name, the bits of layers that get others than `bits`; 0: the layer keeps real numbers.
  std::map<std::string, int> layers = {};
};

/// Names of the layers that share a scale and therefore their bits, in the graph's order.
using LayerGroup = std::vector<std::string>;

/// Magnitudes of one group of features: a histogram whose range doubles when a value leaves it.
class Magnitudes {
 public:
  void add(Matrix<const float> values);
  bool negative() const { return negative_; }
  float largest() const { return largest_; }
  /// Scale of `bits` bits by the rule; 1 when nothing but zero was seen.
  float scale(int bits, ScaleRule rule) const;

 private:
  static constexpr int kBins = 4096;
  void widen(float magnitude);
  double squared_error(float scale, double most_steps) const;
  std::vector<std::int64_t> bins_ = std::vector<std::int64_t>(kBins, 0);
  double range_ = 1e-6;  ///< bins cover [0, range)
  std::int64_t zeros_ = 0, count_ = 0;
  float largest_ = 0.0f;
  bool negative_ = false;
};

/// Watches a model on representative inputs.
class Calibration {
 public:
  /// @throws UnsupportedError when no layer of the model can be quantized
  explicit Calibration(const Model& model, int threads = 1);
  /// Runs the model and counts. @throws what Session::run throws
  void observe(const Inputs& inputs);
  std::int64_t observed() const { return observed_; }
  const Model& model() const { return model_; }
  /// Every layer that can run on integers is in one of them.
  const std::vector<LayerGroup>& groups() const { return layers_of_; }
  /// The quantized model. @throws UsageError before anything was observed; for bits of layers that are none, that
  /// cannot be quantized, or that differ within a group
  Model quantize(const QuantizeOptions& options) const;

 private:
  std::vector<int> bits_of_nodes(const QuantizeOptions& options) const;
  Model model_;
  std::vector<int> group_of_layer_;  ///< by node: the group that it reads, or -1: no layer that can be quantized
  std::vector<LayerGroup> layers_of_;
  std::map<ValueId, int> group_of_;  ///< features that get a quantize node
  std::vector<Magnitudes> groups_;
  /// Runs that keep some of the features each, so that memory stays bounded.
  std::vector<Session> sessions_;
  std::vector<std::vector<std::pair<std::string, int>>> watched_;  ///< by session: output and group
  std::int64_t observed_ = 0;
};

}  // namespace rarefy::compress
