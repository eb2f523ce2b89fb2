#include "sparse/coords.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>

#include "oracle/sparse.h"
#include "sparse/key_sort.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

using test::expect_error;

TEST(KeyLayout, is_the_documented_table) {
  struct Row {
    int dims, batch_bits, axis_bits;
    std::int64_t limit;
  };
  for (const Row& row : {Row{1, 16, 32, (1ll << 31) - (1 << 10)}, Row{2, 12, 26, (1 << 25) - (1 << 10)},
                         Row{3, 10, 18, (1 << 17) - (1 << 10)}, Row{4, 8, 14, (1 << 13) - (1 << 8)}}) {
    const KeyLayout layout = key_layout(row.dims);
    EXPECT_EQ(layout.batch_bits, row.batch_bits);
    EXPECT_EQ(layout.axis_bits, row.axis_bits);
    EXPECT_EQ(layout.limit, row.limit);
    EXPECT_EQ(layout.guard, (1ll << (row.axis_bits - 1)) - row.limit);
    EXPECT_LE(layout.batch_bits + layout.dims * layout.axis_bits, 64);
  }
  expect_error<UsageError>([] { key_layout(0); }, {"1 to 4", "0"});
  expect_error<UsageError>([] { key_layout(5); }, {"1 to 4", "5"});
}

TEST(Key, keeps_lexicographic_order_and_round_trips_at_the_extremes) {
  for (int dims = 1; dims <= 4; ++dims) {
    const KeyLayout layout = key_layout(dims);
    const auto low = static_cast<std::int32_t>(-layout.limit);
    const auto high = static_cast<std::int32_t>(layout.limit - 1);
    test::for_random_cases(200, [&](Rng& rng) {
      std::array<std::int32_t, 5> rows[2];
      std::uint64_t keys[2];
      for (int r = 0; r < 2; ++r) {
        rows[r].fill(0);
        rows[r][0] = static_cast<std::int32_t>(rng.chance(0.5) ? layout.max_batch() - 1 : rng.integer(0, 1));
        for (int a = 0; a < dims; ++a) {
          rows[r][1 + a] = rng.chance(0.3)   ? low
                           : rng.chance(0.3) ? high
                                             : static_cast<std::int32_t>(rng.integer(-2, 2));
        }
        keys[r] = pack_key(layout, rows[r][0], rows[r].data() + 1);
        std::array<std::int32_t, 5> back{};
        unpack_key(layout, keys[r], back.data(), back.data() + 1);
        EXPECT_EQ(back, rows[r]);
      }
      EXPECT_EQ(keys[0] < keys[1], rows[0] < rows[1]);
    });
  }
}

TEST(Key, delta_moves_within_the_guard) {
  for (int dims = 1; dims <= 4; ++dims) {
    const KeyLayout layout = key_layout(dims);
    test::for_random_cases(100, [&](Rng& rng) {
      std::int32_t from[4];
      std::int32_t delta[4];
      std::int32_t to[4];
      for (int a = 0; a < dims; ++a) {
        from[a] = static_cast<std::int32_t>(rng.chance(0.5) ? -layout.limit : layout.limit - 1);
        delta[a] = static_cast<std::int32_t>(rng.chance(0.3) ? layout.guard : rng.integer(-layout.guard, layout.guard));
        to[a] = static_cast<std::int32_t>(std::clamp<std::int64_t>(
            std::int64_t{from[a]} + delta[a], std::numeric_limits<std::int32_t>::min(), (1ll << 31) - 1));
        delta[a] = static_cast<std::int32_t>(std::int64_t{to[a]} - from[a]);
      }
      EXPECT_EQ(pack_key(layout, 1, from) + key_delta(layout, delta), pack_key(layout, 1, to));
    });
  }
}

TEST(MakeCoords, sorts_and_says_where_rows_came_from) {
  test::for_random_cases(100, [](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 4);
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 5));
    const std::vector<std::int32_t> rows = test::random_rows(rng, options);
    Coords coords;
    std::vector<std::int32_t> order;
    make_coords(rows, options.dims, options.stride, options.batches, coords, &order);
    const std::size_t width = static_cast<std::size_t>(options.dims) + 1;
    ASSERT_EQ(coords.keys.size() * width, rows.size());
    EXPECT_EQ(coords.dims, options.dims);
    EXPECT_EQ(coords.stride, options.stride);
    const std::vector<oracle::Site> sites = oracle::sites(coords);
    EXPECT_TRUE(std::is_sorted(sites.begin(), sites.end()));
    for (std::size_t r = 0; r < sites.size(); ++r) {
      for (std::size_t f = 0; f < width; ++f)
        EXPECT_EQ(sites[r][f], rows[static_cast<std::size_t>(order[r]) * width + f]);
    }
    ASSERT_EQ(coords.batches(), options.batches);
    EXPECT_EQ(coords.batch_begin.front(), 0);
    EXPECT_EQ(coords.batch_begin.back(), coords.rows());
    for (std::int64_t b = 0; b < coords.batches(); ++b) {
      for (std::int64_t r = coords.batch_begin[b]; r < coords.batch_begin[b + 1]; ++r) EXPECT_EQ(sites[r][0], b);
    }
  });
}

TEST(MakeCoords, sorts_boxes_too_wide_for_one_word) {
  test::for_random_cases(20, [](Rng& rng) {
    const int dims = static_cast<int>(rng.integer(1, 4));
    const KeyLayout layout = key_layout(dims);
    std::vector<std::int32_t> rows;
    for (int r = 0; r < 300; ++r) {
      rows.push_back(static_cast<std::int32_t>(rng.integer(0, layout.max_batch() - 1)));
      for (int a = 0; a < dims; ++a)
        rows.push_back(static_cast<std::int32_t>(rng.integer(-layout.limit, layout.limit - 1)));
    }
    Coords coords;
    make_coords(rows, dims, {1, 1, 1, 1}, layout.max_batch(), coords);  // duplicates are next to impossible
    const auto sites = oracle::sites(coords);
    EXPECT_EQ(sites.size(), 300u);
    EXPECT_TRUE(std::is_sorted(sites.begin(), sites.end()));
  });
}

TEST(MakeCoords, counts_batches_and_takes_empty_input) {
  Coords coords;
  make_coords({}, 3, {1, 1, 1, 1}, -1, coords);
  EXPECT_EQ(coords.rows(), 0);
  EXPECT_EQ(coords.batches(), 0);
  make_coords({}, 2, {1, 1, 1, 1}, 3, coords);
  EXPECT_THAT(coords.batch_begin, testing::ElementsAre(0, 0, 0, 0));
  const std::int32_t rows[] = {2, 5, 0, 7};
  make_coords(rows, 1, {1, 1, 1, 1}, -1, coords);
  EXPECT_THAT(coords.batch_begin, testing::ElementsAre(0, 1, 1, 2));
}

TEST(MakeCoords, names_what_is_wrong) {
  Coords coords;
  const auto make = [&](std::vector<std::int32_t> rows, int dims, Extent stride = {1, 1, 1, 1},
                        std::int64_t batches = -1) { make_coords(rows, dims, stride, batches, coords); };
  expect_error<InputError>([&] { make({0, 1, 2, 3, 0, 0, 130048, 0}, 3); }, {"row 1", "y = 130048", "130048"});
  expect_error<InputError>([&] { make({0, -130049, 2, 3}, 3); }, {"row 0", "x = -130049"});
  expect_error<InputError>([&] { make({0, 0, 0, 0, 7936}, 4); }, {"row 0", "t = 7936"});
  expect_error<InputError>([&] { make({0, 2147483647}, 1); }, {"x = 2147483647"});
  expect_error<InputError>([&] { make({-1, 0, 0, 0}, 3); }, {"row 0", "batch index -1"});
  expect_error<InputError>([&] { make({2, 0, 0, 0}, 3, {1, 1, 1, 1}, 2); }, {"batch index 2", "[0, 2)"});
  expect_error<InputError>([&] { make({0, 0, 65536, 0}, 1); }, {"row 1", "batch index 65536"});
  expect_error<InputError>([&] { make({1024, 0, 0, 0}, 3); }, {"batch index 1024", "1024 samples"});
  expect_error<InputError>([&] { make({0, 4, 2, 5}, 3, {2, 2, 2, 1}); }, {"row 0", "z = 5", "stride 2"});
  expect_error<InputError>([&] { make({0, 1, 0, 2, 0, 1}, 1); }, {"rows 0 and 2", "duplicates"});
  expect_error<UsageError>([&] { make({0, 1, 2}, 3); }, {"rows of 4", "3"});
  expect_error<UsageError>([&] { make({0, 1, 2, 3}, 3, {1, 0, 1, 1}); }, {"stride along y", "0"});
  expect_error<UsageError>([&] { make({}, 3, {1, 1, 1, 1}, 1025); }, {"1025", "1024"});
  expect_error<UsageError>([&] { make({}, 0); }, {"1 to 4"});
}

TEST(SortUnique, equals_the_standard_library) {
  test::for_random_cases(100, [](Rng& rng) {
    const KeyLayout layout = key_layout(static_cast<int>(rng.integer(1, 4)));
    const std::uint64_t range = rng.chance(0.5) ? 50 : ~std::uint64_t{0} >> (64 - layout.dims * layout.axis_bits);
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(rng.integer(0, 500)));
    for (auto& key : keys) key = rng.bits() % range;
    std::vector<std::uint64_t> expected = keys;
    std::sort(expected.begin(), expected.end());
    expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
    std::vector<std::uint64_t> other;
    sort_unique(layout, keys, other);
    EXPECT_EQ(keys, expected);
  });
}

TEST(Coords, copies_leave_working_memory_behind) {
  Coords coords;
  const std::int32_t rows[] = {0, 5, 0, 7};
  make_coords(rows, 1, {1, 1, 1, 1}, -1, coords);
  const Coords copy = coords;
  EXPECT_EQ(copy.keys, coords.keys);
  EXPECT_TRUE(copy.scratch.keys[0].empty());
}

}  // namespace
}  // namespace rarefy
