#pragma once
/// Rows without coordinates (tokens): longer and shorter samples, and the indices between old and new rows.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "rarefy/tensor.h"
#include "sparse/site_sets.h"

namespace rarefy {

using SampleBegin = std::vector<std::int64_t>;

/// Fills the inverse of index.voxel_of_point, whose entries are -1 or below `targets`, in any order; rows of one target
/// keep their order.
void invert_any_index(std::int64_t targets, RowIndex& index);

/// Each sample with one more row in front. @param old  gets, for each new row, its old one or -1; inverted
void prepend_rows(std::span<const std::int64_t> begin, SampleBegin& longer, RowIndex& old);

/// For each sample its first row, or -1 for one without rows; inverted.
void first_rows(std::span<const std::int64_t> begin, RowIndex& first);

/// How many rows of a sample stay.
struct TopRows {
  double share = 1.0;                ///< of the rows that may go; in [0, 1]
  std::int64_t count = 0;            ///< not 0: at most so many of them, instead of a share
  std::int64_t leading = 0;          ///< rows at the beginning of each sample that stay anyway and are not counted
  bool round_up = true;              ///< share * rows, to the next whole number above or below; 0.7 of 10 is 7
  bool fuse = false;                 ///< a sample that loses rows gets one more at its end, which stands for them
  std::optional<double> above = {};  ///< of those that share or count keep, the rows whose score is above it
};

/// The rows of the highest score in each sample, in their old order; of equal scores the earlier row stays, NaN is
/// lowest. At least one row of a sample stays: where no leading one does, the best.
/// @param scores  [N, 1]
/// @param kept    gets, for each row that stays, its old row, or -1 for a row that stands for those that went; inverted
/// @param place   gets, for each old row, its new one; for a row that went the one that stands for it, or -1; inverted
/// @throws ShapeError (columns), UsageError (a share outside [0, 1], negative counts)
void top_rows(Matrix<const float> scores, std::span<const std::int64_t> begin, const TopRows& top, SampleBegin& shorter,
              RowIndex& kept, RowIndex& place);

}  // namespace rarefy
