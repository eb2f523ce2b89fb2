// rarefy stream: labels scans as fast as a sensor makes them.
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "common/build_info.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "common/scans.h"
#include "common/segmenter.h"
#include "common/voxel_order.h"
#include "data/formats/formats.h"
#include "rarefy/models.h"
#include "stream/figures.h"
#include "stream/labeller.h"
#include "stream/page.h"

namespace rarefy::cli::commands {
namespace {

using namespace stream;  // NOLINT: this file is its front end
using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> scans;
  std::string model, builder, out, report, log, format = "auto";
  PlanChoice plan;
  double width = 1.0, voxel = 0.05;
  double rate = 10;
  double deadline_ms = 0;
  Drop drop = Drop::oldest;
  std::int64_t frames = 0;
  double memory_mb = 0;
  bool loop = false, json = false, strict = false, whole = false;
  VoxelOrder order = VoxelOrder::spread;
  int threads = 0;
};

const std::map<std::string, Drop> kPolicies = {
    {"oldest", Drop::oldest}, {"newest", Drop::newest}, {"none", Drop::none}};

std::string name_of(Drop drop) {
  for (const auto& [name, value] : kPolicies)
    if (value == drop) return name;
  return {};
}

/// One stream from its first scan to its summary.
class Player {
 public:
  explicit Player(const Options& options)
      : o_(options),
        entries_(find_scans(o_.scans, o_.format)),
        model_(load()),
        labels_(o_.out.empty() ? o_.out : o_.out + "/", true, ".label"),
        figures_(deadline_ms()) {}

  void play() {
    const int threads = threads_or_all(o_.threads);
    LabellerOptions labelling{.threads = threads, .format = o_.format, .strict = o_.strict, .stop = interrupt_token()};
    labelling.plan = plan_of(o_.plan);
    labelling.memory_limit = std::llround(1e6 * o_.memory_mb);
    labelling.hold_ms = hold_ms();
    labelling.period_ms = o_.rate > 0 ? 1000 / o_.rate : 0;
    labelling.order = o_.order;
    open_log();
    Labeller labeller(model_, entries_, labelling);
    need_ = labeller.check_memory();
    busy_ = busy_warning();
    if (!busy_.empty()) notice(busy_);
    labeller.calibrate();
    {
      Pipeline pipeline(pipeline_options(), labeller.stages());
      follow(pipeline);
      seconds_ = std::chrono::duration<double>(Clock::now() - pipeline.start()).count();
      given_up_ = pipeline.given_up();
    }
    if (!o_.report.empty()) write_file_atomic(o_.report, std::string_view(make_stream_page(summary(threads))));
    if (o_.json) {
      print_json(json(threads));
    } else {
      print(std::string_view(text()));
    }
    if (interrupt_token().stop_requested()) {
      complain("interrupted");
      throw Exit{kInterrupted};
    }
    if (figures_.failed() > 0) throw Exit{kFailure};
  }

 private:
  Model load() const {
    RAREFY_CHECK(o_.model.empty() || o_.builder.empty(), UsageError,
                 "stream: give either --model or --builder, not both");
    if (!o_.builder.empty()) return build_model(o_.builder, o_.width, o_.voxel);
    return load_segmenter(find_model(o_.model));
  }

  /// Voxels are left out to hold a deadline that was asked for.
  double hold_ms() const { return o_.whole ? 0 : o_.deadline_ms; }

  void open_log() {
    if (o_.log.empty()) return;
    log_.open(o_.log, std::ios::trunc);
    RAREFY_CHECK(log_.is_open(), IoError, "{}: cannot be written", o_.log);
  }

  /// One line of JSON per frame.
  void log(const Outcome& outcome) {
    if (!log_.is_open()) return;
    static const std::map<Fate, const char*> kFates = {
        {Fate::done, "labelled"}, {Fate::no_place, "no place"}, {Fate::late, "late"}, {Fate::failed, "failed"}};
    static const std::map<Bound, const char*> kBounds = {
        {Bound::none, "no bound"}, {Bound::deadline, "deadline"}, {Bound::rate, "rate"}};
    Json line = {{"frame", outcome.number},
                 {"scan", entries_[outcome.entry].scan},
                 {"arrival_s", outcome.arrival},
                 {"fate", kFates.at(outcome.fate)}};
    if (outcome.frame) {
      const Frame& f = *outcome.frame;
      line["latency_ms"] = f.times.latency;
      line["voxels"] = f.voxels;
      line["voxels_left_out"] = f.voxels_left_out;
      if (f.voxels_left_out > 0)
        line["why"] = {{"bound", kBounds.at(f.pace.bound)},
                       {"left_ms", f.pace.left_ms},
                       {"most", f.pace.most},
                       {"expected_ms", f.pace.expected_ms}};
    }
    if (!outcome.message.empty()) line["message"] = outcome.message;
    log_ << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    RAREFY_CHECK(log_.good(), IoError, "{}: cannot be written", o_.log);
  }

  double deadline_ms() const { return o_.deadline_ms > 0 || o_.rate <= 0 ? o_.deadline_ms : 1000 / o_.rate; }

  PipelineOptions pipeline_options() const {
    PipelineOptions p;
    p.period_ms = o_.rate > 0 ? 1000 / o_.rate : 0;
    p.entries = entries_.size();
    p.frames = o_.frames;
    if (!o_.loop) {
      const auto all = static_cast<std::int64_t>(entries_.size());
      p.frames = o_.frames > 0 ? std::min(o_.frames, all) : all;
    }
    p.drop = o_.drop;
    p.deadline_ms = deadline_ms();
    return p;
  }

  void follow(Pipeline& pipeline) {
    LiveLine line;
    auto sampled = pipeline.start();
    while (!pipeline.finished()) {
      if (interrupt_token().stop_requested()) pipeline.stop();
      auto outcome = pipeline.next(std::chrono::milliseconds(50));
      if (outcome) take(pipeline, *outcome);
      const auto now = Clock::now();
      const double seconds = std::chrono::duration<double>(now - pipeline.start()).count();
      if (now - sampled >= std::chrono::milliseconds(100)) {
        sampled = now;
        figures_.sample_memory(seconds, resident_memory_mb());
      }
      if (line.due()) line.show(live(seconds));
    }
  }

  void take(Pipeline& pipeline, Outcome& outcome) {
    figures_.add(outcome);
    log(outcome);
    const bool first_round = outcome.number < static_cast<std::int64_t>(entries_.size());
    if (outcome.fate == Fate::failed && first_round) complain(outcome.message);
    if (outcome.fate != Fate::done) return;
    if (first_round) {
      for (const std::string& text : outcome.frame->scan.notices) notice(text);
      if (labels_.wanted()) write_labels(outcome);
    }
    pipeline.recycle(std::move(outcome.frame));
  }

  void write_labels(const Outcome& outcome) {
    const auto& classes = model_.pipeline()->classes;
    std::vector<std::uint32_t> raw;
    raw.reserve(outcome.frame->labels.size());
    for (const std::uint8_t label : outcome.frame->labels)
      raw.push_back(label < classes.size() ? static_cast<std::uint32_t>(classes[label].raw_id) : 0);
    save_labels(labels_.path_for(entries_[outcome.entry]), raw);
  }

  std::string live(double seconds) const {
    const Figures& f = figures_;
    std::string line = fmt::format("{:.0f} s  {} labelled ({:.1f}/s)  p50 {:.0f} p99 {:.0f} ms  missed {}  dropped {}",
                                   seconds, f.done(), static_cast<double>(f.done()) / std::max(1e-3, seconds),
                                   f.latency().at(0.5), f.latency().at(0.99), f.missed(), f.dropped());
    if (f.failed() > 0) line += fmt::format("  failed {}", f.failed());
    if (f.voxels_left_out() > 0) line += fmt::format("  voxels left out {:.0f} %", 100 * share_left_out());
    line += "  |";
    for (std::size_t p = 0; p < kParts.size(); ++p) line += fmt::format(" {} {:.0f}", kParts[p], f.part(p).mean());
    return line + fmt::format("  | {:.0f} MB", resident_memory_mb());
  }

  double share_left_out() const {
    const auto out = static_cast<double>(figures_.voxels_left_out());
    return out / std::max(1.0, out + static_cast<double>(figures_.voxels()));
  }

  std::int64_t arrived() const { return figures_.done() + figures_.dropped() + figures_.failed() + given_up_; }

  std::string text() const {
    const Figures& f = figures_;
    std::string text =
        fmt::format("{} frames in {:.1f} s: {} labelled ({:.2f} a second), {} dropped", arrived(), seconds_, f.done(),
                    static_cast<double>(f.done()) / std::max(1e-3, seconds_), f.dropped());
    if (f.dropped() > 0)
      text +=
          fmt::format(" (--drop {}: {} had no place, {} were late already)", name_of(o_.drop), f.no_place(), f.late());
    if (f.failed() > 0) text += fmt::format(", {} failed", f.failed());
    if (given_up_ > 0) text += fmt::format(", {} given up when interrupted", given_up_);
    text += fmt::format("\nlatency from arrival to labels: p50 {:.1f} ms, p99 {:.1f} ms, longest {:.1f} ms",
                        f.latency().at(0.5), f.latency().at(0.99), f.latency().largest());
    if (deadline_ms() > 0) text += fmt::format("; {} missed the deadline of {:.3g} ms", f.missed(), deadline_ms());
    if (hold_ms() > 0)
      text += fmt::format("\nvoxels left out to hold it: {:.1f} % of all, in {} of {} frames ({} first to stay)",
                          100 * share_left_out(), f.thinned(), f.done(), rarefy::cli::name_of(o_.order));
    text += "\nmean ms:";
    for (std::size_t p = 0; p < kParts.size(); ++p)
      text += fmt::format("{} {} {:.1f}", p == 0 ? "" : ",", kParts[p], f.part(p).mean());
    text += fmt::format("\nmemory: {:.0f} MB resident at the end\n", resident_memory_mb());
    if (!o_.report.empty()) text += fmt::format("  report: {}\n", o_.report);
    return text;
  }

  Json json(int threads) const {
    const Figures& f = figures_;
    const auto quantiles = [](const Quantiles& q) {
      return Json{{"mean", q.mean()}, {"p50", q.at(0.5)}, {"p99", q.at(0.99)}, {"longest", q.largest()}};
    };
    Json parts;
    for (std::size_t p = 0; p < kParts.size(); ++p) parts[std::string(kParts[p])] = quantiles(f.part(p));
    const auto memory = f.memory();
    const double done = static_cast<double>(std::max<std::int64_t>(1, f.done()));
    Json json = {{"version", build_info().version}, {"model", model_name()}};
    json.update(machine_json(o_.plan));
    json.update({{"threads", threads},
                 {"busy", busy_},
                 {"rate", o_.rate},
                 {"drop", name_of(o_.drop)},
                 {"seconds", seconds_},
                 {"arrived", arrived()},
                 {"labelled", f.done()},
                 {"dropped", {{"no_place", f.no_place()}, {"late", f.late()}}},
                 {"failed", f.failed()},
                 {"given_up", given_up_},
                 {"labelled_per_second", static_cast<double>(f.done()) / std::max(1e-3, seconds_)},
                 {"deadline_ms", deadline_ms() > 0 ? Json(deadline_ms()) : Json()},
                 {"missed", f.missed()},
                 {"latency_ms", quantiles(f.latency())},
                 {"ms", parts},
                 {"points", static_cast<double>(f.points()) / done},
                 {"voxels", static_cast<double>(f.voxels()) / done},
                 {"macs", f.macs() / done},
                 {"memory_mb",
                  {{"second_quarter", memory.before},
                   {"second_half", memory.after},
                   {"end", resident_memory_mb()},
                   {"peak", peak_memory_mb()},
                   {"expected_for_frames", 1e-6 * static_cast<double>(need_.all())}}}});
    json["thinning"] = hold_ms() > 0 ? Json{{"order", rarefy::cli::name_of(o_.order)},
                                            {"frames", f.thinned()},
                                            {"voxels_left_out", static_cast<double>(f.voxels_left_out()) / done},
                                            {"share_left_out", share_left_out()}}
                                     : Json();
    if (!o_.out.empty()) json["out"] = o_.out;
    if (!o_.report.empty()) json["report"] = o_.report;
    return json;
  }

  std::string model_name() const {
    return o_.builder.empty() ? find_model(o_.model) : fmt::format("{} at width {}", o_.builder, o_.width);
  }

  StreamSummary summary(int threads) const {
    return {.figures = figures_,
            .model = o_.builder.empty() ? std::string(file_name(model_name())) : model_name(),
            .source = entries_.size() == 1 ? entries_[0].scan : o_.scans.front(),
            .scans = static_cast<std::int64_t>(entries_.size()),
            .rate = o_.rate,
            .deadline_ms = deadline_ms(),
            .drop = name_of(o_.drop),
            .seconds = seconds_,
            .given_up = given_up_,
            .parameters = model_.graph().parameters(),
            .threads = threads,
            .busy = busy_};
  }

  const Options& o_;
  const std::vector<ScanEntry> entries_;
  const Model model_;
  OutputPlace labels_;
  std::ofstream log_;
  Figures figures_;
  MemoryNeed need_;
  std::string busy_;
  double seconds_ = 0;
  std::int64_t given_up_ = 0;
};

void declare_options(CLI::App& command, Options& o) {
  command.add_option("SCAN", o.scans, "Scan files, folders, or quoted patterns, played in order")->required();
  command.add_option("--rate", o.rate, "Scans a second; 0: as many as can be labelled")
      ->check(CLI::Range(0.0, 10000.0))
      ->capture_default_str();
  command
      .add_option("--deadline", o.deadline_ms,
                  "Time from arrival to labels, such as 100ms or 0.1s, held by leaving voxels out ahead of the network "
                  "(default: until the next scan arrives, and no voxel is left out)")
      ->option_text("TIME")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1}, {"s", 1000}}))
      ->check(CLI::PositiveNumber);
  command
      .add_option("--drop", o.drop,
                  "Which frame goes when one arrives and its place is taken: the oldest (default), the newest, none")
      ->option_text("oldest|newest|none")
      ->transform(CLI::CheckedTransformer(kPolicies));
  command.add_flag("--whole", o.whole, "Leave no voxel out: what misses the deadline is counted");
  command.add_option("--order", o.order, voxel_order_help())
      ->transform(CLI::CheckedTransformer(voxel_orders()))
      ->option_text("ORDER");
  command.add_option("--log", o.log, "File for a line of JSON per frame: latency, voxels left out and why");
  command.add_flag("--loop", o.loop, "Begin again after the last scan");
  command.add_option("--frames", o.frames, "End after so many arrivals")->check(CLI::PositiveNumber);
  command.add_option("--model", o.model, "Model file (default: $RAREFY_MODEL, else the shipped street.safetensors)");
  std::string builders;
  for (const models::ModelDef& def : models::labelling()) builders += (builders.empty() ? "" : ", ") + def.name;
  command.add_option("--builder", o.builder, "A published network with random weights instead: " + builders);
  command.add_option("--width", o.width, "Builder: factor on all channel counts")->check(CLI::PositiveNumber);
  command.add_option("--voxel", o.voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--out", o.out, "Folder for SemanticKITTI .label files, of the first round");
  command.add_option("--report", o.report, "HTML page with the figures");
  command
      .add_option("--memory", o.memory_mb,
                  "Most MB for scans, maps and features (default: what is available); what needs more is refused")
      ->check(CLI::PositiveNumber);
  add_format(command, o.format);
  command.add_flag("--strict", o.strict, "A scan with points that are NaN, infinite or out of range fails");
  add_json(command, o.json);
  add_threads(command, o.threads);
  add_plan(command, o.plan);
}

}  // namespace

void stream(CLI::App& command) {
  command.description("Label scans at the rate of a sensor: latency, missed deadlines, dropped frames");
  set_examples(
      command,
      "  rarefy stream sequences/08 --rate 10                       one line that is kept up to date\n"
      "  rarefy stream sequences/08 --deadline 100ms --log log.jsonl    fewer voxels, so that 99 of 100 hold it\n"
      "  rarefy stream sequences/08 --loop --frames 6000 --report stream.html\n"
      "  rarefy stream sequences/08 --rate 0 --drop none --out predictions     as fast as it goes\n");
  auto o = std::make_shared<Options>();
  declare_options(command, *o);
  command.callback([o] { Player(*o).play(); });
}

}  // namespace rarefy::cli::commands
