#include <cmath>

#include "oracle/machine.h"

namespace rarefy::oracle {
namespace {

using Keys = std::vector<std::int64_t>;

/// (x - mean) / sqrt(variance + epsilon) over all elements with the same key.
void standardise(Result& x, const Keys& keys, double epsilon) {
  std::map<std::int64_t, double> count, mean, variance;
  for (std::size_t i = 0; i < keys.size(); ++i) ++count[keys[i]];
  for (std::size_t i = 0; i < keys.size(); ++i) mean[keys[i]] += x.values[i] / count[keys[i]];
  for (std::size_t i = 0; i < keys.size(); ++i)
    variance[keys[i]] += (x.values[i] - mean[keys[i]]) * (x.values[i] - mean[keys[i]]) / count[keys[i]];
  for (std::size_t i = 0; i < keys.size(); ++i)
    x.values[i] = (x.values[i] - mean[keys[i]]) / std::sqrt(variance[keys[i]] + epsilon);
}

}  // namespace

bool run_norm_op(MachineState& m, const Node& node) {
  if (node.op != "layer_norm" && node.op != "group_norm" && node.op != "softmax" && node.op != "prelu" &&
      node.op != "dropout" && node.op != "hard_gate")
    return false;
  Result y = m.features.at(node.inputs[0]);
  if (node.op == "softmax") {
    for (std::int64_t r = 0; r < y.rows; ++r) {
      double sum = 0.0;
      for (std::int64_t c = 0; c < y.cols; ++c) sum += std::exp(y.values[static_cast<std::size_t>(r * y.cols + c)]);
      for (std::int64_t c = 0; c < y.cols; ++c) {
        double& v = y.values[static_cast<std::size_t>(r * y.cols + c)];
        v = std::exp(v) / sum;
      }
    }
  } else if (node.op == "prelu") {
    const auto slope = m.parameter(node, 0);
    for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] *= y.values[i] > 0.0 ? 1.0 : slope[i % slope.size()];
  } else if (node.op == "hard_gate") {
    for (double& v : y.values) v = v > 0.0 ? 1.0 : 0.0;
  } else if (node.op != "dropout") {
    const std::int64_t groups = node.op == "group_norm" ? node.integer("num_groups") : 1;
    Keys keys;
    for (std::int64_t r = 0; r < y.rows; ++r)
      for (std::int64_t c = 0; c < y.cols; ++c)
        keys.push_back(
            node.op == "layer_norm" ? r : m.space_of(node.inputs[0]).sample_of(r) * groups + c / (y.cols / groups));
    standardise(y, keys, node.number("epsilon"));
    const auto gamma = m.parameter(node, 0), beta = m.parameter(node, 1);
    for (std::size_t i = 0; i < y.values.size(); ++i)
      y.values[i] = y.values[i] * gamma[i % gamma.size()] + beta[i % gamma.size()];
  }
  m.features[node.outputs[0]] = y;
  return true;
}

}  // namespace rarefy::oracle
