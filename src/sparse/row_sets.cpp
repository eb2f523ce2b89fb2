#include "sparse/row_sets.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace rarefy {
namespace {

std::int64_t at(std::span<const std::int64_t> begin, std::size_t sample) { return begin[sample]; }
std::size_t samples_of(std::span<const std::int64_t> begin) { return begin.empty() ? 0 : begin.size() - 1; }

/// Ascending keys are descending scores; of equal ones the lower row.
std::uint64_t key_of(float score, std::int64_t row) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // one zero
  bits = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  if (std::isnan(score)) bits = 0;
  return (static_cast<std::uint64_t>(~bits) << 32) | static_cast<std::uint64_t>(row);
}

/// How many of `rows` rows that may go stay.
std::int64_t kept_of(const TopRows& top, std::int64_t rows) {
  if (top.count != 0) return std::min(top.count, rows);
  constexpr double kRounding = 1e-6;  // 0.7 of 10 is 7, whatever the bits of 0.7
  const double wanted = top.share * static_cast<double>(rows);
  return std::clamp<std::int64_t>(
      static_cast<std::int64_t>(top.round_up ? std::ceil(wanted - kRounding) : std::floor(wanted + kRounding)), 0,
      rows);
}

/// How many of the `stay` rows that come first in `keys` stay: those above the bound, brought to the front.
std::int64_t kept_above(const TopRows& top, Matrix<const float> scores, std::vector<std::uint64_t>& keys,
                        std::int64_t stay, bool one_must) {
  if (!top.above) return stay;
  const auto row = [](std::uint64_t key) { return static_cast<std::int64_t>(key & 0xFFFFFFFFu); };
  const auto end = keys.begin() + stay;
  if (one_must && stay > 0) std::iter_swap(keys.begin(), std::min_element(keys.begin(), end));
  const auto first = one_must ? keys.begin() + std::min<std::int64_t>(1, stay) : keys.begin();
  return std::partition(first, end,
                        [&](std::uint64_t key) { return static_cast<double>(scores(row(key), 0)) > *top.above; }) -
         keys.begin();
}

}  // namespace

void invert_any_index(std::int64_t targets, RowIndex& index) {
  auto& begin = index.point_begin;
  begin.assign(static_cast<std::size_t>(targets) + 2, 0);  // one ahead: begin[t + 1] is where t's next row goes
  for (const std::int32_t target : index.voxel_of_point)
    if (target >= 0) ++begin[static_cast<std::size_t>(target) + 2];
  for (std::size_t t = 2; t < begin.size(); ++t) begin[t] += begin[t - 1];
  index.point_order.resize(static_cast<std::size_t>(begin.back()));
  for (std::size_t r = 0; r < index.voxel_of_point.size(); ++r) {
    const std::int32_t target = index.voxel_of_point[r];
    if (target < 0) continue;
    RAREFY_ASSERT(target < targets);
    index.point_order[static_cast<std::size_t>(begin[static_cast<std::size_t>(target) + 1]++)] =
        static_cast<std::int32_t>(r);
  }
  begin.pop_back();
}

void prepend_rows(std::span<const std::int64_t> begin, SampleBegin& longer, RowIndex& old) {
  const std::size_t samples = samples_of(begin);
  longer.assign(1, 0);
  old.voxel_of_point.clear();
  for (std::size_t s = 0; s < samples; ++s) {
    old.voxel_of_point.push_back(-1);
    for (std::int64_t r = at(begin, s); r < at(begin, s + 1); ++r)
      old.voxel_of_point.push_back(static_cast<std::int32_t>(r));
    longer.push_back(static_cast<std::int64_t>(old.voxel_of_point.size()));
  }
  invert_index(samples == 0 ? 0 : begin.back(), old);
}

void first_rows(std::span<const std::int64_t> begin, RowIndex& first) {
  const std::size_t samples = samples_of(begin);
  first.voxel_of_point.resize(samples);
  for (std::size_t s = 0; s < samples; ++s)
    first.voxel_of_point[s] = at(begin, s) == at(begin, s + 1) ? -1 : static_cast<std::int32_t>(at(begin, s));
  invert_index(samples == 0 ? 0 : begin.back(), first);
}

void top_rows(Matrix<const float> scores, std::span<const std::int64_t> begin, const TopRows& top, SampleBegin& shorter,
              RowIndex& kept, RowIndex& place) {
  RAREFY_CHECK(scores.cols == 1, ShapeError, "rows are selected by one score each, got {} columns", scores.cols);
  RAREFY_CHECK(top.share >= 0.0 && top.share <= 1.0 && top.count >= 0 && top.leading >= 0, UsageError,
               "rows to keep: share {}, count {}, leading rows {}: expected a share in [0, 1] and no negative counts",
               top.share, top.count, top.leading);
  shorter.assign(1, 0);
  kept.voxel_of_point.clear();
  place.voxel_of_point.assign(static_cast<std::size_t>(scores.rows), -1);
  auto& keys = kept.scratch[0];
  for (std::size_t s = 0; s < samples_of(begin); ++s) {
    const std::int64_t first = at(begin, s), last = at(begin, s + 1);
    const std::int64_t free = std::min(first + top.leading, last);  // the first row that may go
    std::int64_t stay = kept_of(top, last - free);
    if (stay == 0 && free == first && last > first) stay = 1;
    keys.clear();
    for (std::int64_t r = free; r < last; ++r) keys.push_back(key_of(scores(r, 0), r));
    std::nth_element(keys.begin(), keys.begin() + stay, keys.end());
    stay = kept_above(top, scores, keys, stay, free == first);
    constexpr std::int32_t kStays = -2;
    for (std::int64_t r = first; r < free; ++r) place.voxel_of_point[static_cast<std::size_t>(r)] = kStays;
    for (std::int64_t i = 0; i < stay; ++i)
      place.voxel_of_point[static_cast<std::size_t>(keys[static_cast<std::size_t>(i)] & 0xFFFFFFFFu)] = kStays;
    for (std::int64_t r = first; r < last; ++r) {
      if (place.voxel_of_point[static_cast<std::size_t>(r)] != kStays) continue;
      place.voxel_of_point[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(kept.voxel_of_point.size());
      kept.voxel_of_point.push_back(static_cast<std::int32_t>(r));
    }
    if (top.fuse && free + stay < last) {
      const auto fused = static_cast<std::int32_t>(kept.voxel_of_point.size());
      for (std::int64_t r = free; r < last; ++r) {
        std::int32_t& where = place.voxel_of_point[static_cast<std::size_t>(r)];
        if (where < 0) where = fused;
      }
      kept.voxel_of_point.push_back(-1);
    }
    shorter.push_back(static_cast<std::int64_t>(kept.voxel_of_point.size()));
  }
  invert_any_index(scores.rows, kept);
  invert_any_index(static_cast<std::int64_t>(kept.voxel_of_point.size()), place);
}

}  // namespace rarefy
