// Voxels left out ahead of the network as part of the model: the same as a run that leaves them out.
#include "compress/thin_voxels.h"

#include <gtest/gtest.h>

#include "compress/drop_voxels.h"
#include "compress/small_network.h"
#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

TEST(ThinVoxels, is_the_run_that_leaves_them_out) {
  const Model model = test::small_network(3);
  const std::vector<float> points = test::some_points(5, 3000);
  for (const VoxelOrder order : {VoxelOrder::spread, VoxelOrder::random, VoxelOrder::near}) {
    Session whole(model, {.threads = 2}), thinned(thin_voxels(model, 0.4, order), {.threads = 2});
    const Outputs& expected =
        whole.run({{"points", test::view_of(points)}}, {.thinning = {.share = 0.4, .order = order}});
    const Outputs& found = thinned.run({{"points", test::view_of(points)}});
    for (const char* output : {"logits", "labels"})
      EXPECT_EQ(test::bits_of(found[output]), test::bits_of(expected[output])) << output;
    EXPECT_LT(found["logits"].rows, 3000);
  }
}

TEST(ThinVoxels, survives_the_file_and_goes_together_with_dropping) {
  const Model model = test::small_network(3);
  const Model both = thin_voxels(drop_voxels(model, {.ratios = {{"up3", 0.5}, {"up4", 0.5}}}), 0.5);
  const std::vector<float> points = test::some_points(6, 2000);
  Session session(both), again(Model::parse(both.serialize(), "memory")), dense(model);
  const auto bits = test::bits_of(session.run({{"points", test::view_of(points)}})["logits"]);
  EXPECT_EQ(test::bits_of(again.run({{"points", test::view_of(points)}})["logits"]), bits);
  dense.run({{"points", test::view_of(points)}});
  const auto blocks = block_rows(both.graph()), blocks_dense = block_rows(model.graph());
  ASSERT_EQ(blocks.size(), blocks_dense.size());
  const auto rows = [](const Session& s, const BlockRows& b) { return s.statistics().sizes.at(b.space); };
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::int64_t now = rows(session, blocks[b]), before = rows(dense, blocks_dense[b]);
    EXPECT_EQ(blocks[b].block, blocks_dense[b].block);
    EXPECT_LE(now, before) << blocks[b].block;
    if (blocks[b].block.starts_with("up4")) {
      EXPECT_NEAR(static_cast<double>(now), 0.25 * static_cast<double>(before), 2);
    }
  }
}

TEST(ThinVoxels, complains) {
  const Model model = test::small_network(3);
  test::expect_error<UsageError>([&] { (void)thin_voxels(model, 0.0); }, {"share of 0"});
  test::expect_error<UsageError>([&] { (void)thin_voxels(model, 1.5); }, {"1.5"});
  const Model thinned = thin_voxels(model, 0.5);
  test::expect_error<UnsupportedError>([&] { (void)thin_voxels(thinned, 0.5); }, {"already"});
  Builder b;
  const ValueId x = b.sparse_input(3, 2);
  b.output("y", b.conv(x, {.channels = 2, .kernel = {3}}));
  const Graph graph = b.build();
  test::expect_error<UnsupportedError>([&] { (void)thin_voxels(Model(graph, initial_weights(graph, 1)), 0.5); },
                                       {"makes no voxels"});
}

}  // namespace
}  // namespace rarefy::compress
