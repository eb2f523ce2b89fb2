// rarefy-train: the only program that links LibTorch. `rarefy train ...` runs it, as git runs its own.
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "base/check.h"
#include "base/file.h"
#include "data/metrics/trivial_baseline.h"
#include "rarefy/models.h"
#include "train/evaluate.h"
#include "train/run.h"

namespace {

constexpr int kFailure = 1, kUsage = 2, kInterrupted = 130;
std::atomic<bool> g_stop{false};  // set by the signal handler, read by the loop: a program's state, not the library's

void on_signal(int) {
  if (g_stop.exchange(true)) _exit(kInterrupted);  // the second one means it: the last checkpoint stands
}

constexpr const char* kExamples =
    "\nExamples:\n"
    "  rarefy-train --data streets --val heldout --builder minkunet --width 0.25 --voxel 0.1 \\\n"
    "      --steps 6000 --threads 2 --checkpoint-dir ~/.cache/rarefy/run --out street.safetensors\n"
    "  rarefy-train ... --time-budget 75m        the schedule follows the clock and ends after 75 minutes\n"
    "  rarefy-train ... --init street.safetensors    goes on from a trained model with a new schedule\n"
    "\nThe same command started again goes on from its checkpoint; killed at any moment, the run ends with the same "
    "bits\n"
    "(not with --time-budget, which depends on the clock). Ctrl-C writes a checkpoint and exits with 130.\n";

struct Arguments {
  std::string data, validation, builder = "minkunet", init, tuning, checkpoint_dir, resume = "auto",
                                optimizer = "adamw", budget;
  std::vector<std::string> settings;
  double width = 0.25, voxel = 0.1;
  std::vector<std::string> notes;
  std::string features = "x,y,z,intensity";
  bool quiet = false, raw_features = false, baseline = false;
  rarefy::train::RunSettings run;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// "90", "90s", "75m", "2h" in seconds.
double parse_duration(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const std::string unit(end);
  const double factor = unit.empty() || unit == "s" ? 1.0 : unit == "m" ? 60.0 : unit == "h" ? 3600.0 : -1.0;
  RAREFY_CHECK(end != text.c_str() && value > 0.0 && factor > 0.0, rarefy::UsageError,
               "--time-budget: '{}' is no duration; examples: 90s, 75m, 2h", text);
  return value * factor;
}

void declare(CLI::App& app, Arguments& a) {
  auto& r = a.run;
  auto& augment = r.augment;
  app.footer(kExamples);
  app.add_option("--data", a.data, "folders of labelled scans to train on, separated by commas")->required();
  app.add_option("--val", a.validation, "folders of held-out scans, never trained on");
  app.add_option("--out", r.output, "model file to write; its curve goes beside it (.csv, .svg)")->required();
  app.add_flag("--trivial-baseline", a.baseline,
               "instead of training: count classes per height and range, write them as JSON");
  app.add_option("--builder", a.builder, "network: " + rarefy::models::names())->capture_default_str();
  app.add_option("--set", a.settings,
                 "setting of the builder, NAME=NUMBER; may repeat. " + rarefy::models::settings_help());
  app.add_option("--width", a.width, "factor on all channel counts")->capture_default_str();
  app.add_option("--voxel", a.voxel, "edge of a voxel in metres")->capture_default_str();
  app.add_option("--features", a.features,
                 "what the network sees of a voxel, separated by commas; without x and y it does not depend on where "
                 "the sensor stood")
      ->capture_default_str();
  app.add_option("--init", a.init,
                 "start from this model instead of random weights (--builder, --width, --voxel, --features do not "
                 "count)");
  app.add_option("--steps", r.steps, "optimiser steps")->capture_default_str();
  app.add_option("--batch", r.scans_per_batch, "scans per step")->capture_default_str();
  app.add_option("--time-budget", a.budget, "end after this long instead of after --steps: 90s, 75m, 2h");
  app.add_option("--lr", r.rate, "largest learning rate")->capture_default_str();
  app.add_option("--warm-up", r.warm_up, "share of the run with a rising learning rate")->capture_default_str();
  app.add_option("--final-lr", r.final_rate, "learning rate at the end, as a share of the largest")
      ->capture_default_str();
  app.add_option("--optimizer", a.optimizer, "adamw or sgd")->capture_default_str();
  app.add_option("--weight-decay", r.learner.optimizer.weight_decay)->capture_default_str();
  app.add_option("--momentum", r.learner.optimizer.momentum, "of sgd")->capture_default_str();
  app.add_option("--clip", r.learner.clip, "largest gradient norm; 0 = no clipping")->capture_default_str();
  app.add_option("--average", r.learner.average, "decay of the moving average of the weights; 0 = none")
      ->capture_default_str();
  app.add_option("--lovasz", r.learner.loss.lovasz, "factor of the Lovász-softmax loss")->capture_default_str();
  app.add_option("--balance", r.balance_classes, "cross entropy weighted with 1 / sqrt(share of the class)")
      ->capture_default_str();
  app.add_option("--max-points", augment.max_points, "points of the region that is kept of each scan");
  app.add_option("--rare-region", augment.rare_region, "share of regions around a rare class")->capture_default_str();
  app.add_option("--drop-intensity", augment.drop_intensity, "share of scans that lose their intensity")
      ->capture_default_str();
  app.add_option("--intensity-scale", augment.intensity_scale, "intensity times 1 +- this")->capture_default_str();
  app.add_option("--drop-points", augment.drop_points, "largest share of points dropped")->capture_default_str();
  app.add_option("--translate", augment.translate, "standard deviation of the shift, metres")->capture_default_str();
  app.add_option("--jitter", augment.jitter, "largest standard deviation of the noise, metres")->capture_default_str();
  app.add_option("--swap-sector", augment.swap_sector, "share of scans mixed with another by sectors")
      ->capture_default_str();
  app.add_option("--rotate-paste", augment.rotate_paste, "share of scans with objects of another pasted")
      ->capture_default_str();
  app.add_option("--tuning", a.tuning, "file of `rarefy tune --training`: dataflows of the convolutions");
  app.add_option("--seed", r.seed)->capture_default_str();
  app.add_option("--threads", r.threads)->capture_default_str();
  app.add_option("--checkpoint-dir", a.checkpoint_dir, "folder of the checkpoint; none is written without it");
  app.add_option("--resume", a.resume, "auto: go on from the checkpoint if there is one; never: start anew")
      ->check(CLI::IsMember({"auto", "never"}))
      ->capture_default_str();
  app.add_option("--checkpoint-every", r.checkpoint_every, "steps")->capture_default_str();
  app.add_option("--report-every", r.report_every, "steps")->capture_default_str();
  app.add_option("--val-every", r.validate_every, "steps; 0 = at the end only")->capture_default_str();
  app.add_option("--val-scans", r.validation_scans, "scans of each validation")->capture_default_str();
  app.add_option("--note", a.notes, "KEY=TEXT kept in the model file (description, licence, ...); may repeat");
  app.add_flag("--raw-features", a.raw_features,
               "x, y, z in metres and intensity as they are, as published; not scaled");
  app.add_flag("--quiet", a.quiet, "no progress");
}

/// SemanticKITTI's pipeline with the wanted features, in the order of one, unless they are wanted raw. A missing
/// intensity is a middling one.
rarefy::Pipeline pipeline(const Arguments& a) {
  rarefy::Pipeline p = rarefy::models::semantic_kitti_pipeline(a.voxel);
  std::vector<rarefy::FeatureSpec> wanted;
  for (const std::string& name : split(a.features)) {
    const auto found =
        std::find_if(p.features.begin(), p.features.end(), [&](const auto& f) { return f.name == name; });
    RAREFY_CHECK(found != p.features.end(), rarefy::UsageError,
                 "--features: '{}' is not one of x, y, z, intensity (separated by commas)", name);
    wanted.push_back(*found);
  }
  p.features = wanted;
  for (rarefy::FeatureSpec& f : p.features) {
    if (f.name == "intensity") f.missing = 0.3;
    if (a.raw_features) continue;
    if (f.name == "x" || f.name == "y") f.scale = 0.02;
    if (f.name == "z") f.offset = -1.0, f.scale = 0.5;
    if (f.name == "intensity") f.offset = 0.3, f.scale = 3.0;
  }
  return p;
}

rarefy::Model start_model(const Arguments& a) {
  using namespace rarefy;
  Model model;
  if (!a.init.empty()) {
    model = Model::load(a.init);
  } else {
    models::ModelOptions options{.width = a.width, .classes = 19, .pipeline = pipeline(a)};
    models::add_settings(a.settings, options);
    RAREFY_CHECK(models::at(a.builder).takes == models::Takes::points, UsageError,
                 "builder '{}' takes {}; rarefy train learns from scans: {}", a.builder,
                 models::name(models::at(a.builder).takes), models::names());
    Graph graph = models::build(a.builder, options);
    Weights weights = initial_weights(graph, a.run.seed);
    model = Model(std::move(graph), std::move(weights), options.pipeline);
    model.notes["builder"] = fmt::format("{} width {}", a.builder, a.width);
  }
  for (const std::string& note : a.notes) {
    const std::size_t equal = note.find('=');
    RAREFY_CHECK(equal != std::string::npos && equal > 0, UsageError, "--note: '{}' is not KEY=TEXT", note);
    model.notes[note.substr(0, equal)] = note.substr(equal + 1);
  }
  return model;
}

std::string clock_text(double seconds) {
  const auto s = static_cast<long>(std::lround(seconds));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

void print_report(const rarefy::train::RunReport& r) {
  const auto& p = r.point;
  std::string line = fmt::format(
      "step {}{}  loss {:.3f} (entropy {:.3f}, Lovász {:.3f})  mIoU {:.1f}%  {:.2f} scans/s  left {}  "
      "[ms: wait {:.0f}, forward {:.0f}, loss {:.0f}, backward {:.0f}, update {:.0f}; batch made in {:.0f}]",
      p.step, r.steps > 0 ? fmt::format("/{}", r.steps) : std::string(), p.loss, p.cross_entropy, p.lovasz,
      100.0 * p.train_miou, r.scans_per_second, clock_text(r.seconds_left), r.wait_ms, r.forward_ms, r.loss_ms,
      r.backward_ms, r.update_ms, r.make_ms);
  if (p.validation_miou >= 0.0) line += fmt::format("  held-out mIoU {:.1f}%", 100.0 * p.validation_miou);
  fmt::print(stderr, "{}\n", line);
}

/// What a network must beat, for `rarefy eval --baseline`.
int fit_baseline(const Arguments& a) {
  using namespace rarefy;
  const LabelMap& map = train::label_map_of(models::semantic_kitti_pipeline());
  TrivialBaseline baseline(map.classes());
  std::int64_t scans = 0;
  for (const std::string& folder : a.run.data) {
    const ScanSource source = open_data_set(folder, "auto", {.sequences = {}, .labels = NeedLabels::yes});
    for (std::int64_t i = 0; i < source.size() && !g_stop; ++i, ++scans) baseline.fit(source.load_sample(i, map));
  }
  if (g_stop) return kInterrupted;
  baseline.save(a.run.output);
  fmt::print("{}: counted {} scans\n", a.run.output, scans);
  return 0;
}

int train(Arguments& a) {
  using namespace rarefy;
  auto& r = a.run;
  r.data = split(a.data);
  if (a.baseline) return fit_baseline(a);
  r.validation = split(a.validation);
  r.learner.optimizer.rule = train::rule_from_name(a.optimizer);
  if (!a.tuning.empty()) r.learner.tuning = std::make_shared<Tuning>(Tuning::load(a.tuning));
  if (!a.budget.empty()) r.time_budget = parse_duration(a.budget);
  if (!a.checkpoint_dir.empty()) {
    make_directories(a.checkpoint_dir);
    r.checkpoint = join_path(a.checkpoint_dir, "checkpoint.bin");
  }
  r.resume = a.resume == "auto";
  const Model model = start_model(a);
  train::RunCallbacks callbacks;
  callbacks.stop = [] { return g_stop.load(); };
  if (!a.quiet) {
    callbacks.report = print_report;
    callbacks.notice = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  }
  const train::RunResult result = train::run_training(model, r, callbacks);
  if (result.interrupted) {
    fmt::print(stderr, "rarefy: interrupted after {} steps{}\n", result.steps,
               r.checkpoint.empty() ? "; there is no checkpoint (--checkpoint-dir)"
                                    : "; the same command goes on from " + r.checkpoint);
    return kInterrupted;
  }
  fmt::print("{}: {} steps, {} scans, {}{}\n", r.output, result.steps, result.scans, clock_text(result.seconds),
             result.validation_miou < 0.0 ? std::string()
                                          : fmt::format(", held-out mIoU {:.1f}%", 100.0 * result.validation_miou));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Activations are freed and made again each step: keep their pages instead of returning them to the system.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2'000'000'000);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  CLI::App app{"Trains a sparse network on labelled LiDAR scans.", "rarefy-train"};
  Arguments arguments;
  try {
    declare(app, arguments);
    app.parse(argc, argv);
    return train(arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    fmt::print(stderr, "rarefy: {} (see rarefy-train --help)\n", error.what());
    return kUsage;
  } catch (const rarefy::UsageError& error) {
    fmt::print(stderr, "rarefy: {}\n", error.what());
    return kUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "rarefy: out of memory; use fewer points (--max-points) or smaller batches\n");
    return kFailure;
  } catch (const std::exception& error) {
    fmt::print(stderr, "rarefy: {}\n", error.what());
    return kFailure;
  }
}
