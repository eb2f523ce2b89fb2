// rarefy eval: scores of a model on labelled scans, counted on points.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "common/calibration_runs.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/model_source.h"
#include "common/segmenter.h"
#include "common/voxel_order.h"
#include "compress/drop_voxels.h"
#include "data/metrics/confusion.h"
#include "data/metrics/trivial_baseline.h"
#include "data/sets/data_set.h"
#include "rarefy/voxel_budget.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> data;
  std::string model, set = "auto", sequences, baseline;
  PlanChoice plan;
  std::int64_t every = 1;
  bool json = false, confusion = false, scans = false;
  int threads = 0;
  double keep = 1, deadline_ms = 0;
  VoxelOrder order = VoxelOrder::spread;

  bool thins() const { return keep < 1 || deadline_ms > 0; }
};

/// Fewer voxels: a share of each scan's, or as many as end in time.
class Thinner {
 public:
  explicit Thinner(const Options& o) : o_(o) {}

  std::span<const std::uint8_t> run(Segmenter& segmenter, const Scan& scan) {
    Thinning wanted{.share = o_.keep, .order = o_.order};
    if (o_.deadline_ms > 0) {
      if (budget_.observed() == 0) calibrate(segmenter, scan);
      wanted.most = budget_.voxels_within(o_.deadline_ms);
    }
    const auto labels = segmenter.run(scan, false, wanted);
    const RunStatistics& s = segmenter.statistics();
    budget_.observe(s.voxels, s.total_ms);
    ms_.push_back(s.total_ms);
    voxels_ += s.voxels;
    left_out_ += s.voxels_left_out;
    macs_ += static_cast<double>(s.macs);
    return labels;
  }

  Json json() const {
    std::vector<double> ms = ms_;
    std::sort(ms.begin(), ms.end());
    const auto at = [&ms](double share) {
      return ms.empty() ? 0.0 : ms[static_cast<std::size_t>(share * static_cast<double>(ms.size() - 1) + 0.5)];
    };
    const double scans = std::max(1.0, static_cast<double>(ms.size()));
    const auto late = std::count_if(ms.begin(), ms.end(), [this](double t) { return t > o_.deadline_ms; });
    return {
        {"order", name_of(o_.order)},
        {"keep", o_.keep < 1 ? Json(o_.keep) : Json()},
        {"deadline_ms", o_.deadline_ms > 0 ? Json(o_.deadline_ms) : Json()},
        {"macs", macs_ / scans},
        {"voxels", static_cast<double>(voxels_) / scans},
        {"voxels_left_out", static_cast<double>(left_out_) / scans},
        {"share_left_out", static_cast<double>(left_out_) / std::max(1.0, static_cast<double>(left_out_ + voxels_))},
        {"ms", {{"p50", at(0.5)}, {"p99", at(0.99)}}},
        {"missed", o_.deadline_ms > 0 ? Json(late) : Json()}};
  }

 private:
  void calibrate(Segmenter& segmenter, const Scan& scan) {
    const auto fastest = calibrate_by_shares(
        [&](double share) {
          (void)segmenter.run(scan, false, {.share = share, .order = o_.order});
          return std::pair(segmenter.statistics().total_ms, segmenter.statistics().voxels);
        },
        [&](const auto& seen) { budget_.observe(seen.second, seen.first); });
    RAREFY_CHECK(fastest.first <= o_.deadline_ms, UsageError,
                 "eval: a deadline of {:g} ms cannot be held by leaving voxels out: the fastest run, on {} voxels, "
                 "takes {:.1f} ms here",
                 o_.deadline_ms, fastest.second, fastest.first);
  }

  static constexpr std::int64_t kLeast = 500;
  const Options& o_;
  VoxelBudget budget_{{.least = kLeast}};
  std::vector<double> ms_;
  std::int64_t voxels_ = 0, left_out_ = 0;
  double macs_ = 0;
};

/// Counts of everything that is scored.
struct Tally {
  explicit Tally(int classes) : all(classes), by_range(classes), baseline(classes) {}
  ConfusionMatrix all;
  RangeConfusion by_range;
  ConfusionMatrix baseline;
  std::map<std::string, ConfusionMatrix> by_group;
  Json scans = Json::array();
  std::int64_t count = 0, points = 0, failed = 0;
  double ms = 0, macs = 0;
  std::vector<double> rows = {};  ///< that ran through each residual block, sums over scans
};

/// Points of each class: labelled so, predicted so, and both.
Json counts_json(const ConfusionMatrix& matrix) {
  Json truth = Json::array(), predicted = Json::array(), right = Json::array();
  const auto classes = static_cast<std::uint8_t>(matrix.classes());
  for (std::uint8_t c = 0; c < classes; ++c) {
    std::int64_t row = matrix.count(c, kIgnored), column = 0;
    for (std::uint8_t other = 0; other < classes; ++other) {
      row += matrix.count(c, other);
      column += matrix.count(other, c);
    }
    truth.push_back(row);
    predicted.push_back(column);
    right.push_back(matrix.count(c, c));
  }
  return {{"truth", truth}, {"predicted", predicted}, {"right", right}};
}

std::vector<ScanSource> open_all(const Options& o) {
  std::vector<ScanSource> sources;
  DataSetOptions options{.sequences = parse_sequences(o.sequences), .labels = NeedLabels::yes};
  for (const std::string& argument : o.data) {
    const auto paths = path_exists(argument) ? std::vector<std::string>{argument} : expand_pattern(argument);
    RAREFY_CHECK(!paths.empty(), UsageError, "no file matches '{}'", argument);
    for (const std::string& path : paths) {
      RAREFY_CHECK(path_exists(path), IoError, "{}: no such file or folder", path);
      sources.push_back(open_data_set(path, o.set, options));
    }
  }
  return sources;
}

/// Voxels that run through each residual block of the model.
std::vector<std::int64_t> rows_of_blocks(const Segmenter& segmenter) {
  std::vector<std::int64_t> rows;
  for (const compress::BlockRows& block : compress::block_rows(segmenter.model().graph()))
    rows.push_back(segmenter.statistics().sizes.at(block.space));
  return rows;
}

Json blocks_json(const Segmenter& segmenter, const Tally& tally) {
  Json blocks = Json::array();
  const auto names = compress::block_rows(segmenter.model().graph());
  for (std::size_t b = 0; b < tally.rows.size(); ++b)
    blocks.push_back({{"block", names[b].block}, {"rows", tally.rows[b] / static_cast<double>(tally.count)}});
  return blocks;
}

void add_scan(const ScanSource& source, std::int64_t index, const Options& o, Segmenter& segmenter, Thinner& thinner,
              const TrivialBaseline* baseline, Tally& tally) {
  const ScanEntry& entry = source.entries[static_cast<std::size_t>(index)];
  const Scan scan = source.load(index);
  RAREFY_CHECK(!scan.labels.empty() || scan.size() == 0, InputError, "{}: has no labels to compare with", entry.scan);
  const auto truth = segmenter.class_indices(scan.labels);
  const auto labels = thinner.run(segmenter, scan);
  const int classes = tally.all.classes();
  ConfusionMatrix own(classes);
  own.add(truth, labels);
  tally.all.merge(own);
  tally.by_range.add(scan.xyz, truth, labels);
  tally.by_group.try_emplace(source.set + "/" + entry.group, classes).first->second.merge(own);
  if (baseline != nullptr) {
    std::vector<std::uint8_t> guesses(truth.size());
    baseline->predict(scan.xyz, guesses);
    tally.baseline.add(truth, guesses);
  }
  ++tally.count;
  tally.points += scan.size();
  tally.ms += segmenter.statistics().total_ms;
  tally.macs += static_cast<double>(segmenter.statistics().macs);
  const auto rows = rows_of_blocks(segmenter);
  tally.rows.resize(rows.size());
  for (std::size_t b = 0; b < rows.size(); ++b) tally.rows[b] += static_cast<double>(rows[b]);
  if (o.scans) {
    const Score score = own.score();
    tally.scans.push_back({{"file", entry.scan},
                           {"miou", score.miou},
                           {"classes", score.occurring},
                           {"points", score.labelled},
                           {"accuracy", score.accuracy},
                           {"counts", counts_json(own)},
                           {"rows", rows}});
  }
}

Tally score_all(const Options& o, Segmenter& segmenter, Thinner& thinner, const TrivialBaseline* baseline) {
  const auto sources = open_all(o);
  std::int64_t total = 0, done = 0;
  for (const ScanSource& source : sources) total += (source.size() + o.every - 1) / o.every;
  Tally tally(static_cast<int>(segmenter.pipeline().classes.size()));
  ProgressLine progress("scans", total);
  for (const ScanSource& source : sources) {
    for (std::int64_t i = 0; i < source.size(); i += o.every) {
      check_interrupt();
      try {
        add_scan(source, i, o, segmenter, thinner, baseline, tally);
      } catch (const Cancelled&) {
        throw;
      } catch (const UsageError&) {  // no scan's fault: a deadline that no scan keeps
        throw;
      } catch (const Error& error) {
        if (total == 1) throw;
        complain(error.what());
        ++tally.failed;
      }
      progress.update(++done);
    }
  }
  return tally;
}

Json score_json(const Score& score) {
  return {{"miou", score.miou}, {"classes", score.occurring}, {"points", score.labelled}, {"accuracy", score.accuracy}};
}

Json to_json(const Options& o, const Segmenter& segmenter, const Tally& tally) {
  const Score score = tally.all.score();
  const auto& classes = segmenter.pipeline().classes;
  Json json = {{"model", segmenter.path()}, {"scans", tally.count}, {"failed", tally.failed}};
  json.update(score_json(score));
  json["ms_per_scan"] = tally.count > 0 ? tally.ms / static_cast<double>(tally.count) : 0;
  json["macs_per_scan"] = tally.count > 0 ? tally.macs / static_cast<double>(tally.count) : 0;
  if (!tally.rows.empty()) json["blocks"] = blocks_json(segmenter, tally);
  std::vector<ConfusionMatrix> groups;
  for (const auto& [name, matrix] : tally.by_group) groups.push_back(matrix);
  json["groups"] = groups.size();
  if (const auto interval = bootstrap_miou(groups, 1)) json["interval_95"] = {interval->low, interval->high};
  for (std::size_t c = 0; c < classes.size(); ++c) {
    json["per_class"].push_back({{"name", classes[c].name},
                                 {"iou", score.points[c] > 0 ? Json(score.iou[c]) : Json()},
                                 {"points", score.points[c]}});
  }
  for (std::size_t bin = 0; bin < tally.by_range.bins().size(); ++bin) {
    Json row = {{"from_m", RangeConfusion::kEdges[bin]},
                {"to_m", bin + 1 < RangeConfusion::kEdges.size() ? Json(RangeConfusion::kEdges[bin + 1]) : Json()}};
    row.update(score_json(tally.by_range.bins()[bin].score()));
    json["by_range"].push_back(row);
  }
  for (std::size_t label = 0; label < classes.size(); ++label) {
    Json row = Json::array();
    for (std::size_t prediction = 0; prediction <= classes.size(); ++prediction) {
      row.push_back(tally.all.count(static_cast<std::uint8_t>(label),
                                    prediction < classes.size() ? static_cast<std::uint8_t>(prediction) : kIgnored));
    }
    json["confusion"].push_back(row);
  }
  if (!o.baseline.empty()) json["trivial_baseline"] = score_json(tally.baseline.score());
  if (o.scans) json["per_scan"] = tally.scans;
  return json;
}

void print_confusion(const Json& json) {
  print(
      "\nconfusion: rows are true classes, columns predictions, in percent of the row; 'none' = no prediction\n{:<16}",
      "");
  for (const auto& c : json["per_class"]) print(" {:>5.5}", c["name"].get<std::string>());
  print(" {:>5}\n", "none");
  for (std::size_t row = 0; row < json["confusion"].size(); ++row) {
    const auto points = json["per_class"][row]["points"].get<std::int64_t>();
    if (points == 0) continue;
    print("{:<16}", json["per_class"][row]["name"].get<std::string>());
    for (const auto& count : json["confusion"][row])
      print(" {:>5.1f}", 100 * count.get<double>() / static_cast<double>(points));
    print("\n");
  }
}

void print_text(const Options& o, const Json& j) {
  print("mIoU {:.1f} % over the {} classes that occur; {} scans, {} labelled points, {:.1f} % of them right\n",
        100 * j["miou"].get<double>(), j["classes"].get<int>(), j["scans"].get<std::int64_t>(),
        j["points"].get<std::int64_t>(), 100 * j["accuracy"].get<double>());
  if (j.contains("interval_95")) {
    print("95 % interval {:.1f} to {:.1f} % (bootstrap over {} streets)\n", 100 * j["interval_95"][0].get<double>(),
          100 * j["interval_95"][1].get<double>(), j["groups"].get<int>());
  }
  if (j.contains("trivial_baseline")) {
    print("trivial baseline (most frequent class at a point's height and range): mIoU {:.1f} %\n",
          100 * j["trivial_baseline"]["miou"].get<double>());
  }
  if (j.contains("thinning")) {
    const Json& t = j["thinning"];
    print("{:.0f} voxels per scan; {:.1f} % more were left out ({} first to stay); p99 {:.1f} ms\n",
          t["voxels"].get<double>(), 100 * t["share_left_out"].get<double>(), t["order"].get<std::string>(),
          t["ms"]["p99"].get<double>());
    if (!t["missed"].is_null())
      print("{} scans missed the deadline of {:g} ms\n", t["missed"].get<int>(), t["deadline_ms"].get<double>());
  }
  print("{:.1f} ms per scan\n\n{:<18} {:>8} {:>12}\n", j["ms_per_scan"].get<double>(), "class", "IoU %", "points");
  for (const auto& c : j["per_class"]) {
    print("{:<18} {:>8} {:>12}\n", c["name"].get<std::string>(),
          c["iou"].is_null() ? "-" : fmt::format("{:.1f}", 100 * c["iou"].get<double>()),
          c["points"].get<std::int64_t>());
  }
  print("\n{:<18} {:>8} {:>8} {:>12}\n", "range", "mIoU %", "classes", "points");
  for (const auto& bin : j["by_range"]) {
    const std::string to = bin["to_m"].is_null() ? "and more" : fmt::format("to {} m", bin["to_m"].get<int>());
    print("{:<18} {:>8.1f} {:>8} {:>12}\n", fmt::format("{} m {}", bin["from_m"].get<int>(), to),
          100 * bin["miou"].get<double>(), bin["classes"].get<int>(), bin["points"].get<std::int64_t>());
  }
  if (o.scans) {
    print("\n{:<50} {:>8} {:>8}\n", "scan", "mIoU %", "classes");
    for (const auto& s : j["per_scan"])
      print("{:<50} {:>8.1f} {:>8}\n", s["file"].get<std::string>(), 100 * s["miou"].get<double>(),
            s["classes"].get<int>());
  }
  if (o.confusion) print_confusion(j);
}

void evaluate(const Options& o) {
  Segmenter segmenter(find_model(o.model), threads_or_all(o.threads), o.plan);
  std::optional<TrivialBaseline> baseline;
  if (!o.baseline.empty()) baseline = TrivialBaseline::load(o.baseline);
  Thinner thinner(o);
  const Tally tally = score_all(o, segmenter, thinner, baseline ? &*baseline : nullptr);
  Json json = to_json(o, segmenter, tally);
  if (o.thins()) json["thinning"] = thinner.json();
  if (o.json) {
    print_json(json);
  } else {
    print_text(o, json);
  }
  if (tally.failed > 0) throw Exit{kFailure};
}

}  // namespace

void eval(CLI::App& command) {
  command.description("Score a model on labelled scans: IoU per class, by range, confusion");
  set_examples(
      command,
      "  rarefy eval dataset --sequences 8              SemanticKITTI's layout (the simulator writes it, too)\n"
      "  rarefy eval scans_npy --scans --json           points_NNN.npy with labels_NNN.npy\n"
      "  rarefy eval dataset --confusion --every 10\n"
      "  rarefy eval dataset --deadline 100ms           what fewer voxels cost: as rarefy stream leaves them out\n\n"
      "mIoU is the mean over the classes that occur in the labels. A point without a prediction counts as wrong.\n");
  auto o = std::make_shared<Options>();
  command.add_option("DATA", o->data, "Labelled data sets, scan files or quoted patterns")->required();
  command.add_option("--model", o->model, "Model file (default: the one that segment uses)");
  std::string sets;
  for (const DataSet& set : data_sets()) sets += std::string(sets.empty() ? "" : ", ") + std::string(set.name);
  command.add_option("--set", o->set, "Kind of data set: " + sets + " (default: what the folder looks like)");
  command.add_option("--sequences", o->sequences, "Which sequences: 0-7,9");
  command.add_option("--every", o->every, "Only every N-th scan")->check(CLI::PositiveNumber);
  command.add_option("--baseline", o->baseline, "Also score a trivial baseline (JSON file of the experiments)");
  command.add_flag("--confusion", o->confusion, "Print the confusion matrix (always in --json)");
  command.add_option("--keep", o->keep, "Leave voxels out ahead of the network: share of each scan's that stay")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--deadline", o->deadline_ms,
                  "Leave out as many voxels as a scan must lack to be labelled within this time, such as 100ms")
      ->option_text("TIME")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1}, {"s", 1000}}))
      ->check(CLI::PositiveNumber)
      ->excludes("--keep");
  command.add_option("--order", o->order, voxel_order_help())
      ->transform(CLI::CheckedTransformer(voxel_orders()))
      ->option_text("ORDER");
  command.add_flag("--scans", o->scans, "Also score each scan alone");
  add_json(command, o->json);
  add_threads(command, o->threads);
  add_plan(command, o->plan);
  command.callback([o] { evaluate(*o); });
}

}  // namespace rarefy::cli::commands
