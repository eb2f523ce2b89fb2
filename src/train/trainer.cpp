#include <utility>
#include <vector>

#include "base/check.h"
#include "rarefy/train.h"
#include "train/batches.h"
#include "train/learner.h"
#include "train/torch_executor.h"

namespace rarefy::train {

struct Trainer::Impl {
  Impl(const Model& model, const TrainerOptions& options)
      : executor(make_torch_executor(options.threads)),
        learner(model, learner_options(options), *executor),
        rate(options.learning_rate),
        average(options.average > 0.0) {
    for (const GraphOutput& output : model.graph().outputs())
      if (output.name == options.output) value = output.value;
  }

  static LearnerOptions learner_options(const TrainerOptions& o) {
    LearnerOptions result;
    result.optimizer.rule = rule_from_name(o.optimizer);
    result.optimizer.weight_decay = o.weight_decay;
    result.optimizer.momentum = o.momentum;
    result.loss.cross_entropy = o.cross_entropy;
    result.loss.lovasz = o.lovasz;
    result.clip = o.clip;
    result.average = o.average;
    result.output = o.output;
    result.seed = o.seed;
    return result;
  }

  /// Labels of the output's rows.
  std::vector<std::uint8_t> rows(const Prepared& batch, std::span<const std::uint8_t> labels) const {
    const Graph& graph = learner.preparer().graph();
    const Node& input = graph.nodes()[static_cast<std::size_t>(graph.inputs()[0])];
    const auto given = static_cast<std::int64_t>(labels.size());
    const std::int64_t expected = batch.features[static_cast<std::size_t>(input.outputs[1])].rows;
    RAREFY_CHECK(given == expected, ShapeError, "there are {} labels for the {} rows of input '{}'", given, expected,
                 input.name);
    if (input.op == "input_points") return row_labels(graph, batch, value, labels);
    RAREFY_CHECK(graph.type(value).space == input.outputs[0], UsageError,
                 "the trained output does not live on the sites of input '{}': there are no labels for its rows",
                 input.name);
    std::vector<std::uint8_t> sorted(labels.begin(), labels.end());
    const auto& order = batch.order[0];
    for (std::size_t i = 0; i < order.size(); ++i) sorted[i] = labels[static_cast<std::size_t>(order[i])];
    return sorted;
  }

  std::unique_ptr<Executor> executor;
  Learner learner;
  double rate;
  bool average;
  ValueId value = -1;
};

Trainer::Trainer(const Model& model, const TrainerOptions& options) : impl_(std::make_unique<Impl>(model, options)) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

double Trainer::step(const Inputs& inputs, std::span<const std::uint8_t> labels) {
  auto batch = std::make_shared<Prepared>();
  impl_->learner.preparer().prepare(inputs, *impl_->executor, *batch);
  return impl_->learner.step(batch, impl_->rows(*batch, labels), impl_->rate).loss.total;
}

void Trainer::set_learning_rate(double rate) { impl_->rate = rate; }

Model Trainer::model() const { return impl_->average ? impl_->learner.averaged() : impl_->learner.model(); }

}  // namespace rarefy::train
