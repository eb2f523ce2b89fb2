"""Runs: data in and out without a copy, lifetimes, threads, errors."""

import gc
import multiprocessing
import threading

import numpy
import pytest
from conftest import point_model, random_scan, random_sites

import rarefy


def sparse_model(channels=3, outputs=4):
    g = rarefy.Graph()
    x = g.sparse_input(channels=channels, dims=3)
    g.output("y", g.conv(x, outputs))
    return rarefy.Model(g, seed=3)


def test_results_are_views_into_the_session_and_reads_are_in_place(rng):
    session = point_model().session()
    scan = random_scan(rng)
    out = session.run(points=scan)
    assert not out["logits"].flags.owndata and not out["labels"].flags.owndata
    assert out["labels"].dtype == numpy.uint8 and out["labels"].shape == (300,)
    pointer, values = out["logits"].ctypes.data, out["logits"].copy()
    del out
    gc.collect()
    again = session.run(points=scan)
    assert again["logits"].ctypes.data == pointer, "memory nobody holds is used again"
    numpy.testing.assert_array_equal(again["logits"], values)


def test_an_output_that_is_an_input_is_the_callers_own_memory(rng):
    g = rarefy.Graph()
    points = g.points(4)
    g.output("same", points)
    scan = random_scan(rng)
    out = rarefy.Model(g).run(points=scan)
    assert out["same"].ctypes.data == scan.ctypes.data, "points are read where they lie"
    copy = scan.copy()
    del scan
    gc.collect()
    numpy.testing.assert_array_equal(out["same"], copy)


def test_results_that_are_held_survive_later_runs_and_the_session(rng):
    model = point_model()
    session = model.session()
    scans = [random_scan(rng, count) for count in (200, 50, 400)]
    expected = [{k: v.copy() for k, v in model.session().run(points=scan).items()} for scan in scans]
    held = [session.run(points=scan) for scan in scans]
    pointers = [out["logits"].ctypes.data for out in held]
    assert len(set(pointers)) == 3
    del session
    gc.collect()
    for _ in range(3):
        model.run(points=scans[0])
    for out, wanted, pointer in zip(held, expected, pointers):
        assert out["logits"].ctypes.data == pointer, "kept where it was, not copied"
        for name in wanted:
            numpy.testing.assert_array_equal(out[name], wanted[name])


def test_coordinates_of_results_are_held_too(rng):
    model = sparse_model()
    session = model.session()
    outs, wanted = [], []
    for _ in range(3):
        coords = random_sites(rng)
        outs.append(session.run(x=rarefy.SparseTensor(coords, numpy.ones((len(coords), 3), "f4"))))
        wanted.append(coords[numpy.lexsort(coords.T[::-1])])
    for out, coords in zip(outs, wanted):
        numpy.testing.assert_array_equal(out.coords("y"), coords)
        assert len(out.sparse("y")) == len(coords)


def test_any_layout_of_points_gives_the_same_labels(rng):
    model = point_model()
    scan = random_scan(rng)
    expected = model.run(points=scan)["labels"].copy()
    wide = numpy.zeros((300, 7), "f4")
    wide[:, :4] = scan
    named = numpy.zeros(300, dtype={"names": ["time", "intensity", "x", "y", "z"],
                                    "formats": ["f8", "f4", "f4", "f4", "f4"], "offsets": [0, 9, 13, 17, 21],
                                    "itemsize": 26})
    for i, field in enumerate(("x", "y", "z", "intensity")):
        named[field] = scan[:, i]
    for points in (wide[:, :4], numpy.asfortranarray(scan), scan[::-1][::-1], named, numpy.repeat(scan, 2, axis=0)[::2]):
        numpy.testing.assert_array_equal(model.run(points=points)["labels"], expected)
    half = model.run(points=[scan[:100], scan[100:]])["labels"]
    parts = [model.run(points=scan[:100])["labels"].copy(), model.run(points=scan[100:])["labels"].copy()]
    numpy.testing.assert_array_equal(half, numpy.concatenate(parts))
    without = scan.copy()
    without[:, 3] = 0
    numpy.testing.assert_array_equal(model.run(points=scan[:, :3])["logits"], model.run(points=without)["logits"])
    model.run(points=scan[:, :3])
    assert model.profile()["intensity_missing"]


def test_dlpack_in_and_out_without_a_copy(rng):
    torch = pytest.importorskip("torch")
    g = rarefy.Graph()
    g.output("same", g.points(4))
    model = rarefy.Model(g)
    scan = torch.rand(50, 4)
    out = model.run(points=scan)["same"]
    assert out.ctypes.data == scan.data_ptr(), "a tensor is read where it lies"
    labels = point_model().run(points=scan.requires_grad_())["logits"]
    tensor = torch.from_dlpack(labels)
    assert tensor.data_ptr() == labels.ctypes.data
    values = labels.copy()
    del labels
    gc.collect()
    numpy.testing.assert_array_equal(tensor.numpy(), values)

    class Elsewhere:
        def __dlpack__(self, **_):
            raise BufferError("on a device")

        def __dlpack_device__(self):
            return 2, 0

    with pytest.raises(rarefy.UsageError, match="points.*host memory"):
        model.run(points=Elsewhere())


def test_sparse_tensors_keep_the_callers_memory(rng):
    coords, feats = random_sites(rng), None
    feats = rng.normal(size=(len(coords), 3)).astype("f4")
    tensor = rarefy.SparseTensor(coords, feats)
    assert tensor.coords.ctypes.data == coords.ctypes.data and tensor.feats.ctypes.data == feats.ctypes.data
    numpy.testing.assert_array_equal(tensor.batch, coords[:, 0])
    assert (tensor.dims, tensor.stride, len(tensor)) == (3, (1, 1, 1), len(coords))
    with pytest.raises(rarefy.UsageError, match="expected int32, found int64"):
        rarefy.SparseTensor(coords.astype(int), feats)
    with pytest.raises(rarefy.ShapeError, match=r"feats: expected \[\d+, C\]"):
        rarefy.SparseTensor(coords, feats[:-1])
    with pytest.raises(rarefy.ShapeError, match="expected .N, 1 . D"):
        rarefy.SparseTensor(coords[:, :1], feats)


def test_voxels_are_numpys_floor(rng):
    scan = random_scan(rng, 500)
    scan[3, 1], scan[5, 2] = numpy.nan, numpy.inf
    voxels = rarefy.voxelize(scan, 0.3, crop_max=[3, 3, 3], crop_min=[-9, -9, -9])
    finite = numpy.isfinite(scan[:, :3]).all(axis=1)
    kept = finite & (scan[:, :3] < 3).all(axis=1)
    cells = numpy.floor(scan[:, :3] / numpy.float32(0.3)).astype(numpy.int32, casting="unsafe")
    expected = numpy.unique(cells[kept], axis=0)
    numpy.testing.assert_array_equal(voxels.tensor.coords[:, 1:], expected)
    assert voxels.not_finite == 2 and voxels.outside == (~kept & finite).sum()
    assert ((voxels.index >= 0) == kept).all()
    numpy.testing.assert_array_equal(expected[voxels.index[kept]], cells[kept])
    sums = numpy.zeros((len(expected), 4))
    numpy.add.at(sums, voxels.index[kept], scan[kept].astype(float))
    counts = numpy.bincount(voxels.index[kept])[:, None]
    numpy.testing.assert_allclose(voxels.tensor.feats, sums / counts, atol=1e-5)
    two = rarefy.voxelize(scan, [0.3, 0.3], features=scan[:, 3:], sample_begin=[0, 200, 500], reduction="max")
    assert two.tensor.dims == 2 and two.tensor.batches == 2 and two.tensor.feats.shape[1] == 1
    with pytest.raises(rarefy.UsageError, match="rounding must be"):
        rarefy.voxelize(scan, 0.3, rounding="up")
    with pytest.raises(rarefy.UsageError, match="expected float32, found float64"):
        rarefy.voxelize(scan.astype(float), 0.3)
    with pytest.raises(rarefy.UsageError):
        rarefy.voxelize(scan, -1.0)


def test_the_profile_is_a_dict(rng):
    model = point_model()
    with pytest.raises(rarefy.UsageError, match="has not run"):
        model.profile()
    model.run(points=random_scan(rng))
    profile = model.profile()
    assert profile["points"] == 300 and 0 < profile["voxels"] <= 300
    assert profile["macs"] == sum(step["macs"] for step in profile["steps"]) > 0
    assert {"name", "op", "kind", "variant", "ms", "rows", "pairs"} <= set(profile["steps"][0])
    assert any(step["op"].startswith("sparse_conv") and step["variant"] for step in profile["steps"])
    assert "sparse_conv" in model.session().plan()
    assert any(s["variant"] == "portable" or "portable" in s["variant"] for s in _profile(model, isa="portable")["steps"])


def _profile(model, **options):
    session = model.session(**options)
    session.run(points=numpy.zeros((5, 4), "f4"))
    return session.profile()


def test_runs_release_the_gil_and_threads_may_share_a_session(rng):
    model = point_model()
    scan = random_scan(rng, 4000)
    expected = model.run(points=scan)["labels"].copy()
    shared, results = model.session(2), []

    def work(session):
        for _ in range(5):
            results.append(session.run(points=scan)["labels"])

    threads = [threading.Thread(target=work, args=(s,)) for s in (shared, shared, model.session(), model.session())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    for labels in results:
        numpy.testing.assert_array_equal(labels, expected)


def test_another_thread_runs_while_a_session_does():
    model = rarefy.build("minkunet_small", pipeline={**rarefy.build("minkunet_small").pipeline, "voxel_size": [0.1] * 3})
    scan = numpy.random.default_rng(0).uniform(-20, 20, (40000, 4)).astype("f4")
    session = model.session()
    session.run(points=scan)
    running, ticks = threading.Event(), []

    def run():
        running.set()
        session.run(points=scan)
        running.clear()

    thread = threading.Thread(target=run)
    thread.start()
    running.wait()
    while running.is_set():
        ticks.append(1)
    thread.join()
    assert len(ticks) > 1000, "the interpreter stood still during the run"


def test_errors_become_pythons(tmp_path, rng):
    model = point_model()
    with pytest.raises(rarefy.IoError, match="missing.safetensors"):
        rarefy.load(tmp_path / "missing.safetensors")
    with pytest.raises(OSError):
        rarefy.load(tmp_path / "missing.safetensors")
    (tmp_path / "junk").write_bytes(b"123")
    with pytest.raises(rarefy.InputError, match="3 bytes are too few"):
        rarefy.load(tmp_path / "junk")
    with pytest.raises(rarefy.UsageError, match="no input 'pints'.*points"):
        model.run(pints=random_scan(rng))
    with pytest.raises(rarefy.UsageError, match="'points'.*missing"):
        model.run()
    with pytest.raises(rarefy.UsageError, match=r"expected float32 \[P, 4\], found float64"):
        model.run(points=random_scan(rng).astype(float))
    with pytest.raises(rarefy.ShapeError, match="2 columns"):
        model.run(points=random_scan(rng)[:, :2])
    with pytest.raises(rarefy.UsageError, match="no field 'z'"):
        model.run(points=numpy.zeros(3, dtype=[("x", "f4"), ("y", "f4")]))
    with pytest.raises(rarefy.UsageError, match="field 'x' is float64"):
        model.run(points=numpy.zeros(3, dtype=[("x", "f8"), ("y", "f4"), ("z", "f4")]))
    bad = random_scan(rng)
    bad[4, 0] = numpy.nan
    assert model.run(points=bad)["labels"][4] == 255
    with pytest.raises(rarefy.InputError, match="1 of 300 points"):
        model.session().run(points=bad, strict=True)
    with pytest.raises(rarefy.MemoryError, match="memory"):
        model.session(memory_limit=64).run(points=bad)
    with pytest.raises(MemoryError):
        model.session(memory_limit=64).run(points=bad)
    with pytest.raises(rarefy.Cancelled, match="deadline"):
        model.session().run(points=bad, deadline_ms=-1.0)
    with pytest.raises(rarefy.UnsupportedError):
        model.session(isa="quantum")
    with pytest.raises(rarefy.UsageError, match="thread"):
        model.session(threads=0)
    with pytest.raises(rarefy.UsageError, match="no output 'lables'"):
        model.run(points=bad).coords("lables")
    with pytest.raises(rarefy.UsageError, match="its rows are points"):
        model.run(points=bad).coords("labels")
    sparse = sparse_model()
    coords = numpy.array([[0, 1, 1, 1], [0, 1, 1, 1]], "i4")
    with pytest.raises(rarefy.InputError, match="input 'x': rows 0 and 1 are the same site"):
        sparse.run(x=rarefy.SparseTensor(coords, numpy.ones((2, 3), "f4")))
    with pytest.raises(rarefy.UsageError, match="coords have 3 columns, expected 4"):
        sparse.run(x=rarefy.SparseTensor(coords[:1, :3], numpy.ones((1, 3), "f4")))
    with pytest.raises(rarefy.UsageError, match="takes a rarefy.SparseTensor"):
        sparse.run(x=random_scan(rng))
    for name in ("UsageError", "InputError", "ShapeError", "UnsupportedError", "MemoryError", "IoError", "Cancelled"):
        assert issubclass(getattr(rarefy, name), rarefy.Error)


def test_empty_inputs_run():
    model = point_model()
    out = model.run(points=numpy.zeros((0, 4), "f4"))
    assert out["labels"].shape == (0,) and out["logits"].shape == (0, 5)
    out = sparse_model().run(x=rarefy.SparseTensor(numpy.zeros((0, 4), "i4"), numpy.zeros((0, 3), "f4")))
    assert out["y"].shape == (0, 4) and out.coords("y").shape == (0, 4)


def _child(session, scan, queue):
    try:
        session.run(points=scan)
        queue.put("ran")
    except rarefy.UsageError as error:
        queue.put(str(error))


def test_a_fork_is_told_from_a_hang(rng):
    scan = random_scan(rng)
    context = multiprocessing.get_context("fork")
    for threads, said in ((1, "ran"), (2, "before a fork")):
        session, queue = point_model().session(threads), context.Queue()
        session.run(points=scan)
        child = context.Process(target=_child, args=(session, scan, queue))
        child.start()
        answer = queue.get(timeout=60)
        child.join(timeout=60)
        assert said in answer and child.exitcode == 0
