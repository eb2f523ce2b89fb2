// rarefy compress: a model that computes less. What is left out is chosen on scans and measured on this machine.
#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "compress/choose_ratios.h"
#include "compress/drop_offsets.h"
#include "compress/heads.h"
#include "compress/score_voxels.h"
#include "compress/thin_voxels.h"
#include "data/sets/data_set.h"
#include "measure/input.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;
using compress::DropVoxelsOptions;

struct Options {
  std::string model, data, out, what, score = "magnitude", keep = "scan", surroundings = "kept", by = "labels";
  std::vector<std::string> ratios, inputs;
  double budget_ms = 0, left_out = 0, spread = 0, ahead = 0;
  std::int64_t scans = 8, cell = 2;
  int threads = 0, repetitions = 5;
  bool share_scores = false, by_block = false, json = false;
};

double ratio_of(const std::string& text, const std::string& whole) {
  double ratio = -1;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, ratio);
  RAREFY_CHECK(error == std::errc() && rest == end, UsageError,
               "compress: --ratio '{}': expected a number, or STAGE=NUMBER (as in up3=0.5)", whole);
  RAREFY_CHECK(ratio >= 0 && ratio < 1, UsageError,
               "compress: --ratio '{}': expected at least 0 and less than 1: the share that is left out", whole);
  return ratio;
}

/// "0.5" for all stages, or "up3=0.5" for one stage or block.
std::map<std::string, double> ratios_of(const Options& o, const Graph& graph) {
  std::map<std::string, double> ratios;
  for (const std::string& text : o.ratios) {
    const std::size_t equal = text.find('=');
    if (equal != std::string::npos) {
      ratios[text.substr(0, equal)] = ratio_of(text.substr(equal + 1), text);
      continue;
    }
    const double ratio = ratio_of(text, text);
    for (const compress::ResidualBlock& block : compress::residual_blocks(graph))
      ratios.try_emplace(block.stage, ratio);
  }
  return ratios;
}

/// Scans evenly spread over the data: x, y, z, intensity per point.
std::vector<std::vector<float>> read_scans(const Options& o) {
  const ScanSource source = open_data_set(o.data, "auto", {.sequences = {}, .labels = NeedLabels::no});
  RAREFY_CHECK(source.size() > 0, InputError, "{}: there is no scan to look at", o.data);
  const std::int64_t wanted = std::min(o.scans, source.size());
  std::vector<std::vector<float>> scans;
  ProgressLine progress("scans", wanted);
  for (std::int64_t i = 0; i < wanted; ++i) {
    check_interrupt();
    scans.push_back(bench::interleaved(source.load(i * source.size() / wanted)));
    progress.update(i + 1);
  }
  return scans;
}

/// What the changed model does on the scans: shares that its blocks leave out, and labels that change.
struct Effect {
  Json blocks = Json::array();
  double mean = 0;     ///< over blocks and scans, of the voxels that skip a block; blocks that drop none count as 0
  double changed = 0;  ///< share of the labels
  double macs_before = 0, macs = 0;
};

/// Of the rows that ran through the block before.
double share_left_out(const compress::BlockRows& block, const Sizes& sizes,
                      const std::vector<compress::BlockRows>& before, const Sizes& sizes_before) {
  const auto old = std::find_if(before.begin(), before.end(), [&](const auto& b) { return b.block == block.block; });
  if (old == before.end() || sizes_before.at(old->space) == 0) return 0;
  return 1.0 - static_cast<double>(sizes.at(block.space)) / static_cast<double>(sizes_before.at(old->space));
}

Effect effect_of(const Model& before, const Model& after, const std::vector<Inputs>& scans, Executor& executor) {
  Session dense(before, {.executor = &executor}), sparse(after, {.executor = &executor});
  const auto blocks = compress::block_rows(after.graph()), blocks_before = compress::block_rows(before.graph());
  std::vector<double> left_out(blocks.size(), 0.0);
  std::int64_t changed = 0, labels = 0;
  Effect effect;
  for (const Inputs& scan : scans) {
    check_interrupt();
    const auto wanted = dense.run(scan)["labels"].as<std::uint8_t>();
    const auto found = sparse.run(scan)["labels"].as<std::uint8_t>();
    for (std::size_t i = 0; i < found.size(); ++i) changed += found[i] != wanted[i] ? 1 : 0;
    labels += static_cast<std::int64_t>(found.size());
    effect.macs_before += static_cast<double>(dense.statistics().macs);
    effect.macs += static_cast<double>(sparse.statistics().macs);
    for (std::size_t b = 0; b < blocks.size(); ++b)
      left_out[b] += share_left_out(blocks[b], sparse.statistics().sizes, blocks_before, dense.statistics().sizes) /
                     static_cast<double>(scans.size());
  }
  effect.changed = labels > 0 ? static_cast<double>(changed) / static_cast<double>(labels) : 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    effect.mean += left_out[b] / static_cast<double>(blocks.size());
    effect.blocks.push_back({{"block", blocks[b].block}, {"left_out", left_out[b]}});
  }
  return effect;
}

std::string ratios_text(const std::map<std::string, double>& ratios) {
  std::string text;
  for (const auto& [stage, ratio] : ratios) text += fmt::format("{}{}={:g}", text.empty() ? "" : ", ", stage, ratio);
  return text.empty() ? "none" : text;
}

/// One call of the command.
class Compression {
 public:
  explicit Compression(const Options& options)
      : o_(options),
        model_(Model::load(find_model(o_.model))),
        executor_(make_thread_pool(threads_or_all(o_.threads))),
        points_(read_scans(o_)) {
    for (const auto& points : points_) scans_.push_back({{"points", bench::view_of(points)}});
  }

  void run() {
    busy_ = busy_warning();
    if (!busy_.empty()) notice(busy_);
    if (o_.what == "offsets") return run_offsets();
    if (o_.what == "thresholds") return run_thresholds();
    run_voxels();
  }

 private:
  void run_offsets() {
    const double ratio = ratio_of(o_.ratios.at(0), o_.ratios[0]);
    const auto groups = compress::offset_energies(model_, scans_, executor_.get());
    Model result = compress::drop_offsets(model_, groups, ratio);
    const Effect effect = effect_of(model_, result, scans_, *executor_);
    const auto [before, after] = time_both(result);
    Json maps = Json::array();
    for (const compress::OffsetGroup& group : groups) {
      std::int64_t kept = static_cast<std::int64_t>(group.offsets.size());
      for (const Node& node : result.graph().nodes())
        if (node.name == group.map && !node.integers("offsets").empty())
          kept = static_cast<std::int64_t>(node.integers("offsets").size() / group.offsets[0].size());
      maps.push_back({{"map", group.map}, {"layers", group.layers}, {"offsets", group.offsets.size()}, {"kept", kept}});
    }
    result.notes["offsets"] = fmt::format(
        "those that rarely matter are left out: {:g} of the convolutions' work at most, as seen on {} scans", ratio,
        scans_.size());
    result.save(o_.out);
    if (o_.json) {
      Json json = common_json(effect, before, after);
      json["ratio"] = ratio;
      json["maps"] = maps;
      return print_json(json);
    }
    print("{:<20} {:>8} {:>8}  layers\n", "map", "offsets", "stay");
    for (const Json& m : maps) {
      print("{:<20} {:>8} {:>8}  {}\n", m["map"].get<std::string>(), m["offsets"].get<int>(), m["kept"].get<int>(),
            m["layers"].size());
    }
    print_effect(effect, before, after);
    print("{}\n", o_.out);
  }

  std::pair<double, double> time_both(const Model& result) const {
    const auto times = compress::time_in_turns(scans_[scans_.size() / 2], *executor_, o_.repetitions)({model_, result});
    return {compress::whole_ms(times[0]), compress::whole_ms(times[1])};
  }

  void run_thresholds() {
    Model result = compress::with_pooled_thresholds(model_, scans_, executor_.get());
    const Effect effect = effect_of(model_, result, scans_, *executor_);
    const auto [before, after] = time_both(result);
    result.notes["voxels"] += ", then one threshold over all scans";
    result.save(o_.out);
    report({}, effect, before, after, Json::array());
  }

  void run_voxels() {
    DropVoxelsOptions how;
    if (o_.score == "random") how.plain = compress::PlainScore::random;
    if (o_.score == "spread") how.plain = compress::PlainScore::spread;
    how.spread = o_.spread;
    how.cell = o_.cell;
    if (o_.surroundings == "cells") how.surroundings = compress::Surroundings::cells;
    if (o_.share_scores) how.sharing = compress::Scores::per_space;
    if (o_.score == "learned") how.scores = compress::learn_scores(model_, scans_, executor_.get(), how);
    Json table = Json::array();
    Model result;
    if (searches()) {
      const compress::RatiosChoice choice = choose(how);
      how.ratios = choice.ratios;
      for (const compress::RatioCost& c : choice.table)
        table.push_back({{"stage", c.stage}, {"ratio", c.ratio}, {"ms", c.ms}, {"labels_changed", c.changed}});
      promised_ms_ = choice.ms_promised;
    } else {
      how.ratios = ratios_of(o_, model_.graph());
    }
    if (o_.keep == "all") how.thresholds = compress::pooled_thresholds(model_, how, scans_, executor_.get());
    result = how.ratios.empty() ? model_ : compress::drop_voxels(model_, how);
    if (o_.ahead > 0)
      result =
          compress::thin_voxels(result, 1 - o_.ahead, o_.score == "random" ? VoxelOrder::random : VoxelOrder::spread);
    const Effect effect = effect_of(model_, result, scans_, *executor_);
    const auto [before, after] = time_both(result);
    result.notes["voxels"] = fmt::format("dropped ahead of residual blocks: {}; score {}, kept per {}",
                                         ratios_text(how.ratios), o_.score, o_.keep);
    result.save(o_.out);
    report(how, effect, before, after, table);
  }

  bool searches() const { return o_.budget_ms > 0 || o_.left_out > 0; }

  static std::vector<compress::NetworkTimes> updates_that_remain(const std::vector<Model>& models) {
    std::vector<compress::NetworkTimes> result(models.size());
    for (std::size_t m = 0; m < models.size(); ++m)
      result[m].step["updates"] = 100 * (1 - compress::left_out_as_asked(models[m].graph()));
    return result;
  }

  compress::RatiosChoice choose(const DropVoxelsOptions& how) {
    std::unique_ptr<ProgressLine> line;
    compress::ChooseRatiosOptions options{.budget_ms = o_.budget_ms, .drop = how, .executor = executor_.get()};
    options.time = compress::time_in_turns(scans_[scans_.size() / 2], *executor_, o_.repetitions);
    if (o_.by == "classes") options.by = compress::Changed::classes;
    if (o_.left_out > 0) {  // percent of the updates that remain, in the place of a time
      options.budget_ms = 100 * (1 - o_.left_out) + 1e-9;
      options.time = updates_that_remain;
    }
    options.progress = [&line](const ProgressReport& report) {
      check_interrupt();
      if (!line) line = std::make_unique<ProgressLine>(std::string(report.what), report.total);
      line->update(report.done);
    };
    return compress::choose_ratios(model_, scans_, options);
  }

  Json common_json(const Effect& effect, double before, double after) const {
    return {{"out", o_.out},
            {"what", o_.what},
            {"cpu", cpu::model_name()},
            {"threads", threads_or_all(o_.threads)},
            {"busy", !busy_.empty()},
            {"scans", scans_.size()},
            {"labels_changed", effect.changed},
            {"macs", {{"before", effect.macs_before}, {"after", effect.macs}}},
            {"ms", {{"before", before}, {"after", after}}}};
  }

  static void print_effect(const Effect& effect, double before, double after) {
    print(
        "{:.1f} % of the multiply-adds are saved; a whole run takes {:.1f} ms, {:.1f} before ({:.2f} times as fast)\n",
        100 * (1 - effect.macs / std::max(1.0, effect.macs_before)), after, before, before / after);
    print("{:.2f} % of the labels change\n", 100 * effect.changed);
  }

  void report(const DropVoxelsOptions& how, const Effect& effect, double before, double after, const Json& table) {
    if (o_.json) {
      Json json = common_json(effect, before, after);
      json["ratios"] = how.ratios;
      json["left_out_mean"] = effect.mean;
      json["blocks"] = effect.blocks;
      if (searches()) {
        if (o_.budget_ms > 0) json["budget_ms"] = o_.budget_ms;
        if (o_.budget_ms > 0) json["ms"]["promised"] = promised_ms_;
        json["table"] = table;
      }
      return print_json(json);
    }
    print("{:<20} {:>10}\n", "block", "left out %");
    for (const Json& b : effect.blocks)
      print("{:<20} {:>10.1f}\n", b["block"].get<std::string>(), 100 * b["left_out"].get<double>());
    print("\nOf all voxels at all blocks {:.1f} % are left out\n", 100 * effect.mean);
    print_effect(effect, before, after);
    print("{}: {}\n", o_.out, ratios_text(how.ratios));
  }

  const Options& o_;
  const Model model_;
  std::unique_ptr<Executor> executor_;
  const std::vector<std::vector<float>> points_;
  std::vector<Inputs> scans_;
  std::string busy_;
  double promised_ms_ = 0;
};

void run_heads(const Options& o) {
  RAREFY_CHECK(
      o.ratios.size() == 1 && o.budget_ms <= 0 && !o.inputs.empty() && o.data.empty() && !o.model.empty(), UsageError,
      "compress: heads need --model, --inputs (arrays as of rarefy run) and one --ratio, the share of its heads "
      "that the last block loses; no --data, no --budget");
  drop_heads({.model = o.model,
              .out = o.out,
              .inputs = o.inputs,
              .ratio = ratio_of(o.ratios[0], o.ratios[0]),
              .cascade = !o.by_block,
              .threads = threads_or_all(o.threads),
              .repetitions = o.repetitions,
              .json = o.json});
}

void check(const Options& o) {
  RAREFY_CHECK(!o.data.empty() && o.inputs.empty(), UsageError,
               "compress: --data is missing: what matters is seen on scans (--inputs is for heads)");
  if (o.what == "offsets") {
    RAREFY_CHECK(o.ratios.size() == 1 && o.budget_ms <= 0, UsageError,
                 "compress: offsets need one --ratio, the share of the convolutions' work that is left out");
    return;
  }
  if (o.what == "thresholds") {
    RAREFY_CHECK(o.ratios.empty() && o.budget_ms <= 0 && o.left_out <= 0, UsageError,
                 "compress: thresholds keep the shares that the model has: no --ratio, --budget or --left-out");
    return;
  }
  if (o.ahead > 0 && o.ratios.empty() && o.budget_ms <= 0 && o.left_out <= 0) return;
  const int ways = (o.ratios.empty() ? 0 : 1) + (o.budget_ms > 0 ? 1 : 0) + (o.left_out > 0 ? 1 : 0);
  RAREFY_CHECK(ways == 1, UsageError,
               "compress: give one of --ratio (how much is left out), --left-out (the mean over all blocks) and "
               "--budget (the time that a scan may take)");
  RAREFY_CHECK(
      o.spread == 0 || o.score == "learned", UsageError,
      "compress: --spread weighs the place of voxels against a learned score: --score learned, or --score spread "
      "for the place alone");
}

}  // namespace

void compress(CLI::App& command) {
  command.description("Make a model compute less: voxels that matter less skip residual blocks; kernels lose offsets");
  set_examples(
      command,
      "  rarefy compress --what voxels --data streets --ratio 0.5 --out half.safetensors\n"
      "  rarefy compress --what voxels --data streets --ratio up3=0.5 --ratio up4=0.7 --out m.safetensors\n"
      "  rarefy compress --what voxels --data streets --budget 120ms --out fast.safetensors   chosen by measurement\n"
      "  rarefy compress --what offsets --data streets --ratio 0.2 --out m.safetensors       a fifth of the pairs\n"
      "  rarefy compress --what heads --model e.safetensors --inputs t.npz --ratio 0.3 --out m.safetensors   "
      "attention\n"
      "  rarefy eval held_out --model fast.safetensors                                        what it costs\n\n"
      "Every stage scores its voxels; those with the lowest scores keep their features while the others run through "
      "the\n"
      "stage's blocks. Nothing is computed for them. --keep all finds one threshold per stage over all scans, so that\n"
      "scans with less to see drop more. Offsets go by the energy that they had on the scans, per multiply-add. What "
      "was\n"
      "changed can be trained on: rarefy train --init OUT.\n");
  auto o = std::make_shared<Options>();
  command
      .add_option("--what", o->what,
                  "What is left out: voxels, offsets (of convolution kernels), or heads (of attention); or thresholds: a\n"
                  "model that drops voxels by shares gets one threshold per block over all scans instead")
      ->required()
      ->check(CLI::IsMember({"voxels", "offsets", "heads", "thresholds"}));
  command.add_option("--model", o->model, "Model file (default: the one that segment uses)");
  command.add_option("--data", o->data, "Scans like those that the model will see; labels are not needed");
  command
      .add_option("--inputs", o->inputs, "Heads: inputs like those that the model will see (.npz, as of rarefy run)")
      ->check(CLI::ExistingFile);
  command.add_flag("--by-block", o->by_block,
                   "Heads: each block by its own magnitudes; otherwise their sum over the blocks before, and what is\n"
                   "gone stays gone in deeper blocks (SpAtten)");
  command.add_option("--out", o->out, "Model file to write")->required();
  command.add_option(
      "--ratio", o->ratios,
      "Share to leave out, at least 0 and less than 1; for one stage or block as NAME=SHARE, may repeat");
  command
      .add_option("--budget", o->budget_ms, "Time that a scan may take, such as 50ms: stages and ratios are searched")
      ->option_text("TIME")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1}, {"s", 1000}}))
      ->check(CLI::PositiveNumber);
  command
      .add_option(
          "--score", o->score,
          "What matters: magnitude of a voxel's features (default); learned: a linear layer that predicts what\n"
          "would be missing; spread: every part of the scene keeps a voxel; random: a control")
      ->check(CLI::IsMember({"magnitude", "learned", "spread", "random"}));
  command
      .add_option("--spread", o->spread,
                  "Learned scores: how many standard deviations it is worth to stand for a cell twice as large")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option(
          "--ahead", o->ahead,
          "Share of each scan's voxels that no layer sees: what has few points and neighbours that stand for it")
      ->check(CLI::Range(0.0, 0.99));
  command
      .add_option("--left-out", o->left_out,
                  "Share of all voxels at all blocks to leave out, 0 to 0.9: the ratio of each stage is searched")
      ->check(CLI::Range(0.0, 0.9));
  command
      .add_option("--by", o->by,
                  "What a search counts: labels that change (default), or classes: 1 - mean IoU against the labels\n"
                  "before, so that rare classes count")
      ->check(CLI::IsMember({"labels", "classes"}));
  command
      .add_option("--keep", o->keep,
                  "The share of each scan (default), or of all scans together: one threshold, counts differ")
      ->check(CLI::IsMember({"scan", "all"}))
      ->option_text("scan|all");
  command
      .add_option("--surroundings", o->surroundings,
                  "What kept voxels see: those kept (default), or cells: all voxels, and dropped ones get the mean of\n"
                  "what the block added to those kept in their cell")
      ->check(CLI::IsMember({"kept", "cells"}));
  command.add_option("--cell", o->cell, "Edge of those cells, in voxels (default: 2)")->check(CLI::Range(2, 7));
  command.add_flag("--share-scores", o->share_scores,
                   "Encoder and decoder use the same scores: fewer neighbour searches");
  command.add_option("--scans", o->scans, "Scans to look at (default: 8)")->check(CLI::Range(1, 1000000));
  command.add_option("--repetitions", o->repetitions, "Runs of each model that is timed (default: 5)")
      ->check(CLI::Range(1, 1000));
  add_threads(command, o->threads);
  add_json(command, o->json);
  command.callback([o] {
    if (o->what == "heads") return run_heads(*o);
    check(*o);
    Compression(*o).run();
  });
}

}  // namespace rarefy::cli::commands
