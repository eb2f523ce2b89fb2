"""A rarefy graph interpreted with PyTorch, straightforwardly: maps from sorted int64 keys, per kernel offset index_select, mm
and index_add_. Inference only: batch norms are folded, work is done in place where nobody else reads."""
import torch

BITS = 18
ZERO = 1 << (BITS - 1)
SUPPORTED = {"input_points", "voxelize", "reduce", "select_columns", "downsample", "kernel_map", "transpose_map", "sparse_conv",
             "linear", "batch_norm", "relu", "add", "concat", "argmax", "gather"}


def delta(x, y, z):
    return (x << (2 * BITS)) + (y << BITS) + z


def keys_of(cells):
    """int64 keys in the order of x, y, z. @param cells  int64 [N, 3]"""
    return (cells[:, 0] + ZERO) * delta(1, 0, 0) + (cells[:, 1] + ZERO) * delta(0, 1, 0) + cells[:, 2] + ZERO


class Map:
    """Pairs (in, out) per offset; the offset `identity` joins every row with itself."""

    def __init__(self, pairs, identity, out_rows):
        self.pairs, self.identity, self.out_rows = pairs, identity, out_rows

    def transposed(self, out_rows):
        return Map([(out, row) for row, out in self.pairs], self.identity, out_rows)


def build_map(source, target, stride, size):
    """Kernel map between sorted keys; the mirrored half of a submanifold map is not searched."""
    same = source is target and size % 2 == 1
    volume, first = size**3, -(size // 2) if size % 2 == 1 else 0
    none = (torch.empty(0, dtype=torch.int64),) * 2
    identity, pairs = volume // 2 if same else -1, []
    for k in range(volume):
        if k == identity:
            pairs.append(none)
        elif same and k > identity:
            row, out = pairs[volume - 1 - k]
            pairs.append((out, row))
        else:
            wanted = target + stride * delta(first + k // size**2, first + k // size % size, first + k % size)
            place = torch.searchsorted(source, wanted).clamp_(max=len(source) - 1)
            found = (source[place] == wanted).nonzero().squeeze(1)
            pairs.append((place[found], found))
    return Map(pairs, identity, len(target))


def convolve(x, weight, bias, kernel_map):
    if kernel_map.identity >= 0:
        w = weight[kernel_map.identity]
        y = x @ w if bias is None else torch.addmm(bias, x, w)
    else:
        y = x.new_zeros(kernel_map.out_rows, weight.shape[2])
        if bias is not None:
            y += bias
    for k, (row, out) in enumerate(kernel_map.pairs):
        if k != kernel_map.identity and len(row):
            y.index_add_(0, out, x.index_select(0, row) @ weight[k])
    return y


class Network:
    """A model of the library, run by PyTorch. `convolution(x, weight, bias, map)` and `prepare_map(map)` may be another's."""

    def __init__(self, model, convolution=convolve, prepare_map=lambda kernel_map: kernel_map):
        self.nodes = model.graph.nodes
        unknown = {node["op"] for node in self.nodes} - SUPPORTED
        if unknown:
            raise ValueError(f"the peer has no op {', '.join(sorted(unknown))}")
        self.convolution, self.prepare_map = convolution, prepare_map
        self.weights = {name: torch.tensor(value) for name, value in model.weights.items()}
        self.readers = {}
        for node in self.nodes:
            for value in node["inputs"]:
                self.readers[value] = self.readers.get(value, 0) + 1
        self.bias, self.folded = {}, set()
        self._fold()

    def _fold(self):
        makers = {output: node for node in self.nodes for output in node["outputs"]}
        for node in self.nodes:
            before = makers[node["inputs"][0]] if node["op"] == "batch_norm" else None
            if before is None or before["op"] not in ("sparse_conv", "linear") or self.readers[node["inputs"][0]] != 1:
                continue
            scale, shift, mean, variance = (self.weights[name] for name, _, _ in node["parameters"])
            scale = scale * torch.rsqrt(variance + node["attributes"]["epsilon"])
            shift = shift - mean * scale
            own = before["parameters"]
            if len(own) > 1:
                shift = shift + self.weights[own[1][0]] * scale
            self.weights[own[0][0]] = self.weights[own[0][0]] * scale
            self.bias[before["name"]] = shift
            self.folded.add(node["name"])

    def geometry(self, points):
        """Voxels, coarser sites and maps, by value. @param points  float32 [P, 4]"""
        g, stride = {}, {}
        for node in self.nodes:
            a, ins, outs = node["attributes"], node["inputs"], node["outputs"]
            if node["op"] == "input_points":
                g[outs[1]] = points
            elif node["op"] == "voxelize":
                cells = (points[:, :3] / torch.tensor(a["voxel_size"], dtype=torch.float32)).floor_().to(torch.int64)
                g[outs[0]], inverse, counts = torch.unique(keys_of(cells), return_inverse=True, return_counts=True)
                g[outs[1]], stride[outs[0]] = (inverse, counts), 1
            elif node["op"] == "reduce":
                inverse, counts = g[ins[1]]
                g[outs[0]] = points.new_zeros(len(counts), points.shape[1]).index_add_(0, inverse, points).div_(counts.unsqueeze(1))
            elif node["op"] == "downsample":
                stride[outs[0]] = stride[ins[0]] * a["stride"][0]
                low = stride[outs[0]] - 1
                g[outs[0]] = torch.unique(g[ins[0]] & ~delta(low, low, low))
            elif node["op"] == "kernel_map":
                g[outs[0]] = self.prepare_map(build_map(g[ins[0]], g[ins[1]], stride[ins[0]], a["kernel"][0]))
                g[("rows", outs[0])] = len(g[ins[0]])
            elif node["op"] == "transpose_map":
                g[outs[0]] = g[ins[0]].transposed(g[("rows", ins[0])])
        return g

    def features(self, geometry):
        """Logits per voxel."""
        values, left = dict(geometry), dict(self.readers)
        for node in self.nodes:
            op, ins = node["op"], node["inputs"]
            if op in ("input_points", "voxelize", "reduce", "downsample", "kernel_map", "transpose_map"):
                continue
            values[node["outputs"][0]] = values[ins[0]] if node["name"] in self.folded else self._run(node, values)
            for value in ins:
                left[value] -= 1
                if left[value] == 0 and value not in geometry:
                    del values[value]
            if op == "linear" and node["name"] == "classifier":
                logits = values[node["outputs"][0]]
        return logits

    def _run(self, node, values):
        op, ins, x = node["op"], node["inputs"], values[node["inputs"][0]]
        in_place = self.readers[ins[0]] == 1
        if op in ("sparse_conv", "linear"):
            names = [name for name, _, _ in node["parameters"]]
            bias = self.bias.get(node["name"], self.weights[names[1]] if len(names) > 1 else None)
            weight = self.weights[names[0]]
            if op == "sparse_conv":
                return self.convolution(x, weight, bias, values[ins[1]])
            return x @ weight if bias is None else torch.addmm(bias, x, weight)
        if op == "select_columns":
            a = node["attributes"]
            return (x[:, a["columns"]] - torch.tensor(a["offset"], dtype=torch.float32)).mul_(
                torch.tensor(a["scale"], dtype=torch.float32))
        if op == "relu":
            return x.relu_() if in_place else x.relu()
        if op == "add":
            return x.add_(values[ins[1]]) if in_place else x + values[ins[1]]
        if op == "concat":
            return torch.cat([values[value] for value in ins], 1)
        if op == "argmax":
            return x.argmax(1)
        return x.index_select(0, values[ins[1]][0])  # gather: labels back to points
