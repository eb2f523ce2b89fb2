// Rows of one 3x3x3 submanifold convolution.
#include "base/check.h"
#include "measure/input.h"
#include "peers/ours.h"
#include "peers/peer.h"
#include "peers/rows.h"
#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "train/torch_executor.h"

namespace rarefy::peer {
namespace {

using cli::bench::random_floats;
using cli::bench::timed_ms;

/// Sites, features, weights and the network of one layer.
struct LayerCase {
  LayerCase(std::vector<std::int32_t> rows_, int level, std::int64_t channels_)
      : rows(std::move(rows_)), stride(std::int64_t{1} << level), channels(channels_) {
    Builder b;
    const ValueId x = b.sparse_input(channels, 3, {stride, stride, stride});
    b.output("y", b.conv(x, {.channels = channels, .kernel = {3}, .name = "conv"}));
    const Graph graph = b.build();
    model = Model(graph, initial_weights(graph, 1));
    features = random_floats(count() * channels, 2);
    gradient = random_floats(count() * channels, 3);
  }
  std::int64_t count() const { return static_cast<std::int64_t>(rows.size()) / 4; }
  Matrix<const float> x() const { return {features.data(), count(), channels}; }
  Matrix<const float> gy() const { return {gradient.data(), count(), channels}; }
  std::span<const float> weight() const { return model.weights().at("conv.weight").as<float>(); }
  SparseView view() {
    return {rows.data(), {features.data(), Dtype::f32, Device::cpu, count(), channels, channels}, 1};
  }

  std::vector<std::int32_t> rows;
  std::int64_t stride, channels;
  Model model;
  std::vector<float> features, gradient;
};
using Case = std::shared_ptr<LayerCase>;

/// Milliseconds of the steps of one kind in a session's last run.
double ms_of(const Session& session, std::string_view op) {
  for (const StepProfile& step : session.profile())
    if (step.op.rfind(op, 0) == 0) return step.ms;
  fail<Error>("no step of the run was '{}'", op);
}

/// A session's run, of which the steps of one op count.
Contestant our_step(const Case& c, int threads, const char* op) {
  auto session = std::make_shared<Session>(c->model, SessionOptions{.threads = threads});
  Contestant side;
  side.run = [=] {
    session->run({{"x", c->view()}});
    return ms_of(*session, op);
  };
  side.result = [=] {
    const auto y = session->run({{"x", c->view()}})["y"].as<float>();
    return std::vector<float>(y.begin(), y.end());
  };
  side.gflop = [=] { return 2e-9 * static_cast<double>(session->statistics().macs); };
  return side;
}

std::shared_ptr<Layer> peer_layer(const Case& c) {
  auto layer = std::make_shared<Layer>(c->rows, c->stride, 3, c->x(), c->weight(), c->channels);
  layer->build_map();
  return layer;
}

Contestant peer_forward(const Case& c) {
  const auto layer = peer_layer(c);
  return {[layer] { return timed_ms([&] { layer->forward(); }); }, [layer] { return layer->output(); }, {}};
}

Contestant peer_map(const Case& c) {
  const auto layer = peer_layer(c);
  // What a map says is seen in what is computed with it.
  return {[layer] { return timed_ms([&] { layer->build_map(); }); },
          [layer] {
            layer->forward();
            return layer->output();
          },
          {}};
}

Contestant peer_gradient(const Case& c) {
  const auto layer = peer_layer(c);
  return {[=] {
            layer->forward_for_gradient();
            return timed_ms([&] { layer->backward(c->gy()); });
          },
          [layer] { return layer->gradients(); },
          {}};
}

Contestant our_gradient(const Case& c, int threads) {
  std::shared_ptr<Executor> executor = train::make_torch_executor(threads);
  auto layer = std::make_shared<OurGradient>(c->model, c->rows, c->x(), *executor);
  const auto pairs = std::make_shared<double>(static_cast<double>(peer_layer(c)->pairs()));
  Contestant side;
  side.run = [=] {
    layer->forward();
    return timed_ms([&] { layer->backward(c->gy()); });
  };
  side.result = [layer, executor] { return layer->gradients(); };
  const auto channels = static_cast<double>(c->channels);
  side.gflop = [=] { return 4e-9 * *pairs * channels * channels; };
  return side;
}

Contestant peer_dense(const Case& c) {
  auto layer = std::make_shared<DenseLayer>(c->rows, c->stride, 3, c->x(), c->weight(), c->channels);
  return {[layer] { return timed_ms([&] { layer->forward(); }); }, [layer] { return layer->output(); }, {}};
}

}  // namespace

void add_layer_rows(const Options& o, const std::shared_ptr<Input>& input, std::vector<Contest>& rows) {
  const int threads = o.threads;
  const auto add = [&](const std::string& kind, int level, std::int64_t channels, auto ours, auto peer) {
    if (!wants(o, kind)) return;
    const bool box = kind == "dense", map = kind == "map";
    const std::vector<std::int32_t> sites = box ? input->box_of_sites(level) : input->sites(level);
    const auto make = [=] { return std::make_shared<LayerCase>(sites, level, channels); };
    Json about = {{"kind", kind}, {"level", level}, {"voxels", sites.size() / 4}};
    if (!map) about["channels"] = channels;
    if (box) about["occupancy"] = static_cast<double>(sites.size() / 4) / static_cast<double>(Input::kBoxCells);
    rows.push_back({fmt::format("{}, level {}{}", kind, level, map ? "" : fmt::format(", {} channels", channels)),
                    about, 3e-5, 0, [=] { return ours(make()); }, [=] { return peer(make()); }});
  };
  for (const int level : o.levels)
    add(
        "map", level, 4,
        [=](const Case& c) {
          Contestant side = our_step(c, threads, "kernel_map");
          side.gflop = {};
          return side;
        },
        peer_map);
  for (const int level : o.levels) {
    for (const std::int64_t channels : o.channels) {
      add(
          "convolution", level, channels, [=](const Case& c) { return our_step(c, threads, "sparse_conv"); },
          peer_forward);
      add(
          "gradient", level, channels, [=](const Case& c) { return our_gradient(c, threads); }, peer_gradient);
    }
  }
  for (const int level : o.levels)
    for (const std::int64_t channels : o.channels)
      add(
          "dense", level, channels, [=](const Case& c) { return our_step(c, threads, "sparse_conv"); }, peer_dense);
}

}  // namespace rarefy::peer
