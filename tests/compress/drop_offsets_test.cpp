// Kernel offsets left out: the numbers are those of weights set to zero.
#include "compress/drop_offsets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "compress/small_network.h"
#include "rarefy/builder.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

struct Data {
  Model model = test::small_network(2);
  std::vector<float> points = test::some_points(1, 3000);
  std::vector<Inputs> scans{{{"points", test::view_of(points)}}};
};

/// The same model with the weights of the offsets that `dropped` lacks set to zero.
Model with_zeros(const Model& model, const Model& dropped, const std::vector<OffsetGroup>& groups) {
  Weights weights = model.weights();
  for (const OffsetGroup& group : groups) {
    std::set<std::vector<std::int64_t>> kept;
    for (const Node& node : dropped.graph().nodes()) {
      if (node.name != group.map) continue;
      const auto& list = node.integers("offsets");
      if (list.empty()) kept.insert(group.offsets.begin(), group.offsets.end());
      for (std::size_t i = 0; i < list.size(); i += 3) kept.insert({list[i], list[i + 1], list[i + 2]});
    }
    for (const std::string& layer : group.layers) {
      Tensor& w = weights.mutable_at(layer + ".weight");
      const std::int64_t volume = w.shape()[1] * w.shape()[2];
      for (std::size_t k = 0; k < group.offsets.size(); ++k)
        if (!kept.contains(group.offsets[k]))
          std::fill_n(w.mutable_as<float>().begin() + static_cast<std::ptrdiff_t>(k) * volume, volume, 0.0f);
    }
  }
  return Model(model.graph(), weights, model.pipeline());
}

TEST(DropOffsets, equals_weights_set_to_zero_and_computes_less) {
  const Data data;
  const auto groups = offset_energies(data.model, data.scans);
  EXPECT_EQ(groups.size(), 5u);  // one map per level
  std::int64_t before = 0;
  for (const double ratio : {0.0, 0.2, 0.5}) {
    const Model dropped = drop_offsets(data.model, groups, ratio);
    Session sparse(dropped), masked(with_zeros(data.model, dropped, groups));
    const TensorView found = sparse.run(data.scans[0])["logits"], wanted = masked.run(data.scans[0])["logits"];
    ASSERT_EQ(found.rows, wanted.rows);
    EXPECT_LT(test::relative_error(found, wanted), 1e-5);
    if (ratio == 0.0) before = sparse.statistics().macs;
    const double left_out = 1 - static_cast<double>(sparse.statistics().macs) / static_cast<double>(before);
    EXPECT_LE(left_out, ratio + 1e-9);
    EXPECT_GE(left_out, 0.8 * ratio - 0.02);
    const Model loaded = Model::parse(dropped.serialize(), "memory");
    EXPECT_EQ(loaded.graph().to_text(), dropped.graph().to_text());
  }
}

TEST(DropOffsets, keeps_the_centre_and_what_matters_with_its_opposite) {
  Builder b;
  const ValueId x = b.sparse_input(2, 1);
  b.output("y", b.conv(x, {.channels = 2, .kernel = {5}, .name = "conv"}));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  const auto w = weights.mutable_at("conv.weight").mutable_as<float>();
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = (i / 4 == 0 || i / 4 == 2) ? 1e-6f : 1.0f;  // -2 and the centre
  std::vector<std::int32_t> coords;
  std::vector<float> values(80, 1.0f);
  for (std::int32_t i = 0; i < 40; ++i) coords.insert(coords.end(), {0, i});
  const SparseView view{coords.data(), {values.data(), Dtype::f32, Device::cpu, 40, 2, 2}, 1};
  const Model model(graph, weights);
  const auto groups = offset_energies(model, {{{"x", view}}});
  const auto offsets = [&](double ratio) {
    const Model dropped = drop_offsets(model, groups, ratio);
    for (const Node& node : dropped.graph().nodes())
      if (node.op == "kernel_map") return node.integers("offsets");
    return std::vector<std::int64_t>{};
  };
  EXPECT_EQ(offsets(0.5), (std::vector<std::int64_t>{-1, 0, 1}));
  EXPECT_EQ(offsets(0.99), (std::vector<std::int64_t>{0}));
  EXPECT_EQ(offsets(0.1), (std::vector<std::int64_t>{}));  // no pair of offsets is so little work
}

TEST(DropOffsets, complains) {
  const Data data;
  const auto groups = offset_energies(data.model, data.scans);
  for (const double ratio : {1.0, -0.1})
    test::expect_error<UsageError>([&] { (void)drop_offsets(data.model, groups, ratio); }, {"less than 1"});
  test::expect_error<UsageError>([&] { (void)offset_energies(data.model, {}); }, {"none was given"});
  const Model once = drop_offsets(data.model, groups, 0.3);
  test::expect_error<UsageError>([&] { (void)drop_offsets(once, groups, 0.3); }, {"of another model"});
}

}  // namespace
}  // namespace rarefy::compress
