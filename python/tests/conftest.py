import os

import numpy
import pytest


@pytest.fixture(params=range(5))
def rng(request):
    """Random numbers; RAREFY_SEED=... repeats one case. The seed is part of the test's name."""
    return numpy.random.default_rng(int(os.environ.get("RAREFY_SEED", request.param)))


def random_sites(rng, dims=3, extent=6, batches=2, chance=0.3):
    """int32 [N, 1 + D] in random order, without duplicates, negative ones too."""
    grid = numpy.argwhere(rng.random((batches,) + (extent,) * dims) < chance)
    grid[:, 1:] -= extent // 2
    return rng.permutation(grid).astype(numpy.int32).reshape(-1, 1 + dims)


def point_model(**options):
    """Points (x, y, z, intensity) to labels and logits, with weights from a seed."""
    import rarefy
    g = rarefy.Graph()
    points = g.points(4)
    voxels = g.voxelize(points, voxel_size=[0.2, 0.2, 0.2])
    x = g.reduce(points, voxels.voxel_of_point)
    x = g.linear(g.relu(g.batch_norm(g.conv(x, 8))), channels=5)
    g.output("logits", x)
    g.output("labels", g.gather(g.argmax(x), voxels.voxel_of_point, fill=255))
    return rarefy.Model(g, seed=7, **options)


def random_scan(rng, count=300):
    return rng.uniform(-4, 4, (count, 4)).astype(numpy.float32)
