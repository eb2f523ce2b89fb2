"""rarefy.torch against torch's own dense convolutions: values and gradients; sharing of sites; training."""

import copy
import gc
import io
import multiprocessing
import os
import threading
import weakref

import numpy
import pytest
from conftest import random_sites

import rarefy

if "RAREFY_REQUIRE_TORCH" not in os.environ:
    pytest.importorskip("torch")
import torch  # noqa: E402

import rarefy.torch as rt  # noqa: E402
import rarefy.torch.spconv as spconv  # noqa: E402
from rarefy.torch import nn as spnn  # noqa: E402

DENSE = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
DENSE_TRANSPOSED = {1: torch.nn.functional.conv_transpose1d, 2: torch.nn.functional.conv_transpose2d,
                    3: torch.nn.functional.conv_transpose3d}


def close(found, expected):
    scale = max(1.0, float(expected.abs().max()) if expected.numel() else 1.0)
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=2e-6 * scale * 30)


def grid_tensor(rng, dims, shape, channels, batches=2, chance=0.3):
    """A SparseConvTensor with sites in random order, and its features as a leaf."""
    cells = numpy.argwhere(rng.random((batches, *shape)) < chance)
    indices = torch.from_numpy(rng.permutation(cells).astype(numpy.int32).reshape(-1, 1 + dims))
    features = torch.from_numpy(rng.normal(size=(len(indices), channels)).astype("f4")).requires_grad_()
    return spconv.SparseConvTensor(features, indices, shape, batches), features, indices.long()


def to_dense(features, indices, shape, batches=2):
    """Differentiable, in double precision, channels first."""
    dense = torch.zeros(batches, *shape, features.shape[1], dtype=torch.float64)
    dense = dense.index_put(tuple(indices.T), features.double())
    return dense.movedim(-1, 1)


def gradients_of(outputs, inputs, weights):
    return torch.autograd.grad((outputs * weights).sum(), inputs)


def compare(layer, out, features, indices, dense, rng):
    """Values, and gradients of x, weight and bias, where the sparse layer has outputs."""
    where = tuple(out.indices.long().T)
    expected = dense.movedim(1, -1)[where]
    close(out.features, expected)
    g = torch.from_numpy(rng.normal(size=tuple(expected.shape)))
    wanted = gradients_of(expected, [features, *layer.parameters()], g)
    found = gradients_of(out.features, [features, *layer.parameters()], g.float())
    for a, b in zip(found, wanted):
        close(a, b)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_submanifold_equals_dense(rng, dims):
    size, dilation = int(rng.choice([1, 3, 5])), int(rng.integers(1, 3))
    shape = [int(n) for n in rng.integers(4, 9, dims)]
    x, features, indices = grid_tensor(rng, dims, shape, int(rng.integers(1, 20)))
    layer = getattr(spconv, f"SubMConv{dims}d")(features.shape[1], int(rng.integers(1, 20)), size, dilation=dilation,
                                                bias=bool(rng.integers(2)))
    out = layer(x)
    torch.testing.assert_close(out.indices.long(), indices)  # the caller's order
    weight = layer.weight.double().movedim(-1, 1)
    bias = None if layer.bias is None else layer.bias.double()
    dense = DENSE[dims](to_dense(features, indices, shape), weight, bias, padding=dilation * (size // 2), dilation=dilation)
    compare(layer, out, features, indices, dense, rng)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_strided_equals_dense_wherever_an_input_is_reached(rng, dims):
    size, stride, padding = [[int(n) for n in rng.integers(*bounds, dims)] for bounds in ((1, 5), (1, 4), (0, 3))]
    shape = [int(n) for n in rng.integers(5, 10, dims)]
    x, features, indices = grid_tensor(rng, dims, shape, 5)
    layer = getattr(spconv, f"SparseConv{dims}d")(5, 7, size, stride, padding)
    out = layer(x)
    weight = layer.weight.double().movedim(-1, 1)
    dense = DENSE[dims](to_dense(features, indices, shape), weight, layer.bias.double(), stride=stride, padding=padding)
    assert list(dense.shape[2:]) == out.spatial_shape
    ones = to_dense(torch.ones(len(indices), 1), indices, shape)
    reached = DENSE[dims](ones, torch.ones(1, 1, *size, dtype=torch.float64), stride=stride, padding=padding)
    expected = torch.nonzero(reached[:, 0] > 0)
    torch.testing.assert_close(out.indices.long(), expected)
    compare(layer, out, features, indices, dense, rng)
    close(out.dense(), torch.where(reached > 0, dense, torch.zeros((), dtype=torch.float64)))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_inverse_goes_back_to_the_sites_it_came_from(rng, dims):
    shape = [int(2 * n) for n in rng.integers(3, 5, dims)]
    x, features, indices = grid_tensor(rng, dims, shape, 4)
    down = getattr(spconv, f"SparseConv{dims}d")(4, 6, 2, 2, indice_key="down", bias=False)
    up = getattr(spconv, f"SparseInverseConv{dims}d")(6, 3, 2, indice_key="down")
    out = up(down(x))
    torch.testing.assert_close(out.indices.long(), indices)
    assert out.spatial_shape == shape
    middle = DENSE[dims](to_dense(features, indices, shape), down.weight.double().movedim(-1, 1), stride=2)
    weight = up.weight.double().movedim(-1, 0).transpose(0, 1).movedim(0, 1)  # [C_in, C_out, ...]
    dense = DENSE_TRANSPOSED[dims](middle, weight, up.bias.double(), stride=2)
    compare(torch.nn.ModuleList([down, up]), out, features, indices, dense, rng)


def test_four_axes_run_and_learn(rng):
    x, features, _ = grid_tensor(rng, 4, [4, 4, 4, 4], 3, chance=0.1)
    out = spconv.SubMConv4d(3, 2, 3)(spconv.SparseConv4d(3, 3, 2, 2)(x))
    out.features.sum().backward()
    assert features.grad.abs().sum() > 0 and len(out.indices) > 0


def test_block_rule_layers_equal_a_model_with_the_same_weights(rng):
    coords = torch.from_numpy(random_sites(rng))
    feats = torch.from_numpy(rng.normal(size=(len(coords), 3)).astype("f4"))
    layers = {"a": spnn.Conv3d(3, 5), "b": spnn.Conv3d(5, 6, 2, 2, bias=True), "c": spnn.Conv3d(6, 4, 2, 2, transposed=True),
              "d": spnn.Conv3d(9, 2, 1), "e": spnn.Conv3d(2, 3, (3, 1, 5), dilation=2)}
    g = rarefy.Graph()
    x = g.sparse_input(channels=3, dims=3)
    a = g.conv(x, 5, name="a")
    b = g.conv(a, 6, kernel=2, stride=2, bias=True, name="b")
    c = g.conv_transposed(b, a, 4, kernel=2, stride=2, name="c")
    d = g.conv(g.concat(a, c), 2, kernel=1, name="d")
    g.output("y", g.conv(d, 3, kernel=[3, 1, 5], dilation=2, name="e"))
    graph = g.build()
    weights = {}
    for node in graph.nodes:
        for name, shape, _ in node["parameters"]:
            layer, suffix = name.split(".")
            value = layers[layer].weight() if suffix == "weight" else layers[layer].bias
            weights[name] = value.detach().numpy().reshape(shape)
    expected = rarefy.Model(graph, weights).run(x=rarefy.SparseTensor(coords.numpy(), feats.numpy()))
    t = rt.SparseTensor(feats, coords)
    fine = layers["a"](t)
    found = layers["e"](layers["d"](rt.cat([fine, layers["c"](layers["b"](fine))])))
    torch.testing.assert_close(found.coords, coords)
    order = numpy.lexsort(coords.numpy().T[::-1])
    numpy.testing.assert_allclose(found.feats.detach().numpy()[order], expected["y"], atol=1e-5)


def test_offsets_of_odd_kernels_are_stored_with_the_first_axis_fastest():
    layer = spnn.Conv3d(1, 1, (3, 5, 1))
    assert layer.kernel.shape == (15, 1, 1)
    with torch.no_grad():
        layer.kernel.zero_()
        layer.kernel[1 + 3 * 4] = 1.0  # x offset 0, y offset +2
    x = rt.SparseTensor(torch.tensor([[2.0], [7.0]]), torch.tensor([[0, 0, 0, 0], [0, 0, 2, 0]], dtype=torch.int32))
    assert layer(x).feats.flatten().tolist() == [7.0, 0.0]


def test_generative_convolutions_create_every_site_they_reach():
    x = rt.SparseTensor(torch.tensor([[1.0], [2.0]]), torch.tensor([[0, 0, 0], [0, 4, 4]], dtype=torch.int32), stride=2)
    layer = spnn.Conv2d(1, 1, 2, 2, transposed=True, generative=True)
    with torch.no_grad():
        layer.kernel.fill_(1.0)
    out = layer(x)
    assert out.stride == (1, 1) and len(out) == 8
    assert sorted(out.feats.flatten().tolist()) == [1.0] * 4 + [2.0] * 4


def test_gradients_agree_with_finite_differences(rng):
    coords = torch.from_numpy(random_sites(rng, extent=4))
    x = torch.from_numpy(rng.normal(size=(len(coords), 2)).astype("f4")).requires_grad_()
    down, up = spnn.Conv3d(2, 3, 2, 2, bias=True), spnn.Conv3d(3, 2, 2, 2, transposed=True)
    g = torch.from_numpy(rng.normal(size=(len(coords), 2)).astype("f4"))

    def value():
        return float((up(down(rt.SparseTensor(x, coords))).feats.double() * g).sum())

    (up(down(rt.SparseTensor(x, coords))).feats * g).sum().backward()
    step = 0.25  # the function is linear in each of these: the quotient is exact but for rounding
    for tensor in (x, down.kernel, down.bias, up.kernel):
        flat, grad = tensor.detach().view(-1), tensor.grad.view(-1)
        for i in rng.integers(0, flat.numel(), 5):
            kept = float(flat[i])
            flat[i] = kept + step
            above = value()
            flat[i] = kept - step
            below = value()
            flat[i] = kept
            assert (above - below) / (2 * step) == pytest.approx(float(grad[i]), abs=2e-4)


def test_bits_do_not_depend_on_the_number_of_threads(rng):
    coords = torch.from_numpy(random_sites(rng, extent=14))
    feats = torch.from_numpy(rng.normal(size=(len(coords), 16)).astype("f4"))
    layer = spnn.Conv3d(16, 24, bias=True)
    kept, results = rt.get_num_threads(), []
    for threads in (1, 2, 3):
        rt.set_num_threads(threads)
        assert rt.get_num_threads() == threads
        x = feats.clone().requires_grad_()
        layer.zero_grad()
        out = layer(rt.SparseTensor(x, coords))
        (out.feats * out.feats).sum().backward()
        results.append([t.clone() for t in (out.feats, x.grad, layer.kernel.grad, layer.bias.grad)])
    rt.set_num_threads(kept)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            assert torch.equal(a, b)


def test_maps_and_coarser_sites_are_made_once_and_do_not_leak():
    coords = torch.from_numpy(random_sites(numpy.random.default_rng(0)))
    x = rt.SparseTensor(torch.ones(len(coords), 2), coords)
    conv, down = spnn.Conv3d(2, 2), spnn.Conv3d(2, 2, 2, 2)
    y = conv(conv(x))
    assert y.sites is x.sites and len(x.sites._maps) == 1
    a, b = down(x), down(y)
    assert a.sites is b.sites and a.sites.parent is x.sites
    assert (a + b).sites is a.sites
    with pytest.raises(rarefy.ShapeError, match="different sites.*stride"):
        a + x
    gc.collect()
    gc.disable()
    try:
        watched = [weakref.ref(x.sites), weakref.ref(a.sites)]
        del x, y, a, b
        assert [w() for w in watched] == [None, None], "freed at once, without the garbage collector"
    finally:
        gc.enable()


def test_features_keep_the_order_in_which_they_were_given(rng):
    coords = torch.from_numpy(random_sites(rng))
    feats = torch.arange(len(coords), dtype=torch.float32)[:, None]
    x = rt.SparseTensor(feats, coords)
    torch.testing.assert_close(x.feats, feats)
    torch.testing.assert_close(x.coords, coords)
    torch.testing.assert_close(x.replace(feats * 2).F, feats * 2)
    torch.testing.assert_close(spnn.ReLU()(x).feats, feats)
    s = spconv.SparseConvTensor(feats, coords - torch.tensor([0, -3, -3, -3]), [9, 9, 9], 2)
    torch.testing.assert_close(s.replace_feature(s.features + 1).features, feats + 1)


def test_layers_of_torch_work_on_the_features(rng):
    coords = torch.from_numpy(random_sites(rng))
    feats = torch.from_numpy(rng.normal(size=(len(coords), 4)).astype("f4"))
    x = rt.SparseTensor(feats, coords)
    close(spnn.BatchNorm(4)(x).feats, torch.nn.BatchNorm1d(4)(feats))
    net = spconv.SparseSequential(spconv.SubMConv3d(4, 6, 3), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), spconv.ToDense())
    shifted = coords + torch.tensor([0, 3, 3, 3], dtype=torch.int32)
    assert net(spconv.SparseConvTensor(feats, shifted, [6, 6, 6], 2)).shape == (2, 6, 6, 6, 6)


def test_layers_are_copied_and_their_states_loaded():
    layer = spnn.Conv3d(3, 4, 3, bias=True)
    data = io.BytesIO()
    torch.save(layer, data)
    data.seek(0)
    coords = torch.from_numpy(random_sites(numpy.random.default_rng(1)))
    x = rt.SparseTensor(torch.ones(len(coords), 3), coords)
    for other in (copy.deepcopy(layer), torch.load(data, weights_only=False)):
        assert torch.equal(other(x).feats, layer(x).feats)
    assert sorted(layer.state_dict()) == ["bias", "kernel"]
    assert {k: tuple(v.shape) for k, v in spconv.SubMConv3d(3, 4, 3).state_dict().items()} == {
        "weight": (4, 3, 3, 3, 3), "bias": (4,)}


def test_empty_tensors_run_forward_and_backward():
    x = torch.zeros(0, 3, requires_grad=True)
    t = rt.SparseTensor(x, torch.zeros(0, 4, dtype=torch.int32))
    net = torch.nn.Sequential(spnn.Conv3d(3, 4), spnn.BatchNorm(4), spnn.ReLU(), spnn.Conv3d(4, 4, 2, 2),
                              spnn.Conv3d(4, 2, 2, 2, transposed=True))
    out = net(t)
    out.feats.sum().backward()
    assert out.feats.shape == (0, 2) and x.grad.shape == (0, 3)
    assert float(net[0].kernel.grad.abs().sum()) == 0.0


def test_autograd_may_run_in_other_threads():
    coords = torch.from_numpy(random_sites(numpy.random.default_rng(2), extent=10))
    layer = spnn.Conv3d(4, 4)
    feats = torch.ones(len(coords), 4)
    results = []

    def work():
        x = feats.clone().requires_grad_()
        layer(rt.SparseTensor(x, coords)).feats.sum().backward()
        results.append(x.grad)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(torch.equal(r, results[0]) for r in results)


def _child(layer, feats, coords, queue):
    queue.put(layer(rt.SparseTensor(feats, coords)).feats.detach().numpy())


def test_layers_run_in_a_forked_process(rng):
    coords = torch.from_numpy(random_sites(rng, extent=10))
    feats, layer = torch.ones(len(coords), 8), spnn.Conv3d(8, 8)
    kept = rt.get_num_threads()
    rt.set_num_threads(2)
    expected = layer(rt.SparseTensor(feats, coords)).feats.detach().numpy()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(layer, feats, coords, queue))
    child.start()
    found = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0 and numpy.array_equal(found, expected)
    assert numpy.array_equal(layer(rt.SparseTensor(feats, coords)).feats.detach().numpy(), expected)
    rt.set_num_threads(kept)


def test_errors_say_what_to_do():
    coords = torch.tensor([[0, 1, 1, 1], [0, 2, 2, 2]], dtype=torch.int32)
    x = rt.SparseTensor(torch.ones(2, 3), coords)
    with pytest.raises(rarefy.ShapeError, match="takes 5 channels, the tensor has 3"):
        spnn.Conv3d(5, 2)(x)
    with pytest.raises(rarefy.UsageError, match="float32 on the CPU, found torch.float64"):
        spnn.Conv3d(3, 2)(rt.SparseTensor(torch.ones(2, 3, dtype=torch.float64), coords))
    with pytest.raises(rarefy.ShapeError, match="came from no other"):
        spnn.Conv3d(3, 2, 2, 2, transposed=True)(x)
    with pytest.raises(rarefy.InputError, match="rows 0 and 1 are the same site"):
        rt.SparseTensor(torch.ones(2, 3), coords[[0, 0]])
    with pytest.raises(rarefy.ShapeError, match=r"feats: expected \[2, C\]"):
        rt.SparseTensor(torch.ones(3, 3), coords)
    with pytest.raises(rarefy.UsageError, match="block rule.*spconv"):
        spnn.Conv3d(3, 2, 3, padding=1)
    with pytest.raises(rarefy.UsageError, match="transposed=True"):
        spnn.Conv3d(3, 2, 3, generative=True)
    with pytest.raises(rarefy.UsageError, match="groups=2"):
        spconv.SubMConv3d(4, 4, 3, groups=2)
    with pytest.raises(rarefy.UsageError, match="odd kernel sizes"):
        spconv.SubMConv3d(4, 4, 2)
    s = spconv.SparseConvTensor(torch.ones(2, 3), coords, [4, 4, 4], 1)
    with pytest.raises(rarefy.UsageError, match="no strided layer with this key.*known"):
        spconv.SparseInverseConv3d(3, 2, 2, indice_key="gone")(s)
    with pytest.raises(rarefy.UsageError, match="outside of 1 samples of .2, 2, 2. cells"):
        spconv.SparseConvTensor(torch.ones(2, 3), coords, [2, 2, 2], 1)
    with pytest.raises(rarefy.ShapeError, match="too small"):
        spconv.SparseConv3d(3, 2, 5)(s)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        feats = torch.ones(2, 3, requires_grad=True)
        y = spnn.Conv3d(3, 2)(rt.SparseTensor(feats, coords)).feats.pow(2).sum()
        (first,) = torch.autograd.grad(y, feats, create_graph=True)
        first.sum().backward()


def test_a_small_network_learns():
    """Corners of random boxes against their faces: needs the neighbourhood, at two scales."""
    torch.manual_seed(0)
    generator = numpy.random.default_rng(0)
    coords, labels = [], []
    for batch in range(4):
        low, size = generator.integers(0, 4, 3), generator.integers(5, 9, 3)
        cells = numpy.argwhere(numpy.ones(size, dtype=bool))
        ends = ((cells == 0) | (cells == size - 1)).sum(axis=1)
        shell = ends > 0
        coords.append(numpy.column_stack([numpy.full(shell.sum(), batch), cells[shell] + low]))
        labels.append(ends[shell] == 3)
    coords = torch.from_numpy(numpy.concatenate(coords).astype("i4"))
    labels = torch.from_numpy(numpy.concatenate(labels)).long()

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Sequential(spnn.Conv3d(1, 8), spnn.BatchNorm(8), spnn.ReLU())
            self.down = torch.nn.Sequential(spnn.Conv3d(8, 16, 2, 2), spnn.BatchNorm(16), spnn.ReLU())
            self.up = torch.nn.Sequential(spnn.Conv3d(16, 8, 2, 2, transposed=True), spnn.BatchNorm(8), spnn.ReLU())
            self.head = torch.nn.Sequential(spnn.Conv3d(16, 2), )

        def forward(self, x):
            fine = self.stem(x)
            return self.head(rt.cat([fine, self.up(self.down(fine))]))

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        out = net(rt.SparseTensor(torch.ones(len(coords), 1), coords)).feats
        loss = torch.nn.functional.cross_entropy(out, labels, weight=torch.tensor([1.0, 10.0]))
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    right = (out.argmax(dim=1) == labels).float().mean()
    assert losses[-1] < 0.25 * losses[0] and right > 0.98, (losses[0], losses[-1], float(right))
