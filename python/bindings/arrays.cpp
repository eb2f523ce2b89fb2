#include "base/check.h"
#include "bindings.h"

namespace rarefy::python {

py::dtype numpy_dtype(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return py::dtype("float32");
    case Dtype::f64:
      return py::dtype("float64");
    case Dtype::f16:
      return py::dtype("float16");
    case Dtype::i8:
      return py::dtype("int8");
    case Dtype::u8:
      return py::dtype("uint8");
    case Dtype::i32:
      return py::dtype("int32");
    case Dtype::i64:
      return py::dtype("int64");
    case Dtype::bf16:
      break;
  }
  fail<UnsupportedError>("NumPy has no type for {}", name(dtype));
}

Dtype rarefy_dtype(const py::array& array, const std::string& what) {
  for (const Dtype d : {Dtype::f32, Dtype::f64, Dtype::f16, Dtype::i8, Dtype::u8, Dtype::i32, Dtype::i64})
    if (array.dtype().is(numpy_dtype(d)) || array.dtype().equal(numpy_dtype(d))) return d;
  fail<UsageError>("{}: type {} is not one of float32, float64, float16, int8, uint8, int32, int64", what,
                   py::str(array.dtype()).cast<std::string>());
}

py::object owner_of(std::shared_ptr<void> memory) {
  auto* held = new std::shared_ptr<void>(std::move(memory));
  return py::capsule(held, [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
}

py::array array_over(const TensorView& view, py::object owner) {
  const py::ssize_t item = static_cast<py::ssize_t>(size_of(view.dtype));
  const bool vector = view.cols == 1 && view.dtype != Dtype::f32;
  std::vector<py::ssize_t> shape = {static_cast<py::ssize_t>(view.rows)};
  std::vector<py::ssize_t> strides = {static_cast<py::ssize_t>(view.row_stride) * item};
  if (!vector) {
    shape.push_back(static_cast<py::ssize_t>(view.cols));
    strides.push_back(item);
  }
  if (view.data == nullptr || view.rows == 0 || view.cols == 0)
    return py::array(numpy_dtype(view.dtype), shape, strides);
  return py::array(numpy_dtype(view.dtype), shape, strides, view.data, owner);
}

TensorView rows_of(const py::array& array, Dtype dtype, const std::string& what) {
  RAREFY_CHECK(array.dtype().equal(numpy_dtype(dtype)), UsageError,
               "{}: expected {}, found {}: convert it with .astype", what,
               py::str(numpy_dtype(dtype)).cast<std::string>(), py::str(array.dtype()).cast<std::string>());
  RAREFY_CHECK(array.ndim() == 2, UsageError, "{}: expected a matrix, found {} dimensions", what, array.ndim());
  const std::int64_t item = size_of(dtype), rows = array.shape(0), cols = array.shape(1);
  const auto address = reinterpret_cast<std::uintptr_t>(array.data());
  RAREFY_CHECK(rows == 0 || address % static_cast<std::uintptr_t>(item) == 0, UsageError,
               "{}: the data are not aligned: copy them with numpy.ascontiguousarray", what);
  const std::int64_t stride = rows > 1 ? array.strides(0) : cols * item;
  RAREFY_CHECK((cols <= 1 || rows == 0 || array.strides(1) == item) && stride % item == 0 && stride >= cols * item,
               UsageError, "{}: the elements of a row are not next to each other: copy it with numpy.ascontiguousarray",
               what);
  return {const_cast<void*>(array.data()), dtype, Device::cpu, rows, cols, std::max<std::int64_t>(cols, stride / item)};
}

}  // namespace rarefy::python
