#include "sparse/kernel_map.h"
#include "sparse/voxelize.h"

namespace rarefy {
namespace {

template <class... Vectors>
std::int64_t bytes(const Vectors&... vectors) {
  return (static_cast<std::int64_t>(vectors.capacity() * sizeof(vectors[0])) + ...);
}

}  // namespace

std::int64_t Coords::memory_bytes() const {
  return bytes(keys, batch_begin, scratch.keys[0], scratch.keys[1], scratch.unsorted);
}

std::int64_t KernelMap::memory_bytes() const {
  std::int64_t sum = bytes(in_row, out_row, begin, tiles.out_row, tiles.mask, tiles.begin, tiles.in_row, scratch.keys,
                           scratch.candidates, scratch.candidate_count);
  for (const auto& list : scratch.candidates) sum += bytes(list);
  return sum;
}

std::int64_t Voxels::memory_bytes() const {
  return coords.memory_bytes() +
         bytes(voxel_of_point, point_order, point_begin, scratch[0], scratch[1], scratch[2], scratch[3]);
}

}  // namespace rarefy
