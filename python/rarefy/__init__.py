"""Efficient deep learning with sparsity: sparse convolutions, graphs and models on CPUs.

    import rarefy
    labels = rarefy.load("street.safetensors").run(points=xyz)["labels"]

`rarefy.Graph` builds networks through the table of ops, `rarefy.Model` holds graph and weights, `rarefy.Session` runs
them; `rarefy.torch` (imported by itself) has trainable layers for PyTorch.
"""

from ._core import (Cancelled, Error, InputError, IoError, MemoryError, ShapeError, UnsupportedError,  # noqa: A004
                    UsageError)
from ._core import version as __version__
from .graph import Graph, Value
from .model import Model, Outputs, Session, build, builders, load
from .sparse import SparseTensor, Voxels, voxelize

__all__ = ["Cancelled", "Error", "Graph", "InputError", "IoError", "MemoryError", "Model", "Outputs", "Session",
           "ShapeError", "SparseTensor", "UnsupportedError", "UsageError", "Value", "Voxels", "build", "builders",
           "load", "voxelize", "__version__"]
