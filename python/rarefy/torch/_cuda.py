"""Sites, kernel maps and the convolution on a GPU: what functional.py hands CUDA tensors to.

Everything is queued on torch's current stream. float16, bfloat16 and float32 features; float32 multiplies on tensor cores
(10 bits of mantissa) where torch.backends.cuda.matmul.allow_tf32 says so, else exactly and slowly. Under torch.autocast
features are cast to its type; sums, and gradients of float32 weights, are float32 always.
"""

import weakref

import torch
from torch.autograd.function import once_differentiable

from .. import _core
from .._core import ShapeError, UnsupportedError, UsageError

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
try:
    from torch._C import _cuda_getCurrentRawStream as _raw_stream
except ImportError:  # torch.cuda.current_stream costs more than the rest of a call
    def _raw_stream(device):
        return torch.cuda.current_stream(device).cuda_stream
try:
    torch.is_autocast_enabled("cuda")
    torch.get_autocast_dtype("cuda")

    def _autocast_dtype():
        return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
except (TypeError, AttributeError):  # before 2.4
    def _autocast_dtype():
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def core():
    """The submodule. Raises UnsupportedError where this build has none."""
    if _core.cuda is None:
        raise UnsupportedError("this build of rarefy has no GPU kernels: move the tensors to the CPU, or build with nvcc")
    return _core.cuda


def stream_of(device):
    """torch's current stream there, as an address."""
    return _raw_stream(device.index)


class Map:
    """As functional.Map, on a GPU."""

    __slots__ = ("core", "device", "_adjoint", "_symmetric")

    def __init__(self, core_map, device, symmetric=False, adjoint=None):
        self.core, self.device = core_map, device
        self._adjoint, self._symmetric = adjoint, symmetric

    def adjoint(self):
        """The transposed map; None where that is the map itself with flipped offsets."""
        if self._adjoint is None and not self._symmetric:
            self._adjoint = _core.cuda.transpose_map(self.core, stream_of(self.device))
        return self._adjoint

    def inverse(self):
        """The map of the inverse (transposed) convolution."""
        if self._symmetric:
            return Map(_core.cuda.transpose_map(self.core, stream_of(self.device)), self.device, adjoint=self.core)
        return Map(self.adjoint(), self.device, adjoint=self.core)


class Geometry:
    """What functional.Sites asks of the device that its coordinates lie on."""

    def __init__(self, device):
        self.device = device
        self.core = core()

    def make(self, coords, stride, batches):
        """Sites, and the row of the input that became each of theirs (None: they were sorted)."""
        order = torch.empty(len(coords), dtype=torch.int32, device=self.device)
        made = self.core.Sites.make(coords.data_ptr(), len(coords), coords.shape[1] - 1, stride, batches, order.data_ptr(),
                                    self.device.index, stream_of(self.device))
        order = order.long()
        return made, None if bool((order == torch.arange(len(order), device=self.device)).all()) else order

    def coords(self, sites):
        keys = self.keys(sites)
        bits, origin = self.core.layout(sites.dims)
        mask = (1 << bits) - 1
        columns = [(keys >> (sites.dims * bits)) & ((1 << (64 - sites.dims * bits)) - 1)]
        for axis in range(sites.dims):
            shift = (sites.dims - 1 - axis) * bits
            columns.append(((keys >> shift) & mask) - ((origin >> shift) & mask))
        return torch.stack(columns, 1).to(torch.int32)

    def keys(self, sites):
        keys = torch.empty(sites.rows, dtype=torch.int64, device=self.device)
        sites.write_keys(keys.data_ptr(), stream_of(self.device))
        return keys

    def equal(self, a, b):
        return a.dims == b.dims and a.rows == b.rows and torch.equal(self.keys(a), self.keys(b))

    def map(self, a, b, kernel, symmetric=False):
        return Map(self.core.kernel_map(a, b, kernel, stream_of(self.device)), self.device, symmetric)

    def downsample(self, sites, kernel, shape):
        return self.core.downsample(sites, kernel, shape, stream_of(self.device))

    def generate(self, sites, kernel):
        return self.core.generate(sites, kernel, stream_of(self.device))


class Stacked:
    """How a parameter holds weights [K, C_in, C_out]: here, as they are."""

    @staticmethod
    def view(weight):
        """[..., C_in, C_out] with offsets in lexicographic order; need not be contiguous."""
        return weight

    @staticmethod
    def back(gradient):
        """A gradient [K, C_in, C_out] in the parameter's shape."""
        return gradient

    @staticmethod
    def channels_out(weight):
        return weight.shape[-1]


class Packed:
    """Weights as the kernels read them, kept between calls that make no graph. Forgotten when torch has counted a change, and
    by a call that makes a graph (not every optimizer's steps are counted)."""

    __slots__ = ("key", "owner", "core", "stream")

    def __init__(self):
        self.core = self.stream = None
        self.forget()

    def forget(self):
        self.key, self.owner = None, None

    def holds(self, weight, arithmetic, stream):
        """Whether these are that parameter's; if not, they are about to be."""
        if stream != self.stream:
            self.core, self.stream = _core.cuda.Weights(), stream  # the other stream may still read the old ones
            self.forget()
        if weight.is_inference():  # their changes are not counted
            self.forget()
            return False
        key = (weight.data_ptr(), weight._version, arithmetic)
        if self.key == key and self.owner() is weight:
            return True
        self.key, self.owner = key, weakref.ref(weight)
        return False


class Keeps:
    """A layer that keeps its packed weights: `_packed`, made when first needed; never copied or saved with the layer."""

    _packed = None

    def packed(self):
        if self._packed is None:
            self._packed = Packed()
        return self._packed

    def train(self, mode=True):
        self._packed = None
        return super().train(mode)

    def _apply(self, *args, **kwargs):
        self._packed = None
        return super()._apply(*args, **kwargs)

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_kernel")}


def _arithmetic(dtype):
    kinds = _core.cuda.Arithmetic
    if dtype == torch.float16:
        return kinds.f16
    if dtype == torch.bfloat16:
        return kinds.bf16
    return kinds.tf32 if torch.backends.cuda.matmul.allow_tf32 else kinds.f32


def _rows(x):
    """x such that its rows can be read in place, and address, rows, columns and row stride for the core."""
    rows, channels = x.shape
    stride = x.stride(0)
    if (x.stride(1) != 1 and channels > 1) or (stride < channels and rows > 1):
        x, stride = x.contiguous(), channels
    return x, (x.data_ptr(), rows, channels, stride if rows > 1 else channels)


def _float32(layout, weight):
    """[..., C_in, C_out] contiguous in float32; the parameter's own memory where it is that."""
    view = layout.view(weight.detach())
    if view.dtype == torch.float32 and view.is_contiguous():
        return view
    return torch.empty(view.shape, dtype=torch.float32, device=view.device).copy_(view)


def _forward(x, weight, bias, kernel_map, layout, packed):
    """y, x as it was read, and the weights in float32 (None: they were packed already)."""
    device, arithmetic = x.device, _arithmetic(x.dtype)
    stream = stream_of(device)
    x, view = _rows(x)
    stacked = None
    if packed is None or not packed.holds(weight, arithmetic, stream):
        stacked = _float32(layout, weight)
    out, rows, volume = layout.channels_out(weight), kernel_map.core.out_rows, kernel_map.core.volume
    y = torch.empty(rows, out, dtype=x.dtype, device=device)
    if bias is not None and (bias.dtype != torch.float32 or not bias.is_contiguous()):
        bias = bias.float().contiguous()
    try:
        _core.cuda.conv(device.index, stream, arithmetic, view,
                        (0 if stacked is None else stacked.data_ptr(), volume, view[2], out),
                        None if packed is None else packed.core, kernel_map.core, 0 if bias is None else bias.data_ptr(),
                        (y.data_ptr(), rows, out, out))
    except BaseException:
        if packed is not None:
            packed.forget()
        raise
    return y, x, stacked


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, kernel_map, layout):
        y, x, stacked = _forward(x, weight, bias, kernel_map, layout, None)
        ctx.save_for_backward(x, weight)
        # As saved tensors are, weights that an optimizer changed in place before backward are an error there.
        ctx.stacked = None if stacked.data_ptr() == weight.data_ptr() else stacked
        ctx.map, ctx.layout, ctx.bias = kernel_map, layout, None if bias is None else bias.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        kernel_map, layout = ctx.map, ctx.layout
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        gx = gw = gb = None
        if gradient.dtype != x.dtype:
            gradient = gradient.to(x.dtype)
        gradient, g = _rows(gradient)
        if need_x or need_weight:
            device = x.device
            _, view = _rows(x)
            rows, channels, out = view[1], view[2], g[2]
            stacked = layout.view(weight) if ctx.stacked is None else ctx.stacked
            made = 0
            if need_x:
                gx = torch.empty(rows, channels, dtype=x.dtype, device=device)
            if need_weight:
                gw = torch.empty(kernel_map.core.volume, channels, out, dtype=torch.float32, device=device)
                made = gw.data_ptr()
            # An empty tensor has no address, and needs nothing done.
            _core.cuda.conv_gradients(device.index, stream_of(device), _arithmetic(x.dtype), view, g,
                                      (stacked.data_ptr(), kernel_map.core.volume, channels, out), kernel_map.core,
                                      kernel_map.adjoint() if need_x else None,
                                      (0 if gx is None else gx.data_ptr(), rows, channels, channels), made)
            if need_weight:
                gw = layout.back(gw)
                if weight.dtype != torch.float32:
                    gw = gw.to(weight.dtype)
        if need_bias:
            gb = gradient.sum(0, dtype=torch.float32).to(ctx.bias)
        return gx, gw, gb, None, None


def convolve(x, weight, bias, kernel_map, layout=Stacked, packed=None):
    """functional.convolve for CUDA tensors whose shapes were checked. `packed` keeps weights between calls without a graph."""
    if not isinstance(kernel_map, Map):
        raise UsageError("features lie on a GPU, the sites on the CPU: make the sparse tensor from tensors of one device")
    wanted = _autocast_dtype()
    if wanted is not None and x.dtype != wanted:
        x = x.to(wanted)
    if x.dtype not in DTYPES:
        raise UsageError(f"features: expected float16, bfloat16 or float32, found {x.dtype}")
    if x.dim() != 2:
        raise ShapeError(f"features: expected [N, C], found {list(x.shape)}")
    if x.device != kernel_map.device:
        raise UsageError(f"features lie on {x.device}, the sites on {kernel_map.device}")
    for tensor, what in ((weight, "weight"), (bias, "bias")):
        if tensor is not None and (tensor.dtype not in DTYPES or tensor.device != x.device):
            raise UsageError(f"{what}: expected a floating-point tensor on {x.device}, found {tensor.dtype} on {tensor.device}")
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)):
        if packed is not None:
            packed.forget()
        return _Convolution.apply(x, weight, bias, kernel_map, layout)
    return _forward(x, weight, bias, kernel_map, layout, packed)[0]


def unused_bytes():
    """Memory on the GPUs kept for the sites and maps of later scans."""
    return 0 if _core.cuda is None else _core.cuda.unused_bytes()


def release():
    """Gives that memory back to the system. Waits for the device."""
    if _core.cuda is not None:
        _core.cuda.release()
