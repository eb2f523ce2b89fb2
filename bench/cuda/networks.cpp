#include <algorithm>

#include "bench_cuda.h"
#include "common/model_source.h"
#include "data/formats/formats.h"
#include "measure/input.h"
#include "measure/timing.h"
#include "rarefy/models.h"
#include "rarefy/session.h"

namespace rarefy::bench_cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::pair<Precision, const char*> kPrecisions[] = {
    {Precision::fp16, "fp16"}, {Precision::bf16, "bf16"}, {Precision::tf32, "tf32"}};

/// From points in host memory to labels in host memory; the parts by events on the stream.
Json run(Session& session, const std::string& output, const PointView& view, int repetitions) {
  std::vector<double> wall, voxelize, maps, network;
  for (int r = -3; r < repetitions; ++r) {
    const auto start = Clock::now();
    session.run({{"points", view}})[output];
    if (r < 0) continue;
    wall.push_back(cli::bench::ms_since(start));
    voxelize.push_back(session.statistics().voxelize_ms);
    maps.push_back(session.statistics().maps_ms);
    network.push_back(session.statistics().network_ms);
  }
  const cli::bench::Spread s = cli::bench::spread(wall);
  return {{"points", view.count},
          {"voxels", session.statistics().voxels},
          {"macs", session.statistics().macs},
          {"ms", s.median},
          {"ms_quartiles", {s.low, s.high}},
          {"voxelize_ms", cli::bench::median(voxelize)},
          {"maps_ms", cli::bench::median(maps)},
          {"network_ms", cli::bench::median(network)},
          {"network_tflops", 2e-9 * static_cast<double>(session.statistics().macs) / cli::bench::median(network)}};
}

}  // namespace

Json bench_networks(const Options& options, const std::string& path) {
  const std::vector<float> points = cli::bench::interleaved(load_scan(path, {}));
  const PointView view = cli::bench::view_of(points);
  PointView few = view;
  few.count = std::min<std::int64_t>(1000, view.count);
  Json result = Json::array();
  for (const std::string& builder : options.builders)
    for (const double width : {0.5, 1.0}) {
      if (builder == "centerpoint" && width != 1.0) continue;  // published in one size
      const Model model = cli::build_model(builder, width, builder == "centerpoint" ? 0.075 : 0.05);
      const std::string output = model.graph().outputs().front().name;
      for (const auto& [precision, name] : kPrecisions) {
        Session session(model, {.plan = {.device = Device::cuda, .precision = precision}});
        Json entry = {{"network", builder}, {"width", width}, {"precision", name}};
        entry.update(run(session, output, view, options.repetitions));
        entry["few"] = run(session, output, few, options.repetitions);
        entry["device_mb"] = 1e-6 * static_cast<double>(session.context().memory_bytes());
        session.run({{"points", view}}, {.time_steps = true});
        if (precision == Precision::fp16)
          for (const StepProfile& step : session.profile())
            entry["steps"].push_back({step.name, step.op, step.dataflow, step.rows, step.pairs, step.macs, step.ms});
        result.push_back(std::move(entry));
      }
    }
  return result;
}

}  // namespace rarefy::bench_cuda
