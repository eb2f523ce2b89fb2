#!/usr/bin/env python3
"""Writes a rarefy model file with numpy alone: two sparse convolutions and a classifier on a sparse tensor.

    python3 write_model.py model.safetensors
    rarefy run model.safetensors --input in.npz --output out.npz

The format is that of docs/model-file.md.
"""
import json
import struct
import sys
import zlib

import numpy as np


def node(name, op, inputs=(), parameters=(), **attributes):
    entry = {"name": name, "op": op, "inputs": list(inputs), "attributes": attributes}
    if parameters:
        entry["parameters"] = list(parameters)
    return entry


def write_model(path, nodes, outputs, weights, notes=None):
    """weights: name -> float32 array. outputs: name -> value ("node", or "node:1" for a second output)."""
    graph = json.dumps({"version": 1, "nodes": nodes,
                        "outputs": [{"name": k, "value": v} for k, v in outputs.items()]})
    header, data = {}, b""
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], dtype="<f4")
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    checksum = zlib.crc32(data, zlib.crc32(graph.encode()))  # graph, then pipeline (none here), then data
    header["__metadata__"] = {"format": "rarefy", "version": "1", "graph": graph, "crc32": f"{checksum:08x}",
                              **{f"note.{k}": v for k, v in (notes or {}).items()}}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rng = np.random.default_rng(1)
    channels = [3, 8, 8, 4]
    nodes = [
        node("x", "input_sparse", channels=channels[0], dims=3, stride=[1]),
        # input_sparse has two outputs: the space ("x") and the features ("x:1")
        node("neighbours", "kernel_map", ["x", "x"], kernel=[3]),
        node("conv1", "sparse_conv", ["x:1", "neighbours"], ["conv1.weight", "conv1.bias"], channels=channels[1], bias=1),
        node("relu1", "relu", ["conv1"]),
        node("coarse", "downsample", ["x"], kernel=[2], stride=[2]),
        node("to_coarse", "kernel_map", ["x", "coarse"], kernel=[2], stride=[2]),
        node("conv2", "sparse_conv", ["relu1", "to_coarse"], ["conv2.weight"], channels=channels[2], bias=0),
        node("head", "linear", ["conv2"], ["head.weight", "head.bias"], channels=channels[3], bias=1),
    ]
    weights = {
        "conv1.weight": rng.normal(size=(27, channels[0], channels[1])),  # offsets in lexicographic order, last axis fastest
        "conv1.bias": rng.normal(size=channels[1]),
        "conv2.weight": rng.normal(size=(8, channels[1], channels[2])),
        "head.weight": rng.normal(size=(channels[2], channels[3])),
        "head.bias": rng.normal(size=channels[3]),
    }
    write_model(sys.argv[1], nodes, {"y": "head"}, weights, {"description": "written by numpy"})


if __name__ == "__main__":
    main()
