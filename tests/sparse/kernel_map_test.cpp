#include "sparse/kernel_map.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <set>

#include "oracle/sparse.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

using test::expect_error;

/// Rows ascend within a segment, indices are in range, segments cover the pairs, rows belong to their block.
void expect_sound(const KernelMap& map, std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume) {
  ASSERT_EQ(map.in_rows, in_rows);
  ASSERT_EQ(map.out_rows, out_rows);
  ASSERT_EQ(map.volume, volume);
  ASSERT_EQ(map.blocks(), (out_rows + 255) / 256);
  ASSERT_EQ(static_cast<std::int64_t>(map.begin.size()), map.blocks() * volume + 1);
  EXPECT_EQ(map.begin.front(), 0);
  EXPECT_EQ(map.begin.back(), map.pairs());
  EXPECT_EQ(map.in_row.size(), map.out_row.size());
  EXPECT_TRUE(std::is_sorted(map.begin.begin(), map.begin.end()));
  for (std::int64_t s = 0; s < map.blocks() * volume; ++s) {
    for (std::int64_t p = map.begin[s]; p < map.begin[s + 1]; ++p) {
      EXPECT_EQ(map.out_row[p] / 256, s / volume);
      EXPECT_TRUE(map.in_row[p] >= 0 && map.in_row[p] < in_rows);
      EXPECT_TRUE(map.out_row[p] >= 0 && map.out_row[p] < out_rows);
      if (p > map.begin[s]) {
        EXPECT_LT(map.out_row[p - 1], map.out_row[p]);
        EXPECT_LT(map.in_row[p - 1], map.in_row[p]);
      }
    }
  }
}

void expect_equal(const KernelMap& a, const KernelMap& b) {
  EXPECT_EQ(a.begin, b.begin);
  EXPECT_EQ(a.in_row, b.in_row);
  EXPECT_EQ(a.out_row, b.out_row);
}

KernelShape random_kernel(Rng& rng, int dims) {
  KernelShape kernel;
  kernel.dims = dims;
  kernel.rule = rng.chance(0.5) ? CoordinateRule::block : CoordinateRule::padded;
  const int largest = dims >= 3 ? 4 : 7;
  for (int a = 0; a < dims; ++a) {
    kernel.size[a] = static_cast<std::int32_t>(rng.chance(0.1) ? 7 : rng.integer(1, largest));
    kernel.stride[a] = static_cast<std::int32_t>(rng.integer(1, 3));
    kernel.dilation[a] = static_cast<std::int32_t>(rng.chance(0.6) ? 1 : rng.integer(2, 3));
    kernel.padding[a] = static_cast<std::int32_t>(kernel.rule == CoordinateRule::padded ? rng.integer(0, 3) : 0);
  }
  return kernel;
}

TEST(KernelShape, offsets_are_lexicographic) {
  const KernelShape odd{.dims = 2, .size = {3, 3, 1, 1}, .dilation = {1, 2, 1, 1}};
  EXPECT_EQ(odd.volume(), 9);
  EXPECT_EQ(odd.offset(0), (Extent{-1, -2, 0, 0}));
  EXPECT_EQ(odd.offset(1), (Extent{-1, 0, 0, 0}));
  EXPECT_EQ(odd.offset(8), (Extent{1, 2, 0, 0}));
  const KernelShape even{.dims = 3, .size = {2, 4, 2, 1}};
  EXPECT_EQ(even.volume(), 16);
  EXPECT_EQ(even.offset(0), (Extent{0, 0, 0, 0}));
  EXPECT_EQ(even.offset(15), (Extent{1, 3, 1, 0}));
  const KernelShape padded{.dims = 2,
                           .size = {3, 2, 1, 1},
                           .dilation = {2, 1, 1, 1},
                           .padding = {1, 3, 0, 0},
                           .rule = CoordinateRule::padded};
  EXPECT_EQ(padded.offset(0), (Extent{-1, -3, 0, 0}));
  EXPECT_EQ(padded.offset(5), (Extent{3, -2, 0, 0}));
}

TEST(KernelMap, equals_the_oracle_for_submanifold_kernels) {
  test::for_random_cases(150, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.most_rows = 700;
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 4));
    const Coords coords = test::random_coords(rng, options);
    KernelShape kernel;
    kernel.dims = options.dims;
    for (int a = 0; a < options.dims; ++a) {
      kernel.size[a] = static_cast<std::int32_t>(2 * rng.integer(0, options.dims >= 3 ? 2 : 3) + 1);
      kernel.dilation[a] = static_cast<std::int32_t>(rng.chance(0.7) ? 1 : rng.integer(2, 3));
    }
    KernelMap map;
    build_kernel_map(coords, coords, kernel, serial_executor(), map);
    expect_sound(map, coords.rows(), coords.rows(), kernel.volume());
    const auto sites = oracle::sites(coords);
    EXPECT_EQ(oracle::pairs(map), oracle::kernel_pairs(sites, sites, kernel, coords.stride));
    // The same sites in another object, and the padded rule with the padding of "same" convolution: the same map.
    const Coords copy = coords;
    KernelMap again;
    build_kernel_map(coords, copy, kernel, serial_executor(), again);
    expect_equal(map, again);
    kernel.rule = CoordinateRule::padded;
    for (int a = 0; a < options.dims; ++a) kernel.padding[a] = kernel.dilation[a] * (kernel.size[a] - 1) / 2;
    build_kernel_map(coords, coords, kernel, serial_executor(), again);
    expect_equal(map, again);
  });
}

TEST(KernelMap, equals_the_oracle_for_strided_kernels_and_any_output) {
  test::for_random_cases(250, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.anywhere = false;
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 3));
    const Coords in = test::random_coords(rng, options);
    const KernelShape kernel = random_kernel(rng, options.dims);
    Coords out;
    if (rng.chance(0.6)) {
      downsample(in, kernel, serial_executor(), out);
    } else {  // the caller's own sites, on the grid or off it
      for (auto& s : options.stride) s *= static_cast<std::int32_t>(rng.integer(1, 3));
      out = test::random_coords(rng, options);
    }
    KernelMap map;
    build_kernel_map(in, out, kernel, serial_executor(), map);
    expect_sound(map, in.rows(), out.rows(), kernel.volume());
    EXPECT_EQ(oracle::pairs(map), oracle::kernel_pairs(oracle::sites(in), oracle::sites(out), kernel, in.stride));
  });
}

TEST(KernelMap, never_leaves_its_sample_or_wraps_around_at_the_ends_of_the_range) {
  for (int dims = 1; dims <= 4; ++dims) {
    const KeyLayout layout = key_layout(dims);
    std::vector<std::int32_t> rows;
    const auto low = static_cast<std::int32_t>(-layout.limit);
    const auto high = static_cast<std::int32_t>(layout.limit - 1);
    for (const std::int64_t batch : {std::int64_t{0}, std::int64_t{1}, layout.max_batch() - 1}) {
      for (int corner = 0; corner < 1 << dims; ++corner) {
        rows.push_back(static_cast<std::int32_t>(batch));
        for (int a = 0; a < dims; ++a) rows.push_back((corner >> a & 1) != 0 ? high : low);
      }
    }
    Coords coords;
    make_coords(rows, dims, {1, 1, 1, 1}, -1, coords);
    KernelShape kernel;
    kernel.dims = dims;
    for (int a = 0; a < dims; ++a) {
      kernel.size[a] = 3;
      kernel.dilation[a] = static_cast<std::int32_t>(layout.guard);
    }
    KernelMap map;
    build_kernel_map(coords, coords, kernel, serial_executor(), map);
    EXPECT_EQ(map.pairs(), coords.rows()) << dims << " dimensions: corners have no neighbour but themselves";
    for (int a = 0; a < dims; ++a) kernel.size[a] = 2;  // not symmetric: the search goes up to the key of all ones
    build_kernel_map(coords, coords, kernel, serial_executor(), map);
    EXPECT_EQ(map.pairs(), coords.rows()) << dims;
  }
}

TEST(KernelMap, of_a_full_block_has_all_pairs) {
  std::vector<std::int32_t> rows;
  for (std::int32_t b = 0; b < 2; ++b) {
    for (std::int32_t x = -5; x < 5; ++x) {
      for (std::int32_t y = -5; y < 5; ++y) {
        for (std::int32_t z = -5; z < 5; ++z) rows.insert(rows.end(), {b, x, y, z});
      }
    }
  }
  Coords coords;
  make_coords(rows, 3, {1, 1, 1, 1}, -1, coords);
  KernelMap map;
  build_kernel_map(coords, coords, {}, serial_executor(), map);
  EXPECT_EQ(map.pairs(), 2 * 28 * 28 * 28);  // per axis 10 + 9 + 9
  build_kernel_map(coords, coords, {.size = {7, 7, 7, 1}}, serial_executor(), map);
  EXPECT_EQ(map.pairs(), 2 * 58 * 58 * 58);
  Coords coarse;
  const KernelShape down{.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}};
  downsample(coords, down, serial_executor(), coarse);
  EXPECT_EQ(coarse.rows(), 2 * 6 * 6 * 6);  // -6, -4, ..., 4: negative sites round down
  build_kernel_map(coords, coarse, down, serial_executor(), map);
  EXPECT_EQ(map.pairs(), coords.rows());
}

TEST(KernelMap, of_nothing_is_empty) {
  Coords none;
  make_coords({}, 3, {1, 1, 1, 1}, 2, none);
  const std::int32_t row[] = {0, 1, 2, 3};
  Coords one;
  make_coords(row, 3, {1, 1, 1, 1}, -1, one);
  KernelMap map;
  KernelMap transposed;
  for (const auto& [in, out] : {std::pair{&none, &none}, {&none, &one}, {&one, &none}}) {
    build_kernel_map(*in, *out, {}, serial_executor(), map);
    expect_sound(map, in->rows(), out->rows(), 27);
    EXPECT_EQ(map.pairs(), 0);
    transpose_map(map, serial_executor(), transposed);
    expect_sound(transposed, out->rows(), in->rows(), 27);
    EXPECT_EQ(transposed.pairs(), 0);
  }
  Coords result;
  for (const CoordinateRule rule : {CoordinateRule::block, CoordinateRule::padded}) {
    KernelShape kernel{.stride = {2, 2, 2, 1}, .rule = rule};
    downsample(none, kernel, serial_executor(), result);
    EXPECT_EQ(result.rows(), 0);
    EXPECT_THAT(result.batch_begin, testing::ElementsAre(0, 0, 0));
    EXPECT_EQ(result.stride[0], 2);
    kernel.stride = {1, 1, 1, 1};
    generate(none, kernel, serial_executor(), result);
    EXPECT_EQ(result.rows(), 0);
    EXPECT_EQ(result.batches(), 2);
  }
}

TEST(KernelMap, is_the_same_for_any_number_of_threads_and_with_reused_memory) {
  const auto pool = make_thread_pool(4);
  KernelMap reused;
  KernelMap reused_transposed;
  test::for_random_cases(40, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.most_rows = 2000;
    options.anywhere = false;
    const Coords in = test::random_coords(rng, options);
    const KernelShape kernel = random_kernel(rng, options.dims);
    Coords out;
    downsample(in, kernel, *pool, out);
    for (const Coords* to : {&in, static_cast<const Coords*>(&out)}) {
      KernelMap map;
      build_kernel_map(in, *to, kernel, serial_executor(), map);
      build_kernel_map(in, *to, kernel, *pool, reused);
      expect_equal(map, reused);
      KernelMap transposed;
      transpose_map(map, serial_executor(), transposed);
      transpose_map(map, *pool, reused_transposed);
      expect_equal(transposed, reused_transposed);
    }
  });
}

TEST(TransposeMap, exchanges_rows_and_keeps_offsets) {
  test::for_random_cases(100, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 2);
    options.most_rows = 900;
    options.anywhere = false;
    const Coords in = test::random_coords(rng, options);
    const KernelShape kernel = random_kernel(rng, options.dims);
    Coords out;
    downsample(in, kernel, serial_executor(), out);
    KernelMap map;
    build_kernel_map(in, out, kernel, serial_executor(), map);
    KernelMap transposed;
    transpose_map(map, serial_executor(), transposed);
    expect_sound(transposed, out.rows(), in.rows(), kernel.volume());
    std::vector<oracle::Pair> expected;
    for (const oracle::Pair& p : oracle::pairs(map)) expected.push_back({p.in / 256, p.offset, p.in, p.out});
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(oracle::pairs(transposed), expected);
    KernelMap back;
    transpose_map(transposed, serial_executor(), back);
    expect_equal(back, map);
  });
}

TEST(CheckKernel, names_what_is_wrong) {
  const auto check = [](KernelShape kernel, Extent stride = {1, 1, 1, 1}) { check_kernel(kernel, stride); };
  EXPECT_NO_THROW(check({.size = {7, 7, 7, 7}}));
  expect_error<ShapeError>([&] { check({.dims = 5}); }, {"1 to 4", "5"});
  expect_error<ShapeError>([&] { check({.size = {3, 8, 3, 1}}); }, {"size along y", "8"});
  expect_error<ShapeError>([&] { check({.size = {0, 3, 3, 1}}); }, {"size along x", "0"});
  expect_error<ShapeError>([&] { check({.stride = {1, 1, 0, 1}}); }, {"stride along z", "0"});
  expect_error<ShapeError>([&] { check({.dilation = {1, -1, 1, 1}}); }, {"dilation along y", "-1"});
  expect_error<ShapeError>(
      [&] {
        check({.padding = {-2, 0, 0, 0}, .rule = CoordinateRule::padded});
      },
      {"padding along x", "-2"});
  expect_error<ShapeError>([&] { check({.padding = {1, 0, 0, 0}}); }, {"padding along x", "padded rule"});
  expect_error<ShapeError>([&] { check({}, {1, 0, 1, 1}); }, {"input along y", "0"});
  // Reach: exactly the guard passes, one more does not.
  EXPECT_NO_THROW(check({.dilation = {512, 1, 1, 1}}, {2, 1, 1, 1}));
  expect_error<ShapeError>([&] { check({.dilation = {513, 1, 1, 1}}, {2, 1, 1, 1}); }, {"513", "along x", "1024"});
  expect_error<ShapeError>(
      [&] {
        check({.dims = 4, .size = {1, 1, 1, 3}, .dilation = {1, 1, 1, 257}});
      },
      {"257", "along t", "256"});
  expect_error<ShapeError>([&] { check({.dilation = {1 << 30, 1, 1, 1}}, {4, 1, 1, 1}); }, {"along x"});
  expect_error<ShapeError>([&] { check({.stride = {1 << 30, 1, 1, 1}}, {4, 1, 1, 1}); }, {"32 bits"});
}

TEST(KernelMap, names_what_does_not_fit) {
  const std::int32_t row3[] = {0, 4, 4, 4};
  const std::int32_t row2[] = {0, 4, 4};
  Coords fine;
  Coords coarse;
  Coords flat;
  make_coords(row3, 3, {1, 1, 1, 1}, -1, fine);
  make_coords(row3, 3, {2, 2, 4, 1}, -1, coarse);
  make_coords(row2, 2, {1, 1, 1, 1}, -1, flat);
  KernelMap map;
  Coords out;
  auto& serial = serial_executor();
  expect_error<ShapeError>([&] { build_kernel_map(fine, flat, {}, serial, map); }, {"3 dimensions", "2"});
  expect_error<ShapeError>([&] { build_kernel_map(flat, flat, {}, serial, map); }, {"3 dimensions", "2"});
  expect_error<ShapeError>([&] { build_kernel_map(coarse, fine, {}, serial, map); },
                           {"along x", "1", "2", "transpose"});
  expect_error<ShapeError>([&] { downsample(flat, {}, serial, out); }, {"3 dimensions", "2"});
  expect_error<ShapeError>([&] { downsample(fine, {.size = {9, 1, 1, 1}}, serial, out); }, {"size along x", "9"});
  expect_error<ShapeError>([&] { generate(coarse, {.stride = {2, 2, 3, 1}}, serial, out); }, {"along z is 4", "3"});
}

}  // namespace
}  // namespace rarefy
