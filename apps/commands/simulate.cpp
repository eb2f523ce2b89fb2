// rarefy simulate: labelled scans of streets that exist nowhere.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#ifdef RAREFY_HAS_SIMULATOR
#include "data/simulate/simulate.h"
#endif

namespace rarefy::cli::commands {
namespace {

struct Options {
  std::string out, kind = "mixed", without;
  std::int64_t streets = 1, frames = 1, first_street = 0;
  std::uint64_t seed = 1;
  double interval = 0.1, rare = 1.0;
  bool json = false;
  int threads = 0;
};

#ifdef RAREFY_HAS_SIMULATOR
void simulate_lidar(const Options& o) {
  const SimulateOptions options{.folder = o.out,
                                .seed = o.seed,
                                .first_street = o.first_street,
                                .streets = o.streets,
                                .frames = o.frames,
                                .frame_interval = o.interval,
                                .kind = street_kind_from_name(o.kind),
                                .rare_factor = o.rare,
                                .realism = realism_from_without(o.without)};
  const auto executor = make_thread_pool(threads_or_all(o.threads));
  SimulateResult result;
  {
    ProgressLine line("scans", o.streets * o.frames);
    result = simulate_sequences(options, *executor, [&](const ProgressReport& report) {
      check_interrupt();
      line.update(report.done);
    });
  }
  if (o.json) {
    print_json(
        {{"folder", o.out}, {"written", result.written}, {"skipped", result.skipped}, {"points", result.points}});
  } else {
    print("{}: {} scans written ({} points), {} were there already\n", o.out, result.written, result.points,
          result.skipped);
  }
}
#else
void simulate_lidar(const Options&) {
  fail<UnsupportedError>(
      "simulate: this rarefy was built without the simulator; install libembree-dev and configure with "
      "RAREFY_SIMULATE=ON");
}
#endif

}  // namespace

void simulate(CLI::App& command) {
  command.description("Make labelled scans of procedural streets");
  command.require_subcommand(1);
  CLI::App& lidar = *command.add_subcommand(
      "lidar", "A 64-beam scanner driving through generated streets, in SemanticKITTI's layout");
  set_examples(command, "  rarefy simulate lidar --out streets --streets 4 --frames 10\n");
  set_examples(
      lidar,
      "  rarefy simulate lidar --out streets --streets 4 --frames 10\n"
      "  rarefy simulate lidar --out held_out --streets 20 --frames 5 --first-street 1000 --threads 2\n\n"
      "Writes sequences/NN/{velodyne,labels,poses.txt,calib.txt,times.txt}. The same options give the same bytes;\n"
      "an interrupted run continues where it stopped.\n");
  auto o = std::make_shared<Options>();
  lidar.add_option("--out", o->out, "Folder of the data set")->required();
  lidar.add_option("--streets", o->streets, "Number of streets; street K becomes sequence K")
      ->check(CLI::PositiveNumber);
  lidar.add_option("--frames", o->frames, "Scans per street")->check(CLI::PositiveNumber);
  lidar.add_option("--seed", o->seed, "Another seed, another world");
  lidar.add_option("--first-street", o->first_street, "Index of the first street")->check(CLI::NonNegativeNumber);
  lidar.add_option("--kind", o->kind, "mixed, residential, urban, country or highway");
  lidar.add_option("--interval", o->interval, "Seconds between two scans of a street");
  lidar.add_option("--rare", o->rare, "Factor on how often rare classes occur");
  lidar.add_option(
      "--without", o->without,
      "Realism to leave out, for ablations, names with commas: porous_vegetation, rough_ground, "
      "building_detail, mixed_pixels, drop_out, intensity_model, sensor_variation, clutter, street_variety");
  add_json(lidar, o->json);
  add_threads(lidar, o->threads);
  lidar.callback([o] { simulate_lidar(*o); });
}

}  // namespace rarefy::cli::commands
