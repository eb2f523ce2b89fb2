#!/usr/bin/python3
"""Writes the layers of an .npz archive of 8-bit weights as a safetensors state dict in PyTorch's names and layout.

usage: tools/npz_to_safetensors.py ARCHIVE OUT

A layer NAME has NAME.weight_i8 (int8, OIHW or OI), NAME.wscale (one number, or one per output) and NAME.bias; the result
has NAME.weight (float32, the product) and NAME.bias. Other arrays are left out. Needs numpy.

  tools/npz_to_safetensors.py mobilenet_v2_int8.npz mobilenet.safetensors
  rarefy convert mobilenet.safetensors --from pytorch --builder mobilenet_v2 --set norms=0 --classes 1000 --out model.safetensors
"""

import json
import os
import struct
import sys

import numpy as np


def layers(archive):
    """(name, weight, bias) of each layer, in the archive's order."""
    found = [name[:-len(".weight_i8")] for name in archive.files if name.endswith(".weight_i8")]
    if not found:
        raise SystemExit(f"{sys.argv[1]}: there is no array NAME.weight_i8; there are: {', '.join(archive.files[:8])}")
    for name in found:
        for part in ("wscale", "bias"):
            if f"{name}.{part}" not in archive.files:
                raise SystemExit(f"{sys.argv[1]}: layer '{name}' has no array '{name}.{part}'")
        weight, scale = archive[name + ".weight_i8"], archive[name + ".wscale"].astype(np.float32).reshape(-1)
        scale = scale.reshape((-1,) + (1,) * (weight.ndim - 1))
        yield name, weight.astype(np.float32) * scale, archive[name + ".bias"].astype(np.float32)


def write(path, tensors):
    header, blobs, at = {}, [], 0
    for name, array in tensors:
        blob = np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for blob in blobs:
            out.write(blob)
    os.replace(path + ".part", path)


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    tensors = []
    for name, weight, bias in layers(np.load(sys.argv[1])):
        tensors += [(name + ".weight", weight), (name + ".bias", bias)]
    write(sys.argv[2], tensors)


if __name__ == "__main__":
    main()
