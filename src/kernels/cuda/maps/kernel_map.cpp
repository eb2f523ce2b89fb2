#include "kernels/cuda/kernel_map.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda {
namespace {

using namespace geometry;  // NOLINT(google-build-using-namespace): its own part

std::int64_t columns_for(std::int64_t rows) { return (rows + kColumns - 1) / kColumns * kColumns; }

std::int32_t* reserve_table(DeviceBuffer& buffer, std::int64_t rows, std::int64_t ld) {
  return buffer.reserve_for<std::int32_t>(std::max<std::int64_t>(rows * ld, 1));
}

/// Describes a map that is about to be made, and makes room.
void start(std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume, DeviceMap& map) {
  map.in_rows = in_rows;
  map.out_rows = out_rows;
  map.ld = columns_for(out_rows);
  map.volume = static_cast<int>(volume);
  map.splits = 0;
  reserve_table(map.in_row, volume, map.ld);
  map.pairs.reserve_for<std::int64_t>(1);
}

MapView view(const DeviceMap& map) {
  MapView view;
  view.in_rows = map.in_rows;
  view.out_rows = map.out_rows;
  view.ld = map.ld;
  view.volume = map.volume;
  return view;
}

void check_known(const Sites& sites, const char* which) {
  RAREFY_CHECK(sites.rows >= 0, UsageError, "the rows of the {} sites are known on the GPU only: call read_rows first",
               which);
}

/// Cuts maps into parts, and finds the rows of as many parts at once as a launch takes.
class MapBuild {
 public:
  explicit MapBuild(Stream stream) : stream_(stream) {}

  void add(const MapRequest& request) {
    const Sites &in = *request.in, &out = *request.out;
    const KernelShape& kernel = request.kernel;
    check_known(in, "input");
    check_known(out, "output");
    check_kernel_map({in.dims, in.stride, in.rows}, {out.dims, out.stride, out.rows}, kernel);
    DeviceMap& map = *request.map;
    start(in.rows, out.rows, kernel.volume(), map);
    counters_.counter[counters_.count++] = map.pairs.as<std::int64_t>();
    if (counters_.count == Counters::kMost) clear_counters();
    if (map.ld == 0) return;
    const KeyLayout layout = key_layout(in.dims);
    const int last = in.dims - 1;
    MapPart part;
    part.in_keys = in.key();
    part.out_keys = out.key();
    part.pairs = map.pairs.as<std::int64_t>();
    part.ld = map.ld;
    part.in_rows = static_cast<std::int32_t>(in.rows);
    part.out_rows = static_cast<std::int32_t>(out.rows);
    part.step = static_cast<std::uint64_t>(in.stride[last]);
    // With a dilated last axis other sites may lie between those of a run, and listed offsets may be any: each offset
    // is then a run of its own.
    part.length = kernel.dilation[last] == 1 && kernel.offsets.empty() ? kernel.size[last] : 1;
    for (int k = 0; k < map.volume; k += part.runs * part.length) {
      part.in_row = map.in_row.as<std::int32_t>() + k * map.ld;
      part.runs = std::min(MapPart::kMostRuns, (map.volume - k) / part.length);
      for (int r = 0; r < part.runs; ++r) {
        Extent offset = kernel.offset(k + r * part.length);
        for (int a = 0; a < kernel.dims; ++a) offset[a] *= in.stride[a];
        part.delta[r] = key_delta(layout, offset.data());
      }
      parts_.add(part, map.ld / kColumns);
      if (parts_.full()) find();
    }
  }

  /// Whatever was added is on its way afterwards.
  void find() {
    if (counters_.count > 0) clear_counters();
    if (parts_.count > 0) find_rows(parts_, stream_);
    parts_.clear();
  }

 private:
  void clear_counters() {
    geometry::clear_counters(counters_, stream_);
    counters_.count = 0;
  }

  Stream stream_;
  Counters counters_;
  Batch<MapPart> parts_;
};

}  // namespace

MapView DeviceMap::plain() const {
  MapView result = view(*this);
  result.in_row = in_row.as<std::int32_t>();
  return result;
}

MapView DeviceMap::by_mask() const {
  RAREFY_CHECK(splits > 0, UsageError, "the kernel map has no sorted form: call sort_map first");
  MapView result = view(*this);
  result.splits = splits;
  result.in_row = sorted.as<std::int32_t>();
  result.order = order.as<std::int32_t>();
  result.masks = masks.as<std::uint32_t>();
  return result;
}

std::int64_t DeviceMap::memory_bytes() const {
  return in_row.capacity() + pairs.capacity() + sorted.capacity() + order.capacity() + masks.capacity() +
         scratch.capacity();
}

void build_kernel_maps(std::span<const MapRequest> requests, Stream stream) {
  MapBuild build(stream);
  for (const MapRequest& request : requests) build.add(request);
  build.find();
}

void build_kernel_map(const Sites& in, const Sites& out, const KernelShape& kernel, Stream stream, DeviceMap& map) {
  const MapRequest request[] = {{&in, &out, kernel, &map}};
  build_kernel_maps(request, stream);
}

void transpose_maps(std::span<const TransposeRequest> requests, Stream stream) {
  Batch<Transposition> filled, scattered;
  const auto run = [&] {
    if (filled.count == 0) return;
    fill_transposed(filled, stream);
    scatter_rows(scattered, stream);
    filled.clear();
    scattered.clear();
  };
  for (const TransposeRequest& request : requests) {
    const DeviceMap& from = *request.from;
    DeviceMap& to = *request.to;
    RAREFY_ASSERT(&from != &to);
    start(from.out_rows, from.in_rows, from.volume, to);
    Transposition t;
    t.from = from.in_row.as<std::int32_t>();
    t.to = to.in_row.as<std::int32_t>();
    t.from_pairs = from.pairs.as<std::int64_t>();
    t.to_pairs = to.pairs.as<std::int64_t>();
    t.from_ld = from.ld;
    t.to_ld = to.ld;
    t.from_rows = static_cast<std::int32_t>(from.out_rows);
    t.volume = from.volume;
    filled.add(t, fill_blocks(t));
    scattered.add(t, scatter_blocks(t));
    if (filled.full()) run();
  }
  run();
}

void transpose_map(const DeviceMap& map, Stream stream, DeviceMap& out) {
  const TransposeRequest request[] = {{&map, &out}};
  transpose_maps(request, stream);
}

void gather_numbers(std::span<std::int64_t* const> numbers, Stream stream, std::int64_t* host) {
  for (std::size_t first = 0; first < numbers.size(); first += Counters::kMost) {
    const auto part = numbers.subspan(first, std::min<std::size_t>(Counters::kMost, numbers.size() - first));
    Counters counters;
    counters.count = static_cast<int>(part.size());
    std::copy(part.begin(), part.end(), counters.counter);
    gather_counters(counters, stream, host + first);
  }
}

}  // namespace rarefy::cuda
