#include "train/learner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "train/autograd.h"
#include "train/graph_module.h"

namespace rarefy::train {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

std::span<float> values_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

std::vector<std::uint8_t> largest(Matrix<const float> logits) {
  std::vector<std::uint8_t> result(static_cast<std::size_t>(logits.rows));
  for (std::int64_t r = 0; r < logits.rows; ++r)
    result[static_cast<std::size_t>(r)] =
        static_cast<std::uint8_t>(std::max_element(logits.row(r), logits.row(r) + logits.cols) - logits.row(r));
  return result;
}

}  // namespace

struct Learner::Impl {
  Impl(const Model& model, const LearnerOptions& options_, Executor& executor)
      : options(options_), source(model), module(model.graph(), model.weights(), executor, model.pipeline()) {
    std::vector<std::int64_t> sizes;
    for (const auto& p : module.parameters()) {
      if (options.average > 0.0) average.emplace_back(values_of(p.value).begin(), values_of(p.value).end());
      if (p.trainable) sizes.push_back(p.value.numel());
    }
    optimizer = std::make_unique<Optimizer>(options.optimizer, sizes);
    output = module.output(options.output);
  }

  /// average = d average + (1 - d) weights; d grows with the steps, so that the start is forgotten. Running statistics
  /// of batch norms are averaged likewise.
  void move_average() {
    const auto t = static_cast<double>(optimizer->steps());
    const double d = std::min(options.average, (1.0 + t) / (10.0 + t));
    std::vector<std::span<const float>> values;
    for (std::size_t i = 0; i < average.size(); ++i) values.push_back(values_of(module.parameters()[i].value));
    move_averages(average, values, d, module.executor());
  }

  double update(double rate) {
    std::vector<ParameterSlot> slots;
    std::vector<std::span<float>> gradients;
    std::vector<at::Tensor> kept;
    for (auto& p : module.parameters()) {
      if (!p.trainable) continue;
      ParameterSlot slot{values_of(p.value), {}, p.value.dim() > 1};
      if (p.value.grad().defined()) {
        kept.push_back(p.value.grad().contiguous());
        gradients.push_back(values_of(kept.back()));
        slot.gradient = gradients.back();
      }
      slots.push_back(slot);
    }
    const double norm = clip_gradients(gradients, options.clip, module.executor());
    // A step that is not finite would poison everything that follows.
    RAREFY_CHECK(std::isfinite(norm), Error,
                 "training diverged: the gradient is not finite in step {}; lower the learning rate or clip gradients",
                 optimizer->steps() + 1);
    optimizer->step(slots, rate, module.executor());
    move_average();
    return norm;
  }

  Weights with_average() const {
    Weights weights = module.weights();
    for (std::size_t i = 0; i < average.size(); ++i) {
      auto values = weights.mutable_at(names()[i]).mutable_as<float>();
      std::copy(average[i].begin(), average[i].end(), values.begin());
    }
    return weights;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& p : module.parameters()) result.push_back(p.name);
    return result;
  }

  LearnerOptions options;
  Model source;
  GraphModule module;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<std::vector<float>> average;  ///< per parameter of the module
  LossScratch scratch;
  ValueId output = -1;
};

Learner::Learner(const Model& model, const LearnerOptions& options, Executor& executor)
    : impl_(std::make_unique<Impl>(model, options, executor)) {}
Learner::~Learner() = default;

StepResult Learner::step(const std::shared_ptr<const Prepared>& batch, std::span<const std::uint8_t> labels,
                         double rate) {
  Impl& m = *impl_;
  StepResult result;
  const auto start = Clock::now();
  m.module.clear_gradients();
  m.module.set_random({m.options.seed, static_cast<std::uint64_t>(m.optimizer->steps())});
  const at::Tensor logits = m.module.forward_values(batch, {m.output}, Mode::training)[0];
  const auto forward_done = Clock::now();
  const at::Tensor gradient = empty_matrix(logits.size(0), logits.size(1));
  const at::Tensor plain = with_unit_columns(logits.detach());
  result.loss =
      segmentation_loss(matrix(plain), labels, m.options.loss, m.module.executor(), m.scratch, matrix(gradient));
  result.predictions = largest(matrix(plain));
  const auto loss_done = Clock::now();
  if (logits.requires_grad()) logits.backward(gradient);
  const auto backward_done = Clock::now();
  result.gradient_norm = m.update(rate);
  const auto end = Clock::now();
  result.forward_ms = milliseconds(start, forward_done);
  result.loss_ms = milliseconds(forward_done, loss_done);
  result.backward_ms = milliseconds(loss_done, backward_done);
  result.update_ms = milliseconds(backward_done, end);
  return result;
}

const Preparer& Learner::preparer() const { return impl_->module.preparer(); }
std::int64_t Learner::steps() const { return impl_->optimizer->steps(); }

Model Learner::model() const {
  Model model(impl_->source.graph(), impl_->module.weights(), impl_->source.pipeline());
  model.notes = impl_->source.notes;
  return model;
}

Model Learner::averaged() const {
  Model model(impl_->source.graph(), impl_->with_average(), impl_->source.pipeline());
  model.notes = impl_->source.notes;
  return model;
}

Learner::State Learner::state() const {
  State state;
  const std::vector<std::string> names = impl_->names();
  std::size_t slot = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& p = impl_->module.parameters()[i];
    const std::span<float> values = values_of(p.value);
    state["weight/" + p.name].assign(values.begin(), values.end());
    if (!impl_->average.empty()) state["average/" + p.name] = impl_->average[i];
    if (!p.trainable) continue;
    state["first/" + p.name] = impl_->optimizer->first()[slot];
    state["second/" + p.name] = impl_->optimizer->second()[slot];
    ++slot;
  }
  return state;
}

void Learner::restore(const State& state, std::int64_t steps, const std::string& where) {
  const auto take = [&](const std::string& name, std::span<float> target) {
    const auto found = state.find(name);
    RAREFY_CHECK(found != state.end(), InputError, "{}: there is no '{}'; the checkpoint belongs to another model",
                 where, name);
    RAREFY_CHECK(found->second.size() == target.size(), InputError, "{}: '{}' has {} values, expected {}", where, name,
                 found->second.size(), target.size());
    std::copy(found->second.begin(), found->second.end(), target.begin());
  };
  std::size_t slot = 0;
  for (std::size_t i = 0; i < impl_->module.parameters().size(); ++i) {
    const auto& p = impl_->module.parameters()[i];
    take("weight/" + p.name, values_of(p.value));
    if (!impl_->average.empty()) take("average/" + p.name, impl_->average[i]);
    if (!p.trainable) continue;
    take("first/" + p.name, impl_->optimizer->first()[slot]);
    take("second/" + p.name, impl_->optimizer->second()[slot]);
    ++slot;
  }
  impl_->optimizer->set_steps(steps);
}

}  // namespace rarefy::train
