#include "bindings.h"
#include "rarefy/error.h"

namespace rarefy::python {
namespace {

// Exception classes live as long as the interpreter; translators are plain functions and find them here.
struct Classes {
  PyObject *error, *usage, *input, *shape, *unsupported, *memory, *io, *cancelled;
};
Classes classes;

PyObject* add(py::module_& m, const char* name, const char* doc, PyObject* base, PyObject* also = nullptr) {
  const py::object bases = also != nullptr ? py::object(py::make_tuple(py::handle(base), py::handle(also)))
                                           : py::reinterpret_borrow<py::object>(base);
  const std::string full = std::string("rarefy.") + name;
  PyObject* made = PyErr_NewExceptionWithDoc(full.c_str(), doc, bases.ptr(), nullptr);
  if (made == nullptr) throw py::error_already_set();
  m.attr(name) = py::reinterpret_borrow<py::object>(made);
  return made;
}

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const UsageError& error) {
    PyErr_SetString(classes.usage, error.what());
  } catch (const InputError& error) {
    PyErr_SetString(classes.input, error.what());
  } catch (const ShapeError& error) {
    PyErr_SetString(classes.shape, error.what());
  } catch (const UnsupportedError& error) {
    PyErr_SetString(classes.unsupported, error.what());
  } catch (const MemoryError& error) {
    PyErr_SetString(classes.memory, error.what());
  } catch (const IoError& error) {
    PyErr_SetString(classes.io, error.what());
  } catch (const Cancelled& error) {
    PyErr_SetString(classes.cancelled, error.what());
  } catch (const Error& error) {
    PyErr_SetString(classes.error, error.what());
  }
}

}  // namespace

void bind_errors(py::module_& m) {
  Classes& c = classes;
  c.error = add(m, "Error", "Base of everything rarefy raises on purpose.", PyExc_Exception);
  c.usage = add(m, "UsageError", "The caller asked for something that makes no sense.", c.error, PyExc_ValueError);
  c.input = add(m, "InputError", "Data are damaged or do not have the declared form.", c.error, PyExc_ValueError);
  c.shape = add(m, "ShapeError", "Shapes, spaces or types of a graph do not fit.", c.error, PyExc_ValueError);
  c.unsupported = add(m, "UnsupportedError", "Legitimate, but this build, CPU or version cannot serve it.", c.error,
                      PyExc_NotImplementedError);
  c.memory = add(m, "MemoryError", "A run would need more memory than there is, or than it may use.", c.error,
                 PyExc_MemoryError);
  c.io = add(m, "IoError", "The operating system refused to read or write.", c.error, PyExc_OSError);
  c.cancelled = add(m, "Cancelled", "A deadline ended the run between two nodes.", c.error);
  py::register_exception_translator(&translate);
}

}  // namespace rarefy::python
