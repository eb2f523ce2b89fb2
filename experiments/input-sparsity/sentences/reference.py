#!/usr/bin/python3
"""The sentence encoder in NumPy, written from BERT's definition: what rarefy's is compared with.

usage: reference.py MODEL_FOLDER SENTENCE...      prints numbers of words and the first values of each embedding
"""

import json
import struct
import sys

import numpy

from tokenizer import Tokenizer


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    kinds = {"F32": numpy.float32, "I64": numpy.int64}
    arrays = {}
    for name, spec in header.items():
        if name == "__metadata__":
            continue
        first, last = (8 + length + at for at in spec["data_offsets"])
        arrays[name] = numpy.frombuffer(data[first:last], kinds[spec["dtype"]]).reshape(spec["shape"])
    return arrays


def _erf(x):
    """To 1e-12: the Taylor series near 0, the continued fraction further out."""
    x = numpy.asarray(x, numpy.float64)
    small = numpy.clip(x, -3, 3)
    term, total = small.copy(), small.copy()
    for n in range(1, 80):
        term = -term * small * small / n
        total += term / (2 * n + 1)
    near = total * 2 / numpy.sqrt(numpy.pi)
    size = numpy.maximum(numpy.abs(x), 2.5)
    fraction = numpy.zeros_like(size)
    for n in range(60, 0, -1):
        fraction = n / 2 / (size + fraction)
    far = numpy.sign(x) * (1 - numpy.exp(-size * size) / numpy.sqrt(numpy.pi) / (size + fraction))
    return numpy.where(numpy.abs(x) < 3, near, far)


class Encoder:
    """Mean of the last states, of length 1, in double precision."""

    def __init__(self, weights, heads=12, epsilon=1e-12):
        self.w = {name: array.astype(numpy.float64) for name, array in weights.items() if array.dtype == numpy.float32}
        self.heads, self.epsilon = heads, epsilon

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(1, keepdims=True)
        return x / numpy.sqrt((x * x).mean(1, keepdims=True) + self.epsilon) * self.w[name + ".weight"] + \
            self.w[name + ".bias"]

    def attend(self, x, name):
        rows, cols = x.shape
        q, k, v = (self.linear(x, f"{name}.{part}").reshape(rows, self.heads, -1).transpose(1, 0, 2)
                   for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / numpy.sqrt(cols // self.heads)
        p = numpy.exp(scores - scores.max(2, keepdims=True))
        return (p / p.sum(2, keepdims=True) @ v).transpose(1, 0, 2).reshape(rows, cols)

    def __call__(self, numbers):
        w = self.w
        x = w["embeddings.word_embeddings.weight"][numbers] + w["embeddings.token_type_embeddings.weight"][0] + \
            w["embeddings.position_embeddings.weight"][:len(numbers)]
        x = self.norm(x, "embeddings.LayerNorm")
        layer = 0
        while f"encoder.layer.{layer}.output.dense.weight" in w:
            at = f"encoder.layer.{layer}"
            x = self.norm(x + self.linear(self.attend(x, at + ".attention.self"), at + ".attention.output.dense"),
                          at + ".attention.output.LayerNorm")
            hidden = self.linear(x, at + ".intermediate.dense")
            hidden = hidden * 0.5 * (1 + _erf(hidden / numpy.sqrt(2)))
            x = self.norm(x + self.linear(hidden, at + ".output.dense"), at + ".output.LayerNorm")
            layer += 1
        mean = x.mean(0)
        return mean / numpy.linalg.norm(mean)


def main():
    folder = sys.argv[1]
    tokenize = Tokenizer(folder + "/vocab.txt")
    encode = Encoder(read_safetensors(folder + "/model.safetensors"))
    for sentence in sys.argv[2:]:
        numbers = tokenize(sentence)
        print(numbers, numpy.array2string(encode(numbers)[:8], precision=7, separator=", "))


if __name__ == "__main__":
    main()
