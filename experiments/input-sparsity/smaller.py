#!/usr/bin/python3
"""Dense models that compute less, made of a trained one: larger voxels, or fewer channels.

usage: smaller.py larger MODEL OUT EDGE      the same weights on voxels of another edge, in metres
       smaller.py narrower MODEL OUT WIDTH   of every group of channels those with the largest filters (L1; Li et al., ICLR
                                             2017), as many as minkunet has at this width
"""

import sys

import numpy

import model_file

PUBLISHED = [32, 64, 96, 128, 256]  # channels of minkunet at width 1


def larger(model, edge):
    for node in model["graph"]["nodes"]:
        if node["op"] == "voxelize":
            node["attributes"]["voxel_size"] = [edge] * len(node["attributes"]["voxel_size"])
    model["pipeline"]["voxel_size"] = [edge] * len(model["pipeline"]["voxel_size"])
    return model


class Groups:
    """Channels that must go together: of layers whose results are added."""

    def __init__(self):
        self.parent, self.size, self.fixed = [], [], set()

    def new(self, size, fixed=False):
        self.parent.append(len(self.parent))
        self.size.append(size)
        if fixed:
            self.fixed.add(len(self.parent) - 1)
        return len(self.parent) - 1

    def find(self, group):
        while self.parent[group] != group:
            group = self.parent[group]
        return group

    def join(self, a, b):
        a, b = self.find(a), self.find(b)
        if self.size[a] != self.size[b]:
            raise ValueError(f"{self.size[a]} and {self.size[b]} channels are added")
        self.parent[b] = a


def channel_flow(nodes, groups):
    """Lists of groups by value, and per layer (groups in, group out). @raises ValueError for an op that it does not know"""
    channels, layers = {}, {}
    for node in nodes:
        name, op = node["name"], node["op"]
        first = node["inputs"][0] if node["inputs"] else None
        if op == "input_points":
            channels[name + ":1"] = [groups.new(node["attributes"]["channels"], fixed=True)]
        elif op == "select_columns":
            channels[name] = [groups.new(len(node["attributes"]["columns"]), fixed=True)]
        elif op in ("sparse_conv", "linear"):
            out = groups.new(node["attributes"]["channels"])
            layers[name] = (channels[first], [out])
            channels[name] = [out]
        elif op == "batch_norm":
            layers[name] = (channels[first], channels[first])
            channels[name] = channels[first]
        elif op == "add":
            for a, b in zip(channels[first], channels[node["inputs"][1]], strict=True):
                groups.join(a, b)
            channels[name] = channels[first]
        elif op == "concat":
            channels[name] = [g for value in node["inputs"] for g in channels[value]]
        elif op in ("relu", "reduce", "gather"):
            channels[name] = channels[first]
        elif op == "argmax":
            channels[name] = [groups.new(1, fixed=True)]
        elif op not in ("voxelize", "kernel_map", "transpose_map", "downsample"):
            raise ValueError(f"node '{name}': channels of op '{op}' are not known here")
    return channels, layers


def kept_channels(model, groups, layers, width):
    """Indices that stay, by group."""
    strength = {}
    for node in model["graph"]["nodes"]:
        if node["op"] not in ("sparse_conv", "linear"):
            continue
        weight = model["arrays"][node["parameters"][0]]
        out = groups.find(layers[node["name"]][1][0])
        strength[out] = strength.get(out, 0) + numpy.abs(weight).reshape(-1, weight.shape[-1]).sum(0)
    old_width = float(model["notes"]["builder"].split()[-1])
    now = {int(old_width * c): max(1, int(width * c)) for c in PUBLISHED}
    kept = {}
    for group, size in enumerate(groups.size):
        root = groups.find(group)
        if any(groups.find(f) == root for f in groups.fixed):
            kept[group] = numpy.arange(size)
            continue
        best = numpy.argsort(-strength[root], kind="stable")[:now[size]]
        kept[group] = numpy.sort(best)
    return kept


def narrower(model, width):
    nodes, arrays = model["graph"]["nodes"], model["arrays"]
    groups = Groups()
    channels, layers = channel_flow(nodes, groups)
    for output in model["graph"]["outputs"]:
        if output["name"] == "logits":
            groups.fixed.update(groups.find(g) for g in channels[output["value"]])
    kept = kept_channels(model, groups, layers, width)

    def rows(several):
        begin, result = 0, []
        for group in several:
            result.append(begin + kept[group])
            begin += groups.size[group]
        return numpy.concatenate(result)

    for node in nodes:
        if node["name"] not in layers:
            continue
        read, made = layers[node["name"]]
        for i, name in enumerate(node["parameters"]):
            if node["op"] != "batch_norm" and i == 0:
                arrays[name] = arrays[name][..., rows(read), :]
            arrays[name] = arrays[name][..., rows(made)]
        if node["op"] != "batch_norm":
            node["attributes"]["channels"] = len(rows(made))
    model["notes"]["builder"] = f"minkunet width {width:g}"
    return model


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in ("larger", "narrower"):
        sys.exit(__doc__)
    change = larger if sys.argv[1] == "larger" else narrower
    model_file.write(sys.argv[3], change(model_file.read(sys.argv[2]), float(sys.argv[4])))


if __name__ == "__main__":
    main()
