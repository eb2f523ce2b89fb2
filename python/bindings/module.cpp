#include "bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core behind the package rarefy. Private: the package's own functions are the interface.";
  m.attr("version") = RAREFY_VERSION;
  rarefy::python::bind_errors(m);
  rarefy::python::bind_graph(m);
  rarefy::python::bind_model(m);
  rarefy::python::bind_session(m);
  rarefy::python::bind_sparse(m);
  rarefy::python::bind_kernels(m);
  rarefy::python::bind_cuda(m);
}
