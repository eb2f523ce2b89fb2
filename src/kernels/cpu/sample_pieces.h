#pragma once
/// Work over the rows of samples, cut by rows and not by samples: one large sample among tiny ones costs no more per
/// row than equal ones.
#include <algorithm>
#include <cstdint>
#include <span>

namespace rarefy {

/// A piece is what a part (so many consecutive rows) holds of a sample. Walking through parts and samples in order,
/// each next piece has the next part, the next sample or both, so that the sum of the two numbers names it.
struct SamplePieces {
  std::span<const std::int64_t> begin;  ///< [S+1] first row of each sample, ascending from 0; empty: no samples
  std::int64_t part_rows = 1024;

  std::int64_t samples() const { return begin.empty() ? 0 : static_cast<std::int64_t>(begin.size()) - 1; }
  std::int64_t parts() const { return begin.empty() ? 0 : (begin.back() + part_rows - 1) / part_rows; }
  /// More than the number of any piece.
  std::int64_t limit() const { return parts() + samples(); }
  std::int64_t rows_of(std::int64_t sample) const { return at(sample + 1) - at(sample); }
  /// Pieces [first, last) of a sample; none for one without rows.
  std::int64_t first_of(std::int64_t sample) const { return at(sample) / part_rows + sample; }
  std::int64_t last_of(std::int64_t sample) const {
    return rows_of(sample) == 0 ? first_of(sample) : (at(sample + 1) - 1) / part_rows + sample + 1;
  }
  /// f(piece, sample, first row, last row) for each piece of a part, in order.
  template <class F>
  void for_part(std::int64_t part, F f) const {
    const std::int64_t end = std::min((part + 1) * part_rows, begin.back());
    std::int64_t s = std::upper_bound(begin.begin(), begin.end(), part * part_rows) - begin.begin() - 1;
    for (std::int64_t first = part * part_rows; first < end; ++s) {
      const std::int64_t last = std::min(end, at(s + 1));
      if (last > first) f(part + s, s, first, last);
      first = std::max(first, last);
    }
  }

 private:
  std::int64_t at(std::int64_t sample) const { return begin[static_cast<std::size_t>(sample)]; }
};

}  // namespace rarefy
