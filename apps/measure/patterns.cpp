#include "measure/patterns.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/rng.h"

namespace rarefy::cli::bench {
namespace {

/// The lower, the earlier a cell is occupied.
double score(Pattern pattern, const std::vector<std::int32_t>& cell, std::int32_t extent, std::int64_t number) {
  if (pattern == Pattern::uniform) return Rng(0xC205, static_cast<std::uint64_t>(number)).uniform();
  const double n = extent;
  double height = 0.5 * n;  // of the sheet, along the last axis
  for (std::size_t a = 0; a + 1 < cell.size(); ++a)
    height += 0.15 * n * std::sin((2.0 + static_cast<double>(a)) * 3.0 * cell[a] / n + static_cast<double>(a));
  // Whole cells of distance; within a layer from one side to the other, so that a part of a layer is a connected part.
  const double distance = std::floor(std::abs(cell.back() - height) + 0.5);
  return distance + static_cast<double>(number) / (std::pow(n, static_cast<double>(cell.size())) + 1.0);
}

}  // namespace

std::string_view name(Pattern pattern) { return pattern == Pattern::surface ? "surface" : "uniform"; }

Pattern pattern_of(std::string_view text) {
  for (const Pattern p : {Pattern::surface, Pattern::uniform})
    if (name(p) == text) return p;
  fail<UsageError>("there is no pattern '{}'; choose surface or uniform", text);
}

Coords occupied(int dims, std::int32_t extent, double density, Pattern pattern) {
  const auto axes = static_cast<std::size_t>(dims);
  std::int64_t cells = 1;
  for (int a = 0; a < dims; ++a) cells *= extent;
  std::vector<double> scores(static_cast<std::size_t>(cells));
  std::vector<std::int32_t> cell(axes);
  const auto place = [&](std::int64_t number) {
    for (std::size_t a = axes; a-- > 0; number /= extent) cell[a] = static_cast<std::int32_t>(number % extent);
  };
  for (std::int64_t c = 0; c < cells; ++c) {
    place(c);
    scores[static_cast<std::size_t>(c)] = score(pattern, cell, extent, c);
  }
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto count = std::clamp<std::int64_t>(std::llround(density * static_cast<double>(cells)), 1, cells);
  std::nth_element(order.begin(), order.begin() + count - 1, order.end(), [&](std::int64_t a, std::int64_t b) {
    return scores[static_cast<std::size_t>(a)] < scores[static_cast<std::size_t>(b)];
  });
  std::vector<std::int32_t> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    place(order[static_cast<std::size_t>(i)]);
    rows.push_back(0);
    rows.insert(rows.end(), cell.begin(), cell.end());
  }
  Coords coords;
  make_coords(rows, dims, {1, 1, 1, 1}, 1, coords);
  return coords;
}

}  // namespace rarefy::cli::bench
