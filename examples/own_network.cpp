// A network of one's own: built, trained a little, saved, loaded, run. Needs rarefy_train (LibTorch).
#include <cmath>
#include <cstdio>
#include <vector>

#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "rarefy/train.h"

int main() {
  // Sites of a ball on a plate; the task is to tell which is which from the occupied neighbourhood alone.
  std::vector<std::int32_t> coords;
  std::vector<std::uint8_t> labels;
  for (std::int32_t x = -12; x <= 12; ++x)
    for (std::int32_t y = -12; y <= 12; ++y)
      for (std::int32_t z = 0; z <= 12; ++z) {
        const double radius = std::sqrt(x * x + y * y + (z - 6.0) * (z - 6.0));
        const bool ball = std::abs(radius - 5.0) < 0.6, plate = z == 0;
        if (!ball && !plate) continue;
        coords.insert(coords.end(), {0, x, y, z});
        labels.push_back(ball ? 1 : 0);
      }
  std::vector<float> ones(labels.size(), 1.0f);
  const auto sites = static_cast<std::int64_t>(labels.size());
  const rarefy::SparseView input{coords.data(), {ones.data(), rarefy::Dtype::f32, rarefy::Device::cpu, sites, 1, 1}, 1};

  // Two layers at full resolution around one at half of it.
  rarefy::Builder b;
  const auto layer = [&b](rarefy::ValueId y) { return b.relu(b.batch_norm(y)); };
  const rarefy::ValueId x = b.sparse_input(1, 3);
  const rarefy::ValueId fine = layer(b.conv(x, {.channels = 16, .kernel = {3}}));
  const rarefy::ValueId coarse = layer(b.conv(fine, {.channels = 32, .kernel = {2}, .stride = {2}}));
  const rarefy::ValueId up = layer(b.conv_transposed(coarse, fine, {.channels = 16, .kernel = {2}, .stride = {2}}));
  const rarefy::ValueId logits = b.linear(b.concat({up, fine}), 2);
  b.output("logits", logits);
  b.output("labels", b.argmax(logits));
  const rarefy::Graph graph = b.build();

  rarefy::train::Trainer trainer({graph, rarefy::initial_weights(graph, 1)}, {.learning_rate = 1e-2});
  for (int step = 0; step < 60; ++step) {
    const double loss = trainer.step({{"x", input}}, labels);
    if (step % 20 == 0) std::printf("step %d: loss %.3f\n", step, loss);
  }

  const rarefy::Model trained = trainer.model();
  trained.save("own_network.safetensors");
  const rarefy::Model loaded = rarefy::Model::load("own_network.safetensors");
  rarefy::Session first(trained), second(loaded, {.threads = 2});
  const auto& a = first.run({{"x", input}});
  const auto& c = second.run({{"x", input}});
  // Rows come out in the order of the coordinates; this input was made in that order.
  std::int64_t right = 0, equal = 0;
  for (std::int64_t i = 0; i < sites; ++i) {
    const auto k = static_cast<std::size_t>(i);
    right += a["labels"].as<std::uint8_t>()[k] == labels[k] ? 1 : 0;
    bool same = true;
    for (std::int64_t column = 0; column < 2; ++column)
      same = same && a["logits"].matrix<float>()(i, column) == c["logits"].matrix<float>()(i, column);
    equal += same ? 1 : 0;
  }
  std::printf("%lld of %lld sites right; saved and loaded again: %s\n", static_cast<long long>(right),
              static_cast<long long>(sites), equal == sites ? "the same bits" : "DIFFERENT");
  return equal == sites && right * 100 > sites * 95 ? 0 : 1;
}
