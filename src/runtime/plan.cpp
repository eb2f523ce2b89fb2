#include <algorithm>

#include "base/check.h"
#include "runtime/device.h"
#include "runtime/plan_impl.h"

namespace rarefy {
namespace {

const ConvVariant& choose_variant(const std::string& isa) {
  if (isa.empty()) return select_conv_variant();
  std::vector<std::string> here;
  for (const ConvVariant& variant : conv_variants()) {
    if (!runs_here(variant)) continue;
    if (name(variant) == isa) return variant;
    here.emplace_back(name(variant));
  }
  fail<UnsupportedError>("no kernels for '{}' on this CPU; it has: {}", isa, fmt::join(here, ", "));
}

}  // namespace

Plan::Plan() = default;
Plan::~Plan() = default;

std::shared_ptr<const Plan> Plan::compile(const Model& model, const PlanOptions& options) {
  check_weights(model.graph(), model.weights());
  std::shared_ptr<Plan> plan(new Plan());
  plan->impl_ = std::make_unique<Impl>();
  Impl& impl = *plan->impl_;
  impl.model = model;
  impl.options = options;
  impl.variant = &choose_variant(options.isa);
  const Graph& graph = impl.model.graph();
  RAREFY_CHECK(options.device == Device::cuda || options.precision == Precision::automatic, UsageError,
               "precision {} is the GPU's; on a CPU the model's own numbers decide (rarefy quantize)",
               name(options.precision));
  if (options.device == Device::cuda) {
    RAREFY_CHECK(!options.tuning, UsageError, "the tuning is for a CPU, the plan for a GPU: give one of them");
    impl.options.integers = false;
    impl.steps = runtime::make_steps(graph, impl.model.weights(), options.fuse);
    runtime::compile_for_device(impl);
    return plan;
  }
  if (options.tuning) options.tuning->require_match(graph, name(*impl.variant));
  const Weights& weights = impl.model.weights();
  impl.steps = runtime::make_steps(graph, weights, options.fuse);
  impl.steps_ahead = static_cast<std::size_t>(
      std::count_if(impl.steps.begin(), impl.steps.end(), [](const runtime::Step& step) { return step.ahead; }));
  runtime::choose_weights(graph, weights, options.storage, impl.steps);
  impl.layout = runtime::make_layout(graph, impl.steps, options.share_memory,
                                     runtime::choose_storage(graph, weights, options, impl.steps));
  for (runtime::Step& step : impl.steps)
    if (step.op->prepare)
      step.state = step.op->prepare({graph, graph.nodes()[static_cast<std::size_t>(step.node)], weights, step.fusion,
                                     *impl.variant, impl.layout.kept, step.weights_as, options.tuning.get()});
  return plan;
}

const Model& Plan::model() const { return impl_->model; }

std::string Plan::to_text() const {
  std::string text = fmt::format("kernels: {}\n", impl_->device ? std::string_view("cuda") : name(*impl_->variant));
  const Graph& graph = impl_->model.graph();
  for (const runtime::Step& step : impl_->steps) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(step.node)];
    text += fmt::format("{:<40} {}", node.name, step.label);
    const runtime::Placement& place = impl_->layout.places[static_cast<std::size_t>(step.result)];
    if (step.weights_as == Dtype::f16) text += " (weights in 16 bits)";
    const auto& kept = impl_->layout.kept[static_cast<std::size_t>(step.result)];
    if (place.buffer >= 0)
      text += fmt::format("  -> buffer {} column {} of {}{}", place.buffer, place.column, place.row_stride,
                          !kept                       ? ""
                          : kept->dtype == Dtype::f16 ? " halves"
                                                      : " bytes");
    text += "\n";
  }
  return text;
}

}  // namespace rarefy
