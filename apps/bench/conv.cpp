// rarefy bench conv.
#include "kernels/conv.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "bench/bench.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "data/formats/formats.h"
#include "kernels/conv_int8.h"
#include "measure/input.h"
#include "sparse/kernel_map.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string scan, format = "auto";
  std::vector<std::int64_t> channels{64};
  std::vector<int> levels{0};
  std::vector<std::string> directions{"forward", "input_gradient", "weight_gradient"};
  int kernel = 3, threads = 1, repetitions = 0;
  double voxel = 0.05;
  bool json = false;
};

/// Sites of one level and the map of the kernel on them.
struct Level {
  int number = 0;
  Coords sites;
  KernelMap map;
  double map_ms = 0;
};

Level make_level(const Options& o, const Coords& finest, int number, Executor& executor) {
  Level level{.number = number, .sites = halved(finest, number, executor), .map = {}, .map_ms = 0};
  const KernelShape kernel{.size = {o.kernel, o.kernel, o.kernel, 1}};
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    build_kernel_map(level.sites, level.sites, kernel, executor, level.map);
    times.push_back(ms_since(start));
  }
  level.map_ms = median(times);
  return level;
}

/// One convolution of `channels` to `channels` in one direction, ready to run.
class Case {
 public:
  Case(const Level& level, std::int64_t channels, const std::string& direction, Executor& executor)
      : level_(level),
        channels_(channels),
        gradient_(direction == "weight_gradient"),
        bits_(direction == "int8"   ? 8
              : direction == "int7" ? 7
                                    : 0),
        executor_(executor),
        x_(random_floats(level.sites.rows() * channels, 1)),
        y_(random_floats(level.sites.rows() * channels, 2)),
        weights_(random_floats(level.map.volume * channels * channels, 3)) {
    // Submanifold: the input gradient runs over the same map with flipped offsets.
    pack_weights(select_conv_variant(), weights_.data(), level.map.volume, channels, channels,
                 direction == "forward" ? WeightOrder::forward : WeightOrder::transposed_flipped, packed_);
    if (bits_ > 0) quantize();
  }
  void run() {
    const std::int64_t rows = level_.sites.rows();
    const Matrix<const float> x(x_.data(), rows, channels_);
    if (bits_ > 0) {
      conv_int8({stored_x_.data(), rows, channels_, row_bytes_}, int_weights_, &level_.map, {.scale = scales_.data()},
                quantization_, executor_, scratch_, {stored_y_.data(), rows, channels_, row_bytes_});
    } else if (gradient_) {
      conv_weight_gradient(select_conv_variant(), x, Matrix<const float>(y_.data(), rows, channels_), &level_.map,
                           level_.map.volume, executor_, scratch_, weights_.data());
    } else {
      conv_forward(x, packed_, &level_.map, {}, executor_, Matrix<float>(y_.data(), rows, channels_));
    }
  }
  double gflop() const { return 2e-9 * static_cast<double>(level_.map.pairs() * channels_ * channels_); }

 private:
  void quantize() {
    const std::int64_t rows = level_.sites.rows();
    quantization_ = {.scale = 4.0f / static_cast<float>((1 << bits_) - 1), .bits = bits_};
    row_bytes_ = (channels_ + 3) / 4 * 4;
    stored_x_.resize(static_cast<std::size_t>(rows * row_bytes_));
    stored_y_ = stored_x_;
    quantize_rows({x_.data(), rows, channels_}, quantization_, executor_,
                  {stored_x_.data(), rows, channels_, row_bytes_});
    std::vector<std::int8_t> values(weights_.size());
    scales_.resize(static_cast<std::size_t>(channels_));
    quantize_weights(weights_.data(), level_.map.volume * channels_, channels_, bits_, values.data(), scales_.data());
    pack_int8_weights(select_int8_variant(bits_), values.data(), level_.map.volume, channels_, channels_, 0,
                      int_weights_);
  }

  const Level& level_;
  std::int64_t channels_;
  bool gradient_;
  int bits_;
  Executor& executor_;
  std::vector<float> x_, y_, weights_;
  PackedWeights packed_;
  AlignedBuffer scratch_;
  Quantization quantization_;
  std::int64_t row_bytes_ = 0;
  std::vector<std::uint8_t> stored_x_, stored_y_;
  std::vector<float> scales_;
  Int8Weights int_weights_;
};

/// Medians, in milliseconds.
struct Times {
  double wall = 0;
  double cpu = 0;  ///< of the calling thread
};

/// The peak is measured in between.
Times measure(Case& c, int repetitions, Peak& peak) {
  c.run();
  std::vector<double> times, cpu_times;
  double spent = 0;
  while (static_cast<int>(times.size()) < (repetitions > 0 ? repetitions : 100)) {
    check_interrupt();
    const auto start = Clock::now();
    const double cpu_start = thread_ms();
    c.run();
    times.push_back(ms_since(start));
    cpu_times.push_back(thread_ms() - cpu_start);
    spent += times.back();
    if (times.size() % 8 == 4) peak.measure_again();
    if (repetitions == 0 && times.size() >= 9 && spent > 600) break;
  }
  peak.measure_again();
  return {median(times), median(cpu_times)};
}

Json row_json(const Options& o, const Level& level, std::int64_t channels, const std::string& direction, double gflop,
              const Times& t, double peak) {
  const double gflops = t.wall > 0 ? 1000 * gflop / t.wall : 0;
  Json row = {{"level", level.number},  {"voxels", level.sites.rows()},
              {"cin", channels},        {"cout", channels},
              {"kernel", o.kernel},     {"threads", o.threads},
              {"direction", direction}, {"pairs", level.map.pairs()},
              {"map_ms", level.map_ms}, {"ms", t.wall},
              {"gflops", gflops},       {"of_peak", gflops / (peak * o.threads)},
              {"peak_gflops", peak}};
  if (o.threads == 1) {
    row["cpu_ms"] = t.cpu;
    row["of_peak_cpu"] = t.cpu > 0 ? 1000 * gflop / t.cpu / peak : 0;
  }
  return row;
}

void print_row(const Json& row) {
  print("{:>5} {:>7} {:>5} {:<16} {:>9} {:>9.2f} {:>9.3f} {:>9.1f} {:>6.1f} %", row["level"].get<int>(),
        row["voxels"].get<std::int64_t>(), row["cin"].get<std::int64_t>(), row["direction"].get<std::string>(),
        row["pairs"].get<std::int64_t>(), row["map_ms"].get<double>(), row["ms"].get<double>(),
        row["gflops"].get<double>(), 100 * row["of_peak"].get<double>());
  if (row.contains("of_peak_cpu")) print(" {:>8.1f} %", 100 * row["of_peak_cpu"].get<double>());
  print("\n");
}

void bench_conv(const Options& o) {
  RAREFY_CHECK(o.kernel % 2 == 1, UsageError,
               "bench conv: --kernel {} is even; submanifold convolutions need 1, 3, 5 or 7", o.kernel);
  const Scan scan = load_scan(o.scan, {.format = o.format, .strict = false});
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const auto executor = make_thread_pool(o.threads);
  const Coords finest = voxels_of(scan, o.voxel, *executor);
  Peak peak;
  Json rows = Json::array();
  if (!o.json)
    print("{:>5} {:>7} {:>5} {:<16} {:>9} {:>9} {:>9} {:>9} {:>8}{}\n", "level", "voxels", "chan", "direction", "pairs",
          "map ms", "ms", "GFLOP/s", "of peak", o.threads == 1 ? "   by CPU time" : "");
  for (const int number : o.levels) {
    const Level level = make_level(o, finest, number, *executor);
    for (const std::int64_t channels : o.channels) {
      for (const std::string& direction : o.directions) {
        Case c(level, channels, direction, *executor);
        Peak own;
        const Times t = measure(c, o.repetitions, own);
        rows.push_back(row_json(o, level, channels, direction, c.gflop(), t, own.gflops()));
        if (!o.json) print_row(rows.back());
      }
    }
    peak.measure_again();
  }
  if (!o.json)
    return print("{} ({}), {} thread(s), {:.0f} GFLOP/s peak per core\n", cpu::model_name(),
                 name(select_conv_variant()), o.threads, peak.gflops());
  print_json({{"cpu", cpu::model_name()},
              {"isa", name(select_conv_variant())},
              {"threads", o.threads},
              {"voxel", o.voxel},
              {"peak_gflops", {{"fp32", peak.gflops()}}},
              {"busy", !warning.empty()},
              {"rows", rows}});
}

}  // namespace

void declare_conv(CLI::App& command) {
  set_examples(command,
               "  rarefy bench conv --scan scan.bin --channels 64 --threads 1\n"
               "  rarefy bench conv --scan scan.bin --channels 32,64,128,256 --levels 0,3 --json\n\n"
               "Times are medians without building the map. GFLOP/s count true pairs: 2 pairs cin cout / time. The "
               "share of the\n"
               "peak is against the single-core peak measured in between, times --threads.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--scan", o->scan, "Scan whose voxels are convolved")->required();
  add_format(command, o->format);
  command.add_option("--channels", o->channels, "Channels in and out, a list")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  command.add_option("--levels", o->levels, "How often the voxels are halved, a list: 0 to 4")
      ->delimiter(',')
      ->check(CLI::Range(0, 4));
  command.add_option("--kernel", o->kernel, "Kernel size: 1, 3, 5 or 7")->check(CLI::Range(1, 7));
  command
      .add_option("--directions", o->directions,
                  "forward, input_gradient, weight_gradient, and forward with values of 8 and 7 bits: int8, int7")
      ->delimiter(',')
      ->check(CLI::IsMember({"forward", "input_gradient", "weight_gradient", "int8", "int7"}));
  command.add_option("--voxel", o->voxel, "Voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--threads", o->threads, "Threads (default: 1)")->check(CLI::Range(1, 1024));
  command.add_option("--repetitions", o->repetitions, "Runs of each (default: for 0.6 s, 9 to 100)")
      ->check(CLI::Range(1, 100000));
  add_json(command, o->json);
  command.callback([o] { bench_conv(*o); });
}

}  // namespace rarefy::cli::bench
