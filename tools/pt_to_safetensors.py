#!/usr/bin/python3
"""Writes the tensors of a PyTorch checkpoint (.pt, .pth, .ckpt) as a safetensors file, in the order of the state dict.

usage: tools/pt_to_safetensors.py CHECKPOINT OUT [--key NAME]

Needs neither PyTorch nor numpy, and runs no code of the checkpoint: of what a pickle may ask for, only tensors, their
storages and ordered dictionaries are built. Reads files of PyTorch 1.6 and later (a zip archive). Of a checkpoint that
holds more than weights the state dict is found under "state_dict", "model_state", "model" or "net"; --key names another.
"""

import argparse
import collections
import io
import json
import os
import pickle
import struct
import sys
import zipfile

DTYPES = {"FloatStorage": ("F32", 4), "DoubleStorage": ("F64", 8), "HalfStorage": ("F16", 2),
          "BFloat16Storage": ("BF16", 2), "LongStorage": ("I64", 8), "IntStorage": ("I32", 4),
          "CharStorage": ("I8", 1), "ByteStorage": ("U8", 1)}
KEYS = ("state_dict", "model_state", "model", "net")


class Problem(Exception):
    """Said to the user in one line."""


class StorageType:
    def __init__(self, name):
        self.name = name


class Tensor:
    """Bytes of a contiguous tensor."""

    def __init__(self, storage, offset, shape, stride):
        self.dtype, item, data = storage
        self.shape = list(shape)
        count = 1
        for extent in shape:
            count *= extent
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride)) + 1 if count else 0
        if count and (offset < 0 or any(s < 0 for s in stride) or last * item > len(data)):
            raise Problem("a tensor reaches beyond its storage")
        dense, expected = True, 1
        for n, s in zip(reversed(shape), reversed(stride)):
            dense = dense and (n == 1 or s == expected)
            expected *= n
        if dense:
            self.data = data[offset * item:(offset + count) * item]
        else:
            self.data = b"".join(data[i * item:(i + 1) * item] for i in self.indices(offset, shape, stride))

    @staticmethod
    def indices(offset, shape, stride):
        if not shape:
            yield offset
            return
        for i in range(shape[0]):
            yield from Tensor.indices(offset + i * stride[0], shape[1:], stride[1:])


class Ignored:
    """Stands for any object that is no weight (an optimiser's settings, a configuration)."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


def rebuild_tensor(storage, offset, shape, stride, *_):
    return Tensor(storage, offset, shape, stride)


def rebuild_parameter(tensor, *_):
    return tensor


class Unpickler(pickle.Unpickler):
    def __init__(self, file, archive, root):
        super().__init__(file)
        self.archive, self.root, self.storages = archive, root, {}

    def find_class(self, module, name):
        if module == "torch" and name in DTYPES:
            return StorageType(name)
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return rebuild_tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return rebuild_parameter
        if module == "collections" and name == "OrderedDict":
            return collections.OrderedDict
        return Ignored

    def persistent_load(self, pid):
        if not (isinstance(pid, tuple) and len(pid) >= 3 and pid[0] == "storage" and isinstance(pid[1], StorageType)):
            raise Problem("a tensor has an unknown kind of storage")
        key = str(pid[2])
        if key not in self.storages:
            dtype, item = DTYPES[pid[1].name]
            self.storages[key] = (dtype, item, self.archive.read(f"{self.root}data/{key}"))
        return self.storages[key]


def load(path):
    with open(path, "rb") as file:
        is_archive = zipfile.is_zipfile(file)
    if not is_archive:
        raise Problem("is no zip archive: either no PyTorch checkpoint, or one from before PyTorch 1.6; "
                      "load and save it once with a newer PyTorch")
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Problem("holds no data.pkl: no PyTorch checkpoint")
        byteorder = pickles[0][:-len("data.pkl")] + "byteorder"
        if byteorder in archive.namelist() and archive.read(byteorder).strip() == b"big":
            raise Problem("was written on a big-endian machine")
        with archive.open(pickles[0]) as file:
            return Unpickler(io.BytesIO(file.read()), archive, pickles[0][:-len("data.pkl")]).load()


def find_state_dict(checkpoint, key):
    if key:
        if not (isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict)):
            raise Problem(f"has no dictionary '{key}'; it has: {', '.join(map(str, getattr(checkpoint, 'keys', list)()))}")
        return checkpoint[key]
    if not isinstance(checkpoint, dict):
        raise Problem("holds no dictionary of tensors (a whole module was saved: save its state_dict())")
    for name in KEYS:
        if isinstance(checkpoint.get(name), dict):
            return checkpoint[name]
    return checkpoint


def write(path, tensors):
    header, offset = {"__metadata__": {"order": "state_dict"}}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape,
                        "data_offsets": [offset, offset + len(tensor.data)]}
        offset += len(tensor.data)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in tensors.values():
                file.write(tensor.data)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--key", default="")
    options = parser.parse_args()
    try:
        found = find_state_dict(load(options.checkpoint), options.key)
        tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
        if not tensors:
            raise Problem("holds no tensors where a state dict was expected; --key names where they are")
        write(options.out, tensors)
    except Problem as problem:
        sys.exit(f"pt_to_safetensors: {options.checkpoint}: {problem}")
    except (OSError, pickle.UnpicklingError, zipfile.BadZipFile, ArithmeticError, AttributeError, EOFError, IndexError,
            KeyError, TypeError, ValueError) as problem:
        sys.exit(f"pt_to_safetensors: {options.checkpoint}: {problem}")
    print(f"{options.out}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
