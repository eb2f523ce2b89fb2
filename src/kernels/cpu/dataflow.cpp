#include "kernels/dataflow.h"

#include <array>

#include "base/check.h"

namespace rarefy {

namespace {
constexpr std::array kDataflows{Dataflow::blocked, Dataflow::stationary, Dataflow::on_demand};
}  // namespace

std::span<const Dataflow> dataflows() { return kDataflows; }

std::string_view name(Dataflow dataflow) {
  switch (dataflow) {
    case Dataflow::automatic:
      return "automatic";
    case Dataflow::blocked:
      return "blocked";
    case Dataflow::stationary:
      return "stationary";
    case Dataflow::on_demand:
      return "on_demand";
  }
  return "automatic";
}

Dataflow dataflow_named(std::string_view wanted) {
  for (const Dataflow dataflow : {Dataflow::automatic, Dataflow::blocked, Dataflow::stationary, Dataflow::on_demand})
    if (name(dataflow) == wanted) return dataflow;
  fail<UsageError>("there is no dataflow '{}': automatic, blocked, stationary, on_demand", wanted);
}

}  // namespace rarefy
