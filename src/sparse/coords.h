#pragma once
/// Coordinates of sparse tensors: packed, sorted 64-bit keys. See docs/design.md, "Graphs: spaces, maps, features".
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace rarefy {

inline constexpr int kMaxDims = 4;
/// One value per spatial axis (x, y, z, t); entries at and beyond the number of dimensions are ignored.
using Extent = std::array<std::int32_t, kMaxDims>;

/// What messages call the axes.
inline constexpr const char* kAxisName[kMaxDims] = {"x", "y", "z", "t"};

/// Fields of a key for 1 to 4 dimensions, high to low: batch, x, y, z, t, offset-binary, so that integer order is
/// lexicographic order with the last axis fastest.
struct KeyLayout {
  int dims = 3;
  int batch_bits = 10;
  int axis_bits = 18;
  /// Valid coordinates are [-limit, limit); what remains of the field is the guard for kernel offsets.
  std::int64_t limit = (1 << 17) - (1 << 10);
  /// Largest reach (offset * dilation * stride) that cannot leave a field: the guard.
  std::int64_t guard = 1 << 10;
  std::int64_t max_batch() const { return std::int64_t{1} << batch_bits; }
};
/// @throws UsageError unless 1 <= dims <= 4.
KeyLayout key_layout(int dims);

/// Key of one site. No range check: callers check first, or know.
std::uint64_t pack_key(const KeyLayout& layout, std::int64_t batch, const std::int32_t* position);
/// Inverse of pack_key.
void unpack_key(const KeyLayout& layout, std::uint64_t key, std::int32_t* batch, std::int32_t* position);
/// The number to add to a key to move its position by `delta` (entries may be negative; |delta| <= guard).
std::uint64_t key_delta(const KeyLayout& layout, const std::int32_t* delta);

/// Working memory of the functions that make Coords. A copy of Coords does not copy it.
struct CoordsScratch {
  CoordsScratch() = default;
  CoordsScratch(const CoordsScratch&) {}
  CoordsScratch(CoordsScratch&&) noexcept = default;
  CoordsScratch& operator=(const CoordsScratch&) { return *this; }
  CoordsScratch& operator=(CoordsScratch&&) noexcept = default;
  std::vector<std::uint64_t> keys[2];
  std::vector<std::uint64_t> unsorted;  ///< keys of the caller's rows
};

/// An ordered set of sites: sorted by key, free of duplicates, in units of the finest voxel.
struct Coords {
  int dims = 3;
  Extent stride{1, 1, 1, 1};              ///< positions are multiples of this
  std::vector<std::uint64_t> keys;        ///< [N] ascending
  std::vector<std::int64_t> batch_begin;  ///< [B+1]; rows of sample b are [batch_begin[b], batch_begin[b+1])
  CoordsScratch scratch;

  std::int64_t rows() const { return static_cast<std::int64_t>(keys.size()); }
  /// Memory held, working memory included.
  std::int64_t memory_bytes() const;
  std::int64_t batches() const { return batch_begin.empty() ? 0 : static_cast<std::int64_t>(batch_begin.size()) - 1; }
};

/// Makes Coords of rows (batch, x, y, ...). `rows` holds n * (1 + dims) values; order is free.
/// @param batches  number of samples; -1 = one more than the largest batch index
/// @param order    if not null, receives [N]: row of the input that became row i
/// @throws UsageError   `rows` is no whole number of rows, a stride is below 1, `batches` exceeds what the key can hold
/// @throws InputError   a coordinate or batch index is out of range, or not a multiple of the stride (names row, axis,
/// value)
/// @throws InputError   two rows are equal (names both)
/// Cost: O(N) (radix sort).
void make_coords(std::span<const std::int32_t> rows, int dims, const Extent& stride, std::int64_t batches, Coords& out,
                 std::vector<std::int32_t>* order = nullptr);

/// Writes rows (batch, x, y, ...) as int32 [N, 1 + dims].
void write_coords(const Coords& coords, std::int32_t* rows);

}  // namespace rarefy
