#include "sparse/voxelize.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "oracle/sparse.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_points.h"

namespace rarefy {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void expect_equals_oracle(const Voxels& voxels, const oracle::VoxelMap& expected, std::int64_t points,
                          std::int64_t samples) {
  const auto sites = oracle::sites(voxels.coords);
  ASSERT_EQ(sites.size(), expected.voxels.size());
  ASSERT_EQ(static_cast<std::int64_t>(voxels.voxel_of_point.size()), points);
  ASSERT_EQ(voxels.point_begin.size(), sites.size() + 1);
  EXPECT_EQ(voxels.not_finite, expected.not_finite);
  EXPECT_EQ(voxels.outside, expected.outside);
  std::vector<std::int32_t> voxel_of_point(static_cast<std::size_t>(points), -1);
  std::size_t v = 0;
  for (const auto& [site, members] : expected.voxels) {
    EXPECT_EQ(sites[v], site);
    std::vector<std::int64_t> mine(voxels.point_order.begin() + voxels.point_begin[v],
                                   voxels.point_order.begin() + voxels.point_begin[v + 1]);
    EXPECT_EQ(mine, members) << "points in input order";
    for (const std::int64_t p : members) voxel_of_point[static_cast<std::size_t>(p)] = static_cast<std::int32_t>(v);
    ++v;
  }
  EXPECT_EQ(voxels.voxel_of_point, voxel_of_point);
  ASSERT_EQ(voxels.coords.batches(), samples);
  for (std::int64_t b = 0; b < samples; ++b) {
    for (std::int64_t r = voxels.coords.batch_begin[b]; r < voxels.coords.batch_begin[b + 1]; ++r)
      EXPECT_EQ(sites[r][0], b);
  }
  EXPECT_EQ(voxels.coords.batch_begin[samples], voxels.coords.rows());
}

TEST(Voxelize, equals_the_oracle_with_reused_memory_and_any_executor) {
  const auto pool = make_thread_pool(4);
  Voxels reused;
  test::for_random_cases(200, [&](Rng& rng) {
    const test::PointCase c = test::random_point_case(rng);
    const auto expected = oracle::voxelize(c.points(), c.sample_begin, c.options);
    voxelize(c.points(), c.sample_begin, c.options, *pool, reused);
    expect_equals_oracle(reused, expected, c.rows, static_cast<std::int64_t>(c.sample_begin.size()) - 1);
    EXPECT_EQ(reused.coords.dims, c.options.dims);
    EXPECT_EQ(reused.coords.stride, (Extent{1, 1, 1, 1}));
    Voxels fresh;
    voxelize(c.points(), c.sample_begin, c.options, serial_executor(), fresh);
    EXPECT_EQ(fresh.coords.keys, reused.coords.keys);
    EXPECT_EQ(fresh.point_order, reused.point_order);
  });
}

TEST(Voxelize, divides_and_rounds_in_float32) {
  // 0.15f / 0.05f is 3.0000002 in real numbers but 3 in float32, 0.7f / 0.1f is 6.9999995 but 7; floor of -0.01 is -1.
  for (const auto& [x, v, expected] : {std::tuple{0.15f, 0.05f, 3},
                                       {0.7f, 0.1f, 7},
                                       {-0.01f, 0.05f, -1},
                                       {-0.05f, 0.05f, -1},
                                       {-0.0f, 0.05f, 0},
                                       {1e-30f, 0.05f, 0},
                                       {-1e-30f, 0.05f, -1},
                                       {6502.35f, 0.05f, 130047}}) {
    Voxels voxels;
    const std::int64_t begin[] = {0, 1};
    const float point[] = {x, 0.0f, 0.0f};
    voxelize({point, 1, 3}, begin, {.voxel_size = {v, v, v, v}}, serial_executor(), voxels);
    ASSERT_EQ(voxels.coords.rows(), 1) << x;
    const auto site = oracle::sites(voxels.coords)[0];
    EXPECT_EQ(site[1], static_cast<std::int64_t>(std::floor(x / v)));
    EXPECT_EQ(site[1], expected) << x << " / " << v;
  }
}

TEST(Voxelize, rounds_half_to_even_and_subtracts_the_minimum_of_each_sample) {
  const float points[] = {0.5f, 1.5f, 2.5f, -0.5f, /* second sample */ 7.0f, 9.0f};
  const std::int64_t begin[] = {0, 4, 6};
  Voxels voxels;
  voxelize({points, 6, 1}, begin, {.dims = 1, .voxel_size = {1, 1, 1, 1}, .rounding = Rounding::round_minus_min},
           serial_executor(), voxels);
  EXPECT_THAT(oracle::sites(voxels.coords),
              testing::ElementsAre(oracle::Site{0, 0}, oracle::Site{0, 2}, oracle::Site{1, 0}, oracle::Site{1, 2}));
  EXPECT_THAT(voxels.voxel_of_point, testing::ElementsAre(0, 1, 1, 0, 2, 3));
}

TEST(Voxelize, takes_nothing_one_point_and_one_voxel) {
  Voxels voxels;
  const std::int64_t none[] = {0, 0, 0};
  voxelize({nullptr, 0, 3}, none, {}, serial_executor(), voxels);
  EXPECT_EQ(voxels.coords.rows(), 0);
  EXPECT_THAT(voxels.coords.batch_begin, testing::ElementsAre(0, 0, 0));
  EXPECT_THAT(voxels.point_begin, testing::ElementsAre(0));
  const std::int64_t no_samples[] = {0};
  voxelize({nullptr, 0, 3}, no_samples, {}, serial_executor(), voxels);
  EXPECT_EQ(voxels.coords.batches(), 0);
  const float one[] = {1.0f, 2.0f, 3.0f};
  const std::int64_t single[] = {0, 1};
  voxelize({one, 1, 3}, single, {}, serial_executor(), voxels);
  EXPECT_EQ(voxels.coords.rows(), 1);
  const std::vector<float> same(3 * 1000, 0.01f);
  const std::int64_t thousand[] = {0, 1000};
  voxelize({same.data(), 1000, 3}, thousand, {}, serial_executor(), voxels);
  EXPECT_EQ(voxels.coords.rows(), 1);
  EXPECT_THAT(voxels.point_begin, testing::ElementsAre(0, 1000));
  const float bad[] = {kNan, 0, 0, 0, kInf, 0, 0, 0, -kInf};
  const std::int64_t three[] = {0, 3};
  voxelize({bad, 3, 3}, three, {}, serial_executor(), voxels);
  EXPECT_EQ(voxels.coords.rows(), 0);
  EXPECT_EQ(voxels.not_finite, 3);
  EXPECT_THAT(voxels.voxel_of_point, testing::ElementsAre(-1, -1, -1));
}

TEST(Voxelize, counts_points_outside_the_crop_and_outside_the_valid_range) {
  const float points[] = {0.0f, 1.0f, 0.9999f, -0.0001f, 1e30f, -3e38f, kNan, 13004.8f};
  const std::int64_t begin[] = {0, 8};
  Voxels voxels;
  VoxelizeOptions options{.dims = 1, .voxel_size = {0.1f, 1, 1, 1}};
  voxelize({points, 8, 1}, begin, options, serial_executor(), voxels);
  EXPECT_EQ(voxels.outside, 2);
  EXPECT_EQ(voxels.not_finite, 1);
  options.crop_min[0] = 0.0f;
  options.crop_max[0] = 1.0f;
  voxelize({points, 8, 1}, begin, options, serial_executor(), voxels);
  EXPECT_THAT(voxels.point_order, testing::ElementsAre(0, 2));
  EXPECT_EQ(voxels.outside, 5);
  EXPECT_EQ(voxels.not_finite, 1);
}

TEST(Voxelize, takes_ten_million_points) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::int64_t kPoints = 300'000;  // sanitizers take many times the memory and the time
#else
  constexpr std::int64_t kPoints = 10'000'000;
#endif
  std::vector<float> points(static_cast<std::size_t>(2 * kPoints));
  for (std::int64_t p = 0; p < kPoints; ++p) {  // a grid of 4096 columns, walked so that keys come unsorted
    const std::int64_t cell = p * 7919 % kPoints;
    points[static_cast<std::size_t>(2 * p)] = static_cast<float>(cell % 4096) - 2048.0f;
    points[static_cast<std::size_t>(2 * p + 1)] = static_cast<float>(cell / 4096);
  }
  const std::int64_t begin[] = {0, kPoints};
  Voxels voxels;
  voxelize({points.data(), kPoints, 2}, begin, {.dims = 2, .voxel_size = {1, 1, 1, 1}}, serial_executor(), voxels);
  EXPECT_EQ(voxels.coords.rows(), kPoints);
  EXPECT_TRUE(std::is_sorted(voxels.coords.keys.begin(), voxels.coords.keys.end()));
  voxelize({points.data(), kPoints, 2}, begin, {.dims = 2, .voxel_size = {1e5f, 1e5f, 1, 1}}, serial_executor(),
           voxels);
  EXPECT_EQ(voxels.coords.rows(), 2);  // either side of x = 0
}

TEST(Voxelize, names_what_is_wrong) {
  Voxels voxels;
  const float point[] = {0.0f, 0.0f, 0.0f};
  const std::int64_t begin[] = {0, 1};
  auto run = [&](const VoxelizeOptions& options, std::int64_t cols, std::span<const std::int64_t> samples) {
    voxelize({point, 1, cols}, samples, options, serial_executor(), voxels);
  };
  using test::expect_error;
  expect_error<UsageError>([&] { run({.dims = 5}, 3, begin); }, {"1 to 4", "5"});
  for (const float bad : {0.0f, -0.1f, kNan, kInf}) {
    expect_error<UsageError>([&] { run({.voxel_size = {0.1f, bad, 0.1f, 1}}, 3, begin); }, {"voxel size along y"});
  }
  expect_error<UsageError>([&] { run({.crop_min = {kNan, 0, 0, 0}}, 3, begin); }, {"crop along x"});
  expect_error<ShapeError>([&] { run({}, 2, begin); }, {"3 columns", "2"});
  const std::int64_t late[] = {1, 1};
  const std::int64_t early[] = {0, 0};
  const std::int64_t back[] = {0, 1, 0, 1};
  for (const auto samples : {std::span<const std::int64_t>(late), std::span<const std::int64_t>(early),
                             std::span<const std::int64_t>(back), std::span<const std::int64_t>()}) {
    expect_error<UsageError>([&] { run({}, 3, samples); }, {"sample_begin", "1"});
  }
  std::vector<std::int64_t> many(1026, 1);
  many[0] = 0;
  expect_error<UsageError>([&] { run({}, 3, many); }, {"1025", "1024"});
}

}  // namespace
}  // namespace rarefy
