#include "sparse/windows.h"

#include "base/check.h"

namespace rarefy {

void windows_of_tokens(const WindowGrid& grid, std::int64_t images, RowIndex& window_of_token) {
  const AxisCuts lines = grid.lines(), columns = grid.columns();
  auto& windows = window_of_token.voxel_of_point;
  windows.resize(static_cast<std::size_t>(images * grid.tokens()));
  std::size_t row = 0;
  for (std::int64_t image = 0; image < images; ++image)
    for (std::int64_t y = 0; y < grid.height; ++y) {
      const std::int64_t first = image * grid.windows() + lines.of(y) * columns.count();
      for (std::int64_t x = 0; x < grid.width; ++x) windows[row++] = static_cast<std::int32_t>(first + columns.of(x));
    }
  invert_any_index(images * grid.windows(), window_of_token);
}

void rows_of_windows(const WindowGrid& grid, std::int64_t images, const RowIndex* kept, SampleBegin& begin,
                     RowIndex& token_of_row, RowIndex& row_of_token) {
  const AxisCuts lines = grid.lines(), columns = grid.columns();
  const std::int64_t all = images * grid.windows();
  const std::int64_t count = kept == nullptr ? all : static_cast<std::int64_t>(kept->voxel_of_point.size());
  auto &tokens = token_of_row.voxel_of_point, &rows = row_of_token.voxel_of_point;
  begin.assign(1, 0);
  tokens.clear();
  rows.assign(static_cast<std::size_t>(images * grid.tokens()), -1);
  for (std::int64_t w = 0; w < count; ++w) {
    const std::int64_t number = kept == nullptr ? w : kept->voxel_of_point[static_cast<std::size_t>(w)];
    RAREFY_ASSERT(number >= 0 && number < all);
    const std::int64_t image = number / grid.windows(), place = number % grid.windows();
    const std::int64_t line = place / columns.count(), column = place % columns.count();
    for (std::int64_t y = lines.begin(line); y < lines.end(line); ++y)
      for (std::int64_t x = columns.begin(column); x < columns.end(column); ++x) {
        const std::int64_t token = image * grid.tokens() + y * grid.width + x;
        rows[static_cast<std::size_t>(token)] = static_cast<std::int32_t>(tokens.size());
        tokens.push_back(static_cast<std::int32_t>(token));
      }
    begin.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  invert_any_index(images * grid.tokens(), token_of_row);
  invert_any_index(static_cast<std::int64_t>(tokens.size()), row_of_token);
}

}  // namespace rarefy
