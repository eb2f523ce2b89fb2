"""Features of PyTorch at sites."""

import torch

from .._core import ShapeError
from .functional import Sites


class SparseTensor:
    """Features float32 [N, C] at coordinates int32 [N, 1 + D] (batch, x, y, ...), in finest voxels whatever the stride.

    Constructor and attributes (feats or F, coords or C, stride or s) are those of torchsparse. Rows keep the order in
    which they were given; `rows` has them in sorted order, which is what layers work on.
    """

    def __init__(self, feats, coords, stride=1, batches=None):
        sites = Sites.of(coords, stride, batches)
        if feats.dim() != 2 or feats.shape[0] != len(sites):
            raise ShapeError(f"feats: expected [{len(sites)}, C], found {list(feats.shape)}")
        self.sites = sites
        self.rows = feats if sites.order is None else feats.index_select(0, sites.order)

    @classmethod
    def on(cls, sites, rows):
        """Features in sorted order, over sites that exist."""
        if rows.shape[0] != len(sites):
            raise ShapeError(f"features: {rows.shape[0]} rows for {len(sites)} sites")
        tensor = cls.__new__(cls)
        tensor.sites, tensor.rows = sites, rows
        return tensor

    def with_rows(self, rows):
        """Other features, in sorted order, at the same sites."""
        return SparseTensor.on(self.sites, rows)

    def replace(self, feats):
        """Other features, in the order of `coords`, at the same sites."""
        order = self.sites.order
        return self.with_rows(feats if order is None else feats.index_select(0, order))

    @property
    def feats(self):
        """float32 [N, C] in the order of `coords`."""
        inverse = self.sites.inverse
        return self.rows if inverse is None else self.rows.index_select(0, inverse)

    @property
    def coords(self):
        """int32 [N, 1 + D]."""
        inverse = self.sites.inverse
        coords = self.sites.coords()
        return coords if inverse is None else coords.index_select(0, inverse)

    @property
    def stride(self):
        """Per axis, in finest voxels."""
        return self.sites.stride

    F, C, s = feats, coords, stride

    def _same(self, other):
        if not self.sites.same_as(other.sites):
            raise ShapeError(f"the tensors lie on different sites: {len(self.sites)} at stride {self.stride}, "
                             f"{len(other.sites)} at stride {other.stride}")
        # Equal sites in another order of the caller's would mix rows up; sorted rows never do.
        return other.rows

    def __add__(self, other):
        return self.with_rows(self.rows + self._same(other))

    def __len__(self):
        return len(self.sites)

    def __repr__(self):
        return f"<rarefy.torch.SparseTensor: {len(self)} sites, {self.rows.shape[1]} channels, stride {self.stride}>"


def cat(tensors):
    """Channels of several tensors over the same sites, side by side."""
    first = tensors[0]
    return first.with_rows(torch.cat([first.rows] + [first._same(other) for other in tensors[1:]], dim=1))
