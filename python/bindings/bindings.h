#pragma once
/// What the files of the extension module rarefy._core share. Internal to python/.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rarefy/graph.h"
#include "rarefy/model.h"
#include "rarefy/tensor.h"

namespace rarefy::python {

namespace py = pybind11;

void bind_errors(py::module_& m);
void bind_graph(py::module_& m);
void bind_model(py::module_& m);
void bind_session(py::module_& m);
void bind_sparse(py::module_& m);
void bind_kernels(py::module_& m);
/// The submodule `cuda`; None in a build without it.
void bind_cuda(py::module_& m);

/// NumPy's type. @throws UnsupportedError for bf16, which NumPy lacks.
py::dtype numpy_dtype(Dtype dtype);
/// Ours. @throws UsageError naming `what` and the types there are.
Dtype rarefy_dtype(const py::array& array, const std::string& what);

/// An array over memory that `owner` keeps alive. Integers of one column become a vector.
py::array array_over(const TensorView& view, py::object owner);
/// Python's reference to something of C++ that arrays keep alive.
py::object owner_of(std::shared_ptr<void> memory);

/// A matrix float32 [N, C] in the array's own memory. @throws UsageError naming `what` when its type or layout is
/// another.
TensorView rows_of(const py::array& array, Dtype dtype, const std::string& what);

py::dict to_python(const Pipeline& pipeline);
Pipeline pipeline_from(const py::dict& dict);

}  // namespace rarefy::python
