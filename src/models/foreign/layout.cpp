#include "models/foreign/layout.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/half.h"

namespace rarefy::models::foreign {
namespace {

using Shape = std::vector<std::int64_t>;

template <class From, class Convert>
void convert(const Tensor& from, Tensor& to, Convert element) {
  const auto* in = static_cast<const std::byte*>(from.data());
  auto out = to.mutable_as<float>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, in + i * sizeof value, sizeof value);
    out[i] = element(value);
  }
}

/// Extents in the library's order of axes.
Shape foreign_size(const KernelTarget& target, AxisOrder axes) {
  return axes == AxisOrder::xyz ? target.size : Shape(target.size.rbegin(), target.size.rend());
}

/// Shape under which a library stores a kernel; several where versions differ.
std::vector<Shape> stored_shapes(KernelLayout layout, const Shape& size, const KernelTarget& t) {
  const std::int64_t volume = t.volume();
  switch (layout) {
    case KernelLayout::minkowski:
    case KernelLayout::torchsparse:
    case KernelLayout::rarefy: {
      std::vector<Shape> shapes{{volume, t.in, t.out}};
      if (volume == 1) shapes.push_back({t.in, t.out});
      return shapes;
    }
    case KernelLayout::spconv: {
      Shape second{t.out}, first = size;
      second.insert(second.end(), size.begin(), size.end());
      second.push_back(t.in);
      first.insert(first.end(), {t.in, t.out});
      return {second, first};
    }
    case KernelLayout::dense: {
      Shape shape{t.out, t.in};
      shape.insert(shape.end(), size.begin(), size.end());
      return {shape};
    }
  }
  return {};
}

/// Number of an offset in the library's order. @param step  per axis of the library, 0 .. size-1
std::int64_t foreign_offset(KernelLayout layout, const Shape& size, const Shape& step) {
  std::int64_t volume = 1;
  for (const std::int64_t extent : size) volume *= extent;
  const bool first_fastest =
      layout == KernelLayout::minkowski || (layout == KernelLayout::torchsparse && volume % 2 == 1);
  std::int64_t number = 0;
  for (std::size_t i = 0; i < size.size(); ++i) {
    const std::size_t axis = first_fastest ? size.size() - 1 - i : i;
    number = number * size[axis] + step[axis];
  }
  return number;
}

}  // namespace

std::int64_t KernelTarget::volume() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : size) product *= extent;
  return product;
}

Tensor to_float(const Tensor& tensor) {
  if (tensor.dtype() == Dtype::f32) return tensor;
  Tensor result(Dtype::f32, tensor.shape());
  switch (tensor.dtype()) {
    case Dtype::f64:
      convert<double>(tensor, result, [](double v) { return static_cast<float>(v); });
      return result;
    case Dtype::f16:
      convert<Half>(tensor, result, widen);
      return result;
    case Dtype::bf16:
      convert<std::uint16_t>(tensor, result,
                             [](std::uint16_t v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16); });
      return result;
    default:
      fail<UnsupportedError>("weights of type {} cannot become floating point numbers", name(tensor.dtype()));
  }
}

Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape().at(0), cols = matrix.shape().at(1);
  Tensor result(Dtype::f32, {cols, rows});
  const auto in = matrix.as<float>();
  auto out = result.mutable_as<float>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      out[static_cast<std::size_t>(c * rows + r)] = in[static_cast<std::size_t>(r * cols + c)];
  return result;
}

Tensor reshaped(const Tensor& tensor, std::vector<std::int64_t> shape) {
  Tensor result(tensor.dtype(), std::move(shape));
  RAREFY_ASSERT(result.size() == tensor.size());
  if (result.bytes() > 0) std::memcpy(result.mutable_data(), tensor.data(), static_cast<std::size_t>(result.bytes()));
  return result;
}

std::optional<Tensor> kernel_to_rarefy(const Tensor& kernel, KernelLayout layout, AxisOrder axes,
                                       const KernelTarget& target) {
  const Shape size = foreign_size(target, axes);
  const auto shapes = stored_shapes(layout, size, target);
  const auto stored = std::find(shapes.begin(), shapes.end(), kernel.shape());
  if (stored == shapes.end()) return std::nullopt;
  if (layout == KernelLayout::torchsparse) {
    for (const std::int64_t extent : size)
      RAREFY_CHECK(extent % 2 == 1 || extent == 2, UnsupportedError,
                   "a torchsparse kernel of extent {} reaches from {} to {}, ours from 0: there is no equal", extent,
                   1 - extent / 2, extent / 2);
  }
  const bool output_first =
      layout == KernelLayout::dense || (layout == KernelLayout::spconv && stored == shapes.begin());
  const Tensor from = to_float(kernel);
  const auto in = from.as<float>();
  const std::int64_t volume = target.volume(), cin = target.in, cout = target.out;
  Tensor result(Dtype::f32, {volume, cin, cout});
  auto out = result.mutable_as<float>();
  for (std::int64_t k = 0; k < volume; ++k) {
    Shape step(size.size());
    std::int64_t rest = k;
    for (std::size_t a = target.size.size(); a-- > 0;) {
      step[axes == AxisOrder::xyz ? a : target.size.size() - 1 - a] = rest % target.size[a];
      rest /= target.size[a];
    }
    const std::int64_t number = foreign_offset(layout, size, step);
    for (std::int64_t ci = 0; ci < cin; ++ci)
      for (std::int64_t co = 0; co < cout; ++co) {
        const std::int64_t at = !output_first                   ? (number * cin + ci) * cout + co
                                : layout == KernelLayout::dense ? (co * cin + ci) * volume + number
                                                                : (co * volume + number) * cin + ci;
        out[static_cast<std::size_t>((k * cin + ci) * cout + co)] = in[static_cast<std::size_t>(at)];
      }
  }
  return result;
}

}  // namespace rarefy::models::foreign
