#include "graph/example.h"

#include <algorithm>
#include <set>
#include <utility>

namespace rarefy {
namespace {

/// Random parameters, so that nothing hides behind a one or a zero; variances stay positive.
Weights random_weights(const Graph& graph, std::uint64_t seed) {
  const Weights initial = initial_weights(graph, seed);
  Weights weights = initial;
  Rng rng(seed, 17);
  for (const auto& [name, unused] : initial.all()) {
    const bool variance = name.size() > 11 && name.substr(name.size() - 11) == "running_var";
    for (float& v : weights.mutable_at(name).mutable_as<float>())
      v = static_cast<float>(variance ? rng.uniform(0.5, 2.0) : rng.uniform(-1.0, 1.0));
  }
  return weights;
}

}  // namespace

OpExample::Data random_sparse_data(std::string name, int dims, std::int64_t stride, std::int64_t channels,
                                   std::int64_t rows, std::int64_t batches, Rng rng) {
  OpExample::Data data;
  data.name = std::move(name);
  data.cols = channels;
  data.batches = batches;
  std::set<std::vector<std::int32_t>> seen;
  const std::int64_t half = std::max<std::int64_t>(2, dims >= 3 ? 3 : rows / 2);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<std::int32_t> row{static_cast<std::int32_t>(rng.integer(0, batches - 1))};
    for (int a = 0; a < dims; ++a) row.push_back(static_cast<std::int32_t>(stride * rng.integer(-half, half)));
    if (seen.insert(row).second) data.coords.insert(data.coords.end(), row.begin(), row.end());
  }
  data.rows = static_cast<std::int64_t>(seen.size());
  for (std::int64_t i = 0; i < data.rows * channels; ++i)
    data.values.push_back(static_cast<float>(rng.uniform(-1.0, 1.0)));
  return data;
}

DenseOptions random_box(int dims, std::int64_t stride, Rng& rng) {
  DenseOptions box;
  for (int a = 0; a < dims; ++a) {
    box.min.push_back(-stride * rng.integer(0, 3));
    box.max.push_back(rng.integer(1, 4));
  }
  box.axes = static_cast<int>(rng.integer(1, dims));
  return box;
}

OpExample::Data random_point_data(std::string name, std::int64_t channels, std::int64_t rows, std::int64_t samples,
                                  Rng rng) {
  OpExample::Data data;
  data.name = std::move(name);
  data.rows = rows;
  data.cols = channels;
  for (std::int64_t i = 0; i < rows * channels; ++i) data.values.push_back(static_cast<float>(rng.uniform(-0.4, 0.4)));
  for (std::int64_t s = 0; s <= samples; ++s) data.sample_begin.push_back(rows * s / samples);
  return data;
}

std::vector<OpExample> sparse_examples(std::uint64_t seed,
                                       const std::function<ValueId(Builder&, ValueId, Rng&)>& make) {
  std::vector<OpExample> examples;
  for (const std::int64_t rows : {std::int64_t{40}, std::int64_t{300}, std::int64_t{1}, std::int64_t{0}}) {
    Rng rng(seed, static_cast<std::uint64_t>(rows));
    const int dims = static_cast<int>(rng.integer(1, 4));
    const std::int64_t channels = rng.integer(1, 19);
    Builder builder;
    const ValueId x = builder.sparse_input(channels, dims);
    builder.output("y", make(builder, x, rng));
    OpExample example;
    example.graph = builder.build();
    example.weights = random_weights(example.graph, seed);
    example.inputs = {random_sparse_data("x", dims, 1, channels, rows, rng.integer(1, 3), rng.fork(1))};
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<OpExample> two_input_examples(std::uint64_t seed,
                                          const std::function<ValueId(Builder&, ValueId, ValueId, Rng&)>& make) {
  std::vector<OpExample> examples;
  const std::pair<std::int64_t, std::int64_t> sizes[] = {{40, 60}, {300, 200}, {1, 0}, {0, 30}, {0, 0}};
  for (const auto& [rows, others] : sizes) {
    Rng rng(seed, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(others));
    const int dims = static_cast<int>(rng.integer(1, 4));
    const std::int64_t channels = rng.integer(1, 9), other_channels = rng.integer(1, 9);
    Builder builder;
    const ValueId x = builder.sparse_input(channels, dims);
    const ValueId other = builder.sparse_input(other_channels, dims, {1}, "other");
    builder.output("y", make(builder, x, other, rng));
    OpExample example;
    example.graph = builder.build();
    example.weights = random_weights(example.graph, seed);
    example.inputs = {random_sparse_data("x", dims, 1, channels, rows, rng.integer(1, 3), rng.fork(1)),
                      random_sparse_data("other", dims, 1, other_channels, others, rng.integer(1, 3), rng.fork(2))};
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<OpExample> token_examples(std::uint64_t seed, std::int64_t channels,
                                      const std::function<ValueId(Builder&, ValueId, Rng&)>& make) {
  std::vector<OpExample> examples;
  for (const std::int64_t rows : {std::int64_t{40}, std::int64_t{7}, std::int64_t{1}, std::int64_t{0}}) {
    Rng rng(seed, static_cast<std::uint64_t>(rows));
    Builder builder;
    const ValueId x = builder.sparse_input(channels, 1);
    builder.output("y", make(builder, x, rng));
    OpExample example;
    example.graph = builder.build();
    example.weights = random_weights(example.graph, seed);
    example.inputs = {random_sparse_data("x", 1, 1, channels, rows, rng.integer(1, 3), rng.fork(1))};
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<OpExample> point_examples(std::uint64_t seed, const std::function<ValueId(Builder&, ValueId, Rng&)>& make) {
  std::vector<OpExample> examples;
  for (const std::int64_t rows : {std::int64_t{200}, std::int64_t{1}, std::int64_t{0}}) {
    Rng rng(seed, static_cast<std::uint64_t>(rows));
    Builder builder;
    const ValueId x = builder.points(4);
    builder.output("y", make(builder, x, rng));
    OpExample example;
    example.graph = builder.build();
    example.weights = random_weights(example.graph, seed);
    example.inputs = {random_point_data("points", 4, rows, rng.integer(1, 2), rng.fork(1))};
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace rarefy
