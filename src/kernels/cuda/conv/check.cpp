#include "kernels/cuda/conv/check.h"

#include "base/check.h"

namespace rarefy::cuda {
namespace {

constexpr std::int64_t kMostChannels = 1 << 16, kMostOffsets = 4096;

void check_rows(const char* what, const ConstRows& m, std::int64_t element) {
  RAREFY_CHECK(m.cols >= 1 && m.cols <= kMostChannels, ShapeError, "{} has {} channels; 1 to {} are possible", what,
               m.cols, kMostChannels);
  RAREFY_CHECK(m.stride >= m.cols || m.rows <= 1, ShapeError, "{}: rows of {} channels lie {} elements apart", what,
               m.cols, m.stride);
  RAREFY_CHECK(m.data != nullptr || m.rows == 0, UsageError, "{} is null but has {} rows", what, m.rows);
  RAREFY_CHECK(reinterpret_cast<std::uintptr_t>(m.data) % static_cast<std::uintptr_t>(element) == 0, UsageError,
               "{} does not lie at a multiple of its {} byte elements", what, element);
}

void check_map(const MapView& map, std::int64_t in_rows, std::int64_t out_rows, const char* out) {
  RAREFY_CHECK(in_rows == map.in_rows && out_rows == map.out_rows, ShapeError,
               "the kernel map joins {} input and {} output rows; the input has {}, {} {}", map.in_rows, map.out_rows,
               in_rows, out, out_rows);
  RAREFY_CHECK(map.volume >= 1 && map.volume <= kMostOffsets, ShapeError,
               "a kernel map of {} offsets; 1 to {} are possible", map.volume, kMostOffsets);
  RAREFY_CHECK(map.ld >= map.out_rows && map.ld % 128 == 0, ShapeError,
               "the kernel map's tables have {} columns for {} rows; a multiple of 128 is needed", map.ld,
               map.out_rows);
  RAREFY_CHECK(map.in_row != nullptr || map.out_rows == 0, UsageError, "the kernel map has no table");
  RAREFY_CHECK(map.splits >= 1 && map.splits <= map.volume, ShapeError, "a kernel map of {} offsets in {} ranges",
               map.volume, map.splits);
  RAREFY_CHECK(map.masks == nullptr || (map.volume + map.splits - 1) / map.splits <= MapView::kMaskRows, ShapeError,
               "masks hold 32 offsets; {} offsets in {} ranges are more", map.volume, map.splits);
}

}  // namespace

void check_conv(const ConstRows& x, const DeviceWeights& w, const MapView* map, const DeviceEpilogue& epilogue,
                const Rows& y) {
  RAREFY_CHECK(w.data.data() != nullptr, UsageError, "convolution weights were never packed: call pack_weights first");
  const std::int64_t element = size_of(w.arithmetic);
  check_rows("the input", x, element);
  check_rows("the output", y, element);
  RAREFY_CHECK(x.cols == w.in_channels, ShapeError, "convolution weights expect {} input channels, features have {}",
               w.in_channels, x.cols);
  RAREFY_CHECK(y.cols == w.out_channels, ShapeError, "convolution weights make {} output channels, the output has {}",
               w.out_channels, y.cols);
  const ConstRows& residual = epilogue.residual;
  if (residual.data != nullptr) {
    RAREFY_CHECK(residual.rows == y.rows && residual.cols == y.cols, ShapeError,
                 "the residual is [{}, {}], the output [{}, {}]", residual.rows, residual.cols, y.rows, y.cols);
    check_rows("the residual", residual, element);
  }
  if (map == nullptr) {
    RAREFY_CHECK(w.volume == 1, ShapeError, "a convolution without a kernel map has one offset, the weights have {}",
                 w.volume);
    RAREFY_CHECK(x.rows == y.rows, ShapeError, "a linear layer keeps its rows: input has {}, output {}", x.rows,
                 y.rows);
    return;
  }
  RAREFY_CHECK(w.volume == map->volume, ShapeError, "weights have {} offsets, the kernel map {}", w.volume,
               map->volume);
  check_map(*map, x.rows, y.rows, "the output");
}

void check_gradient(const ConstRows& x, const ConstRows& g, const MapView* map, Arithmetic arithmetic,
                    const float* weight_gradient) {
  check_rows("the input", x, size_of(arithmetic));
  check_rows("the output gradient", g, size_of(arithmetic));
  RAREFY_CHECK(weight_gradient != nullptr, UsageError, "a weight gradient needs a place");
  if (map == nullptr) {
    RAREFY_CHECK(x.rows == g.rows, ShapeError, "a linear layer keeps its rows: input has {}, output gradient {}",
                 x.rows, g.rows);
    return;
  }
  check_map(*map, x.rows, g.rows, "the output gradient");
  RAREFY_CHECK(map->order == nullptr, UsageError, "a weight gradient needs the plain form of the kernel map");
}

}  // namespace rarefy::cuda
