#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/radix_sort.h"

namespace rarefy::cuda::geometry {
namespace {

/// Without `temp` (null) only the size is asked for.
template <class Key>
std::size_t sort_pairs(void* temp, std::size_t bytes, const Key* keys, const std::int32_t* rows, std::int64_t count,
                       int bits, Stream stream, Key* sorted, std::int32_t* sorted_rows) {
  check(cub::DeviceRadixSort::SortPairs(temp, bytes, keys, sorted, rows, sorted_rows, static_cast<std::uint32_t>(count),
                                        0, bits, stream),
        "a radix sort");
  return bytes;
}

std::size_t sort_keys(void* temp, std::size_t bytes, const std::uint64_t* keys, std::int64_t count, int bits,
                      Stream stream, std::uint64_t* sorted) {
  check(cub::DeviceRadixSort::SortKeys(temp, bytes, keys, sorted, static_cast<std::uint32_t>(count), 0, bits, stream),
        "a radix sort");
  return bytes;
}

}  // namespace

std::int64_t sort_bytes(SortKind kind, std::int64_t count, int bits) {
  if (count <= 0) return 0;
  std::size_t bytes = 0;
  switch (kind) {
    case SortKind::sites:
      bytes = sort_keys(nullptr, 0, nullptr, count, bits, nullptr, nullptr);
      break;
    case SortKind::sites_with_rows:
      bytes = sort_pairs<std::uint64_t>(nullptr, 0, nullptr, nullptr, count, bits, nullptr, nullptr, nullptr);
      break;
    case SortKind::masks_with_rows:
      bytes = sort_pairs<std::uint32_t>(nullptr, 0, nullptr, nullptr, count, bits, nullptr, nullptr, nullptr);
      break;
  }
  return static_cast<std::int64_t>(bytes);
}

void sort(const std::uint64_t* keys, std::int64_t count, int bits, void* temp, Stream stream, std::uint64_t* sorted) {
  if (count <= 0) return;
  const auto bytes = static_cast<std::size_t>(sort_bytes(SortKind::sites, count, bits));
  sort_keys(temp, bytes, keys, count, bits, stream, sorted);
}

void sort(const std::uint64_t* keys, const std::int32_t* rows, std::int64_t count, int bits, void* temp, Stream stream,
          std::uint64_t* sorted, std::int32_t* sorted_rows) {
  if (count <= 0) return;
  const auto bytes = static_cast<std::size_t>(sort_bytes(SortKind::sites_with_rows, count, bits));
  sort_pairs(temp, bytes, keys, rows, count, bits, stream, sorted, sorted_rows);
}

void sort(const std::uint32_t* keys, const std::int32_t* rows, std::int64_t count, int bits, void* temp, Stream stream,
          std::uint32_t* sorted, std::int32_t* sorted_rows) {
  if (count <= 0) return;
  const auto bytes = static_cast<std::size_t>(sort_bytes(SortKind::masks_with_rows, count, bits));
  sort_pairs(temp, bytes, keys, rows, count, bits, stream, sorted, sorted_rows);
}

}  // namespace rarefy::cuda::geometry
