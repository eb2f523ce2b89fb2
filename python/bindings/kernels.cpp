// Forward and backward entry points for rarefy.torch, on raw addresses: neither torch nor NumPy is needed to build or
// to call them, so one module serves every version of both. The caller holds the memory during the call.
#include "base/check.h"
#include "bindings.h"
#include "kernels/conv.h"
#include "sparse/coords.h"
#include "sparse/kernel_map.h"
#include "sparse/key_sort.h"

namespace rarefy::python {
namespace {

/// Address, rows, columns and row stride (elements) of a float32 matrix.
using Rows = std::tuple<std::uintptr_t, std::int64_t, std::int64_t, std::int64_t>;
using Numbers = std::vector<std::int64_t>;

Matrix<float> matrix(const Rows& rows) {
  const auto [address, count, cols, stride] = rows;
  return {reinterpret_cast<float*>(address), count, cols, stride};  // NOLINT
}

template <class T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);  // NOLINT
}

Extent extent_of(const Numbers& numbers, const char* what) {
  RAREFY_CHECK(!numbers.empty() && numbers.size() <= kMaxDims, UsageError, "{} has {} entries, expected 1 to {}", what,
               numbers.size(), kMaxDims);
  Extent extent;
  extent.fill(1);
  for (std::size_t a = 0; a < numbers.size(); ++a) {
    RAREFY_CHECK(numbers[a] >= 0 && numbers[a] < (1 << 20), UsageError, "{} has the entry {}", what, numbers[a]);
    extent[a] = static_cast<std::int32_t>(numbers[a]);
  }
  return extent;
}

Numbers numbers_of(const Extent& extent, int dims) { return {extent.begin(), extent.begin() + dims}; }

KernelShape make_kernel(const Numbers& size, const Numbers& stride, const Numbers& dilation, const Numbers& padding,
                        const std::string& rule) {
  for (const Numbers* other : {&stride, &dilation, &padding})
    RAREFY_CHECK(other->size() == size.size(), UsageError,
                 "a kernel of {} axes has {} strides, {} dilations, {} paddings", size.size(), stride.size(),
                 dilation.size(), padding.size());
  RAREFY_CHECK(rule == "block" || rule == "padded", UsageError, "rule must be 'block' or 'padded', found '{}'", rule);
  KernelShape kernel;
  kernel.size = extent_of(size, "kernel_size");
  kernel.dims = static_cast<int>(size.size());
  kernel.stride = extent_of(stride, "stride");
  kernel.dilation = extent_of(dilation, "dilation");
  kernel.padding = extent_of(padding, "padding");
  kernel.rule = rule == "block" ? CoordinateRule::block : CoordinateRule::padded;
  return kernel;
}

/// Rows (batch, x, y, ...) at `address`; `order` receives the row of the input that became each row.
std::shared_ptr<Coords> make(std::uintptr_t address, std::int64_t rows, int dims, const Numbers& stride,
                             std::int64_t batches, std::uintptr_t order) {
  RAREFY_CHECK(rows >= 0 && rows <= INT32_MAX, UsageError, "{} sites, expected 0 to {}", rows, INT32_MAX);
  auto coords = std::make_shared<Coords>();
  std::vector<std::int32_t> found;
  make_coords({pointer<const std::int32_t>(address), static_cast<std::size_t>(rows * (1 + dims))}, dims,
              extent_of(stride, "stride"), batches, *coords, &found);
  std::copy(found.begin(), found.end(), pointer<std::int32_t>(order));
  return coords;
}

/// Sites of a strided convolution. With `shape`, only those of an output grid of that many cells per axis, as in a
/// dense convolution.
std::shared_ptr<Coords> coarser(const Coords& fine, const KernelShape& kernel, const Numbers& shape,
                                Executor& executor) {
  auto out = std::make_shared<Coords>();
  KernelShape bounded = kernel;
  for (std::size_t a = 0; a < shape.size(); ++a) bounded.cells[a] = static_cast<std::int32_t>(shape[a]);
  downsample(fine, bounded, executor, *out);
  return out;
}

std::shared_ptr<PackedWeights> pack(std::uintptr_t weights, std::int64_t volume, std::int64_t in, std::int64_t out,
                                    const std::string& order, Executor& executor) {
  auto packed = std::make_shared<PackedWeights>();
  const WeightOrder how = order == "forward"      ? WeightOrder::forward
                          : order == "transposed" ? WeightOrder::transposed
                                                  : WeightOrder::transposed_flipped;
  pack_weights(select_conv_variant(), pointer<const float>(weights), volume, in, out, how, *packed, executor);
  return packed;
}

void forward(const Rows& x, const PackedWeights& weights, const KernelMap* map, std::uintptr_t bias, Executor& executor,
             const Rows& y) {
  ConvEpilogue epilogue;
  epilogue.bias = pointer<const float>(bias);
  conv_forward(matrix(x), weights, map, epilogue, executor, matrix(y));
}

void weight_gradient(const Rows& x, const Rows& gradient, const KernelMap* map, std::int64_t volume, Executor& executor,
                     std::uintptr_t result) {
  AlignedBuffer scratch;
  conv_weight_gradient(select_conv_variant(), matrix(x), matrix(gradient), map, volume, executor, scratch,
                       pointer<float>(result));
}

void bind_geometry(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  py::class_<KernelShape>(m, "Kernel")
      .def(py::init(&make_kernel), py::arg("size"), py::arg("stride"), py::arg("dilation"), py::arg("padding"),
           py::arg("rule"))
      .def_property_readonly("volume", &KernelShape::volume, "Number of offsets.");
  py::class_<Coords, std::shared_ptr<Coords>>(m, "Coords")
      .def_static("make", &make, py::arg("address"), py::arg("rows"), py::arg("dims"), py::arg("stride"),
                  py::arg("batches"), py::arg("order"), NoGil(), "Sites, sorted; int32 rows (batch, x, y, ...).")
      .def(
          "write", [](const Coords& c, std::uintptr_t to) { write_coords(c, pointer<std::int32_t>(to)); },
          py::arg("address"), NoGil(), "Writes int32 [N, 1 + D].")
      .def(
          "equals", [](const Coords& a, const Coords& b) { return a.dims == b.dims && a.keys == b.keys; },
          py::arg("other"), NoGil(), "Whether both have the same sites.")
      .def_property_readonly("rows", &Coords::rows, "N.")
      .def_property_readonly("batches", &Coords::batches, "Number of samples.")
      .def_readonly("dims", &Coords::dims, "D.")
      .def_property_readonly(
          "stride", [](const Coords& c) { return numbers_of(c.stride, c.dims); }, "Per axis.");
  py::class_<KernelMap, std::shared_ptr<KernelMap>>(m, "KernelMap")
      .def_readonly("in_rows", &KernelMap::in_rows, "Rows that it reads.")
      .def_readonly("out_rows", &KernelMap::out_rows, "Rows that it writes.")
      .def_readonly("volume", &KernelMap::volume, "Number of offsets.")
      .def_property_readonly("pairs", &KernelMap::pairs, "Pairs (input row, output row, offset).");
  m.def("downsample", &coarser, py::arg("fine"), py::arg("kernel"), py::arg("shape"), py::arg("executor"), NoGil(),
        "Sites of a strided convolution.");
  m.def(
      "generate",
      [](const Coords& coarse, const KernelShape& kernel, Executor& executor) {
        auto out = std::make_shared<Coords>();
        generate(coarse, kernel, executor, *out);
        return out;
      },
      py::arg("coarse"), py::arg("kernel"), py::arg("executor"), NoGil(), "Sites that a transposed one creates.");
  m.def(
      "kernel_map",
      [](const Coords& in, const Coords& out, const KernelShape& kernel, Executor& executor) {
        auto map = std::make_shared<KernelMap>();
        build_kernel_map(in, out, kernel, executor, *map);
        return map;
      },
      py::arg("input"), py::arg("output"), py::arg("kernel"), py::arg("executor"), NoGil(),
      "Which sites meet under which offset.");
  m.def(
      "transpose_map",
      [](const KernelMap& map, Executor& executor) {
        auto out = std::make_shared<KernelMap>();
        transpose_map(map, executor, *out);
        return out;
      },
      py::arg("map"), py::arg("executor"), NoGil(), "The same pairs, input and output exchanged.");
}

}  // namespace

void bind_kernels(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  py::class_<Executor>(m, "Executor")
      .def(py::init(&make_thread_pool), py::arg("threads"))
      .def_property_readonly("threads", &Executor::concurrency, "Parts that run at the same time.");
  bind_geometry(m);
  py::class_<PackedWeights, std::shared_ptr<PackedWeights>>(m, "PackedWeights")
      .def_readonly("in_channels", &PackedWeights::in_channels, "As packed.")
      .def_readonly("out_channels", &PackedWeights::out_channels, "As packed.");
  m.def("pack_weights", &pack, py::arg("weights"), py::arg("volume"), py::arg("in_channels"), py::arg("out_channels"),
        py::arg("order"), py::arg("executor"), NoGil(),
        "Weights [K, C_in, C_out] for conv_forward; order is 'forward', 'transposed' or 'transposed_flipped'.");
  m.def("conv_forward", &forward, py::arg("x"), py::arg("weights"), py::arg("map"), py::arg("bias"),
        py::arg("executor"), py::arg("y"), NoGil(), "y = sum of x W over the map's pairs, plus bias (0 = none).");
  m.def("conv_weight_gradient", &weight_gradient, py::arg("x"), py::arg("gradient"), py::arg("map"), py::arg("volume"),
        py::arg("executor"), py::arg("result"), NoGil(), "Gradient of the weights [K, C_in, C_out].");
  m.def(
      "column_sums",
      [](const Rows& g, Executor& executor, std::uintptr_t sums) {
        column_sums(matrix(g), executor, pointer<float>(sums));
      },
      py::arg("gradient"), py::arg("executor"), py::arg("sums"), NoGil(), "Gradient of a bias.");
}

}  // namespace rarefy::python
