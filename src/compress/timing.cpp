#include "compress/timing.h"

#include <algorithm>
#include <memory>

namespace rarefy::compress {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// One model that takes part.
struct Runner {
  std::unique_ptr<Session> session;
  std::vector<std::vector<double>> ms;  ///< by step

  void note() {
    const std::vector<StepProfile>& profile = session->profile();
    ms.resize(profile.size());
    for (std::size_t s = 0; s < profile.size(); ++s) ms[s].push_back(profile[s].ms);
  }
  NetworkTimes medians() const {
    NetworkTimes times;
    for (std::size_t s = 0; s < ms.size(); ++s) {
      const StepProfile& step = session->profile()[s];
      const double middle = times.step[step.name] = median(ms[s]);
      if (step.kind == "network") times.network_ms += middle;
    }
    return times;
  }
};

/// Integer layers that read a value, directly or as part of a concatenation.
void add_integer_readers(const Graph& graph, ValueId value, std::vector<std::string>& layers) {
  for (const Node& node : graph.nodes()) {
    if (std::find(node.inputs.begin(), node.inputs.end(), value) == node.inputs.end()) continue;
    if (node.op == "concat") add_integer_readers(graph, node.outputs[0], layers);
    const bool layer = node.op == "sparse_conv" || node.op == "linear";
    if (layer && node.integer("weight_bits") != 0) layers.push_back(node.name);
  }
}

}  // namespace

TimeNetworks time_in_turns(const Inputs& inputs, Executor& executor, int repetitions) {
  return [inputs, &executor, repetitions](const std::vector<Model>& models) {
    std::vector<Runner> runners(models.size());
    for (std::size_t m = 0; m < models.size(); ++m)
      runners[m].session = std::make_unique<Session>(models[m], SessionOptions{.executor = &executor});
    for (int round = 0; round <= repetitions; ++round) {
      for (Runner& runner : runners) {
        runner.session->run(inputs);
        if (round > 0) runner.note();
      }
    }
    std::vector<NetworkTimes> times;
    for (const Runner& runner : runners) times.push_back(runner.medians());
    return times;
  };
}

std::map<std::string, double> layer_times(const Model& model, const NetworkTimes& times) {
  const auto step_ms = [&times](const std::string& name) {
    const auto found = times.step.find(name);
    return found == times.step.end() ? 0.0 : found->second;
  };
  std::map<std::string, double> layers;
  for (const Node& node : model.graph().nodes())
    if (node.op == "sparse_conv" || node.op == "linear") layers[node.name] += step_ms(node.name);
  for (const Node& node : model.graph().nodes()) {
    if (node.op != "quantize") continue;
    std::vector<std::string> readers;
    add_integer_readers(model.graph(), node.outputs[0], readers);
    for (const std::string& reader : readers)
      layers[reader] += step_ms(node.name) / static_cast<double>(readers.size());
  }
  return layers;
}

}  // namespace rarefy::compress
