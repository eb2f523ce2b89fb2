#include "runtime/shared/map_step.h"

#include <algorithm>

namespace rarefy::runtime {
namespace {

/// A layer that reads the map.
struct Reader {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  Dataflow dataflow = Dataflow::automatic;
};

struct MapState {
  const ConvVariant* variant = nullptr;
  std::vector<Reader> readers;
};

bool wants_tiles(const MapState& state, const KernelMap& map) {
  double saved = -sorting_cost(map);
  for (const Reader& r : state.readers) {
    if (r.dataflow == Dataflow::stationary) return true;
    if (r.dataflow != Dataflow::automatic) continue;
    const auto cost = [&](Dataflow dataflow) {
      return expected_cost(dataflow, *state.variant, map, r.in_channels, r.out_channels);
    };
    saved += std::max(0.0, std::min(cost(Dataflow::blocked), cost(Dataflow::on_demand)) - cost(Dataflow::stationary));
  }
  return saved > 0;
}

}  // namespace

std::any prepare_map(const PrepareArgs& args) {
  auto state = std::make_shared<MapState>();
  state->variant = &args.variant;
  const ValueId map = args.node.outputs[0];
  for (const Node& node : args.graph.nodes()) {
    if (node.op != "sparse_conv" || node.inputs[1] != map || args.kept[static_cast<std::size_t>(node.inputs[0])])
      continue;
    state->readers.push_back(
        {args.graph.type(node.inputs[0]).channels, args.graph.type(node.outputs[0]).channels, args.dataflow_of(node)});
  }
  return state;
}

void finish_map(const RunArgs& args, KernelMap& map) {
  if (args.state == nullptr || !args.state->has_value()) return;
  const auto& state = *std::any_cast<const std::shared_ptr<MapState>&>(*args.state);
  if (map.volume <= SortedTiles::kMostOffsets && wants_tiles(state, map)) sort_tiles(map, *args.executor);
}

}  // namespace rarefy::runtime
