// rarefy bench batches: the same voxels as one scan, as even and uneven batches, and as many small events.
#include "measure/batches.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/cpu.h"
#include "bench/bench.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "data/formats/formats.h"
#include "kernels/pool.h"
#include "kernels/row_norm.h"
#include "measure/input.h"
#include "rarefy/session.h"
#include "sparse/voxelize.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string scan, format = "auto", builder = "minkunet";
  double width = 0.5, voxel = 0.05;
  std::int64_t event_voxels = 5000, channels = 64;
  int threads = 1, repetitions = 0;
  bool json = false;
};

/// One way of sharing out the points, and what it took.
struct Case {
  Split split;
  bool one_by_one = false;  ///< each sample in a run of its own
  std::vector<double> ms, network_ms, pool_ms, norm_ms, norm_gradient_ms;
  std::int64_t voxels = 0, macs = 0;
};

/// A network on all cases in turns, in one session: what a server meets.
class Networks {
 public:
  Networks(const Options& o, const std::vector<float>& points)
      : points_(points), session_(build_model(o.builder, o.width, o.voxel), {.threads = o.threads}) {}

  void run(Case& c, bool warm_up) {
    double ms = 0, network = 0;
    c.voxels = c.macs = 0;
    const auto once = [&](const PointView& view) {
      session_.run({{"points", view}}, {.stop = interrupt_token()});
      const RunStatistics& s = session_.statistics();
      ms += s.total_ms;
      network += s.network_ms;
      c.voxels += s.voxels;
      c.macs += s.macs;
    };
    if (c.one_by_one) {
      for (std::size_t i = 0; i + 1 < c.split.begin.size(); ++i) once(part(c.split.begin[i], c.split.begin[i + 1]));
    } else {
      PointView view = part(0, c.split.begin.back());
      view.sample_begin = c.split.begin;
      once(view);
    }
    if (warm_up) return;
    c.ms.push_back(ms);
    c.network_ms.push_back(network);
  }

 private:
  PointView part(std::int64_t first, std::int64_t last) const {
    PointView view = view_of(points_);
    view.data = points_.data() + 4 * first;
    view.count = last - first;
    return view;
  }

  const std::vector<float>& points_;
  Session session_;
};

/// Ops that work sample by sample, on the voxels of a case: global mean, instance norm and its gradient.
class SampleOps {
 public:
  SampleOps(const Options& o, const std::vector<float>& points)
      : o_(o), points_(points), executor_(make_thread_pool(o.threads)) {}

  void run(Case& c, bool warm_up) {
    if (c.one_by_one) return;
    const auto edge = static_cast<float>(o_.voxel);
    const Matrix<const float> positions{points_.data(), static_cast<std::int64_t>(points_.size()) / 4, 3, 4};
    voxelize(positions, c.split.begin, {.dims = 3, .voxel_size = {edge, edge, edge, 1}}, *executor_, voxels_);
    const std::vector<std::int64_t>& begin = voxels_.coords.batch_begin;
    const std::int64_t rows = begin.back(), samples = c.split.samples(), channels = o_.channels;
    if (x_.empty() || static_cast<std::int64_t>(x_.size()) < rows * channels) {
      x_ = random_floats(rows * channels, 1);
      y_.resize(x_.size());
    }
    mean_.resize(static_cast<std::size_t>(samples * channels));
    deviation_.resize(mean_.size());
    const NormGroups groups{begin, channels};  // a group per channel: instance norm
    partial_.resize(static_cast<std::size_t>(groups.blocks() * 2 * channels));
    const std::vector<float> gamma(static_cast<std::size_t>(channels), 1.0f), beta(gamma.size(), 0.0f);
    std::vector<float> g_gamma(gamma.size()), g_beta(gamma.size());
    const Matrix<const float> x{x_.data(), rows, channels, channels};
    const Matrix<float> y{y_.data(), rows, channels, channels};
    const double pool = timed_ms([&] {
      pool_samples(cpu::allowed_isa(), x, begin, Pooling::mean, *executor_, scratch_,
                   {mean_.data(), samples, channels, channels});
    });
    const double norm = timed_ms([&] {
      group_norm_statistics(x, groups, 1e-5, *executor_, partial_.data(), mean_.data(), deviation_.data());
      group_norm_apply(x, groups, mean_.data(), deviation_.data(), gamma.data(), beta.data(), *executor_, y);
    });
    const double gradient = timed_ms([&] {
      group_norm_gradient(x, x, groups, mean_.data(), deviation_.data(), gamma.data(), *executor_, y, g_gamma.data(),
                          g_beta.data());
    });
    if (warm_up) return;
    c.pool_ms.push_back(pool);
    c.norm_ms.push_back(norm);
    c.norm_gradient_ms.push_back(gradient);
  }

 private:
  const Options& o_;
  const std::vector<float>& points_;
  std::unique_ptr<Executor> executor_;
  Voxels voxels_;
  std::vector<float> x_, y_, mean_, deviation_;
  std::vector<double> partial_;
  AlignedBuffer scratch_;
};

std::vector<Case> cases_of(const Options& o, const std::vector<float>& points) {
  const auto count = static_cast<std::int64_t>(points.size()) / 4;
  const auto edge = static_cast<float>(o.voxel);
  const std::int64_t whole[] = {0, count};
  Voxels voxels;
  voxelize({points.data(), count, 3, 4}, whole, {.dims = 3, .voxel_size = {edge, edge, edge, 1}}, serial_executor(),
           voxels);
  const double points_per_voxel =
      static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(1, voxels.coords.rows()));
  std::vector<Case> cases;
  for (Split& split : splits_of(
           count, std::max<std::int64_t>(1, std::llround(static_cast<double>(o.event_voxels) * points_per_voxel))))
    cases.push_back({.split = std::move(split)});
  cases.push_back(cases.back());
  cases.back().split.name = "events one by one";
  cases.back().one_by_one = true;
  return cases;
}

Json row_of(const Case& c, const Case& first) {
  const auto voxels = static_cast<double>(std::max<std::int64_t>(1, c.voxels));
  const auto per_voxel = [&](const std::vector<double>& ms) { return 1e6 * median(ms) / voxels; };
  const double ns = per_voxel(c.ms);
  Json row = {{"batch", c.split.name},
              {"samples", c.split.samples()},
              {"voxels", c.voxels},
              {"macs", c.macs},
              {"ms", median(c.ms)},
              {"network_ms", median(c.network_ms)},
              {"ns_per_voxel", ns},
              {"slower", ns / (1e6 * median(first.ms) / static_cast<double>(first.voxels))},
              {"gflops", 2e-6 * static_cast<double>(c.macs) / median(c.ms)}};
  if (!c.one_by_one) {
    row["pool_ns"] = per_voxel(c.pool_ms);
    row["norm_ns"] = per_voxel(c.norm_ms);
    row["norm_gradient_ns"] = per_voxel(c.norm_gradient_ms);
  }
  return row;
}

void print_rows(const Json& rows) {
  print("{:<18} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>9} {:>9} {:>14}\n", "batch", "samples", "voxels", "ms",
        "ns/voxel", "slower", "GFLOP/s", "pool ns", "norm ns", "its gradient");
  for (const Json& r : rows) {
    const auto number = [&](const char* key) {
      return r.contains(key) ? fmt::format("{:.1f}", r[key].get<double>()) : std::string();
    };
    print("{:<18} {:>8} {:>8} {:>9.1f} {:>9.0f} {:>8.2f} {:>8.1f} {:>9} {:>9} {:>14}\n", r["batch"].get<std::string>(),
          r["samples"].get<std::int64_t>(), r["voxels"].get<std::int64_t>(), r["ms"].get<double>(),
          r["ns_per_voxel"].get<double>(), r["slower"].get<double>(), r["gflops"].get<double>(), number("pool_ns"),
          number("norm_ns"), number("norm_gradient_ns"));
  }
}

void bench_batches(const Options& o) {
  const std::vector<float> points = sectors_of(load_scan(o.scan, {.format = o.format, .strict = false}));
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  std::vector<Case> cases = cases_of(o, points);
  Networks networks(o, points);
  SampleOps ops(o, points);
  double spent = 0;
  const int most = o.repetitions > 0 ? o.repetitions : 15;
  for (int i = 0; i <= most; ++i) {
    for (Case& c : cases) {
      check_interrupt();
      networks.run(c, i == 0);
      ops.run(c, i == 0);
      if (i > 0) spent += c.ms.back();
    }
    if (o.repetitions == 0 && i >= 5 && spent > 10000) break;
  }
  Json rows = Json::array();
  for (const Case& c : cases) rows.push_back(row_of(c, cases.front()));
  if (!o.json) return print_rows(rows);
  print_json({{"cpu", cpu::model_name()},
              {"isa", cpu::name(cpu::allowed_isa())},
              {"threads", o.threads},
              {"model", o.builder},
              {"width", o.width},
              {"channels", o.channels},
              {"repetitions", cases.front().ms.size()},
              {"busy", !warning.empty()},
              {"rows", rows}});
}

}  // namespace

void declare_batches(CLI::App& command) {
  set_examples(
      command,
      "  rarefy bench batches --scan scan.bin\n"
      "  rarefy bench batches --scan scan.bin --event-voxels 1000 --threads 2 --json\n\n"
      "The points of one scan, cut into sectors that are the samples of a batch: one sample; 8 equal ones; one "
      "with 70 %\n"
      "of the points and 60 with the rest; events of --event-voxels voxels; the same events in a run each. All "
      "in turns,\n"
      "medians. `slower`: time per voxel against that of the one scan. `pool`, `norm`: global mean and instance "
      "norm of\n"
      "--channels channels on the same voxels, ns per voxel.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--scan", o->scan, "Scan that batches are made of")->required();
  add_format(command, o->format);
  command.add_option("--builder", o->builder, "Published network (default: minkunet)");
  command.add_option("--width", o->width, "Builder: factor on all channel counts (default: 0.5)")
      ->check(CLI::PositiveNumber);
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--event-voxels", o->event_voxels, "Voxels of a small event (default: 5000)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30));
  command.add_option("--channels", o->channels, "Of the features that are pooled and normalised (default: 64)")
      ->check(CLI::Range(1, 4096));
  command.add_option("--threads", o->threads, "Threads (default: 1)")->check(CLI::Range(1, 1024));
  command.add_option("--repetitions", o->repetitions, "Turns (default: for 10 s, 5 to 15)")
      ->check(CLI::Range(1, 100000));
  add_json(command, o->json);
  command.callback([o] { bench_batches(*o); });
}

}  // namespace rarefy::cli::bench
