#pragma once
/// What networks take on this machine, step by step: the times that a search decides by.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/session.h"

namespace rarefy::compress {

/// Of one model, in ms.
struct NetworkTimes {
  double network_ms = 0;                            ///< all steps of the network, without voxels and neighbour search
  std::map<std::string, double, std::less<>> step;  ///< by name of the node that the step starts with
};

/// Measures several models under the same conditions; the result is in their order.
using TimeNetworks = std::function<std::vector<NetworkTimes>(const std::vector<Model>&)>;

/// Runs of whole sessions on these inputs, the models in turns, so that a drift of the machine meets all of them alike;
/// medians of every step over `repetitions` rounds, after one that does not count. The network's time is their sum:
/// other programs that take the CPU for a moment disturb some step of nearly every run, but few runs of one step. The
/// inputs' memory and the executor must outlive the result. @throws what Session::run throws
TimeNetworks time_in_turns(const Inputs& inputs, Executor& executor, int repetitions);

/// Time of every layer of the model, by node name: its step, with all that was fused into it, and its share of the
/// conversions to integers that run as steps of their own, which the integer layers that read the result bear equally.
std::map<std::string, double> layer_times(const Model& model, const NetworkTimes& times);

}  // namespace rarefy::compress
