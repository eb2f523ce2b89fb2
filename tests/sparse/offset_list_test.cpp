/// Kernels given as a list of offsets: maps, strided and generated sites against brute force.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "oracle/sparse.h"
#include "rarefy/error.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

/// Different offsets in any order; now and then each with its opposite at the mirrored place.
std::vector<std::int64_t> random_offsets(Rng& rng, int dims) {
  std::set<std::vector<std::int64_t>> seen;
  std::vector<std::vector<std::int64_t>> list;
  const std::int64_t wanted = rng.integer(1, 9);
  for (int attempt = 0; attempt < 40 && static_cast<std::int64_t>(list.size()) < wanted; ++attempt) {
    std::vector<std::int64_t> offset;
    for (int a = 0; a < dims; ++a) offset.push_back(rng.integer(-3, 3));
    if (seen.insert(offset).second) list.push_back(offset);
  }
  if (rng.chance(0.4)) {
    const std::vector<std::int64_t> zero(static_cast<std::size_t>(dims), 0);
    list.erase(std::remove(list.begin(), list.end(), zero), list.end());
    std::set<std::vector<std::int64_t>> half;
    for (const auto& offset : list) {
      auto opposite = offset;
      for (auto& v : opposite) v = -v;
      if (half.count(opposite) == 0) half.insert(offset);
    }
    list.assign(half.begin(), half.end());
    list.push_back(zero);
    for (auto it = half.rbegin(); it != half.rend(); ++it) {
      list.push_back(*it);
      for (auto& v : list.back()) v = -v;
    }
  }
  std::vector<std::int64_t> flat;
  for (const auto& offset : list) flat.insert(flat.end(), offset.begin(), offset.end());
  return flat;
}

struct Case {
  Coords in;
  std::vector<std::int64_t> offsets;
  KernelShape kernel;
};

void make_case(Rng& rng, std::int64_t most_rows, Case& c) {
  test::SiteOptions options;
  options.dims = static_cast<int>(rng.integer(1, 4));
  options.batches = rng.integer(1, 3);
  options.most_rows = most_rows;
  options.anywhere = false;
  c.kernel.dims = options.dims;
  c.kernel.rule = rng.chance(0.5) ? CoordinateRule::block : CoordinateRule::padded;
  for (int a = 0; a < options.dims; ++a) {
    c.kernel.stride[a] = static_cast<std::int32_t>(rng.integer(1, 3));
    c.kernel.dilation[a] = static_cast<std::int32_t>(rng.integer(1, 2));
    c.kernel.padding[a] = static_cast<std::int32_t>(c.kernel.rule == CoordinateRule::padded ? rng.integer(0, 2) : 0);
    options.stride[a] = static_cast<std::int32_t>(c.kernel.stride[a] * rng.integer(1, 2));
  }
  c.offsets = random_offsets(rng, options.dims);
  c.kernel.offsets = c.offsets;
  c.in = test::random_coords(rng, options);
}

TEST(OffsetList, maps_equal_the_oracle) {
  test::for_random_cases(200, [](Rng& rng) {
    Case c;
    make_case(rng, 400, c);
    Coords coarse;
    downsample(c.in, c.kernel, serial_executor(), coarse);
    const auto in = oracle::sites(c.in);
    KernelMap map, threaded;
    const auto pool = make_thread_pool(3);
    for (const Coords* out : {&c.in, &coarse}) {
      build_kernel_map(c.in, *out, c.kernel, serial_executor(), map);
      EXPECT_EQ(map.volume, static_cast<std::int64_t>(c.offsets.size()) / c.kernel.dims);
      EXPECT_EQ(oracle::pairs(map), oracle::kernel_pairs(in, oracle::sites(*out), c.kernel, c.in.stride));
      build_kernel_map(c.in, *out, c.kernel, *pool, threaded);
      EXPECT_EQ(map.in_row, threaded.in_row);
      EXPECT_EQ(map.begin, threaded.begin);
    }
  });
}

TEST(OffsetList, strided_and_generated_sites_equal_the_oracle) {
  test::for_random_cases(150, [](Rng& rng) {
    Case c;
    make_case(rng, 60, c);
    const auto in = oracle::sites(c.in);
    Coords coarse, fine;
    downsample(c.in, c.kernel, serial_executor(), coarse);
    EXPECT_EQ(oracle::sites(coarse), oracle::downsample(in, c.kernel, c.in.stride));
    EXPECT_EQ(coarse.batches(), c.in.batches());
    generate(c.in, c.kernel, serial_executor(), fine);
    EXPECT_EQ(oracle::sites(fine), oracle::generate(in, c.kernel, c.in.stride));
    EXPECT_EQ(fine.batches(), c.in.batches());
  });
}

TEST(OffsetList, that_of_a_box_gives_the_map_of_the_box) {
  test::for_random_cases(40, [](Rng& rng) {
    const Coords coords = test::random_coords(rng, {.most_rows = 700});
    const KernelShape box{.size = {3, 3, 3, 1}};
    std::vector<std::int64_t> offsets;
    for (std::int64_t k = 0; k < 27; ++k)
      for (int a = 0; a < 3; ++a) offsets.push_back(box.offset(k)[static_cast<std::size_t>(a)]);
    KernelShape listed;
    listed.offsets = offsets;
    KernelMap a, b;
    build_kernel_map(coords, coords, box, serial_executor(), a);
    build_kernel_map(coords, coords, listed, serial_executor(), b);
    EXPECT_EQ(a.begin, b.begin);
    EXPECT_EQ(a.in_row, b.in_row);
    EXPECT_EQ(a.out_row, b.out_row);
  });
}

/// Offsets -1 and +1 mirror each other, but there is no centre between them.
TEST(KernelMap, an_even_kernel_with_mirrored_offsets_has_no_centre) {
  test::for_random_cases(20, [](Rng& rng) {
    const Coords coords = test::random_coords(rng, {.dims = 1, .anywhere = false});
    const KernelShape kernel{.dims = 1, .size = {2}, .dilation = {2}, .padding = {1}, .rule = CoordinateRule::padded};
    KernelMap map;
    build_kernel_map(coords, coords, kernel, serial_executor(), map);
    const auto sites = oracle::sites(coords);
    EXPECT_EQ(oracle::pairs(map), oracle::kernel_pairs(sites, sites, kernel, coords.stride));
  });
}

TEST(OffsetList, names_what_is_wrong) {
  const auto check = [](int dims, std::vector<std::int64_t> offsets, Extent stride = {1, 1, 1, 1}) {
    KernelShape kernel;
    kernel.dims = dims;
    kernel.offsets = offsets;
    check_kernel(kernel, stride);
  };
  EXPECT_NO_THROW(check(2, {0, 1024, -1024, 0}));
  test::expect_error<ShapeError>([&] { check(3, {0, 0, 0, 1}); }, {"4 numbers", "3 dimensions"});
  test::expect_error<ShapeError>([&] { check(2, {0, 1025}); }, {"1025", "along y", "1024"});
  test::expect_error<ShapeError>([&] { check(2, {0, 0, -600, 0}, {2, 2, 1, 1}); }, {"600", "along x"});
  test::expect_error<ShapeError>([&] { check(1, {std::int64_t{1} << 40}); }, {"1099511627776", "out of range"});
  test::expect_error<ShapeError>([&] { check(1, std::vector<std::int64_t>(5000, 0)); }, {"4096", "5000"});
}

}  // namespace
}  // namespace rarefy
