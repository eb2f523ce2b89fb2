"""Trainable sparse layers for PyTorch, on rarefy's own kernels, forward and backward, on the CPU.

    from rarefy.torch import SparseTensor, nn as spnn          # torchsparse's names
    import rarefy.torch.spconv as spconv                       # spconv's names

Works with any version of torch: memory is passed by address, nothing is compiled against it. float32.
"""

from . import nn, spconv
from .functional import Map, Sites, convolve, get_num_threads, set_num_threads
from .tensor import SparseTensor, cat

__all__ = ["Map", "Sites", "SparseTensor", "cat", "convolve", "get_num_threads", "nn", "set_num_threads", "spconv"]
