// Rows of MinkUNet: inference, on integers too, and a training step.
#include "base/check.h"
#include "base/rng.h"
#include "common/model_source.h"
#include "compress/quantize.h"
#include "kernels/conv_int8.h"
#include "measure/input.h"
#include "peers/peer.h"
#include "peers/rows.h"
#include "rarefy/session.h"
#include "train/learner.h"
#include "train/torch_executor.h"

namespace rarefy::peer {
namespace {

using Clock = std::chrono::steady_clock;
using Points = std::shared_ptr<Input>;

Matrix<const float> matrix_of(const Input& input) { return {input.points().data(), input.point_count(), 4}; }

Inputs inputs_of(const Input& input) { return {{"points", cli::bench::view_of(input.points())}}; }

constexpr std::int64_t kClasses = 19;

Model minkunet(const Input& input, double width) {
  return cli::build_model("minkunet", width, input.voxel(), kClasses);
}

/// Bits of the fastest integers on this CPU: 8 where 7 are no faster.
int fastest_bits() { return select_int8_variant(7).name == select_int8_variant(8).name ? 8 : 7; }

/// The same network on integers, with ranges of the features that this very scan has: what it costs in accuracy is
/// another question (experiments/quantization).
Model on_integers(const Model& model, const Input& input, int threads) {
  compress::Calibration calibration(model, threads);
  calibration.observe(inputs_of(input));
  return calibration.quantize({.bits = fastest_bits()});
}

/// @param cached  count the network only: voxels and maps are there
Contestant our_inference(const Points& input, const Model& model, int threads, bool cached) {
  auto session = std::make_shared<Session>(model, SessionOptions{.threads = threads});
  Contestant side;
  side.run = [=] {
    session->run(inputs_of(*input));
    return cached ? session->statistics().network_ms : session->statistics().total_ms;
  };
  side.result = [=] {
    const auto logits = session->run(inputs_of(*input))["logits"].as<float>();
    return std::vector<float>(logits.begin(), logits.end());
  };
  side.gflop = [=] { return 2e-9 * static_cast<double>(session->statistics().macs); };
  return side;
}

Contestant peer_inference(const Points& input, double width, bool cached) {
  auto network = std::make_shared<Network>(minkunet(*input, width));
  if (cached) network->run(matrix_of(*input));
  return {[=] {
            const auto start = Clock::now();
            if (cached) {
              network->run_features();
            } else {
              network->run(matrix_of(*input));
            }
            return cli::bench::ms_since(start);
          },
          [network] { return network->logits(); },
          {}};
}

/// Labels that mean nothing; some voxels have none.
std::vector<std::uint8_t> made_up_labels(std::int64_t count) {
  Rng rng(5);
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(count));
  for (auto& label : labels) label = rng.chance(0.1) ? 255 : static_cast<std::uint8_t>(rng.integer(0, 18));
  return labels;
}

/// Of the largest logit, for a network on integers.
constexpr double kIntegerTolerance = 0.5;
constexpr double kRate = 1e-3, kBeta = 0.9;

/// Multiply-adds of forward and backward: a layer has as many for its input's gradient and its weights' as forward; the
/// first layer's input needs none.
double training_gflop(const Model& model, const Sizes& sizes) {
  const Graph& graph = model.graph();
  std::vector<char> learns(graph.values().size());
  double sum = 0;
  for (const Node& node : graph.nodes()) {
    const bool input_learns = std::any_of(node.inputs.begin(), node.inputs.end(),
                                          [&](ValueId v) { return learns[static_cast<std::size_t>(v)] != 0; });
    for (const ValueId v : node.outputs)
      learns[static_cast<std::size_t>(v)] = input_learns || !node.parameters.empty() ? 1 : 0;
    sum += (input_learns ? 6e-9 : 4e-9) * static_cast<double>(multiply_adds(graph, node, sizes));
  }
  return sum;
}

/// Cross entropy and AdamW; nothing else that training can do.
train::LearnerOptions learner_options() {
  train::LearnerOptions options;
  options.loss.lovasz = 0;
  options.clip = options.average = 0;
  return options;
}

struct OurTraining {
  OurTraining(Input& input, double width, int threads)
      : model(minkunet(input, width)),
        executor(train::make_torch_executor(threads)),
        learner(model, learner_options(), *executor),
        labels(made_up_labels(static_cast<std::int64_t>(input.sites(0).size()) / 4)) {}
  Model model;
  std::unique_ptr<Executor> executor;
  train::Learner learner;
  std::vector<std::uint8_t> labels;
  std::shared_ptr<train::Prepared> batch = std::make_shared<train::Prepared>();
  double loss = 0;
};

Contestant our_training(const Points& input, double width, int threads) {
  const auto s = std::make_shared<OurTraining>(*input, width, threads);
  Contestant side;
  side.run = [=] {
    const auto start = Clock::now();
    s->learner.preparer().prepare(inputs_of(*input), *s->executor, *s->batch);
    s->loss = s->learner.step(s->batch, s->labels, kRate).loss.total;
    return cli::bench::ms_since(start);
  };
  // AdamW's first moment after its first step is (1 - beta) times the gradient.
  side.result = [=] {
    RAREFY_CHECK(s->learner.steps() == 1, UsageError, "gradients are compared after the first step only");
    std::vector<float> gradients;
    for (const auto& [name, moment] : s->learner.state())
      if (name.rfind("first/", 0) == 0)
        for (const float m : moment) gradients.push_back(m / static_cast<float>(1 - kBeta));
    return gradients;
  };
  side.loss = [=] { return s->loss; };
  side.gflop = [=] {
    Session session(s->model, {.threads = threads});
    session.run(inputs_of(*input));
    return training_gflop(s->model, session.statistics().sizes);
  };
  return side;
}

Contestant peer_training(const Points& input, double width, Trainer::Backward backward) {
  auto trainer = std::make_shared<Trainer>(minkunet(*input, width), kRate, backward);
  const auto labels = std::make_shared<const std::vector<std::uint8_t>>(
      made_up_labels(static_cast<std::int64_t>(input->sites(0).size()) / 4));
  return {[=] {
            const auto start = Clock::now();
            trainer->step(matrix_of(*input), *labels);
            return cli::bench::ms_since(start);
          },
          [trainer] {
            std::vector<float> all;
            for (const auto& [name, gradient] : trainer->gradients())
              all.insert(all.end(), gradient.begin(), gradient.end());
            return all;
          },
          {},
          [trainer] { return trainer->loss(); }};
}

}  // namespace

void add_network_rows(const Options& o, const std::shared_ptr<Input>& input, std::vector<Contest>& rows) {
  const int threads = o.threads;
  for (const double width : o.widths) {
    const auto add = [&](const char* kind, const std::string& name, bool cached, double tolerance, auto make) {
      if (!wants(o, kind)) return;
      Contest row{fmt::format("MinkUNet {}x, {}", width, name),
                  {{"kind", kind}, {"width", width}, {"cached", cached}},
                  tolerance,
                  0,
                  [=] { return our_inference(input, make(), threads, cached); },
                  [=] { return peer_inference(input, width, cached); }};
      if (std::string_view(kind) == "integers") row.classes = kClasses;
      rows.push_back(std::move(row));
    };
    const auto plain = [=] { return minkunet(*input, width); };
    add("inference", "new coordinates", false, 1e-3, plain);
    if (o.cached) add("inference", "cached maps", true, 1e-3, plain);
    // Rounding to so few bits shows; labels say what it means.
    add("integers", fmt::format("int{}, new coordinates", fastest_bits()), false, kIntegerTolerance,
        [=] { return on_integers(minkunet(*input, width), *input, threads); });
  }
  // Wider ones would need more memory than most machines have, on the peer's side.
  const double width = o.widths.front();
  for (const auto backward : {Trainer::Backward::autograd, Trainer::Backward::handwritten}) {
    if (!wants(o, "training")) continue;
    const bool plain = backward == Trainer::Backward::autograd;
    // Gradients of 42 layers of ReLUs: of the values that lie within rounding of zero each side lets other ones
    // through, a millionth of all per layer, and the error of the gradient is the root of their share. Loss: 1e-5.
    rows.push_back({fmt::format("MinkUNet {}x, training step{}", width, plain ? "" : ", own derivative"),
                    {{"kind", "training"}, {"width", width}, {"backward", plain ? "autograd" : "handwritten"}},
                    1e-2,
                    0,
                    [=] { return our_training(input, width, threads); },
                    [=] { return peer_training(input, width, backward); }});
  }
}

}  // namespace rarefy::peer
