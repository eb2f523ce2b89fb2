#include "kernels/cuda/conv.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "base/check.h"
#include "kernels/cuda/conv/check.h"
#include "kernels/cuda/conv/params.h"
#include "kernels/cuda/conv/tune.h"

namespace rarefy::cuda {
namespace {

using namespace conv_gpu;  // NOLINT(google-build-using-namespace): its own part

static_assert(static_cast<int>(Activation::none) == kNoActivation && static_cast<int>(Activation::relu) == kRelu &&
              static_cast<int>(Activation::leaky_relu) == kLeakyRelu);

constexpr std::array<Flow, 3> kFlows{Flow::implicit_gemm, Flow::gather_scatter, Flow::on_demand};

constexpr std::int64_t kMostStride = std::numeric_limits<std::int32_t>::max();  // of rows and tables, for warpgroups

constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// The largest copies that the alignment of rows allows: 16, 8, 4 or 2 bytes.
int copy_bytes(const ConstRows& m, Arithmetic arithmetic) {
  auto bits = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(m.data)) | 16;
  if (m.rows > 1) bits |= static_cast<std::uint64_t>(m.stride * size_of(arithmetic));
  return static_cast<int>(bits & (~bits + 1));
}

Element element_of(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::f16) return Element::f16;
  return arithmetic == Arithmetic::bf16 ? Element::bf16 : Element::f32;
}

/// All but partial sums and slices.
Conv describe(const ConstRows& x, const DeviceWeights& w, const MapView* map, const DeviceEpilogue& epilogue,
              const Rows& y) {
  Conv p;
  p.x = x.data;
  p.x_stride = x.stride;
  p.in_channels = static_cast<int>(x.cols);
  p.copy_bytes = copy_bytes(x, w.arithmetic);
  p.weights = w.data.data();
  if (w.has_units && p.copy_bytes == 16 && x.cols % 8 == 0 && x.stride * size_of(w.arithmetic) <= kMostStride &&
      (map == nullptr || map->ld <= kMostStride))
    p.units = w.units.data();
  p.in_padded = static_cast<int>(round_up(x.cols, 16));
  p.out_padded = static_cast<int>(round_up(y.cols, 16));
  if (map != nullptr) {
    p.in_row = map->in_row;
    p.ld = p.row_ld = map->ld;
    p.order = map->order;
    p.masks = map->masks;
    p.volume = map->volume;
    p.splits = map->order == nullptr ? 1 : map->splits;
    if (map->order == nullptr && map->splits > 1) p.masks = nullptr;  // ranges in one order are one range
  }
  const ConstRows& residual = epilogue.residual;
  p.out = {.y = y.data,
           .y_stride = y.stride,
           .rows = y.rows,
           .channels = static_cast<int>(y.cols),
           .bias = epilogue.bias,
           .residual = residual.data,
           .residual_stride = residual.stride,
           .activation = static_cast<int>(epilogue.activation),
           .slope = epilogue.slope,
           .vectors = copy_bytes(y, w.arithmetic) == 16 &&
                      (residual.data == nullptr || copy_bytes(residual, w.arithmetic) == 16)};
  return p;
}

void reserve_parts(Conv& p, DeviceBuffer& workspace) {
  const std::int64_t parts = std::int64_t{p.splits} * p.slices;
  if (parts > 1) p.partial = workspace.reserve_for<float>(parts * p.out.rows * p.out_padded);
}
void end_parts(const Conv& p, Arithmetic arithmetic, Stream stream) {
  if (p.partial != nullptr)
    add_parts(p.partial, p.splits * p.slices, p.out_padded, p.out, element_of(arithmetic), stream);
}

void launch_implicit(const Conv& p, int tile, Arithmetic arithmetic, Stream stream) {
  if (kTiles[tile].warpgroups) {
    if (p.units != nullptr)
      return arithmetic == Arithmetic::f16 ? warpgroup_f16(p, tile, stream) : warpgroup_bf16(p, tile, stream);
    tile = static_cast<int>(std::find_if(std::begin(kTiles), std::end(kTiles),
                                         [&](const TileShape& t) { return t.cols == kTiles[tile].cols; }) -
                            std::begin(kTiles));
  }
  switch (arithmetic) {
    case Arithmetic::f16:
      return implicit_f16(p, tile, stream);
    case Arithmetic::bf16:
      return implicit_bf16(p, tile, stream);
    case Arithmetic::tf32:
      return implicit_tf32(p, tile, stream);
    case Arithmetic::f32:
      return exact(p, stream);
  }
}

void run_implicit(Conv p, Cut cut, Arithmetic arithmetic, Stream stream, DeviceBuffer& workspace) {
  p.slices = arithmetic == Arithmetic::f32 ? 1 : cut.slices;
  reserve_parts(p, workspace);
  launch_implicit(p, cut.tile, arithmetic, stream);
  end_parts(p, arithmetic, stream);
}

Cut cut_of(const Conv& p, Arithmetic arithmetic) {
  return choose_cut(p.out.rows, p.in_channels, p.out.channels, p.volume, p.splits, arithmetic,
                    p.units != nullptr ? Products::warpgroups : Products::warps);
}

void run_on_demand(Conv p, Arithmetic arithmetic, Stream stream, DeviceBuffer& workspace) {
  reserve_parts(p, workspace);
  if (arithmetic == Arithmetic::f16) on_demand_f16(p, stream);
  if (arithmetic == Arithmetic::bf16) on_demand_bf16(p, stream);
  if (arithmetic == Arithmetic::tf32) on_demand_tf32(p, stream);
  end_parts(p, arithmetic, stream);
}

/// Waits once for the number of pairs, which the workspace depends on. Rows are gathered by the product itself, not
/// into memory first: that saves a write and a read of every row.
void run_gather_scatter(const Conv& p, Arithmetic arithmetic, Stream stream, DeviceBuffer& workspace) {
  PairTables tables;
  std::int64_t bytes = 0;
  const auto place = [&bytes](std::int64_t size) {
    const std::int64_t at = bytes;
    bytes = round_up(bytes + size, 256);
    return at;
  };
  const std::int64_t segment_at = place(p.volume * segments(p.ld) * 4), begin_at = place((p.volume + 1) * 4);
  const auto count = [&] {
    char* base = static_cast<char*>(workspace.reserve(bytes));
    tables.segment = reinterpret_cast<std::int32_t*>(base + segment_at);
    tables.begin = reinterpret_cast<std::int32_t*>(base + begin_at);
    count_pairs(p, tables, stream);
  };
  count();
  std::int32_t places = 0;
  copy_to_host(&places, tables.begin + p.volume, sizeof(places), stream);
  synchronize(stream);
  const std::int64_t pair_in_at = place(places * std::int64_t{4});
  const std::int64_t tile_at = place(places / kPairTile * std::int64_t{4});
  const std::int64_t position_at = place(p.volume * p.out.rows * 4);
  const std::int64_t products_at = place(std::int64_t{places} * p.out_padded * 4);
  if (bytes > workspace.capacity()) count();  // what grows loses what it held
  char* base = static_cast<char*>(workspace.data());
  tables.pair_in = reinterpret_cast<std::int32_t*>(base + pair_in_at);
  tables.tile_offset = reinterpret_cast<std::int32_t*>(base + tile_at);
  tables.position = reinterpret_cast<std::int32_t*>(base + position_at);
  place_pairs(p, tables, places, stream);
  auto* products = reinterpret_cast<float*>(base + products_at);
  if (places > 0) {
    Conv product = p;
    product.in_row = tables.pair_in;
    product.ld = places;
    product.row_ld = 0;
    product.order = nullptr;
    product.masks = nullptr;
    product.tile_offset = tables.tile_offset;
    product.splits = product.slices = 1;
    product.partial = products;
    product.out.rows = places;
    const Cut cut = choose_cut(places, p.in_channels, p.out.channels, 1, 1, arithmetic, Products::warps);
    launch_implicit(product, cut.tile, arithmetic, stream);
  }
  add_products(products, tables.position, p.volume, p.out_padded, p.out, element_of(arithmetic), stream);
}

}  // namespace

std::string_view name(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::f16:
      return "f16";
    case Arithmetic::bf16:
      return "bf16";
    case Arithmetic::tf32:
      return "tf32";
    case Arithmetic::f32:
      return "f32";
  }
  return "?";
}

std::string_view name(Flow flow) {
  switch (flow) {
    case Flow::automatic:
      return "automatic";
    case Flow::implicit_gemm:
      return "implicit_gemm";
    case Flow::gather_scatter:
      return "gather_scatter";
    case Flow::on_demand:
      return "on_demand";
  }
  return "?";
}

Products products_of(Arithmetic arithmetic) {
  return size_of(arithmetic) == 2 && has_warpgroups() ? Products::warpgroups : Products::warps;
}

std::span<const Flow> flows() { return kFlows; }

Flow flow_named(std::string_view wanted) {
  if (wanted == name(Flow::automatic)) return Flow::automatic;
  std::string names(name(Flow::automatic));
  for (const Flow flow : kFlows) {
    if (wanted == name(flow)) return flow;
    names.append(", ").append(name(flow));
  }
  fail<UsageError>("there is no flow '{}' on the GPU; there are {}", wanted, names);
}

void pack_weights(const float* weights, std::int64_t volume, std::int64_t in_channels, std::int64_t out_channels,
                  WeightOrder order, Arithmetic arithmetic, Stream stream, DeviceWeights& out) {
  RAREFY_CHECK(volume >= 1 && in_channels >= 1 && out_channels >= 1, ShapeError,
               "weights [{}, {}, {}]: each must be at least 1", volume, in_channels, out_channels);
  Packing p;
  p.from = weights;
  p.transposed = order != WeightOrder::forward;
  p.flipped = order == WeightOrder::transposed_flipped;
  if (p.transposed) std::swap(in_channels, out_channels);
  p.volume = static_cast<int>(volume);
  p.in_channels = static_cast<int>(in_channels);
  p.out_channels = static_cast<int>(out_channels);
  p.in_padded = static_cast<int>(round_up(in_channels, 16));
  p.out_padded = static_cast<int>(round_up(out_channels, 16));
  p.round_to_tf32 = arithmetic == Arithmetic::tf32;
  p.element = element_of(arithmetic);
  p.to = out.data.reserve(volume * p.in_padded * p.out_padded * size_of(arithmetic));
  out.has_units = products_of(arithmetic) == Products::warpgroups;
  if (out.has_units) p.units = out.units.reserve(volume * units(in_channels) * p.out_padded * kUnit * 2);
  out.arithmetic = arithmetic;
  out.volume = volume;
  out.in_channels = in_channels;
  out.out_channels = out_channels;
  pack(p, stream);
}

Flow conv(ConstRows x, const DeviceWeights& weights, const MapView* map, const DeviceEpilogue& epilogue, Flow flow,
          Stream stream, DeviceBuffer& workspace, Rows y) {
  check_conv(x, weights, map, epilogue, y);
  const Arithmetic arithmetic = weights.arithmetic;
  // There is one way without a map, and one without tensor cores. Others were not faster on the layers measured.
  if (flow == Flow::automatic || map == nullptr || arithmetic == Arithmetic::f32) flow = Flow::implicit_gemm;
  if (y.rows == 0) return flow;
  const Conv p = describe(x, weights, map, epilogue, y);
  switch (flow) {
    case Flow::on_demand:
      run_on_demand(p, arithmetic, stream, workspace);
      break;
    case Flow::gather_scatter:
      run_gather_scatter(p, arithmetic, stream, workspace);
      break;
    default:
      run_implicit(p, cut_of(p, arithmetic), arithmetic, stream, workspace);
  }
  return flow;
}

void conv_implicit(ConstRows x, const DeviceWeights& weights, const MapView* map, const DeviceEpilogue& epilogue,
                   Stream stream, DeviceBuffer& workspace, Rows y, int tile_choice, int slices) {
  check_conv(x, weights, map, epilogue, y);
  RAREFY_CHECK(tile_choice < tile_choices() && slices >= 0 && slices <= 64, UsageError,
               "there is no tile {} in {} slices", tile_choice, slices);
  if (y.rows == 0) return;
  const Conv p = describe(x, weights, map, epilogue, y);
  Cut cut = cut_of(p, weights.arithmetic);
  if (tile_choice >= 0) cut.tile = tile_choice;
  if (slices > 0) cut.slices = slices;
  run_implicit(p, cut, weights.arithmetic, stream, workspace);
}

void conv_weight_gradient(ConstRows x, ConstRows g, const MapView* map, Arithmetic arithmetic, bool add, Stream stream,
                          DeviceBuffer& workspace, float* weight_gradient) {
  conv_weight_gradient(x, g, map, arithmetic, add, stream, workspace, weight_gradient, 0, 0);
}

void conv_weight_gradient(ConstRows x, ConstRows g, const MapView* map, Arithmetic arithmetic, bool add, Stream stream,
                          DeviceBuffer& workspace, float* weight_gradient, int tile, int ranges) {
  // Enough blocks for the most pairs to lie evenly; few enough partial sums.
  constexpr std::int64_t kBlocks = 2112, kFewestRows = 1024, kMostBytes = 48 << 20, kMostRanges = 4096;
  check_gradient(x, g, map, arithmetic, weight_gradient);
  WeightGradient p;
  p.x = x.data;
  p.x_stride = x.stride;
  p.in_channels = static_cast<int>(x.cols);
  p.x_copy_bytes = copy_bytes(x, arithmetic);
  p.g = g.data;
  p.g_stride = g.stride;
  p.out_channels = static_cast<int>(g.cols);
  p.g_copy_bytes = copy_bytes(g, arithmetic);
  p.rows = g.rows;
  if (map != nullptr) {
    p.in_row = map->in_row;
    p.ld = map->ld;
    p.volume = map->volume;
  }
  if (tile == 0) tile = std::min(x.cols, g.cols) >= 96 ? kGradientTiles[0] : kGradientTiles[1];
  const std::int64_t size = p.volume * x.cols * g.cols;
  const std::int64_t blocks = p.volume * (round_up(x.cols, tile) / tile) * (round_up(g.cols, tile) / tile);
  std::int64_t wanted = std::min({kBlocks / blocks, g.rows / kFewestRows, kMostBytes / (size * 4), kMostRanges});
  if (ranges > 0) wanted = ranges;
  p.range_rows = static_cast<int>(
      std::max<std::int64_t>(1, (g.rows + std::max<std::int64_t>(wanted, 1) - 1) / std::max<std::int64_t>(wanted, 1)));
  p.ranges = static_cast<int>(std::max<std::int64_t>(1, (g.rows + p.range_rows - 1) / p.range_rows));
  p.sums = p.ranges > 1 ? workspace.reserve_for<float>(p.ranges * size) : weight_gradient;
  p.add = add && p.ranges == 1;
  switch (arithmetic) {
    case Arithmetic::f16:
      weight_gradient_f16(p, tile, stream);
      break;
    case Arithmetic::bf16:
      weight_gradient_bf16(p, tile, stream);
      break;
    case Arithmetic::tf32:
      weight_gradient_tf32(p, tile, stream);
      break;
    case Arithmetic::f32:
      weight_gradient_exact(p, stream);
      break;
  }
  if (p.ranges > 1) add_gradients(p.sums, p.ranges, size, add, weight_gradient, stream);
}

}  // namespace rarefy::cuda
