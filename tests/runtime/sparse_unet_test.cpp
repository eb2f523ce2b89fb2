/// The U-Net for any dimension against the graph oracle, through the session that users run.
#include <gtest/gtest.h>

#include "oracle/graph.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

TEST(SparseUnet, equals_the_oracle_in_two_to_four_dimensions) {
  test::for_random_cases(3, [](Rng& rng) {
    for (const std::int64_t dims : {2, 3, 4}) {
      models::ModelOptions options{.width = 0.5, .classes = 3, .pipeline = models::semantic_kitti_pipeline(0.2)};
      models::add_settings({"dims=" + std::to_string(dims), "levels=" + std::to_string(rng.integer(1, 4)), "channels=6",
                            "blocks=" + std::to_string(rng.integer(1, 2))},
                           options);
      const Graph graph = models::build("sparse_unet", options);
      const Weights weights = initial_weights(graph, rng.bits());
      Session session(Model(graph, weights, options.pipeline), {.threads = 2});
      for (const std::int64_t count : {300, 1, 0}) {
        OpExample::Data data{"points", {}, {}, count, 4, {0, count, count}, -1};  // the second sample is empty
        for (std::int64_t i = 0; i < 4 * count; ++i) data.values.push_back(static_cast<float>(rng.uniform(-1.5, 1.5)));
        data.values.reserve(4);  // a pointer to point at when there are no points
        const auto expected = oracle::run(graph, weights, {data});
        const PointView view{data.values.data(), count, 16, {0, 4, 8, 12}, data.sample_begin};
        const Outputs& found = session.run({{"points", view}});
        test::expect_matches(found, "logits", expected.at("=logits"), 1e-4);
        EXPECT_EQ(found["labels"].rows, count);
        EXPECT_EQ(session.statistics().voxels, expected.at("=logits").rows);
      }
    }
  });
}

}  // namespace
}  // namespace rarefy
