"""Scans as point clouds, their voxels, and the voxels of CenterPoint's example."""
import os

import numpy
import torch


def load(path):
    """float32 [P, 4] x, y, z, intensity (0 where the file has none)."""
    if path.endswith(".npy"):
        points = numpy.load(path).astype("f4")
        return numpy.concatenate([points[:, :3], numpy.zeros((len(points), 1), "f4")], 1)
    return numpy.fromfile(path, "<f4").reshape(-1, 4)


def find(folder):
    """Name and points of every scan in the folder, the scans of 64 beams first."""
    names = [os.path.join(top, f) for top, _, files in os.walk(folder) for f in files]
    kept = [n for n in sorted(names) if n.endswith((".bin", ".npy")) and "label" not in n and "nuscenes" not in n]
    return [(os.path.relpath(n, folder), load(n)) for n in sorted(kept, key=lambda n: n.endswith(".npy"))]


def voxelize(points, size=0.05):
    """As users of spvnas and mmdet3d do (round, minus the minimum, the first point of each voxel), but on the GPU: one key
    per point and torch.unique. Rows are sorted. Returns features, indices [V, 4] (batch, x, y, z), spatial shape: multiples
    of 16, so that strides of 2 leave nothing over."""
    cells = torch.round(points[:, :3] / torch.full((3,), size, device=points.device)).long()
    cells -= cells.amin(0)
    keys, inverse = torch.unique((cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2], return_inverse=True)
    number = torch.arange(len(points), device=points.device)
    first = torch.full((len(keys),), len(points), device=points.device).scatter_reduce_(0, inverse, number, "amin")
    mask = (1 << 21) - 1
    indices = torch.stack([torch.zeros_like(keys), keys >> 42, (keys >> 21) & mask, keys & mask], 1).int()
    shape = [int(n) // 16 * 16 + 16 for n in indices[:, 1:].amax(0).tolist()]
    return points[first], indices, shape


def batch(voxels, limit, seed=0):
    """Several scans in one tensor, each cut to `limit` voxels drawn at random, as the published recipe does."""
    features, indices, shape = [], [], [16, 16, 16]
    for b, (f, i, s) in enumerate(voxels):
        if len(f) > limit:
            kept = torch.randperm(len(f), generator=torch.Generator().manual_seed(seed))[:limit].sort().values.to(f.device)
            f, i = f[kept], i[kept]
        i = i.clone()
        i[:, 0] = b
        features.append(f)
        indices.append(i)
        shape = [max(a, c) for a, c in zip(shape, s)]
    return torch.cat(features), torch.cat(indices), shape


def tensor_file(path):
    """Rows of a .tensor file: five int32 (magic, 2 dimensions, 1 = int32 or 2 = fp16, rows, columns), then the rows."""
    data = numpy.fromfile(path, "u1")
    _, _, kind, rows, columns = data[:20].view("<i4")
    return data[20:].view("<i4" if kind == 1 else "<f2").reshape(rows, columns)


def centerpoint(folder):
    """Features float32 [V, 5], indices int32 [V, 4] (batch, z, y, x) and shape of the voxels; None where they are not."""
    for top, _, files in os.walk(folder):
        if "centerpoint.in_indices_zyx.torch.int32.tensor" in files:
            features = tensor_file(os.path.join(top, "centerpoint.in_features.torch.fp16.tensor")).astype("f4")
            indices = tensor_file(os.path.join(top, "centerpoint.in_indices_zyx.torch.int32.tensor"))
            order = numpy.lexsort(indices.T[::-1])
            return torch.from_numpy(features[order]), torch.from_numpy(indices[order].copy()), [41, 1440, 1440]
    return None


def sweeps(folder):
    """The points behind them: float32 [P, 5], or None."""
    for top, _, files in os.walk(folder):
        for name in files:
            if name.startswith("ff9e") and name.endswith(".bin"):
                return numpy.fromfile(os.path.join(top, name), "<f2").reshape(-1, 5).astype("f4")
    return None
