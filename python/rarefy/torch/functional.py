"""Sites, kernel maps, and the convolution as a torch.autograd.Function over rarefy's forward and backward kernels."""

import os
import weakref

import torch
from torch.autograd.function import once_differentiable

from .. import _core
from .._core import ShapeError, UsageError
from . import _cuda

_pool = {"threads": None, "executor": None}


def set_num_threads(threads):
    """Threads of the layers here; results do not depend on it. The default is torch.get_num_threads()."""
    _pool.update(threads=int(threads), executor=_core.Executor(int(threads)))


def get_num_threads():
    """Threads of the layers here."""
    return _executor().threads


def _executor():
    if _pool["executor"] is None:
        _pool["executor"] = _core.Executor(_pool["threads"] or torch.get_num_threads())
    return _pool["executor"]


def _forget_pool():
    _pool.update(executor=None)  # a child's copy of the pool has no threads


os.register_at_fork(before=_forget_pool, after_in_child=_forget_pool)


def _rows(x, what):
    """x as a float32 matrix in host memory whose rows can be read in place."""
    if x.dtype != torch.float32 or x.device.type != "cpu":
        raise UsageError(f"{what}: expected float32 on the CPU, found {x.dtype} on {x.device}")
    if x.dim() != 2:
        raise ShapeError(f"{what}: expected [N, C], found {list(x.shape)}")
    in_place = (x.shape[1] <= 1 or x.stride(1) == 1) and (x.shape[0] <= 1 or x.stride(0) >= x.shape[1])
    return x if in_place else x.contiguous()


def _view(x):
    """Address, rows, columns and row stride for the core."""
    return x.data_ptr(), x.shape[0], x.shape[1], x.stride(0) if x.shape[0] > 1 else x.shape[1]


class Map:
    """Pairs (input row, output row, offset) of a convolution, and those of its input gradient."""

    __slots__ = ("core", "_adjoint", "_order")

    def __init__(self, core, symmetric=False, adjoint=None):
        self.core = core
        # Over one set of sites with symmetric offsets, the transposed map is the map itself with flipped offsets.
        self._adjoint = core if symmetric else adjoint
        self._order = "transposed_flipped" if symmetric else "transposed"

    def adjoint(self):
        """The map of the input gradient, and how its weights are packed."""
        if self._adjoint is None:
            self._adjoint = _core.transpose_map(self.core, _executor())
        return self._adjoint, self._order

    def inverse(self):
        """The map of the inverse (transposed) convolution."""
        if self._order == "transposed":
            return Map(self.adjoint()[0], adjoint=self.core)
        return Map(_core.transpose_map(self.core, _executor()), adjoint=self.core)


class _HostGeometry:
    """What Sites asks of the device that its coordinates lie on; _cuda.Geometry is the other."""

    device = torch.device("cpu")

    @staticmethod
    def make(coords, stride, batches):
        """Sites, and the row of the input that became each of theirs (None: they were sorted)."""
        order = torch.empty(len(coords), dtype=torch.int32)
        core = _core.Coords.make(coords.data_ptr(), len(coords), coords.shape[1] - 1, stride, batches, order.data_ptr())
        order = order.long()
        return core, None if torch.equal(order, torch.arange(len(order))) else order

    @staticmethod
    def coords(core):
        coords = torch.empty(core.rows, 1 + core.dims, dtype=torch.int32)
        core.write(coords.data_ptr())
        return coords

    @staticmethod
    def equal(a, b):
        return a.equals(b)

    @staticmethod
    def map(a, b, kernel, symmetric=False):
        return Map(_core.kernel_map(a, b, kernel, _executor()), symmetric)

    @staticmethod
    def downsample(core, kernel, shape):
        return _core.downsample(core, kernel, shape, _executor())

    @staticmethod
    def generate(core, kernel):
        return _core.generate(core, kernel, _executor())


class Sites:
    """A set of sites, with the maps and the coarser sites made for it; shared by all tensors that lie on it.

    Rows are sorted (batch first, last axis fastest). Where a caller gave another order, `order` is the caller's row of
    each sorted row, and `inverse` the other way round; both are None otherwise.
    """

    def __init__(self, core, order=None, parent=None, geometry=_HostGeometry):
        self.core, self.order, self.parent, self.geometry = core, order, parent, geometry
        self.inverse = None
        if order is not None:
            self.inverse = torch.empty_like(order)
            self.inverse[order] = torch.arange(len(order), device=order.device)
        self._maps = {}
        self._coarser = weakref.WeakValueDictionary()  # the coarser ones hold us, not we them

    @classmethod
    def of(cls, coords, stride=1, batches=None):
        """coords: int32 [N, 1 + D] batch, x, y, ... Raises InputError for duplicates and what is out of range."""
        if coords.dim() != 2 or not 2 <= coords.shape[1] <= 5:
            raise ShapeError(f"coords: expected [N, 1 + D] (batch, x, y, ...), found {list(coords.shape)}")
        if coords.dtype not in (torch.int32, torch.int64) or coords.device.type not in ("cpu", "cuda"):
            raise UsageError(f"coords: expected int32 on the CPU or a CUDA device, found {coords.dtype} on {coords.device}")
        if coords.dtype == torch.int64 and len(coords) and coords.abs().max() > 2**31 - 1:
            raise UsageError("coords: a coordinate does not fit into int32")
        coords = coords.to(torch.int32).contiguous()
        geometry = _cuda.Geometry(coords.device) if coords.is_cuda else _HostGeometry
        core, order = geometry.make(coords, per_axis(stride, coords.shape[1] - 1), -1 if batches is None else int(batches))
        return cls(core, order, geometry=geometry)

    @property
    def device(self):
        """Where the sites lie; features must lie there too."""
        return self.geometry.device

    @property
    def stride(self):
        """Per axis, in finest voxels."""
        return tuple(self.core.stride)

    def __len__(self):
        return self.core.rows

    def coords(self):
        """int32 [N, 1 + D] in sorted order."""
        return self.geometry.coords(self.core)

    def same_as(self, other):
        """Whether rows mean the same sites."""
        return self is other or (self.device == other.device and self.geometry.equal(self.core, other.core))

    def map_to(self, other, kernel, key):
        """Map of a convolution that reads these sites and writes `other`'s."""
        if other is self:
            if key not in self._maps:
                size, rule = key[0], key[-1]
                symmetric = rule == "block" and all(s % 2 == 1 for s in size)
                self._maps[key] = self.geometry.map(self.core, self.core, kernel, symmetric)
            return self._maps[key]
        kept = (id(self), key)
        if kept not in other._maps:
            other._maps[kept] = self.geometry.map(self.core, other.core, kernel)
        return other._maps[kept]

    def coarser(self, kernel, key, shape=()):
        """Sites of a strided convolution; under the block rule only the stride decides which they are."""
        wanted = ("block", key[1]) if key[-1] == "block" else (key, tuple(shape))
        found = self._coarser.get(wanted)
        if found is None:
            core = self.geometry.downsample(self.core, kernel, list(shape))
            found = self._coarser[wanted] = Sites(core, parent=self, geometry=self.geometry)
        return found

    def generated(self, kernel):
        """Sites that a transposed convolution creates, and its map."""
        fine = Sites(self.geometry.generate(self.core, kernel), geometry=self.geometry)
        return fine, self.geometry.map(fine.core, self.core, kernel).inverse()


def per_axis(value, dims):
    """One number for all axes, or one per axis, as a list."""
    values = [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)] * dims
    if len(values) != dims:
        raise UsageError(f"expected one number or {dims}, found {values}")
    return values


def kernel_of(size, stride, dilation, padding, rule):
    """A kernel for the core, and the key that maps are found by."""
    key = (tuple(size), tuple(stride), tuple(dilation), tuple(padding), rule)
    return _core.Kernel(list(size), list(stride), list(dilation), list(padding), rule), key


def _run(x, weight, order, kernel_map, bias, rows):
    """One pass of the forward kernel: x [N, A] through weights [K, C_in, C_out] packed in `order`."""
    volume, channels_in, channels_out = weight.shape
    executor = _executor()
    packed = _core.pack_weights(weight.data_ptr(), volume, channels_in, channels_out, order, executor)
    y = torch.empty(rows, packed.out_channels, dtype=torch.float32)
    _core.conv_forward(_view(x), packed, kernel_map, 0 if bias is None else bias.data_ptr(), executor, _view(y))
    return y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, kernel_map):
        x, weight = _rows(x, "features"), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.map = kernel_map
        return _run(x, weight, "forward", kernel_map.core, None if bias is None else bias.contiguous(),
                    kernel_map.core.out_rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        gradient = _rows(gradient, "gradient")
        executor = _executor()
        gx = gw = gb = None
        if ctx.needs_input_grad[0]:
            adjoint, order = ctx.map.adjoint()
            gx = _run(gradient, weight, order, adjoint, None, x.shape[0])
        if ctx.needs_input_grad[1]:
            gw = torch.empty(weight.shape, dtype=torch.float32)
            _core.conv_weight_gradient(_view(x), _view(gradient), ctx.map.core, weight.shape[0], executor, gw.data_ptr())
        if ctx.needs_input_grad[2]:
            gb = torch.empty(weight.shape[2], dtype=torch.float32)
            _core.column_sums(_view(gradient), executor, gb.data_ptr())
        return gx, gw, gb, None


def convolve(x, weight, bias, kernel_map):
    """y[o] = sum over pairs (i, o, k) of x[i] W[k], plus bias; differentiable in x, weight and bias.

    x [N_in, C_in] float32 (on a GPU also float16 and bfloat16), weight [K, C_in, C_out] (offsets in lexicographic order,
    last axis fastest), bias [C_out] or None, kernel_map a Map. Same bits for any number of threads, forward and backward.
    """
    if weight.dim() != 3 or weight.shape[0] != kernel_map.core.volume or weight.shape[1] != x.shape[1]:
        raise ShapeError(f"weight: expected [{kernel_map.core.volume}, {x.shape[1]}, C_out], found {list(weight.shape)}")
    if x.shape[0] != kernel_map.core.in_rows:
        raise ShapeError(f"features: the map reads {kernel_map.core.in_rows} rows, found {x.shape[0]}")
    if bias is not None and tuple(bias.shape) != (weight.shape[2],):
        raise ShapeError(f"bias: expected [{weight.shape[2]}], found {list(bias.shape)}")
    if x.is_cuda:
        return _cuda.convolve(x, weight, bias, kernel_map)
    if not isinstance(kernel_map, Map):
        raise UsageError("features lie on the CPU, the sites on a GPU: make the sparse tensor from tensors of one device")
    for tensor, what in ((weight, "weight"), (bias, "bias")):
        if tensor is not None and (tensor.dtype != torch.float32 or tensor.device.type != "cpu"):
            raise UsageError(f"{what}: expected float32 on the CPU, found {tensor.dtype} on {tensor.device}")
    return _Convolution.apply(x, weight, bias, kernel_map)
