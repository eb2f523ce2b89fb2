// rarefy segment: from scans to labelled points.
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/check.h"
#include "base/cpu.h"
#include "base/file.h"
#include "common/build_info.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/model_source.h"
#include "common/scan_page.h"
#include "common/scans.h"
#include "common/segmenter.h"
#include "data/formats/formats.h"
#include "kernels/cpu/peak.h"
#include "measure/timing.h"

namespace rarefy::cli::commands {
namespace {

struct Options {
  std::vector<std::string> scans;
  std::string model, out, labels_out, report, format = "auto";
  PlanChoice plan;
  bool json = false, strict = false;
  int threads = 0;
  int repeat = 1;
};

using Clock = std::chrono::steady_clock;

/// One scan's way through the program.
class Job {
 public:
  Job(const Options& options, Segmenter& segmenter, const ScanEntry& entry)
      : options_(options), segmenter_(segmenter), entry_(entry) {}

  /// Reads and labels. @throws Error
  void run() {
    const auto start = Clock::now();
    scan_ = load_scan(entry_.scan, {.format = options_.format, .strict = options_.strict});
    read_ms_ = bench::ms_since(start);
    std::vector<std::pair<RunStatistics, std::vector<StepProfile>>> runs;
    for (int i = 0; i < options_.repeat; ++i) {
      const auto labels = segmenter_.run(scan_, options_.strict);
      labels_.assign(labels.begin(), labels.end());
      runs.emplace_back(segmenter_.statistics(), segmenter_.profile());
    }
    const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
    std::nth_element(runs.begin(), middle, runs.end(),
                     [](const auto& a, const auto& b) { return a.first.total_ms < b.first.total_ms; });
    std::tie(statistics_, profile_) = *middle;
    collect_notices();
  }

  void write(OutputPlace& ply, OutputPlace& label, OutputPlace& page) {
    if (ply.wanted()) written_["out"] = write_ply(ply.path_for(entry_));
    if (label.wanted()) {
      written_["labels_out"] = label.path_for(entry_);
      save_labels(written_["labels_out"], raw_labels());
    }
    if (page.wanted()) written_["report"] = write_page(page.path_for(entry_));
  }

  nlohmann::ordered_json json() const {
    const RunStatistics& s = statistics_;
    nlohmann::ordered_json json = {{"file", entry_.scan},
                                   {"points", s.points},
                                   {"voxels", s.voxels},
                                   {"macs", s.macs},
                                   {"ms",
                                    {{"read", read_ms_},
                                     {"voxelize", s.voxelize_ms},
                                     {"maps", s.maps_ms},
                                     {"network", s.network_ms},
                                     {"total", s.total_ms}}},
                                   {"points_not_finite", s.points_not_finite},
                                   {"points_outside", s.points_outside},
                                   {"intensity", !scan_.intensity.empty()}};
    for (const auto& [count, name] : class_counts()) json["classes"][name] = count;
    for (const auto& [what, path] : written_) json[what] = path;
    return json;
  }

  std::string text() const {
    const RunStatistics& s = statistics_;
    std::string line =
        fmt::format("{}: {} points, {} voxels, {:.1f} ms (voxelize {:.1f}, maps {:.1f}, network {:.1f})\n", entry_.scan,
                    s.points, s.voxels, s.total_ms, s.voxelize_ms, s.maps_ms, s.network_ms);
    std::string shares;
    for (const auto& [count, name] : class_counts()) {
      const double share =
          100.0 * static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(1, s.points));
      if (share >= 0.05) shares += fmt::format("{}{} {:.1f} %", shares.empty() ? "  " : ", ", name, share);
    }
    if (!shares.empty()) line += shares + "\n";
    for (const auto& [what, path] : written_) line += fmt::format("  {}: {}\n", what, path);
    return line;
  }

 private:
  void collect_notices() {
    notices_ = scan_.notices;
    if (statistics_.intensity_missing)
      notices_.push_back("has no intensity; the network works without it, less surely");
    if (statistics_.points_not_finite > 0) {
      notices_.push_back(fmt::format("{} of {} points are NaN or infinite and get no class",
                                     statistics_.points_not_finite, statistics_.points));
    }
    if (statistics_.points_outside > 0) {
      notices_.push_back(fmt::format("{} of {} points lie outside the model's range and get no class",
                                     statistics_.points_outside, statistics_.points));
    }
    for (const std::string& text : notices_) {
      // Readers name the file themselves.
      notice(text.starts_with(entry_.scan) ? text : entry_.scan + ": " + text);
    }
  }

  std::vector<std::pair<std::int64_t, std::string>> class_counts() const {
    const auto& classes = segmenter_.pipeline().classes;
    std::vector<std::pair<std::int64_t, std::string>> counts(classes.size() + 1);
    for (std::size_t c = 0; c < counts.size(); ++c)
      counts[c].second = c < classes.size() ? classes[c].name : "no class";
    for (const std::uint8_t label : labels_) ++counts[std::min<std::size_t>(label, classes.size())].first;
    std::erase_if(counts, [](const auto& entry) { return entry.first == 0; });
    std::stable_sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    return counts;
  }

  std::vector<std::uint32_t> raw_labels() const {
    std::vector<std::uint32_t> raw;
    raw.reserve(labels_.size());
    for (const std::uint8_t label : labels_) raw.push_back(segmenter_.raw_id(label));
    return raw;
  }

  /// The last three parts of the path: enough to tell scans of one data set apart.
  std::string short_name() const {
    std::size_t at = entry_.scan.size();
    for (int parts = 0; parts < 3 && at != std::string::npos && at > 0; ++parts) at = entry_.scan.rfind('/', at - 1);
    return at == std::string::npos || at == 0 ? entry_.scan : entry_.scan.substr(at + 1);
  }

  std::string write_ply(const std::string& path) const {
    Scan labelled{.xyz = scan_.xyz, .intensity = scan_.intensity, .labels = raw_labels(), .notices = {}};
    std::vector<Rgb> colours;
    const auto& classes = segmenter_.pipeline().classes;
    for (const std::uint8_t label : labels_) {
      const auto rgb = label < classes.size() ? classes[label].color : std::array<std::uint8_t, 3>{};
      colours.push_back({rgb[0], rgb[1], rgb[2]});
    }
    save_ply(path, labelled, colours);
    return path;
  }

  std::string write_page(const std::string& path) {
    std::vector<std::uint8_t> truth;
    if (entry_.kind != LabelFile::none || !scan_.labels.empty()) {
      truth = segmenter_.class_indices(scan_.labels.empty() ? ScanSource{{}, {entry_}}.load(0).labels : scan_.labels);
    }
    const double peak = measure_peak_gflops(cpu::allowed_isa());
    write_file_atomic(path, std::string_view(make_scan_page({segmenter_, scan_, labels_, std::move(truth), statistics_,
                                                             profile_, short_name(), notices_, peak})));
    return path;
  }

  const Options& options_;
  Segmenter& segmenter_;
  const ScanEntry& entry_;
  Scan scan_;
  std::vector<std::uint8_t> labels_;
  RunStatistics statistics_;
  std::vector<StepProfile> profile_;
  double read_ms_ = 0;
  std::vector<std::string> notices_;
  std::map<std::string, std::string> written_;
};

void segment_all(const Options& options) {
  const auto entries = find_scans(options.scans, options.format);
  Segmenter segmenter(find_model(options.model), threads_or_all(options.threads), options.plan);
  const bool many = entries.size() > 1;
  OutputPlace ply(options.out, many, ".ply"), label(options.labels_out, many, ".label"),
      page(options.report, many, ".html");
  nlohmann::ordered_json result = {{"version", build_info().version}, {"model", segmenter.path()}};
  result.update(machine_json(options.plan));
  result["threads"] = segmenter.threads();
  result["scans"] = nlohmann::ordered_json::array();
  std::int64_t failed = 0;
  {
    ProgressLine progress("scans", static_cast<std::int64_t>(entries.size()));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      check_interrupt();
      try {
        Job job(options, segmenter, entries[i]);
        job.run();
        job.write(ply, label, page);
        if (options.json) {
          result["scans"].push_back(job.json());
        } else {
          print(std::string_view(job.text()));
        }
      } catch (const Cancelled&) {
        throw;
      } catch (const Error& error) {
        if (!many) throw;
        complain(error.what());
        ++failed;
      }
      progress.update(static_cast<std::int64_t>(i) + 1);
    }
  }
  if (options.json) {
    result["failed"] = failed;
    print_json(result);
  }
  if (failed > 0) throw Exit{kFailure};
}

}  // namespace

void segment(CLI::App& command) {
  command.description("Label the points of LiDAR scans");
  set_examples(command,
               "  rarefy segment scan.bin                                shares of the classes, and how long it took\n"
               "  rarefy segment scan.bin --report out.html              a page to look at\n"
               "  rarefy segment scan.pcd --out labelled.ply             for CloudCompare or MeshLab\n"
               "  rarefy segment sequences/08 --labels-out predictions   .label files in raw SemanticKITTI ids\n"
               "  rarefy segment 'scans/*.bin' --json > figures.json\n");
  auto o = std::make_shared<Options>();
  command.add_option("SCAN", o->scans, "Scan files, folders, or quoted patterns (.bin .npy .npz .ply .pcd)")
      ->required();
  command.add_option("--model", o->model, "Model file (default: $RAREFY_MODEL, else the shipped street.safetensors)");
  command.add_option("--out", o->out, "Labelled PLY file; a folder for several scans");
  command.add_option("--labels-out", o->labels_out,
                     "SemanticKITTI .label file with raw ids; a folder for several scans");
  command.add_option("--report", o->report, "HTML page with 3-D view and figures; a folder for several scans");
  add_json(command, o->json);
  add_threads(command, o->threads);
  add_plan(command, o->plan);
  command.add_option("--format", o->format,
                     "Scan format, when the extension does not tell (kitti, nuscenes, npy, npz, ply, pcd)");
  command.add_flag("--strict", o->strict, "Points that are NaN, infinite or out of range are an error, not a note");
  command.add_option("--repeat", o->repeat, "Run so often and report the median time")->check(CLI::Range(1, 1000));
  command.callback([o] { segment_all(*o); });
}

}  // namespace rarefy::cli::commands
