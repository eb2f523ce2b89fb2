"""Other people's arrays as NumPy's, without a copy."""

import numpy

from ._core import UsageError


def as_array(value, what):
    """A NumPy array over the memory of an array, of anything with __dlpack__ (a torch tensor) or of a buffer."""
    if isinstance(value, numpy.ndarray):
        return value
    if hasattr(value, "detach"):
        value = value.detach()  # a torch tensor that requires gradients exports no memory
    if hasattr(value, "__dlpack__"):
        try:
            return numpy.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as error:
            raise UsageError(f"{what}: cannot be read where it lies ({error}): move it to host memory") from error
    array = numpy.asarray(value)
    if array.dtype == object:
        raise UsageError(f"{what}: expected an array, found {type(value).__name__}")
    return array


def as_rows(value, dtype, what):
    """The same, as a matrix whose rows can be read in place; odd layouts (columns apart, unaligned) are copied."""
    array = as_array(value, what)
    if array.ndim == 2 and array.dtype == dtype:
        item = array.itemsize
        in_place = (array.shape[1] <= 1 or array.strides[1] == item) and array.flags.aligned and \
            (array.shape[0] <= 1 or (array.strides[0] >= array.shape[1] * item and array.strides[0] % item == 0))
        if not in_place:
            return numpy.ascontiguousarray(array)
    return array
