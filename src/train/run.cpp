#include "train/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/crc32.h"
#include "base/file.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/torch_executor.h"

namespace rarefy::train {
namespace {

std::vector<ScanSource> open_all(const std::vector<std::string>& folders) {
  std::vector<ScanSource> sources;
  for (const std::string& folder : folders)
    sources.push_back(open_data_set(folder, "auto", {.sequences = {}, .labels = NeedLabels::yes}));
  return sources;
}

std::int64_t count(const std::vector<ScanSource>& sources) {
  std::int64_t total = 0;
  for (const ScanSource& s : sources) total += s.size();
  return total;
}

/// What the result depends on, as text: a checkpoint with another text cannot be continued.
std::string describe(const Model& model, const RunSettings& s, std::int64_t scans) {
  const auto& a = s.augment;
  const auto& o = s.learner.optimizer;
  const std::string tuning =
      s.learner.tuning ? fmt::format("tuning {:08x}\n", crc32_of(s.learner.tuning->to_json())) : std::string();
  return tuning + fmt::format(
                      "parameters {}\nnodes {}\nscans {}\nsteps {}\nbudget {}\nbatch {}\nrate {} {} {}\nbalance "
                      "{}\nloss {} {}\nclip "
                      "{}\n"
                      "average {}\noptimizer {} {} {} {} {} {} {}\naugment {} {} {} {} {} {} {} {} {} {} {} {} {} "
                      "{}\nseed {}\nthreads "
                      "{}\n",
                      model.graph().parameters(), model.graph().nodes().size(), scans,
                      s.time_budget > 0.0 ? 0 : s.steps, s.time_budget, s.scans_per_batch, s.rate, s.warm_up,
                      s.final_rate, s.balance_classes, s.learner.loss.cross_entropy, s.learner.loss.lovasz,
                      s.learner.clip, s.learner.average, static_cast<int>(o.rule), o.beta1, o.beta2, o.epsilon,
                      o.momentum, o.nesterov, o.weight_decay, a.rotate, a.flip_x, a.flip_y, a.scale_min, a.scale_max,
                      a.translate, a.jitter, a.drop_points, a.drop_intensity, a.intensity_scale, a.swap_sector,
                      a.rotate_paste, a.max_points, a.rare_region, s.seed, s.threads);
}

/// The first line in which two descriptions differ.
std::string first_difference(const std::string& a, const std::string& b) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const auto line = [](const std::string& text, std::string::const_iterator at) {
    const auto from = static_cast<std::size_t>(at - text.begin());
    const std::size_t begin = from == 0 ? 0 : text.rfind('\n', from - 1) + 1;
    return text.substr(begin, text.find('\n', from) - begin);
  };
  return fmt::format("'{}' there, '{}' now", line(a, in_a), line(b, in_b));
}

/// Means over the steps since the last row of the curve.
struct Window {
  explicit Window(int classes) : confusion(classes) {}
  std::int64_t steps = 0;
  RunReport sum;
  ConfusionMatrix confusion;
};

class Run {
 public:
  Run(const Model& start, const RunSettings& settings, const RunCallbacks& callbacks)
      : settings_(settings),
        callbacks_(callbacks),
        start_(start),
        executor_(make_torch_executor(settings.threads)),
        map_(label_map_of(pipeline())),
        preparer_(start.graph(), start.pipeline()),
        training_(open_all(settings.data)),
        validation_(open_all(settings.validation)),
        maker_(training_, preparer_, pipeline(), map_, output_value(),
               {settings.scans_per_batch, settings.seed, settings.augment}),
        window_(map_.classes()) {
    LearnerOptions options = settings_.learner;
    options.seed = settings_.seed;
    if (settings_.balance_classes) options.loss.class_weights = balanced_weights(maker_.class_counts(200));
    learner_ = std::make_unique<Learner>(start, options, *executor_);
    description_ = describe(start, settings_, count(training_));
    notice(fmt::format("training on {} scans, {} held out; {} parameters", count(training_), count(validation_),
                       start.graph().parameters()));
  }

  RunResult run() {
    resume();
    started_ = Clock::now();
    const std::int64_t last = settings_.time_budget > 0.0 ? std::int64_t{1} << 40 : settings_.steps;
    {
      Prefetcher batches([this](std::int64_t step) { return maker_.make(step, serial_executor()); }, step_, last, 4);
      while (step_ < last && progress() < 1.0) {
        if (callbacks_.stop && callbacks_.stop()) return interrupted();
        one_step(batches);
        if (settings_.checkpoint_every > 0 && step_ % settings_.checkpoint_every == 0 && step_ < last) checkpoint();
      }
    }
    return finish();
  }

 private:
  using Clock = std::chrono::steady_clock;

  const Pipeline& pipeline() const {
    RAREFY_CHECK(start_.pipeline().has_value(), UsageError,
                 "the model has no pipeline record: it does not say how to read scans");
    return *start_.pipeline();
  }
  ValueId output_value() const {
    for (const GraphOutput& output : start_.graph().outputs())
      if (output.name == settings_.learner.output) return output.value;
    fail<UsageError>("the graph has no output '{}' to train", settings_.learner.output);
  }
  void notice(const std::string& line) const {
    if (callbacks_.notice) callbacks_.notice(line);
  }
  double seconds() const { return earlier_ + std::chrono::duration<double>(Clock::now() - started_).count(); }
  double progress() const {
    if (settings_.time_budget > 0.0) return seconds() / settings_.time_budget;
    return static_cast<double>(step_) / static_cast<double>(std::max<std::int64_t>(1, settings_.steps));
  }

  void resume() {
    if (settings_.checkpoint.empty() || !settings_.resume || !path_exists(settings_.checkpoint)) return;
    const Checkpoint checkpoint = load_checkpoint(settings_.checkpoint);
    RAREFY_CHECK(checkpoint.settings == description_, UsageError,
                 "{}: this checkpoint belongs to a run with other settings ({}); use the same ones, or another "
                 "checkpoint folder, or "
                 "--resume never",
                 settings_.checkpoint, first_difference(checkpoint.settings, description_));
    learner_->restore(checkpoint.state, checkpoint.step, settings_.checkpoint);
    curve_ = curve_from_csv(checkpoint.curve, settings_.checkpoint);
    step_ = first_step_ = checkpoint.step;
    earlier_ = checkpoint.seconds;
    notice(fmt::format("resumed at step {} from {}", step_, settings_.checkpoint));
  }

  void checkpoint() const {
    if (settings_.checkpoint.empty()) return;
    save_checkpoint(settings_.checkpoint, {step_, seconds(), description_, curve_to_csv(curve_), learner_->state()});
  }

  void one_step(Prefetcher& batches) {
    const auto before = Clock::now();
    const TrainBatch batch = batches.next();
    const double waited = std::chrono::duration<double, std::milli>(Clock::now() - before).count();
    const double rate = settings_.rate * cosine_schedule(progress(), settings_.warm_up, settings_.final_rate);
    const StepResult result = learner_->step(batch.prepared, batch.labels, rate);
    ++step_;
    window_.confusion.add(batch.labels, result.predictions);
    ++window_.steps;
    RunReport& sum = window_.sum;
    sum.point.rate = rate;
    sum.point.loss += result.loss.total;
    sum.point.cross_entropy += result.loss.cross_entropy;
    sum.point.lovasz += result.loss.lovasz;
    sum.wait_ms += waited;
    sum.make_ms += 1e3 * batch.seconds;
    sum.forward_ms += result.forward_ms;
    sum.loss_ms += result.loss_ms;
    sum.backward_ms += result.backward_ms;
    sum.update_ms += result.update_ms;
    const bool validate = settings_.validate_every > 0 && step_ % settings_.validate_every == 0;
    if (validate || step_ % settings_.report_every == 0) report(validate ? validation_miou() : -1.0);
  }

  double validation_miou() const {
    if (validation_.empty()) return -1.0;
    return evaluate(learner_->averaged(), validation_, settings_.validation_scans, *executor_, callbacks_.stop)
        .pooled.score()
        .miou;
  }

  void report(double validation) {
    RunReport r = window_.sum;
    const double n = static_cast<double>(std::max<std::int64_t>(1, window_.steps));
    for (double* value : {&r.point.loss, &r.point.cross_entropy, &r.point.lovasz, &r.wait_ms, &r.make_ms, &r.forward_ms,
                          &r.loss_ms, &r.backward_ms, &r.update_ms})
      *value /= n;
    r.point.step = step_;
    r.point.scans = step_ * settings_.scans_per_batch;
    r.point.seconds = seconds();
    r.point.train_miou = window_.confusion.score().miou;
    r.point.validation_miou = validation;
    r.steps = settings_.time_budget > 0.0 ? 0 : settings_.steps;
    const double here = r.point.seconds - earlier_;
    r.scans_per_second = static_cast<double>((step_ - first_step_) * settings_.scans_per_batch) / std::max(1e-9, here);
    r.seconds_left = settings_.time_budget > 0.0
                         ? std::max(0.0, settings_.time_budget - r.point.seconds)
                         : static_cast<double>((settings_.steps - step_) * settings_.scans_per_batch) /
                               std::max(1e-9, r.scans_per_second);
    curve_.push_back(r.point);
    window_ = Window(map_.classes());
    if (callbacks_.report) callbacks_.report(r);
  }

  RunResult result(bool interrupted_now, double validation) const {
    return {interrupted_now, step_, step_ * settings_.scans_per_batch, seconds(), validation, curve_};
  }

  RunResult interrupted() {
    checkpoint();
    return result(true, -1.0);
  }

  RunResult finish() {
    checkpoint();
    const double validation = validation_miou();
    if (validation >= 0.0 || window_.steps > 0) report(validation);
    Model model = learner_->averaged();
    model.notes["steps"] = std::to_string(step_);
    const auto before = start_.notes.find("scans_seen");  // of the model that the run started from
    const std::int64_t earlier = before == start_.notes.end() ? 0 : std::strtoll(before->second.c_str(), nullptr, 10);
    model.notes["scans_seen"] = std::to_string(earlier + step_ * settings_.scans_per_batch);
    model.notes["training_seed"] = std::to_string(settings_.seed);
    if (!settings_.output.empty()) {
      model.save(settings_.output);
      const std::string stem = settings_.output.substr(0, settings_.output.rfind('.'));
      write_file_atomic(stem + ".csv", std::string_view(curve_to_csv(curve_)));
      write_file_atomic(stem + ".svg",
                        std::string_view(curve_to_svg(curve_, std::string(file_name(settings_.output)))));
    }
    return result(false, validation);
  }

  const RunSettings& settings_;
  const RunCallbacks& callbacks_;
  const Model& start_;
  std::unique_ptr<Executor> executor_;
  const LabelMap& map_;
  Preparer preparer_;
  std::vector<ScanSource> training_, validation_;
  BatchMaker maker_;
  std::unique_ptr<Learner> learner_;
  std::string description_;
  std::vector<CurvePoint> curve_;
  Window window_;
  std::int64_t step_ = 0, first_step_ = 0;
  double earlier_ = 0.0;
  Clock::time_point started_ = Clock::now();
};

}  // namespace

RunResult run_training(const Model& start, const RunSettings& settings, const RunCallbacks& callbacks) {
  RAREFY_CHECK(settings.steps >= 1 || settings.time_budget > 0.0, UsageError,
               "the number of steps must be positive, got {}", settings.steps);
  RAREFY_CHECK(!settings.data.empty(), UsageError, "there is no folder to train on");
  return Run(start, settings, callbacks).run();
}

}  // namespace rarefy::train
