"""Trainable sparse layers for PyTorch, on rarefy's own kernels, forward and backward, on CPUs and NVIDIA GPUs.

    from rarefy.torch import SparseTensor, nn as spnn          # torchsparse's names
    import rarefy.torch.spconv as spconv                       # spconv's names

Works with any version of torch: memory is passed by address, nothing is compiled against it. float32; on a GPU also float16
and bfloat16, under torch.autocast too. Coordinates and features of a tensor lie on one device, where its layers run.
"""

from . import nn, spconv
from ._cuda import release, unused_bytes
from .functional import Map, Sites, convolve, get_num_threads, set_num_threads
from .tensor import SparseTensor, cat

__all__ = ["Map", "Sites", "SparseTensor", "cat", "convolve", "get_num_threads", "nn", "release",
           "set_num_threads", "spconv", "unused_bytes"]
