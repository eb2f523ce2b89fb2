#include <algorithm>
#include <bit>

#include "base/check.h"
#include "sparse/kernel_map.h"
#include "sparse/key_sort.h"

namespace rarefy {
namespace {

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

[[noreturn]] void fail_range(const KeyLayout& layout, int axis, std::int64_t value) {
  fail<InputError>(
      "an output site has coordinate {} = {}, outside [{}, {}), the range of {}-dimensional coordinates: crop or "
      "shift the input",
      kAxisName[axis], value, -layout.limit, layout.limit, layout.dims);
}

/// One axis of the keys: reads and replaces positions.
struct Axis {
  const KeyLayout& layout;
  int axis;
  int shift;
  std::int64_t bias;
  std::uint64_t mask;

  Axis(const KeyLayout& l, int a)
      : layout(l),
        axis(a),
        shift((l.dims - 1 - a) * l.axis_bits),
        bias(std::int64_t{1} << (l.axis_bits - 1)),
        mask((std::uint64_t{1} << l.axis_bits) - 1) {}
  std::int64_t position(std::uint64_t key) const { return static_cast<std::int64_t>(key >> shift & mask) - bias; }
  std::uint64_t moved(std::uint64_t key, std::int64_t from, std::int64_t to) const {
    if (to < -layout.limit || to >= layout.limit) fail_range(layout, axis, to);
    return key + (static_cast<std::uint64_t>(to - from) << shift);
  }
};

/// Block rule, all strides powers of two within the guard: clearing low bits of the fields rounds down, and cannot
/// leave the valid range, whose ends are multiples of the guard.
bool floor_mask(const KeyLayout& layout, const Extent& stride, std::uint64_t& mask) {
  mask = ~std::uint64_t{0};
  for (int a = 0; a < layout.dims; ++a) {
    if (!std::has_single_bit(static_cast<std::uint32_t>(stride[a])) || stride[a] > layout.guard) return false;
    const std::uint64_t low = static_cast<std::uint64_t>(stride[a]) - 1;
    mask &= ~(low << ((layout.dims - 1 - a) * layout.axis_bits));
  }
  return true;
}

void floor_keys(const KeyLayout& layout, const Extent& stride, const std::vector<std::uint64_t>& in,
                std::vector<std::uint64_t>& out) {
  out.resize(in.size());
  std::size_t n = 0;
  std::uint64_t mask = 0;
  if (floor_mask(layout, stride, mask)) {
    for (const std::uint64_t key :
         in) {  // sites of one column that fall together are neighbours: most duplicates go here
      const std::uint64_t floored = key & mask;
      n -= n > 0 && out[n - 1] == floored;
      out[n++] = floored;
    }
    out.resize(n);
    return;
  }
  for (std::uint64_t key : in) {
    for (int a = 0; a < layout.dims; ++a) {
      const Axis axis(layout, a);
      const std::int64_t position = axis.position(key);
      key = axis.moved(key, position, floor_div(position, stride[a]) * stride[a]);
    }
    out[n++] = key;
  }
}

/// Whether an output of the padded rule lies on the grid that the kernel's `cells` bound.
bool on_grid(const KernelShape& kernel, int axis, std::int64_t stride, std::int64_t site) {
  return kernel.cells[axis] == 0 || (site >= 0 && site < stride * kernel.cells[axis]);
}

/// Padded rule along one axis: all o with position = o * stride_out + offset for some offset.
void pad_axis(const Axis& axis, const KernelShape& kernel, std::int32_t in_stride, const std::vector<std::uint64_t>& in,
              std::vector<std::uint64_t>& out) {
  const std::int64_t stride = std::int64_t{in_stride} * kernel.stride[axis.axis];
  out.clear();
  for (const std::uint64_t key : in) {
    const std::int64_t position = axis.position(key);
    for (std::int32_t s = 0; s < kernel.size[axis.axis]; ++s) {
      const std::int64_t offset = std::int64_t{s} * kernel.dilation[axis.axis] - kernel.padding[axis.axis];
      const std::int64_t site = position - offset * in_stride;
      if (site % stride == 0 && on_grid(kernel, axis.axis, stride, site))
        out.push_back(axis.moved(key, position, site));
    }
  }
}

/// Generation along one axis: position + offset * out_stride for every offset.
void spread_axis(const Axis& axis, const KernelShape& kernel, std::int32_t out_stride,
                 const std::vector<std::uint64_t>& in, std::vector<std::uint64_t>& out) {
  const int a = axis.axis;
  std::int64_t first = 0;
  if (kernel.rule == CoordinateRule::padded) {
    first = -kernel.padding[a];
  } else if (kernel.size[a] % 2 == 1) {
    first = -std::int64_t{(kernel.size[a] - 1) / 2} * kernel.dilation[a];
  }
  out.clear();
  for (const std::uint64_t key : in) {
    const std::int64_t position = axis.position(key);
    for (std::int32_t s = 0; s < kernel.size[a]; ++s) {
      const std::int64_t offset = first + std::int64_t{s} * kernel.dilation[a];
      out.push_back(axis.moved(key, position, position + offset * out_stride));
    }
  }
}

/// Padded rule, listed offsets: no sum over the axes, so every site is combined with every offset.
void pad_listed(const KeyLayout& layout, const KernelShape& kernel, const Extent& in_stride,
                const std::vector<std::uint64_t>& in, std::vector<std::uint64_t>& out) {
  out.clear();
  for (const std::uint64_t key : in) {
    for (std::int64_t k = 0; k < kernel.volume(); ++k) {
      const Extent offset = kernel.offset(k);
      std::uint64_t moved = key;
      bool meets = true;
      for (int a = 0; a < layout.dims && meets; ++a) {
        const Axis axis(layout, a);
        const std::int64_t position = axis.position(key), site = position - std::int64_t{offset[a]} * in_stride[a];
        const std::int64_t stride = std::int64_t{in_stride[a]} * kernel.stride[a];
        meets = site % stride == 0 && on_grid(kernel, a, stride, site);
        if (meets) moved = axis.moved(moved, position, site);
      }
      if (meets) out.push_back(moved);
    }
  }
}

/// Generation with listed offsets: every site moved by every offset.
void spread_listed(const KeyLayout& layout, const KernelShape& kernel, const Extent& out_stride,
                   const std::vector<std::uint64_t>& in, std::vector<std::uint64_t>& out) {
  out.clear();
  for (const std::uint64_t key : in) {
    for (std::int64_t k = 0; k < kernel.volume(); ++k) {
      const Extent offset = kernel.offset(k);
      std::uint64_t moved = key;
      for (int a = 0; a < layout.dims; ++a) {
        const Axis axis(layout, a);
        const std::int64_t position = axis.position(key);
        moved = axis.moved(moved, position, position + std::int64_t{offset[a]} * out_stride[a]);
      }
      out.push_back(moved);
    }
  }
}

void check_dims(const SiteShape& in, const KernelShape& kernel) {
  RAREFY_CHECK(in.dims == kernel.dims, ShapeError, "the kernel has {} dimensions, the coordinates have {}", kernel.dims,
               in.dims);
}

/// The vectors change places: with equal room, a later call of the same size allocates nothing.
void give_equal_room(Coords& out) {
  std::size_t room = out.keys.capacity();
  for (const auto& keys : out.scratch.keys) room = std::max(room, keys.capacity());
  for (auto* keys : {&out.keys, &out.scratch.keys[0], &out.scratch.keys[1]}) keys->reserve(room);
}

/// The sites are the sum of sets over the axes, so axes are done one after the other, duplicates removed in between.
template <class Step>
void for_each_axis(const KeyLayout& layout, const Coords& in, Coords& out, Step step) {
  std::vector<std::uint64_t>& next = out.scratch.keys[1];
  out.keys.assign(in.keys.begin(), in.keys.end());
  for (int a = layout.dims - 1; a >= 0; --a) {
    step(Axis(layout, a), out.keys, next);
    sort_unique(layout, next, out.scratch.keys[0]);
    out.keys.swap(next);
  }
  give_equal_room(out);
}

}  // namespace

Extent downsampled_stride(const SiteShape& in, const KernelShape& kernel) {
  check_dims(in, kernel);
  check_kernel(kernel, in.stride);
  Extent stride = in.stride;
  for (int a = 0; a < in.dims; ++a) stride[a] *= kernel.stride[a];
  return stride;
}

Extent generated_stride(const SiteShape& in, const KernelShape& kernel) {
  check_dims(in, kernel);
  Extent stride = in.stride;
  for (int a = 0; a < in.dims; ++a) {
    RAREFY_CHECK(kernel.stride[a] >= 1 && in.stride[a] % kernel.stride[a] == 0, ShapeError,
                 "the stride of the coordinates along {} is {}, not a multiple of the kernel's stride {}", kAxisName[a],
                 in.stride[a], kernel.stride[a]);
    stride[a] /= kernel.stride[a];
  }
  check_kernel(kernel, stride);
  return stride;
}

void downsample(const Coords& in, const KernelShape& kernel, Executor&, Coords& out) {
  RAREFY_ASSERT(&in != &out);
  const Extent stride = downsampled_stride({in.dims, in.stride, in.rows()}, kernel);
  const KeyLayout layout = key_layout(in.dims);
  if (kernel.rule == CoordinateRule::padded && !kernel.offsets.empty()) {
    pad_listed(layout, kernel, in.stride, in.keys, out.keys);
    sort_unique(layout, out.keys, out.scratch.keys[0]);
    give_equal_room(out);
  } else if (kernel.rule == CoordinateRule::padded) {
    for_each_axis(layout, in, out, [&](const Axis& axis, const auto& from, auto& to) {
      pad_axis(axis, kernel, in.stride[axis.axis], from, to);
    });
  } else {
    floor_keys(layout, stride, in.keys, out.keys);
    sort_unique(layout, out.keys, out.scratch.keys[0]);
  }
  out.dims = in.dims;
  out.stride = stride;
  set_batches(layout, in.batches(), out);
}

void generate(const Coords& in, const KernelShape& kernel, Executor&, Coords& out) {
  RAREFY_ASSERT(&in != &out);
  const Extent stride = generated_stride({in.dims, in.stride, in.rows()}, kernel);
  const KeyLayout layout = key_layout(in.dims);
  if (kernel.offsets.empty()) {
    for_each_axis(layout, in, out, [&](const Axis& axis, const auto& from, auto& to) {
      spread_axis(axis, kernel, stride[axis.axis], from, to);
    });
  } else {
    spread_listed(layout, kernel, stride, in.keys, out.keys);
    sort_unique(layout, out.keys, out.scratch.keys[0]);
    give_equal_room(out);
  }
  out.dims = in.dims;
  out.stride = stride;
  set_batches(layout, in.batches(), out);
}

}  // namespace rarefy
