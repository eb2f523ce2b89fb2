#include "kernels/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace rarefy {
namespace {

/// What a cell of the result reads along one axis.
struct Tap {
  std::int64_t low, high;
  float weight;  ///< of high
};

Tap tap_of(std::int64_t cell, std::int64_t from, std::int64_t to) {
  const double step = static_cast<double>(from) / static_cast<double>(to);
  const double at = std::max(0.0, (static_cast<double>(cell) + 0.5) * step - 0.5);
  const auto low = std::min(from - 1, static_cast<std::int64_t>(at));
  return {low, std::min(from - 1, low + 1), static_cast<float>(at - static_cast<double>(low))};
}

/// The same, turned round: which cells of the result read a cell, with which weights.
struct Reader {
  std::int64_t cell;
  float weight;
};
std::vector<std::vector<Reader>> readers_of(std::int64_t from, std::int64_t to) {
  std::vector<std::vector<Reader>> readers(static_cast<std::size_t>(from));
  for (std::int64_t i = 0; i < to; ++i) {
    const Tap t = tap_of(i, from, to);
    readers[static_cast<std::size_t>(t.low)].push_back({i, 1.0f - t.weight});
    if (t.weight != 0.0f) readers[static_cast<std::size_t>(t.high)].push_back({i, t.weight});
  }
  return readers;
}

std::int64_t images_of(const GridResize& r, std::int64_t rows, std::int64_t to_rows, bool same_columns) {
  const std::int64_t cells = r.height * r.width, to_cells = r.to_height * r.to_width;
  RAREFY_CHECK(rows % cells == 0 && to_rows == rows / cells * to_cells && same_columns, ShapeError,
               "{} rows on grids of {} x {} do not become {} rows on grids of {} x {}", rows, r.height, r.width,
               to_rows, r.to_height, r.to_width);
  return rows / cells;
}

}  // namespace

void resize_grid(const GridResize& r, Matrix<const float> x, Executor& executor, Matrix<float> y) {
  const std::int64_t images = images_of(r, x.rows, y.rows, x.cols == y.cols);
  executor.parallel_for(images * r.to_height, [&](std::int64_t part, int) {
    const Tap line = tap_of(part % r.to_height, r.height, r.to_height);
    const std::int64_t first = part / r.to_height * r.height * r.width;
    const std::int64_t low = first + line.low * r.width, high = first + line.high * r.width;
    for (std::int64_t j = 0; j < r.to_width; ++j) {
      const Tap column = tap_of(j, r.width, r.to_width);
      const float *a = x.row(low + column.low), *b = x.row(low + column.high), *c = x.row(high + column.low),
                  *d = x.row(high + column.high);
      float* to = y.row(part * r.to_width + j);
      for (std::int64_t k = 0; k < y.cols; ++k) {
        const float above = a[k] + column.weight * (b[k] - a[k]), below = c[k] + column.weight * (d[k] - c[k]);
        to[k] = above + line.weight * (below - above);
      }
    }
  });
}

void resize_grid_gradient(const GridResize& r, Matrix<const float> gy, Executor& executor, Matrix<float> gx) {
  const std::int64_t images = images_of(r, gx.rows, gy.rows, gx.cols == gy.cols);
  const auto lines = readers_of(r.height, r.to_height), columns = readers_of(r.width, r.to_width);
  executor.parallel_for(images * r.height, [&](std::int64_t part, int) {
    const std::int64_t image = part / r.height, i = part % r.height;
    for (std::int64_t j = 0; j < r.width; ++j) {
      float* to = gx.row(part * r.width + j);
      std::fill_n(to, gx.cols, 0.0f);
      for (const Reader& line : lines[static_cast<std::size_t>(i)])
        for (const Reader& column : columns[static_cast<std::size_t>(j)]) {
          const float weight = line.weight * column.weight;
          const float* from = gy.row((image * r.to_height + line.cell) * r.to_width + column.cell);
          for (std::int64_t k = 0; k < gx.cols; ++k) to[k] += weight * from[k];
        }
    }
  });
}

}  // namespace rarefy
