#include <gmock/gmock.h>

#include <algorithm>

#include "oracle/sparse.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

Coords line(std::vector<std::int32_t> positions, std::int32_t stride = 1) {
  std::vector<std::int32_t> rows;
  for (const std::int32_t p : positions) rows.insert(rows.end(), {0, p});
  Coords coords;
  make_coords(rows, 1, {stride, 1, 1, 1}, 1, coords);
  return coords;
}

std::vector<std::int64_t> positions(const Coords& coords) {
  std::vector<std::int64_t> result;
  for (const auto& site : oracle::sites(coords)) result.push_back(site[1]);
  return result;
}

TEST(Downsample, block_rule_rounds_down) {
  Coords out;
  downsample(line({-4, -3, -1, 0, 1, 2, 7}), {.dims = 1, .size = {2}, .stride = {2}}, serial_executor(), out);
  EXPECT_THAT(positions(out), testing::ElementsAre(-4, -2, 0, 2, 6));
  EXPECT_EQ(out.stride[0], 2);
  downsample(line({-7, -3, -1, 0, 4, 5}), {.dims = 1, .size = {3}, .stride = {3}}, serial_executor(), out);
  EXPECT_THAT(positions(out), testing::ElementsAre(-9, -3, 0, 3));
}

TEST(Downsample, padded_rule_is_that_of_dense_convolution) {
  // As in docs/coordinates.md: size 3, stride 2, padding 1.
  Coords out;
  const KernelShape kernel{.dims = 1, .size = {3}, .stride = {2}, .padding = {1}, .rule = CoordinateRule::padded};
  downsample(line({-3, 0, 3}), kernel, serial_executor(), out);
  EXPECT_THAT(positions(out), testing::ElementsAre(-4, -2, 0, 2, 4));
  downsample(line({0}), {.dims = 1, .size = {2}, .stride = {3}, .rule = CoordinateRule::padded}, serial_executor(),
             out);
  EXPECT_THAT(positions(out), testing::ElementsAre(0));
  downsample(line({2}), {.dims = 1, .size = {2}, .stride = {3}, .rule = CoordinateRule::padded}, serial_executor(),
             out);
  EXPECT_THAT(positions(out), testing::IsEmpty()) << "the kernel never looks at site 2";
}

TEST(Generate, is_the_union_of_the_kernels_footprints) {
  Coords out;
  generate(line({-2, 2}, 2), {.dims = 1, .size = {2}, .stride = {2}}, serial_executor(), out);
  EXPECT_THAT(positions(out), testing::ElementsAre(-2, -1, 2, 3));
  EXPECT_EQ(out.stride[0], 1);
  generate(line({-2, 0}, 2), {.dims = 1, .size = {3}, .stride = {2}}, serial_executor(), out);
  EXPECT_THAT(positions(out), testing::ElementsAre(-3, -2, -1, 0, 1));
}

TEST(Downsample, equals_the_oracle) {
  test::for_random_cases(200, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.most_rows = 60;
    options.anywhere = false;
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 3));
    const Coords in = test::random_coords(rng, options);
    KernelShape kernel;
    kernel.dims = options.dims;
    kernel.rule = rng.chance(0.5) ? CoordinateRule::block : CoordinateRule::padded;
    for (int a = 0; a < options.dims; ++a) {
      kernel.size[a] = static_cast<std::int32_t>(rng.integer(1, 3));
      kernel.stride[a] = static_cast<std::int32_t>(rng.integer(1, 4));
      kernel.dilation[a] = static_cast<std::int32_t>(rng.integer(1, 2));
      kernel.padding[a] = static_cast<std::int32_t>(kernel.rule == CoordinateRule::padded ? rng.integer(0, 2) : 0);
      if (kernel.rule == CoordinateRule::padded && rng.chance(0.3))
        kernel.cells[a] = static_cast<std::int32_t>(rng.integer(1, 5));
    }
    Coords out;
    downsample(in, kernel, serial_executor(), out);
    EXPECT_EQ(oracle::sites(out), oracle::downsample(oracle::sites(in), kernel, in.stride));
    EXPECT_EQ(out.batches(), in.batches());
    EXPECT_EQ(out.batch_begin.back(), out.rows());
    EXPECT_TRUE(std::is_sorted(out.keys.begin(), out.keys.end()));
    for (int a = 0; a < options.dims; ++a) EXPECT_EQ(out.stride[a], in.stride[a] * kernel.stride[a]);
  });
}

TEST(Downsample, block_rule_works_at_the_ends_of_the_range) {
  test::for_random_cases(100, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    const Coords in = test::random_coords(rng, options);
    KernelShape kernel;
    kernel.dims = options.dims;
    for (int a = 0; a < options.dims; ++a) kernel.stride[a] = static_cast<std::int32_t>(1 << rng.integer(0, 6));
    Coords out;
    downsample(in, kernel, serial_executor(), out);
    EXPECT_EQ(oracle::sites(out), oracle::downsample(oracle::sites(in), kernel, in.stride));
  });
}

TEST(Generate, equals_the_oracle_and_covers_its_input) {
  test::for_random_cases(150, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.most_rows = 60;
    options.anywhere = false;
    KernelShape kernel;
    kernel.dims = options.dims;
    kernel.rule = rng.chance(0.5) ? CoordinateRule::block : CoordinateRule::padded;
    for (int a = 0; a < options.dims; ++a) {
      kernel.size[a] = static_cast<std::int32_t>(rng.integer(1, 3));
      kernel.stride[a] = static_cast<std::int32_t>(rng.integer(1, 3));
      kernel.dilation[a] = static_cast<std::int32_t>(rng.integer(1, 2));
      kernel.padding[a] = static_cast<std::int32_t>(kernel.rule == CoordinateRule::padded ? rng.integer(0, 2) : 0);
      options.stride[a] = static_cast<std::int32_t>(kernel.stride[a] * rng.integer(1, 2));
    }
    const Coords in = test::random_coords(rng, options);
    Coords out;
    generate(in, kernel, serial_executor(), out);
    EXPECT_EQ(oracle::sites(out), oracle::generate(oracle::sites(in), kernel, in.stride));
    EXPECT_EQ(out.batches(), in.batches());
    // Each site meets each offset exactly once in the map of the convolution that this one transposes.
    KernelMap map;
    build_kernel_map(out, in, kernel, serial_executor(), map);
    EXPECT_EQ(map.pairs(), in.rows() * kernel.volume());
  });
}

TEST(Downsample, names_a_site_that_leaves_the_range) {
  Coords out;
  const std::int32_t lowest = -130048;
  const std::int32_t rows[] = {0, 0, lowest, 0};
  Coords in;
  make_coords(rows, 3, {1, 1, 1, 1}, -1, in);
  const KernelShape thirds{.stride = {3, 3, 3, 1}};
  test::expect_error<InputError>([&] { downsample(in, thirds, serial_executor(), out); }, {"y = -130050", "-130048"});
  const KernelShape padded{.rule = CoordinateRule::padded};
  test::expect_error<InputError>([&] { downsample(in, padded, serial_executor(), out); }, {"y = -130049"});
  test::expect_error<InputError>([&] { generate(in, {}, serial_executor(), out); }, {"y = -130049"});
}

}  // namespace
}  // namespace rarefy
