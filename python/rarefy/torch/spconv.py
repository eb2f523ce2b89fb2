"""Layers under spconv's names (spconv.pytorch): `import rarefy.torch.spconv as spconv`.

Padded rule, as in spconv and dense convolution: outputs lie on a grid of `spatial_shape` cells, indices are in units of
the tensor's own grid. Weights are [C_out, *kernel, C_in], as in spconv 2.2 and later, so that its state dicts load.
"""

import torch

from .._core import ShapeError, UsageError
from . import _cuda
from .functional import Sites, convolve, kernel_of, per_axis


class SparseConvTensor:
    """Features float32 [N, C] at indices int32 [N, 1 + D] (batch, then the axes of spatial_shape)."""

    def __init__(self, features, indices, spatial_shape, batch_size, grid=None, voxel_num=None, indice_dict=None,
                 benchmark=False):
        self.spatial_shape = [int(s) for s in spatial_shape]
        self.batch_size = int(batch_size)
        if indices.dim() != 2 or indices.shape[1] != 1 + len(self.spatial_shape):
            raise ShapeError(f"indices: expected [N, {1 + len(self.spatial_shape)}], found {list(indices.shape)}")
        limit = torch.tensor([self.batch_size] + self.spatial_shape, device=indices.device)
        if len(indices) and not bool(((indices >= 0) & (indices < limit)).all()):
            raise UsageError(f"indices: some lie outside of {self.batch_size} samples of {self.spatial_shape} cells")
        self.sites = Sites.of(indices, 1, self.batch_size)
        if features.shape[0] != len(self.sites):
            raise ShapeError(f"features: {features.shape[0]} rows for {len(self.sites)} indices")
        self.rows = features if self.sites.order is None else features.index_select(0, self.sites.order)
        self.indice_dict = {} if indice_dict is None else indice_dict

    def _with(self, rows, sites=None, spatial_shape=None):
        tensor = SparseConvTensor.__new__(SparseConvTensor)
        tensor.spatial_shape = self.spatial_shape if spatial_shape is None else list(spatial_shape)
        tensor.batch_size, tensor.indice_dict = self.batch_size, self.indice_dict
        tensor.sites, tensor.rows = self.sites if sites is None else sites, rows
        return tensor

    @property
    def features(self):
        """float32 [N, C] in the order of `indices`."""
        inverse = self.sites.inverse
        return self.rows if inverse is None else self.rows.index_select(0, inverse)

    @property
    def indices(self):
        """int32 [N, 1 + D] in units of this tensor's grid."""
        coords = self.sites.coords()
        stride = torch.tensor(self.sites.stride, dtype=torch.int32, device=coords.device)
        coords[:, 1:] = torch.div(coords[:, 1:], stride, rounding_mode="floor")
        inverse = self.sites.inverse
        return coords if inverse is None else coords.index_select(0, inverse)

    def replace_feature(self, feature):
        """Other features, in the order of `indices`, at the same sites."""
        order = self.sites.order
        return self._with(feature if order is None else feature.index_select(0, order))

    def dense(self, channels_first=True):
        """[B, C, *spatial_shape] (or channels last), zero where there is no site."""
        result = torch.zeros(self.batch_size, *self.spatial_shape, self.rows.shape[1], dtype=self.rows.dtype,
                             device=self.rows.device)
        result = result.index_put(tuple(self.indices.long().T), self.features)
        if not channels_first:
            return result
        last = result.dim() - 1
        return result.permute(0, last, *range(1, last)).contiguous()

    @property
    def spatial_size(self):
        """Number of cells of the grid."""
        return int(torch.tensor(self.spatial_shape).prod())


class SparseModule(torch.nn.Module):
    """Base of layers that take a SparseConvTensor."""


class _Convolution(_cuda.Keeps, SparseModule):
    """SubM: the sites stay. Sparse: as a dense convolution, where an input is. Inverse: back to the sites that the layer
    with the same indice_key came from."""

    dims, kind = 3, "sparse"

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
                 indice_key=None, algo=None, fp32_accum=None, name=None):
        super().__init__()
        if groups != 1:
            raise UsageError(f"groups={groups}: only 1 is served, as in spconv")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = per_axis(kernel_size, self.dims)
        self.stride = per_axis(stride, self.dims)
        self.padding = per_axis(padding, self.dims)
        self.dilation = per_axis(dilation, self.dims)
        self.indice_key = indice_key
        if self.kind == "subm" and (any(s != 1 for s in self.stride) or any(k % 2 == 0 for k in self.kernel_size)):
            raise UsageError(f"a submanifold convolution has stride 1 and odd kernel sizes, found stride {self.stride}, "
                             f"kernel_size {self.kernel_size}")
        self.weight = torch.nn.Parameter(torch.empty(out_channels, *self.kernel_size, in_channels))
        self.bias = torch.nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """U(-b, b) with b = 1 / sqrt(C_in * volume)."""
        bound = (self.weight[0].numel()) ** -0.5
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)

    def view(self, weight):
        """[K, C_in, C_out], offsets in lexicographic order; a view of the parameter's memory."""
        return weight.flatten(1, -2).permute(1, 2, 0)

    def back(self, gradient):
        """The other way round: [K, C_in, C_out] in the parameter's shape."""
        return gradient.permute(2, 0, 1).reshape(self.weight.shape)

    def channels_out(self, _):
        return self.out_channels

    def _stacked(self):
        """[K, C_in, C_out], contiguous."""
        return self.weight.movedim(0, -1).reshape(-1, self.in_channels, self.out_channels)

    def _kernel(self):
        if self.kind == "subm":  # centred on the site, whatever the padding says
            ones = [1] * self.dims
            return kernel_of(self.kernel_size, ones, self.dilation, [0] * self.dims, "block")
        return kernel_of(self.kernel_size, self.stride, self.dilation, self.padding, "padded")

    def _out_shape(self, shape):
        out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in
               zip(shape, self.padding, self.dilation, self.kernel_size, self.stride)]
        if min(out) < 1:
            raise ShapeError(f"a grid of {shape} cells is too small for kernel_size {self.kernel_size}, stride "
                             f"{self.stride}, padding {self.padding}, dilation {self.dilation}")
        return out

    def _inverse(self, x):
        if self.indice_key not in x.indice_dict:
            raise UsageError(f"indice_key '{self.indice_key}': no strided layer with this key came before; known: "
                             f"{sorted(map(str, x.indice_dict))}")
        fine, coarse, kernel_map, shape, size = x.indice_dict[self.indice_key]
        if size != self.kernel_size:
            raise ShapeError(f"indice_key '{self.indice_key}': its layer has kernel_size {size}, this one {self.kernel_size}")
        if not coarse.same_as(x.sites):
            raise ShapeError(f"indice_key '{self.indice_key}': its layer made other sites than these")
        return fine, kernel_map.inverse(), shape

    def forward(self, x):
        if x.rows.shape[1] != self.in_channels:
            raise ShapeError(f"the layer takes {self.in_channels} channels, the tensor has {x.rows.shape[1]}")
        if self.kind == "inverse":
            sites, kernel_map, shape = self._inverse(x)
        elif self.kind == "subm":
            kernel, key = self._kernel()
            sites, kernel_map, shape = x.sites, x.sites.map_to(x.sites, kernel, key), x.spatial_shape
        else:
            kernel, key = self._kernel()
            shape = self._out_shape(x.spatial_shape)
            sites = x.sites.coarser(kernel, key, shape)
            kernel_map = x.sites.map_to(sites, kernel, key)
            if self.indice_key is not None:
                x.indice_dict[self.indice_key] = (x.sites, sites, kernel_map, x.spatial_shape, self.kernel_size)
        if x.rows.is_cuda:
            rows = _cuda.convolve(x.rows, self.weight, self.bias, kernel_map, self, self.packed())
        else:
            rows = convolve(x.rows, self._stacked(), self.bias, kernel_map)
        return x._with(rows, sites, shape)

    def extra_repr(self):
        return (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
                f"padding={self.padding}, indice_key={self.indice_key}")


class _Inverse(_Convolution):
    __doc__ = _Convolution.__doc__
    kind = "inverse"

    def __init__(self, in_channels, out_channels, kernel_size, indice_key=None, bias=True, algo=None, fp32_accum=None,
                 name=None):
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, indice_key=indice_key)


def _layer(name, base, dims, kind):
    return type(name, (base,), {"dims": dims, "kind": kind, "__doc__": base.__doc__, "__module__": __name__})


SubMConv1d, SubMConv2d, SubMConv3d, SubMConv4d = (_layer(f"SubMConv{d}d", _Convolution, d, "subm") for d in (1, 2, 3, 4))
SparseConv1d, SparseConv2d, SparseConv3d, SparseConv4d = (
    _layer(f"SparseConv{d}d", _Convolution, d, "sparse") for d in (1, 2, 3, 4))
SparseInverseConv1d, SparseInverseConv2d, SparseInverseConv3d, SparseInverseConv4d = (
    _layer(f"SparseInverseConv{d}d", _Inverse, d, "inverse") for d in (1, 2, 3, 4))


class SparseSequential(torch.nn.Sequential):
    """Layers one after another; those of torch.nn work on the features."""

    def forward(self, x):
        for module in self:
            sparse = isinstance(module, (SparseModule, SparseSequential)) or not isinstance(x, SparseConvTensor)
            x = module(x) if sparse else x._with(module(x.rows))
        return x


class ToDense(SparseModule):
    """[B, C, *spatial_shape]."""

    def forward(self, x):
        return x.dense()
