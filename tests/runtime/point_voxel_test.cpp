/// What is special about the ops between points and voxels, and between sparse and dense.
#include <gtest/gtest.h>

#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

/// One sparse input in two dimensions: sites and features in any order, two samples, the second one empty.
struct Sparse {
  std::vector<std::int32_t> coords{0, 0, 0, 0, 1, 0, 0, 3, 5, 0, 4, 4};
  std::vector<float> values{1, 2, 4, 8};
  Inputs inputs() { return {{"x", SparseView{coords.data(), {values.data(), Dtype::f32, Device::cpu, 4, 1, 1}, 2}}}; }
};

TEST(PointVoxel, own_sites_change_nothing_and_make_no_node) {
  Builder b;
  const ValueId x = b.sparse_input(3, 3);
  EXPECT_EQ(b.voxel_to_point(x, b.space_of(x)), x);
  EXPECT_EQ(b.point_to_voxel(x, b.space_of(x)), x);
}

TEST(PointVoxel, means_and_weights_by_hand) {
  Builder b;
  const ValueId x = b.sparse_input(1, 2);
  const ValueId coarse = b.conv(x, {.channels = 1, .kernel = {2}, .stride = {4}, .name = "coarse"});
  const ValueId mean = b.point_to_voxel(x, b.space_of(coarse));
  b.output("mean", mean);
  b.output("back", b.voxel_to_point(mean, b.space_of(x)));
  b.output("kept", b.voxel_to_point(mean, b.space_of(x), {.renormalise = false}));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  Sparse data;
  const Outputs& found = session.run(data.inputs());
  // Sites of stride 4: (0, 0) holds (0, 0) and (1, 0); (0, 4) holds (3, 5); (4, 4) holds itself.
  const auto values = [&](const char* name) {
    const auto v = found[name].as<float>();
    return std::vector<float>(v.begin(), v.end());
  };
  EXPECT_EQ(values("mean"), (std::vector<float>{1.5f, 4.0f, 8.0f}));
  const auto back = values("back"), kept = values("kept");
  EXPECT_FLOAT_EQ(back[0], 1.5f);
  EXPECT_FLOAT_EQ(back[1], 1.5f);  // the neighbour at (4, 0) is missing
  EXPECT_FLOAT_EQ(kept[1], 0.75f * 1.5f);
  EXPECT_FLOAT_EQ(back[2], 0.25f * 4.0f + 0.75f * 8.0f);  // (0, 8) and (4, 8) are missing, the others shared out
  EXPECT_FLOAT_EQ(kept[2], 0.75f * (0.25f * 4.0f + 0.75f * 8.0f));
  EXPECT_FLOAT_EQ(back[3], 8.0f);
}

TEST(PointVoxel, positions_that_the_network_computes_are_refused) {
  Builder b;
  const ValueId points = b.points(4);
  const auto voxels = b.voxelize(points, {.voxel_size = {1, 1, 1}});
  const ValueId x = b.reduce(points, voxels.index);
  const ValueId moved = b.linear(points, 3, true, "moved");
  b.output("y", b.voxel_to_point(x, moved));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  std::vector<float> values(8, 0.5f);
  test::expect_error<UsageError>(
      [&] {
        (void)session.run({{"points", PointView{values.data(), 2, 16, {0, 4, 8, 12}, {}}}});
      },
      {"interpolation", "moved", "before the network"});
}

TEST(PointVoxel, messages_name_what_does_not_fit) {
  Builder b;
  const ValueId x = b.sparse_input(2, 3, {1}, "a"), y = b.sparse_input(2, 2, {1}, "b"), p = b.points(4);
  test::expect_error<ShapeError>([&] { b.locate(b.space_of(x), b.space_of(y)); }, {"locate", "3 axes", "2"});
  test::expect_error<ShapeError>([&] { b.locate(p, b.space_of(x), {1.0, 2.0}); }, {"voxel_size has 2", "1 or 3"});
  test::expect_error<ShapeError>([&] { b.locate(p, b.space_of(x), {-1.0}); }, {"not positive"});
  test::expect_error<ShapeError>([&] { b.locate(p, b.space_of(p)); }, {"has no coordinates"});
  test::expect_error<ShapeError>(
      [&] {
        b.add("interpolation", {b.space_of(x), b.space_of(x)}, {{"missing", std::string("no")}});
      },
      {"'no'", "'renormalise' and 'zero'"});
  const ValueId weights = b.add("interpolation", {p, b.space_of(x)})[0];
  test::expect_error<ShapeError>([&] { b.add("interpolate", {y, weights}); }, {"interpolate", "space"});
  test::expect_error<ShapeError>([&] { b.add("interpolate", {x, b.space_of(x)}); }, {"must be interpolation"});
  b.output("w", weights);
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  Sparse data;
  std::vector<std::int32_t> coords{0, 1, 2, 3};
  std::vector<float> row{1, 2, 3, 4};
  Inputs inputs{{"a", SparseView{coords.data(), {row.data(), Dtype::f32, Device::cpu, 1, 2, 2}, 1}},
                {"b", SparseView{coords.data(), {row.data(), Dtype::f32, Device::cpu, 1, 2, 2}, 1}},
                {"points", PointView{row.data(), 1, 16, {0, 4, 8, 12}, {}}}};
  test::expect_error<UnsupportedError>([&] { (void)session.run(inputs); }, {"'w'", "an interpolation"});
}

TEST(Dense, height_compression_by_hand) {
  Builder b;
  const ValueId x = b.sparse_input(2, 3);
  const DenseOptions box{.min = {0, 0, 0}, .max = {2, 3, 2}, .axes = 2};
  const ValueId image = b.to_dense(x, box);
  EXPECT_EQ(b.type(image).channels, 4);
  EXPECT_EQ(b.type(b.space_of(image)).dims, 2);
  b.output("image", image);
  b.output("back", b.from_dense(image, b.space_of(x), box));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  std::vector<std::int32_t> coords{0, 0, 1, 1, 0, 1, 2, 0, 0, 7, 0, 0, 1, 1, 2, 1};
  std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8};
  const TensorView view{values.data(), Dtype::f32, Device::cpu, 4, 2, 2};
  const Outputs& found = session.run({{"x", SparseView{coords.data(), view, 3}}});
  const auto dense = found["image"].matrix<float>();
  ASSERT_EQ(dense.rows, 3 * 2 * 3);  // three samples, the last one empty
  for (std::int64_t r = 0; r < dense.rows; ++r)
    for (std::int64_t c = 0; c < 4; ++c) {
      float expected = 0.0f;  // channel c * 2 + z
      if (r == 1 && c == 1) expected = 1.0f;
      if (r == 1 && c == 3) expected = 2.0f;
      if (r == 5 && c == 0) expected = 3.0f;
      if (r == 5 && c == 2) expected = 4.0f;
      if (r == 11 && c == 1) expected = 7.0f;
      if (r == 11 && c == 3) expected = 8.0f;
      EXPECT_EQ(dense(r, c), expected) << r << " " << c;
    }
  const auto coords_of_image = found.coords("image").as<std::int32_t>();
  EXPECT_EQ(coords_of_image[3 * 5 + 0], 0);
  EXPECT_EQ(coords_of_image[3 * 5 + 1], 1);
  EXPECT_EQ(coords_of_image[3 * 5 + 2], 2);
  const auto back = found["back"].matrix<float>();
  const float expected[4][2] = {{1, 2}, {3, 4}, {0, 0}, {7, 8}};  // (7, 0, 0) lies outside
  for (std::int64_t r = 0; r < 4; ++r)
    for (std::int64_t c = 0; c < 2; ++c) EXPECT_EQ(back(r, c), expected[r][c]) << r << " " << c;
}

TEST(Dense, boxes_that_do_not_fit_are_refused) {
  Builder b;
  const ValueId x = b.sparse_input(2, 3, {2});
  const ValueId sites = b.space_of(x);
  test::expect_error<ShapeError>(
      [&] {
        b.to_dense(x, {.min = {0, 1, 0}, .max = {4, 4, 4}});
      },
      {"min along y is 1", "stride 2"});
  test::expect_error<ShapeError>([&] { b.to_dense(x, {.min = {0, 0, 4}, .max = {4, 4, 4}}); }, {"along z", "[4, 4)"});
  test::expect_error<ShapeError>([&] { b.to_dense(x, {.min = {0, 0}, .max = {4, 4}}); }, {"2 entries", "expected 3"});
  test::expect_error<UsageError>([&] { b.to_dense(x, {.min = {0, 0, 0}, .max = {4, 4, 4}, .axes = 4}); }, {"4 axes"});
  // An image of another box: the types fit, the boxes do not.
  const ValueId other = b.to_dense(x, {.min = {0, 0, 0}, .max = {4, 4, 4}, .axes = 2});
  b.output("y", b.from_dense(other, sites, {.min = {0, 2, 0}, .max = {4, 6, 4}}));
  const Graph graph = b.build();
  test::expect_error<ShapeError>([&] { Session session(Model(graph, initial_weights(graph, 1))); },
                                 {"from_dense", "same min, max and stride", "box"});
}

TEST(Dense, a_box_that_no_index_can_number_is_an_input_error) {
  Builder b;
  const ValueId x = b.sparse_input(1, 3);
  b.output("y", b.to_dense(x, {.min = {0, 0, 0}, .max = {60000, 60000, 2}, .axes = 2}));
  const Graph graph = b.build();
  Session session(Model(graph, initial_weights(graph, 1)));
  std::vector<std::int32_t> coords{0, 0, 0, 0};
  std::vector<float> one{1};
  test::expect_error<InputError>(
      [&] {
        (void)session.run({{"x", SparseView{coords.data(), {one.data(), Dtype::f32, Device::cpu, 1, 1, 1}, 1}}});
      },
      {"more sites than row indices"});
}

}  // namespace
}  // namespace rarefy
