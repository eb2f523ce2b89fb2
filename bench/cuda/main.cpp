// rarefy-bench-cuda: what the GPU does, as JSON.
#include <CLI/CLI.hpp>

#include "bench_cuda.h"
#include "common/console.h"
#include "measure/timing.h"
#include "rarefy/error.h"
#include "rarefy/session.h"

namespace rarefy::bench_cuda {

double device_ms(const std::function<void()>& work, int repetitions, cuda::Stream stream) {
  cuda::Event begin, end;
  std::vector<double> times;
  for (int r = -2; r < repetitions; ++r) {
    begin.record(stream);
    work();
    end.record(stream);
    end.wait();
    if (r >= 0) times.push_back(end.ms_since(begin));
  }
  return cli::bench::median(times);
}

double copy_bandwidth(cuda::Stream stream) {
  constexpr std::int64_t kBytes = std::int64_t{2} << 30;
  cuda::DeviceBuffer from, to;
  from.reserve(kBytes);
  to.reserve(kBytes);
  const double ms = device_ms([&] { cuda::copy_on_device(to.data(), from.data(), kBytes, stream); }, 10, stream);
  return 2.0 * kBytes / ms * 1e-6;
}

namespace {

void run(const Options& options) {
  const cuda::DeviceInfo device = cuda::current_device();
  const cuda::OwnStream stream;
  Json json = {{"gpu", device.name},
               {"capability", std::to_string(device.major) + "." + std::to_string(device.minor)},
               {"multiprocessors", device.multiprocessors},
               {"copy_gb_per_s", copy_bandwidth(stream.get())},
               {"scans", Json::array()}};
  for (const std::string& scan : options.scans) {
    Json entry = {{"scan", scan.substr(scan.find_last_of('/') + 1)}};
    entry["geometry"] = bench_geometry(options, scan);
    if (options.networks) entry["networks"] = bench_networks(options, scan);
    if (options.layers) entry["layers"] = bench_layers(options, scan);
    json["scans"].push_back(std::move(entry));
  }
  cli::print_json(json);
}

}  // namespace
}  // namespace rarefy::bench_cuda

int main(int argc, char** argv) {
  rarefy::bench_cuda::Options options;
  CLI::App app("Kernels and whole networks on the first GPU, as JSON");
  app.add_option("SCAN", options.scans, "Scans to run on")->required();
  app.add_option("--builder", options.builders, "Networks to run, at widths 0.5 and 1.0");
  app.add_option("--repetitions", options.repetitions, "Runs of each")->check(CLI::Range(1, 10000));
  app.add_flag("!--no-layers", options.layers, "Leave the layers out");
  app.add_flag("!--no-networks", options.networks, "Leave the networks out");
  app.add_flag("--sweep", options.sweep, "Every tile of every flow");
  try {
    app.parse(argc, argv);
    rarefy::bench_cuda::run(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const rarefy::Error& error) {
    rarefy::cli::complain(error.what());
    return 1;
  }
  return 0;
}
