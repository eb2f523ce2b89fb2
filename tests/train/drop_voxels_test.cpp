/// A network that drops voxels learns: what GraphModule computes is what runs, and a learned weight has a gradient.
#include "compress/drop_voxels.h"

#include <gtest/gtest.h>

#include "compress/thin_voxels.h"
#include "rarefy/models.h"
#include "tiny_scans.h"
#include "train/batches.h"
#include "train/graph_module.h"

namespace rarefy::train {
namespace {

void expect_it_learns(const compress::DropVoxelsOptions& how, double share) {
  const models::ModelOptions options{.width = 0.2, .classes = 5, .pipeline = models::semantic_kitti_pipeline(0.5)};
  const Graph dense = models::build("minkunet", options);
  const Model dropped = compress::drop_voxels(Model(dense, initial_weights(dense, 2), options.pipeline), how);
  const Model model = share < 1 ? compress::thin_voxels(dropped, share) : dropped;
  GraphModule module(model.graph(), model.weights(), serial_executor(), model.pipeline());
  const Scan scan = test::tiny_scan(3, 3000);
  std::vector<float> points;
  for (std::int64_t i = 0; i < scan.size(); ++i) {
    const auto p = static_cast<std::size_t>(i);
    points.insert(points.end(), {scan.xyz[3 * p], scan.xyz[3 * p + 1], scan.xyz[3 * p + 2], scan.intensity[p]});
  }
  const PointView view{points.data(), scan.size(), 16, {0, 4, 8, 12}};
  auto batch = std::make_shared<Prepared>();
  module.preparer().prepare({{"points", view}}, serial_executor(), *batch);

  const at::Tensor evaluated = module.forward(batch, {"logits"}, Mode::inference)[0].detach().contiguous();
  Session session(model);
  const auto expected = session.run({{"points", view}})["logits"].matrix<const float>();
  ASSERT_EQ(evaluated.size(0), expected.rows);
  double largest = 0, difference = 0;
  for (std::int64_t r = 0; r < expected.rows; ++r) {
    for (std::int64_t c = 0; c < expected.cols; ++c) {
      largest = std::max(largest, std::abs(static_cast<double>(expected(r, c))));
      const double found = evaluated.data_ptr<float>()[r * expected.cols + c];
      difference = std::max(difference, std::abs(found - static_cast<double>(expected(r, c))));
    }
  }
  EXPECT_LT(difference, 1e-3 * largest);

  module.forward(batch, {"logits"}, Mode::training)[0].square().mean().backward();
  for (const auto& p : module.parameters()) {
    if (!p.trainable) continue;
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
    EXPECT_TRUE(p.value.grad().isfinite().all().item<bool>()) << p.name;
  }
  const ValueId logits = model.graph().outputs()[model.graph().outputs()[0].name == "logits" ? 0 : 1].value;
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(scan.size()), 2);
  EXPECT_EQ(row_labels(model.graph(), *batch, logits, labels),
            std::vector<std::uint8_t>(static_cast<std::size_t>(expected.rows), 2));
}

TEST(DropVoxelsTraining, forward_is_what_runs_and_gradients_reach_every_layer) {
  expect_it_learns({.ratios = {{"down1", 0.3}, {"up3", 0.5}, {"up4", 0.5}}}, 1.0);
  expect_it_learns({.ratios = {{"down1", 0.3}, {"up3", 0.5}, {"up4", 0.5}},
                    .plain = compress::PlainScore::spread,
                    .surroundings = compress::Surroundings::cells},
                   0.5);
}

}  // namespace
}  // namespace rarefy::train
