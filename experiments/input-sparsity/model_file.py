"""Reads and writes the project's model files (docs/model-file.md) as plain Python: graph, pipeline, notes, arrays."""

import json
import struct
import zlib

import numpy


def read(path):
    """{"graph", "pipeline": parsed JSON, "notes": {...}, "arrays": {name: float32 array}}"""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    meta = header.pop("__metadata__")
    arrays = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {entry['dtype']}, expected F32: start from a model on real numbers")
        begin, end = entry["data_offsets"]
        arrays[name] = numpy.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"]).copy()
    notes = {key[5:]: value for key, value in meta.items() if key.startswith("note.")}
    return {"graph": json.loads(meta["graph"]), "pipeline": json.loads(meta["pipeline"]), "notes": notes, "arrays": arrays}


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write(path, model):
    header, data = {}, b""
    for name in sorted(model["arrays"]):
        array = numpy.ascontiguousarray(model["arrays"][name], dtype="<f4")
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    graph, pipeline = compact(model["graph"]), compact(model["pipeline"])
    crc = zlib.crc32(data, zlib.crc32(pipeline.encode(), zlib.crc32(graph.encode())))
    meta = {"format": "rarefy", "version": "1", "graph": graph, "pipeline": pipeline, "crc32": f"{crc:08x}"}
    meta.update({f"note.{key}": value for key, value in model["notes"].items()})
    text = json.dumps({"__metadata__": meta, **header}, ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
