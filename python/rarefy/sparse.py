"""Sparse tensors and voxels."""

from typing import NamedTuple

import numpy

from . import _core
from ._arrays import as_array, as_rows
from ._core import ShapeError, UsageError


class SparseTensor:
    """Features at sites. Coordinates are in finest voxels whatever the stride, as in C++ and in files.

    coords   int32 [N, 1 + D]: batch, x, y, ...; any order, no duplicates
    feats    float32 [N, C]
    stride   distance of neighbouring sites, one number or one per axis
    batches  number of samples; None = one more than the largest batch index
    Nothing is copied; anything with __dlpack__ is taken as well.
    """

    __slots__ = ("coords", "feats", "stride", "batches")

    def __init__(self, coords, feats, stride=1, batches=None):
        coords = as_array(coords, "coords")
        if coords.dtype != numpy.int32:
            raise UsageError(f"coords: expected int32, found {coords.dtype}: convert it with .astype(numpy.int32)")
        feats = as_rows(feats, numpy.float32, "feats")
        if coords.ndim != 2 or not 2 <= coords.shape[1] <= 5:
            raise ShapeError(f"coords: expected [N, 1 + D] (batch, x, y, ...), found {list(coords.shape)}")
        if feats.ndim != 2 or feats.shape[0] != coords.shape[0]:
            raise ShapeError(f"feats: expected [{coords.shape[0]}, C], found {list(feats.shape)}")
        self.coords = numpy.ascontiguousarray(coords)
        self.feats = feats
        dims = coords.shape[1] - 1
        self.stride = tuple(stride) if isinstance(stride, (tuple, list)) else (int(stride),) * dims
        self.batches = batches

    @property
    def batch(self):
        """int32 [N]: which sample each row belongs to."""
        return self.coords[:, 0]

    @property
    def dims(self):
        """D."""
        return self.coords.shape[1] - 1

    def __len__(self):
        return self.coords.shape[0]

    def __repr__(self):
        return (f"<rarefy.SparseTensor: {len(self)} sites, {self.feats.shape[1]} channels, {self.dims} axes, "
                f"stride {self.stride}>")


class Voxels(NamedTuple):
    """What voxelize makes."""

    tensor: SparseTensor  # the voxels, sorted, with their features
    index: numpy.ndarray  # int32 [P]: row of the voxel that each point fell into, -1 = none
    not_finite: int  # points left out because a coordinate is NaN or infinite
    outside: int  # points left out because they lie outside the crop or the range of coordinates


def voxelize(points, voxel_size, features=None, *, sample_begin=None, rounding="floor", crop_min=(), crop_max=(),
             reduction="mean"):
    """Voxels of points: `floor(x / voxel_size)` in float32, exactly as numpy.floor(xyz / numpy.float32(v)).

    points        float32 [P, >= D], coordinates first; metres
    voxel_size    one number (three axes), or one per axis
    features      float32 [P, C] of the points; None = their columns
    sample_begin  [B + 1] first point of each scan; None = one scan
    rounding      "floor", "round_minus_min" (the rule of the spvnas code) or "floor_from_crop" (spconv's)
    reduction     "mean", "max" or "first": how points of a voxel become its features
    Raises UsageError, ShapeError. docs/coordinates.md says what a voxel is.
    """
    size = [float(v) for v in voxel_size] if isinstance(voxel_size, (list, tuple, numpy.ndarray)) else [float(voxel_size)] * 3
    points = as_rows(points, numpy.float32, "points")
    features = points if features is None else as_rows(features, numpy.float32, "features")
    begin = [0, len(points)] if sample_begin is None else [int(b) for b in sample_begin]
    coords, feats, index, not_finite, outside = _core.voxelize(
        points, features, begin, size, rounding, list(crop_min), list(crop_max), reduction)
    return Voxels(SparseTensor(coords, feats, batches=len(begin) - 1), index, not_finite, outside)
