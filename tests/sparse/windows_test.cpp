/// Windows over grids of tokens: every token in one window, by hand and as laws.
#include "sparse/windows.h"

#include <gtest/gtest.h>

#include <set>

#include "support/random_cases.h"

namespace rarefy {
namespace {

using Rows = std::vector<std::int32_t>;

struct Made {
  SampleBegin begin;
  RowIndex token_of_row, row_of_token;
};

Made rows_of(const WindowGrid& grid, std::int64_t images, const RowIndex* kept = nullptr) {
  Made made;
  rows_of_windows(grid, images, kept, made.begin, made.token_of_row, made.row_of_token);
  return made;
}

TEST(WindowsOfTokens, by_hand) {
  const WindowGrid plain{3, 5, 2, 0}, shifted{3, 5, 2, 1};
  RowIndex index;
  windows_of_tokens(plain, 1, index);
  EXPECT_EQ(index.voxel_of_point, (Rows{0, 0, 1, 1, 2,  //
                                        0, 0, 1, 1, 2,  //
                                        3, 3, 4, 4, 5}));
  windows_of_tokens(shifted, 2, index);
  EXPECT_EQ(Rows(index.voxel_of_point.begin(), index.voxel_of_point.begin() + 15), (Rows{0, 1, 1, 2, 2,  //
                                                                                         3, 4, 4, 5, 5,  //
                                                                                         3, 4, 4, 5, 5}));
  EXPECT_EQ(index.voxel_of_point[15], 6);
  const Made made = rows_of(plain, 1);
  EXPECT_EQ(made.begin, (SampleBegin{0, 4, 8, 10, 12, 14, 15}));
  EXPECT_EQ(made.token_of_row.voxel_of_point, (Rows{0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14}));
}

TEST(WindowsOfTokens, of_axes_that_one_window_covers_are_not_shifted) {
  const WindowGrid grid{3, 8, 4, 2};
  EXPECT_EQ(grid.lines().count(), 1);
  EXPECT_EQ(grid.columns().count(), 3);
  EXPECT_EQ((WindowGrid{4, 4, 4, 3}.windows()), 1);
  EXPECT_EQ((WindowGrid{5, 5, 4, 3}.windows()), 4);
}

TEST(WindowRows, of_kept_windows_only) {
  const WindowGrid grid{3, 5, 2, 0};
  RowIndex kept;
  kept.voxel_of_point = {2, 3, 11};  // two of the first image, the last of the second
  const Made made = rows_of(grid, 2, &kept);
  EXPECT_EQ(made.begin, (SampleBegin{0, 2, 4, 5}));
  EXPECT_EQ(made.token_of_row.voxel_of_point, (Rows{4, 9, 10, 11, 29}));
  EXPECT_EQ(made.row_of_token.voxel_of_point[11], 3);
  EXPECT_EQ(made.row_of_token.voxel_of_point[12], -1);
  EXPECT_EQ(made.row_of_token.voxel_of_point[29], 4);
  kept.voxel_of_point.clear();
  EXPECT_EQ(rows_of(grid, 2, &kept).begin, (SampleBegin{0}));
  EXPECT_EQ(rows_of(grid, 0).begin, (SampleBegin{0}));
}

/// Every token is in one row; a window is a rectangle of at most window x window tokens, line by line; a window within
/// the image is complete.
TEST(WindowRows, are_a_partition_into_rectangles) {
  test::for_random_cases(200, [](Rng& rng) {
    WindowGrid grid{rng.integer(1, 23), rng.integer(1, 23), rng.integer(1, 8), 0};
    grid.shift = rng.integer(0, grid.window - 1);
    const std::int64_t images = rng.integer(1, 3);
    const Made made = rows_of(grid, images);
    ASSERT_EQ(static_cast<std::int64_t>(made.begin.size()) - 1, images * grid.windows());
    ASSERT_EQ(made.begin.back(), images * grid.tokens());
    RowIndex window;
    windows_of_tokens(grid, images, window);
    const Rows& tokens = made.token_of_row.voxel_of_point;
    EXPECT_EQ(std::set<std::int32_t>(tokens.begin(), tokens.end()).size(), tokens.size());
    for (std::size_t w = 0; w + 1 < made.begin.size(); ++w) {
      const std::int64_t first = made.begin[w], rows = made.begin[w + 1] - first;
      ASSERT_GE(rows, 1);
      const auto token = [&](std::int64_t r) { return tokens[static_cast<std::size_t>(first + r)]; };
      std::int64_t columns = 1;
      while (columns < rows && token(columns) == token(0) + columns && columns < grid.window &&
             token(columns) % grid.width != 0)
        ++columns;
      ASSERT_EQ(rows % columns, 0);
      EXPECT_LE(rows / columns, grid.window);
      for (std::int64_t r = 0; r < rows; ++r) {
        ASSERT_EQ(token(r), token(0) + r / columns * grid.width + r % columns);
        ASSERT_EQ(window.voxel_of_point[static_cast<std::size_t>(token(r))], static_cast<std::int32_t>(w));
        ASSERT_EQ(made.row_of_token.voxel_of_point[static_cast<std::size_t>(token(r))], first + r);
      }
      const std::int64_t line = token(0) % grid.tokens() / grid.width, column = token(0) % grid.width;
      const bool inside =
          line > 0 && column > 0 && line + grid.window <= grid.height && column + grid.window <= grid.width;
      EXPECT_TRUE(!inside || rows == grid.window * grid.window);
    }
  });
}

}  // namespace
}  // namespace rarefy
