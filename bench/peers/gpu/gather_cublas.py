"""Sparse convolution in PyTorch alone, under spconv's names: rows gathered, one cuBLAS product per offset, rows scattered.

One gather and one scatter per layer; the centre of a submanifold kernel multiplies the features where they lie. Maps come
from sorted keys and torch.searchsorted, one search for all offsets. This is the comparison that runs wherever PyTorch does.
"""
import itertools

import torch
from torch.autograd.function import once_differentiable


class Pairs:
    """Pairs (input row, output row) sorted by offset; those of `centre` (row to row) are left out."""

    def __init__(self, inputs, outputs, counts, in_rows, out_rows, centre=None):
        self.inputs, self.outputs, self.counts = inputs, outputs, counts
        self.in_rows, self.out_rows, self.centre = in_rows, out_rows, centre

    def number(self):
        return sum(self.counts) + (self.out_rows if self.centre is not None else 0)

    def turned(self):
        return Pairs(self.outputs, self.inputs, self.counts, self.out_rows, self.in_rows, self.centre)


class SparseConvTensor:
    """Features [N, C] at indices int32 [N, 1 + D]; tensors made from one another share maps by indice_key."""

    def __init__(self, features, indices, spatial_shape, batch_size, maps=None):
        self.features, self.indices = features, indices
        self.spatial_shape, self.batch_size = list(spatial_shape), batch_size
        self.maps = {} if maps is None else maps

    def replace_feature(self, features):
        return SparseConvTensor(features, self.indices, self.spatial_shape, self.batch_size, self.maps)


def keys_of(batch, cells, shape):
    key = batch
    for axis, size in enumerate(shape):
        key = key * size + cells[..., axis]
    return key


def offsets_of(size, device):
    return torch.tensor(list(itertools.product(*(range(k) for k in size))), dtype=torch.int64, device=device)


def submanifold(x, size):
    indices, shape = x.indices.long(), x.spatial_shape
    keys, order = torch.sort(keys_of(indices[:, 0], indices[:, 1:], shape))
    offsets = offsets_of(size, indices.device) - torch.tensor([k // 2 for k in size], device=indices.device)
    cells = indices[None, :, 1:] + offsets[:, None]
    inside = ((cells >= 0) & (cells < torch.tensor(shape, device=cells.device))).all(2)
    wanted = keys_of(indices[None, :, 0], cells, shape)
    at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    found = inside & (keys[at] == wanted)
    centre = len(offsets) // 2
    found[centre] = False
    offset, outputs = torch.nonzero(found, as_tuple=True)
    counts = torch.bincount(offset, minlength=len(offsets)).tolist()
    return Pairs(order[at[offset, outputs]], outputs, counts, len(keys), len(keys), centre)


def strided(x, size, stride, padding):
    indices, device = x.indices.long(), x.indices.device
    out_shape = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.spatial_shape, padding, size, stride)]
    offsets = offsets_of(size, device)
    steps = torch.tensor(stride, device=device)
    moved = indices[None, :, 1:] + torch.tensor(padding, device=device) - offsets[:, None]
    cells = torch.div(moved, steps, rounding_mode="floor")
    reached = ((moved % steps == 0) & (cells >= 0) & (cells < torch.tensor(out_shape, device=device))).all(2)
    offset, inputs = torch.nonzero(reached, as_tuple=True)
    keys, outputs = torch.unique(keys_of(indices[inputs, 0], cells[offset, inputs], out_shape), return_inverse=True)
    counts = torch.bincount(offset, minlength=len(offsets)).tolist()
    columns, rest = [], keys
    for n in reversed(out_shape):
        columns.append(rest % n)
        rest = torch.div(rest, n, rounding_mode="floor")
    out_indices = torch.stack([rest, *reversed(columns)], 1).int()
    return Pairs(inputs, outputs, counts, len(indices), len(keys)), out_indices, out_shape


def product(x, weight, pairs, transposed=False):
    """Weights [K, C_in, C_out]; transposed: the gradient of the input, pairs turned by the caller."""
    if transposed:
        weight = weight.transpose(1, 2)
    y = x @ weight[pairs.centre] if pairs.centre is not None else x.new_zeros(pairs.out_rows, weight.shape[2])
    rows = x.index_select(0, pairs.inputs)
    made = x.new_empty(len(rows), weight.shape[2])
    for a, w, out in zip(rows.split(pairs.counts), weight.unbind(0), made.split(pairs.counts)):
        if len(a):
            torch.mm(a, w, out=out)
    return y.index_add_(0, pairs.outputs, made)


class Convolution(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float16)
    def forward(ctx, x, weight, pairs):
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        return product(x, weight, pairs)

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        pairs, gradient = ctx.pairs, gradient.contiguous()
        gx = product(gradient, weight, pairs.turned(), transposed=True) if ctx.needs_input_grad[0] else None
        gw = None
        if ctx.needs_input_grad[1]:
            gw = torch.zeros_like(weight)
            inputs, outputs = x.index_select(0, pairs.inputs), gradient.index_select(0, pairs.outputs)
            for a, b, out in zip(inputs.split(pairs.counts), outputs.split(pairs.counts), gw.unbind(0)):
                if len(a):
                    torch.mm(a.t(), b, out=out)
            if pairs.centre is not None:
                torch.mm(x.t(), gradient, out=gw[pairs.centre])
        return gx, gw, None


class SparseConvolution(torch.nn.Module):
    kind = "strided"

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True, indice_key=None):
        super().__init__()
        each = lambda v: list(v) if isinstance(v, (list, tuple)) else [v] * 3  # noqa: E731
        self.kernel_size, self.stride, self.padding = each(kernel_size), each(stride), each(padding)
        self.in_channels, self.out_channels, self.indice_key = in_channels, out_channels, indice_key
        self.weight = torch.nn.Parameter(torch.empty(out_channels, *self.kernel_size, in_channels))
        self.bias = torch.nn.Parameter(torch.empty(out_channels)) if bias else None

    def pairs(self, x):
        known = x.maps.get(self.indice_key)
        if self.kind == "subm":
            if known is None:
                known = x.maps[self.indice_key] = (submanifold(x, self.kernel_size), x.indices, x.spatial_shape)
            return known
        if self.kind == "inverse":
            pairs, indices, shape = x.maps[self.indice_key][3:]
            return pairs.turned(), indices, shape
        if known is None:
            found = strided(x, self.kernel_size, self.stride, self.padding)
            known = (*found, found[0], x.indices, x.spatial_shape)
            if self.indice_key is not None:
                x.maps[self.indice_key] = known
        return known[:3]

    def forward(self, x):
        pairs, indices, shape = self.pairs(x)
        weight = self.weight.movedim(0, -1).reshape(-1, self.in_channels, self.out_channels)
        y = Convolution.apply(x.features, weight, pairs)
        if self.bias is not None:
            y = y + self.bias.to(y.dtype)
        LAYERS.append((pairs.number() * self.in_channels * self.out_channels,
                       pairs.in_rows * self.in_channels + pairs.out_rows * self.out_channels + self.weight.numel()))
        return SparseConvTensor(y, indices, shape, x.batch_size, x.maps)


LAYERS = []  # of those that ran: multiply-adds, and numbers that must move (features read and written once, weights)


class SubMConv3d(SparseConvolution):
    kind = "subm"


class SparseConv3d(SparseConvolution):
    pass


class SparseInverseConv3d(SparseConvolution):
    kind = "inverse"

    def __init__(self, in_channels, out_channels, kernel_size, indice_key=None, bias=True):
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, indice_key=indice_key)
