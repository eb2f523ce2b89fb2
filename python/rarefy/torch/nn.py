"""Layers under torchsparse's names (torchsparse.nn): swap the import.

Strided convolutions follow the block rule (docs/coordinates.md), as torchsparse 1.x and 2.0 and MinkowskiEngine do;
torchsparse 2.1 pads by default: for that rule use rarefy.torch.spconv. The parameter `kernel` has torchsparse's shape and
order of offsets, so that its state dicts load.
"""

import torch

from .._core import ShapeError, UsageError
from . import _cuda
from .functional import convolve, kernel_of, per_axis
from .tensor import SparseTensor


class _Conv(_cuda.Keeps, torch.nn.Module):
    """Convolution over sites. Stride 1 keeps the sites (submanifold); stride > 1 makes coarser ones; transposed goes
    back to the finer sites that a strided layer came from; transposed and generative creates all sites it reaches.

    in_channels, out_channels; kernel_size, stride, dilation: one number, or one per axis.
    """

    dims = 3

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, padding=0, dilation=1, bias=False,
                 transposed=False, generative=False, config=None):
        super().__init__()
        if any(per_axis(padding, self.dims)):
            raise UsageError("padding: these layers follow the block rule; for padded convolutions use rarefy.torch.spconv")
        if generative and not transposed:
            raise UsageError("generative convolutions are transposed: give transposed=True as well")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = tuple(per_axis(kernel_size, self.dims))
        self.stride = tuple(per_axis(stride, self.dims))
        self.dilation = tuple(per_axis(dilation, self.dims))
        self.transposed, self.generative = transposed, generative
        self._kernel, self._key = kernel_of(self.kernel_size, self.stride, self.dilation, [0] * self.dims, "block")
        self.kernel_volume = self._kernel.volume
        shape = (in_channels, out_channels) if self.kernel_volume == 1 else (self.kernel_volume, in_channels, out_channels)
        self.kernel = torch.nn.Parameter(torch.empty(shape))
        self.bias = torch.nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """U(-b, b) with b = 1 / sqrt(channels * volume), as the published MinkUNet."""
        bound = ((self.out_channels if self.transposed else self.in_channels) * self.kernel_volume) ** -0.5
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)

    def __setstate__(self, state):
        super().__setstate__(state)
        self._kernel = kernel_of(self.kernel_size, self.stride, self.dilation, [0] * self.dims, "block")[0]

    def view(self, kernel):
        """[..., C_in, C_out] with offsets in rarefy's order (last axis fastest); a view of the parameter's memory."""
        if self.kernel_volume % 2 == 0:
            return kernel
        axes = list(range(self.dims))[::-1]  # kernels of odd volume are stored with the first axis fastest
        kernel = kernel.reshape(*self.kernel_size[::-1], self.in_channels, self.out_channels)
        return kernel.permute(*axes, self.dims, self.dims + 1)

    def back(self, gradient):
        """The other way round: [K, C_in, C_out] in the parameter's shape."""
        if self.kernel_volume % 2 == 1:
            axes = list(range(self.dims))[::-1]
            gradient = gradient.reshape(*self.kernel_size, self.in_channels, self.out_channels)
            gradient = gradient.permute(*axes, self.dims, self.dims + 1)
        return gradient.reshape(self.kernel.shape)

    def channels_out(self, _):
        return self.out_channels

    def weight(self):
        """[K, C_in, C_out] in rarefy's order of offsets (last axis fastest): what a rarefy.Model takes."""
        return self.view(self.kernel).reshape(self.kernel_volume, self.in_channels, self.out_channels)

    def _sites(self, x):
        """Where the result lies, and the map that leads there (None: row to row)."""
        sites = x.sites
        if self.transposed and self.generative:
            return sites.generated(self._kernel)
        strided = any(s != 1 for s in self.stride)
        if self.transposed and strided:
            fine = sites.parent
            wanted = None if fine is None else tuple(f * s for f, s in zip(fine.stride, self.stride))
            if wanted != sites.stride:
                raise ShapeError(f"a transposed convolution of stride {self.stride} goes back to the sites that a strided "
                                 f"one came from; these at stride {sites.stride} came from "
                                 f"{'no other' if fine is None else fine.stride}")
            return fine, fine.map_to(sites, self._kernel, self._key).inverse()
        if not strided:
            if self.kernel_volume == 1:
                return sites, None
            kernel_map = sites.map_to(sites, self._kernel, self._key)
            return sites, kernel_map.inverse() if self.transposed else kernel_map
        coarse = sites.coarser(self._kernel, self._key)
        return coarse, sites.map_to(coarse, self._kernel, self._key)

    def forward(self, x):
        if not isinstance(x, SparseTensor):
            raise UsageError(f"expected a rarefy.torch.SparseTensor, found {type(x).__name__}")
        if x.rows.shape[1] != self.in_channels:
            raise ShapeError(f"the layer takes {self.in_channels} channels, the tensor has {x.rows.shape[1]}")
        sites, kernel_map = self._sites(x)
        if kernel_map is None:
            rows = x.rows @ self.kernel
            return x.with_rows(rows if self.bias is None else rows + self.bias)
        if x.rows.is_cuda:
            rows = _cuda.convolve(x.rows, self.kernel, self.bias, kernel_map, self, self.packed())
        else:
            rows = convolve(x.rows, self.weight(), self.bias, kernel_map)
        return SparseTensor.on(sites, rows)

    def extra_repr(self):
        return (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
                + (", transposed=True" if self.transposed else ""))


class Conv3d(_Conv):
    __doc__ = _Conv.__doc__


class Conv2d(_Conv):
    __doc__ = _Conv.__doc__
    dims = 2


def _on_rows(module):
    """A layer of torch.nn that works row by row, on sparse tensors."""

    class OnRows(module):
        def forward(self, x):
            if len(x) == 0 and issubclass(module, torch.nn.BatchNorm1d):
                return x  # torch has no statistics of nothing
            return x.with_rows(super().forward(x.rows))

    return OnRows


def _named(name, module):
    made = _on_rows(module)
    made.__name__ = made.__qualname__ = name
    made.__doc__ = f"torch.nn.{module.__name__} on the features of a sparse tensor."
    return made


BatchNorm = _named("BatchNorm", torch.nn.BatchNorm1d)
ReLU = _named("ReLU", torch.nn.ReLU)
LeakyReLU = _named("LeakyReLU", torch.nn.LeakyReLU)
SiLU = _named("SiLU", torch.nn.SiLU)
Dropout = _named("Dropout", torch.nn.Dropout)
Linear = _named("Linear", torch.nn.Linear)
