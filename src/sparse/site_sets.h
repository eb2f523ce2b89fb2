#pragma once
/// Spaces made of other spaces: union and intersection of their sites, and selections of rows; each with the indices
/// that move features between old and new rows.
#include <cstdint>
#include <span>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/coords.h"
#include "sparse/voxelize.h"

namespace rarefy {

/// For each row of one space, a row of another or -1, ascending. Of Voxels these indices fill what describes the rows:
/// voxel_of_point (the row that is pointed to), and its inverse in point_order and point_begin.
using RowIndex = Voxels;

/// Fills the inverse of index.voxel_of_point, whose entries that are not -1 ascend and are below `targets`.
void invert_index(std::int64_t targets, RowIndex& index);

/// Sites of a or b. row_of_a[i] is the row of a at site i, or -1. Samples: as many as the larger batch has.
/// @throws ShapeError when dimensions or strides differ, naming both.
void unite(const Coords& a, const Coords& b, Coords& out, RowIndex& row_of_a, RowIndex& row_of_b);
/// Sites of both a and b; otherwise as unite.
void intersect(const Coords& a, const Coords& b, Coords& out, RowIndex& row_of_a, RowIndex& row_of_b);

/// Rows whose score is above `threshold` (NaN is not): a boolean mask is a score above 0 or 0.5. And the first
/// `leading` rows of each sample.
/// @param scores  [N, 1]
/// @param begin   [S+1] rows of each sample
/// @param kept    gets, for each row that stays, its old row; inverted
/// @param place   gets, for each old row, its new one or -1; inverted
template <class T>
void select_rows(Matrix<const T> scores, std::span<const std::int64_t> begin, double threshold, std::int64_t leading,
                 RowIndex& kept, RowIndex& place);

/// The coordinates of the kept rows. `kept` as select_rows made it; `out` must not be `in`.
void select_coords(const Coords& in, const RowIndex& kept, Coords& out);
/// Where the samples begin among the kept rows. @param begin  [S+1] of the old rows
void select_samples(std::span<const std::int64_t> begin, const RowIndex& kept, std::vector<std::int64_t>& out);

}  // namespace rarefy
