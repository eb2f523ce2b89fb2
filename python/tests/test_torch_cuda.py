"""rarefy.torch on a GPU against the same layers on the CPU: sites and rows equal, values and gradients within what the
precision allows; autocast, mixed types, kept weights, training. Skipped where there is no GPU."""

import copy
import gc

import numpy
import pytest

torch = pytest.importorskip("torch")
import rarefy  # noqa: E402
import rarefy.torch as rt  # noqa: E402
import rarefy.torch.spconv as spconv  # noqa: E402
from rarefy import _core  # noqa: E402
from rarefy.torch import nn as spnn  # noqa: E402

if _core.cuda is None or not torch.cuda.is_available():
    pytest.skip("no GPU kernels in this build, or no GPU", allow_module_level=True)
DEVICE = "cuda"
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.fixture(params=range(2))
def rng(request):
    """As conftest's, fewer: the CPU is the slow side here."""
    return numpy.random.default_rng(request.param)


@pytest.fixture(autouse=True)
def exact():
    """float32 means float32 unless a test says otherwise."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def close(found, expected, tolerance):
    """By the root mean square of what is expected, and by its largest entry."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    assert found.shape == expected.shape
    if expected.numel():
        scale = float(expected.square().mean().sqrt()) + 1e-30
        assert float((found - expected).square().mean().sqrt()) <= tolerance * scale
        assert float((found - expected).abs().max()) <= 20 * tolerance * max(scale, float(expected.abs().max()) / 4)


def cells_of(rng, dims, shape, batches=2, chance=0.3):
    cells = numpy.argwhere(rng.random((batches, *shape)) < chance)
    return torch.from_numpy(rng.permutation(cells).astype(numpy.int32).reshape(-1, 1 + dims))


def on_both(rng, layer, cells, shape, channels, dtype, batches=2):
    """Result and gradients of a layer (or function of a tensor) on the CPU in float32, and on the GPU."""
    features = torch.from_numpy(rng.normal(size=(len(cells), channels)).astype("f4"))
    weights, results = None, []
    for device, kind in (("cpu", torch.float32), (DEVICE, dtype)):
        x = features.to(device, kind).requires_grad_()
        net = copy.deepcopy(layer).to(device, kind)
        out = net(spconv.SparseConvTensor(x, cells.to(device), shape, batches))
        if weights is None:
            weights = torch.from_numpy(rng.normal(size=tuple(out.features.shape)).astype("f4"))
        gradients = torch.autograd.grad((out.features.float() * weights.to(device)).sum(), [x, *net.parameters()])
        results.append((out, gradients))
    return results


def agree(results, tolerance):
    (a, wanted), (b, found) = results
    assert torch.equal(a.indices, b.indices.cpu())
    assert a.spatial_shape == b.spatial_shape
    close(b.features, a.features, tolerance)
    for f, w in zip(found, wanted):
        close(f, w, 2 * tolerance)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_submanifold(rng, dims, dtype):
    size = 3 if dims == 4 else int(rng.choice([1, 3, 5]))
    shape = [int(n) for n in rng.integers(6, 14, dims)]
    cells, channels = cells_of(rng, dims, shape), int(rng.integers(1, 40))
    layer = getattr(spconv, f"SubMConv{dims}d")(channels, int(rng.integers(1, 70)), size, bias=bool(rng.integers(2)))
    agree(on_both(rng, layer, cells, shape, channels, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_strided(rng, dims, dtype):
    size, stride, padding = [[int(n) for n in rng.integers(*bounds, dims)] for bounds in ((1, 5), (1, 4), (0, 3))]
    shape = [int(n) for n in rng.integers(8, 16, dims)]
    layer = getattr(spconv, f"SparseConv{dims}d")(16, 33, size, stride, padding)
    agree(on_both(rng, layer, cells_of(rng, dims, shape), shape, 16, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_down_and_back_up(rng, dtype):
    shape = [16, 16, 16]
    net = spconv.SparseSequential(
        spconv.SubMConv3d(4, 16, 3, bias=False, indice_key="a"), torch.nn.BatchNorm1d(16), torch.nn.ReLU(),
        spconv.SparseConv3d(16, 32, 2, 2, indice_key="down"), spconv.SubMConv3d(32, 32, 3, indice_key="b"),
        spconv.SparseInverseConv3d(32, 8, 2, indice_key="down"), spconv.SubMConv3d(8, 8, 3, indice_key="a"))
    agree(on_both(rng, net, cells_of(rng, 3, shape), shape, 4, dtype), 5 * TOLERANCE[dtype])  # through seven layers


@pytest.mark.parametrize("layer", [spnn.Conv3d(6, 9), spnn.Conv3d(6, 9, 2, 2, bias=True), spnn.Conv3d(6, 9, (3, 1, 5), dilation=2),
                                   spnn.Conv3d(6, 9, 2, 2, transposed=True, generative=True), spnn.Conv3d(6, 9, 1),
                                   spnn.Conv3d(6, 9, 7), spnn.Conv3d(6, 9, 3, transposed=True)], ids=str)
def test_block_rule_layers(rng, layer):
    cells = cells_of(rng, 3, [12, 12, 12], chance=0.1)
    cells[:, 1:] = (cells[:, 1:] - 5) * (2 if layer.generative else 1)
    stride = 2 if layer.generative else 1
    features = torch.from_numpy(rng.normal(size=(len(cells), 6)).astype("f4"))
    results, weights = [], None
    for device in ("cpu", DEVICE):
        net, x = copy.deepcopy(layer).to(device), features.to(device).requires_grad_()
        out = net(rt.SparseTensor(x, cells.to(device), stride))
        if weights is None:
            weights = torch.from_numpy(rng.normal(size=tuple(out.feats.shape)).astype("f4"))
        results.append((out, torch.autograd.grad((out.feats * weights.to(device)).sum(), [x, *net.parameters()])))
    (a, wanted), (b, found) = results
    assert torch.equal(a.coords, b.coords.cpu()) and a.stride == b.stride
    close(b.feats, a.feats, 2e-5)
    for f, w in zip(found, wanted):
        close(f, w, 5e-5)


def test_tf32_when_torch_says_so(rng):
    shape = [12, 12, 12]
    cells, layer = cells_of(rng, 3, shape), spconv.SubMConv3d(32, 32, 3)
    torch.backends.cuda.matmul.allow_tf32 = True
    agree(on_both(rng, layer, cells, shape, 32, torch.float32), 2e-3)


def test_autocast_computes_in_half_and_gives_float_gradients(rng):
    cells, shape = cells_of(rng, 3, [12, 12, 12]).to(DEVICE), [12, 12, 12]
    x = torch.randn(len(cells), 8, device=DEVICE, requires_grad=True)
    layer = spconv.SubMConv3d(8, 16, 3).to(DEVICE)
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cuda", dtype):
            out = layer(spconv.SparseConvTensor(x, cells, shape, 2))
            assert out.features.dtype == dtype
            gx, gw, gb = torch.autograd.grad(out.features.float().square().sum(), [x, layer.weight, layer.bias])
        assert gx.dtype == gw.dtype == gb.dtype == torch.float32
        exact_out = layer(spconv.SparseConvTensor(x, cells, shape, 2)).features
        wanted = torch.autograd.grad(exact_out.square().sum(), [x, layer.weight, layer.bias])
        close(out.features, exact_out, TOLERANCE[dtype])
        for f, w in zip((gx, gw, gb), wanted):
            close(f, w, 3 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_no_sites(dtype):
    cells = torch.zeros(0, 4, dtype=torch.int32, device=DEVICE)
    x = torch.zeros(0, 4, dtype=dtype, device=DEVICE, requires_grad=True)
    net = spconv.SparseSequential(spconv.SubMConv3d(4, 8, 3), spconv.SparseConv3d(8, 8, 2, 2, indice_key="d"),
                                  spconv.SparseInverseConv3d(8, 8, 2, indice_key="d")).to(DEVICE, dtype)
    out = net(spconv.SparseConvTensor(x, cells, [8, 8, 8], 1))
    assert out.features.shape == (0, 8) and out.indices.shape == (0, 4)
    out.features.sum().backward()
    assert all(not p.grad.abs().any() for p in net.parameters())


def test_rows_that_are_part_of_a_wider_matrix(rng):
    shape = [10, 10, 10]
    cells = cells_of(rng, 3, shape)
    wide = torch.from_numpy(rng.normal(size=(len(cells), 24)).astype("f4"))
    layer = spconv.SubMConv3d(8, 8, 3)
    expected = layer(spconv.SparseConvTensor(wide[:, 8:16], cells, shape, 2)).features
    layer = layer.to(DEVICE)
    wide, cells = wide.to(DEVICE), cells.to(DEVICE)
    for view in (wide[:, 8:16], wide[:, 8:16].t().contiguous().t(), wide.repeat(1, 2)[:, 8:16]):
        close(layer(spconv.SparseConvTensor(view, cells, shape, 2)).features, expected, 2e-5)


def test_the_same_input_gives_the_same_bits(rng):
    shape = [20, 20, 20]
    cells = cells_of(rng, 3, shape).to(DEVICE)
    layer = spconv.SubMConv3d(32, 48, 3).to(DEVICE)
    x = torch.randn(len(cells), 32, device=DEVICE, requires_grad=True)

    def run():
        with torch.autocast("cuda", torch.float16):
            out = layer(spconv.SparseConvTensor(x, cells, shape, 2)).features
        return [out.detach(), *torch.autograd.grad(out.float().square().sum(), [x, layer.weight])]

    first = run()
    for _ in range(3):
        torch.randn(1 << 20, device=DEVICE)  # other memory, other neighbours
        for a, b in zip(first, run()):
            assert torch.equal(a, b)


def test_kept_weights_follow_the_parameter(rng):
    shape = [10, 10, 10]
    cells = cells_of(rng, 3, shape).to(DEVICE)
    layer = spconv.SubMConv3d(8, 8, 3, bias=False).to(DEVICE).eval()
    tensor = spconv.SparseConvTensor(torch.randn(len(cells), 8, device=DEVICE), cells, shape, 2)

    @torch.no_grad()
    def run():
        return layer(tensor).features

    before = run()
    assert torch.equal(run(), before)
    with torch.no_grad():
        layer.weight.mul_(2)
    close(run(), 2 * before, 1e-6)
    layer.load_state_dict({"weight": layer.weight / 4})
    close(run(), before / 2, 1e-6)
    layer.weight = torch.nn.Parameter(layer.weight.detach() * 2)
    close(run(), before, 1e-6)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(tensor).features.sum().backward()  # a call with a graph forgets what was kept
    layer.weight.grad = layer.weight.detach() * 0.5
    optimizer.step()
    close(run(), before / 2, 1e-6)
    with torch.inference_mode():
        close(layer(tensor).features, before / 2, 1e-6)
    close(copy.deepcopy(layer)(tensor).features, before / 2, 1e-6)
    close(layer.half()(tensor._with(tensor.rows.half())).features, before / 2, 4e-3)


def test_training_learns_as_on_the_cpu(rng):
    shape = [16, 16, 16]
    cells = cells_of(rng, 3, shape, chance=0.1)
    features = torch.from_numpy(rng.normal(size=(len(cells), 4)).astype("f4"))
    labels = features[:, :3].argmax(1)
    torch.manual_seed(0)
    first = spconv.SparseSequential(
        spconv.SubMConv3d(4, 16, 3, indice_key="a"), torch.nn.BatchNorm1d(16), torch.nn.ReLU(),
        spconv.SparseConv3d(16, 32, 2, 2, indice_key="down"), torch.nn.BatchNorm1d(32), torch.nn.ReLU(),
        spconv.SparseInverseConv3d(32, 16, 2, indice_key="down"), torch.nn.BatchNorm1d(16), torch.nn.ReLU(),
        spconv.SubMConv3d(16, 3, 3, indice_key="a"))

    def train(device, half):
        net = copy.deepcopy(first).to(device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        scaler = torch.amp.GradScaler("cuda", enabled=half)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.float16, enabled=half):
                out = net(spconv.SparseConvTensor(features.to(device), cells.to(device), shape, 2)).features
            loss = torch.nn.functional.cross_entropy(out.float(), labels.to(device))
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(float(loss.detach()))
        return losses

    expected = train("cpu", False)
    plain, mixed = train(DEVICE, False), train(DEVICE, True)
    numpy.testing.assert_allclose(plain[:8], expected[:8], rtol=1e-3)
    numpy.testing.assert_allclose(mixed[:4], expected[:4], rtol=2e-2)
    assert plain[-1] < 0.7 * plain[0] and mixed[-1] < 0.7 * mixed[0]


def test_memory_is_used_again(rng):
    shape = [24, 24, 24]
    net = spconv.SparseSequential(spconv.SubMConv3d(4, 16, 3, indice_key="a"), spconv.SparseConv3d(16, 16, 2, 2),
                                  spconv.SubMConv3d(16, 16, 3)).to(DEVICE)

    def step():
        cells = cells_of(rng, 3, shape).to(DEVICE)
        net(spconv.SparseConvTensor(torch.randn(len(cells), 4, device=DEVICE), cells, shape, 2)).features.sum().backward()

    for _ in range(4):
        step()
    gc.collect()
    kept = rt.unused_bytes()
    for _ in range(20):
        step()
    gc.collect()
    assert 0 < rt.unused_bytes() <= 1.5 * kept
    rt.release()
    assert rt.unused_bytes() == 0
    step()


def test_errors_come_before_anything_runs(rng):
    cells = cells_of(rng, 3, [8, 8, 8])
    x = torch.randn(len(cells), 4, device=DEVICE)
    with pytest.raises(rarefy.InputError):
        rt.SparseTensor(torch.randn(2, 4, device=DEVICE), torch.zeros(2, 4, dtype=torch.int32, device=DEVICE))
    tensor = spconv.SparseConvTensor(x, cells.to(DEVICE), [8, 8, 8], 2)
    with pytest.raises(rarefy.UsageError, match="weight: expected a floating-point tensor on cuda"):
        spconv.SubMConv3d(4, 4, 3)(tensor)
    with pytest.raises(rarefy.UsageError, match="float16, bfloat16 or float32, found torch.float64"):
        spconv.SubMConv3d(4, 4, 3).to(DEVICE)(tensor._with(x.double()))
    with pytest.raises(rarefy.ShapeError):
        rt.convolve(x[:3], torch.randn(27, 4, 4, device=DEVICE), None,
                    tensor.sites.map_to(tensor.sites, *spconv.SubMConv3d(4, 4, 3)._kernel()))
    with pytest.raises(rarefy.UsageError, match="the sites on a GPU"):
        rt.convolve(x.cpu(), torch.randn(27, 4, 4), None,
                    tensor.sites.map_to(tensor.sites, *spconv.SubMConv3d(4, 4, 3)._kernel()))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), pytest.raises(rarefy.UsageError, match="belong to the stream"):
        spconv.SubMConv3d(4, 4, 3).to(DEVICE)(tensor)
    torch.cuda.synchronize()


def test_a_whole_forward_on_another_stream(rng):
    shape = [16, 16, 16]
    cells = cells_of(rng, 3, shape)
    layer = spconv.SubMConv3d(4, 8, 3)
    features = torch.from_numpy(rng.normal(size=(len(cells), 4)).astype("f4"))
    expected = layer(spconv.SparseConvTensor(features, cells, shape, 2)).features
    layer = layer.to(DEVICE)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        out = layer(spconv.SparseConvTensor(features.to(DEVICE), cells.to(DEVICE), shape, 2)).features
        out.sum().backward()
    torch.cuda.synchronize()
    close(out, expected, 2e-5)
