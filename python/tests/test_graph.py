"""Graphs through the table of ops, models and model files."""

import pickle

import numpy
import pytest
from conftest import point_model, random_scan, random_sites

import rarefy


def dense_submanifold(coords, feats, weight):
    """The slow, obvious convolution: every pair of sites is looked at."""
    size = round(weight.shape[0] ** (1 / 3))
    y = numpy.zeros((len(coords), weight.shape[2]))
    rows = {tuple(c): i for i, c in enumerate(coords)}
    for o, site in enumerate(coords):
        for k, offset in enumerate(numpy.ndindex(size, size, size)):
            i = rows.get((site[0], *(site[1:] + numpy.array(offset) - size // 2)))
            if i is not None:
                y[o] += feats[i].astype(float) @ weight[k].astype(float)
    return y


def test_every_op_of_the_table_is_a_method_with_its_own_signature_and_doc():
    for name, info in rarefy._core.ops().items():
        method = getattr(rarefy.Graph, name)
        assert info["doc"] in method.__doc__
        for attribute, _, text in info["attributes"]:
            assert f"{attribute}: {text}" in method.__doc__
    assert "sparse_conv" in rarefy._core.ops()


def test_a_map_that_is_left_out_is_made_from_the_kernel(rng):
    g = rarefy.Graph()
    x = g.sparse_input(channels=3, dims=3)
    y = g.sparse_conv(x, channels=4, kernel=3, name="conv")
    assert (y.kind, y.channels, y.stride) == ("features", 4, (1, 1, 1))
    coarse = g.sparse_conv(y, channels=5, kernel=numpy.int64(2), stride=(2, 2, 2))
    assert coarse.stride == (2, 2, 2)
    g.output("y", y)
    g.output("coarse", coarse)
    model = rarefy.Model(g, seed=1)
    coords = random_sites(rng)
    feats = rng.normal(size=(len(coords), 3)).astype(numpy.float32)
    out = model.run(x=rarefy.SparseTensor(coords, feats))
    order = numpy.lexsort(coords.T[::-1])
    numpy.testing.assert_array_equal(out.coords("y"), coords[order])
    expected = dense_submanifold(coords[order], feats[order], model.weights["conv.weight"])
    numpy.testing.assert_allclose(out["y"], expected, atol=1e-5)
    blocks = numpy.unique(numpy.column_stack([coords[:, :1], coords[:, 1:] // 2 * 2]), axis=0)
    numpy.testing.assert_array_equal(out.coords("coarse"), blocks)
    assert out.sparse("coarse").stride == (2, 2, 2)


def test_the_map_made_is_the_one_that_conv_makes():
    texts = []
    for layer in ("conv", "sparse_conv"):
        g = rarefy.Graph()
        x = g.sparse_input(channels=3, dims=2)
        g.output("y", getattr(g, layer)(x, channels=4, kernel=[3, 3], stride=[2, 2], rule="padded", padding=[1, 1], name="c"))
        texts.append(g.build().to_text())
    assert texts[0] == texts[1]


def test_layers_operators_and_named_outputs():
    g = rarefy.Graph()
    x = g.sparse_input(channels=8, dims=3)
    down = g.downsample(x, kernel=[2], stride=[2])
    assert down.kind == "space" and down.stride == (2, 2, 2)
    coarse = g.conv(x, 8, kernel=2, stride=2)
    up = g.conv_transposed(coarse, x, 8, kernel=2, stride=2)
    y = g.relu(x + up) * g.sigmoid(x)
    z = g.concat(x, up, y)
    assert z.channels == 24
    space, features = g.input_sparse(channels=2, dims=3, name="other")
    assert (space.kind, features.kind) == ("space", "features")
    g.output("z", z)
    graph = g.build()
    assert [node["op"] for node in graph.nodes].count("downsample") == 1, "equal nodes are merged"
    assert graph.outputs["z"]["channels"] == 24
    assert g.op("relu", x).channels == 8


def test_errors_name_what_is_wrong():
    g = rarefy.Graph()
    x = g.sparse_input(channels=3, dims=3)
    with pytest.raises(rarefy.UsageError, match="unknown attribute 'chanels'.*channels"):
        g.linear(x, chanels=3)
    with pytest.raises(rarefy.UsageError, match="must be an integer"):
        g.linear(x, channels="many")
    with pytest.raises(rarefy.ShapeError, match="channels is 0"):
        g.sparse_conv(x, channels=0)
    with pytest.raises(rarefy.UsageError, match="expected a rarefy.Value"):
        g.relu(3)
    with pytest.raises(rarefy.UsageError, match="another graph"):
        rarefy.Graph().relu(x)
    with pytest.raises(rarefy.UnsupportedError, match="no op 'sparse_con'.*sparse_conv"):
        g.op("sparse_con", x)
    with pytest.raises(rarefy.UsageError, match="at least one output"):
        g.build()
    with pytest.raises(rarefy.UsageError, match="rule must be 'block' or 'padded'"):
        g.conv(x, 3, rule="other")
    with pytest.raises(ValueError):  # as Python programs expect
        g.linear(x, channels="many")


def test_models_round_trip_through_files_bytes_and_pickle(tmp_path, rng):
    classes = [{"name": n, "raw_id": i, "color": (i, 2, 3)} for i, n in enumerate("abcde")]
    pipeline = {"voxel_size": [0.2, 0.2, 0.2], "classes": classes}
    model = point_model(pipeline=pipeline, notes={"licence": "none"})
    scan = random_scan(rng)
    expected = model.run(points=scan)["logits"]
    model.save(tmp_path / "model.safetensors")
    for copy in (rarefy.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model)),
                 rarefy.Model(model.graph, model.weights)):
        numpy.testing.assert_array_equal(copy.run(points=scan)["logits"], expected)
    loaded = rarefy.load(tmp_path / "model.safetensors", threads=2)
    assert loaded.classes == list("abcde")
    assert loaded.pipeline["classes"][3]["color"] == (3, 2, 3)
    assert loaded.notes == {"licence": "none"}
    numpy.testing.assert_array_equal(loaded.run(points=scan)["logits"], expected)
    with pytest.raises(rarefy.UsageError, match="unknown key 'voxelsize'.*voxel_size"):
        point_model(pipeline={"voxelsize": [1]})
    with pytest.raises(rarefy.UsageError, match="'voxel_size' has the wrong type"):
        point_model(pipeline={"voxel_size": "large"})


def test_weights_are_read_only_views_and_are_checked():
    model = point_model()
    weights = model.weights
    assert all(not array.flags.writeable and not array.flags.owndata for array in weights.values())
    name = next(iter(weights))
    pointer = weights[name].ctypes.data
    assert model.weights[name].ctypes.data == pointer, "a second look copies nothing"
    del model
    assert numpy.isfinite(weights[name]).all(), "a view outlives its model"
    changed = {**weights, name: weights[name][..., :-1]}
    with pytest.raises(rarefy.ShapeError, match=name):
        rarefy.Model(point_model().graph, changed)
    with pytest.raises(rarefy.UsageError, match=r"weights\['" + name):
        rarefy.Model(point_model().graph, {**weights, name: weights[name].astype(complex)})


def test_published_networks_are_built_by_name():
    assert "minkunet" in rarefy.builders()
    assert rarefy.build("minkunet", width=0.5).graph.parameters == 5435235
    with pytest.raises(rarefy.UsageError, match="minkunt"):
        rarefy.build("minkunt")


def test_squeeze_excite_scales_channels_by_what_their_sample_says(rng):
    g = rarefy.Graph()
    x = g.sparse_input(channels=8, dims=3)
    g.output("y", g.squeeze_excite(x, reduction=4, name="se"))
    model = rarefy.Model(g, seed=3)
    coords = random_sites(rng)
    feats = rng.normal(size=(len(coords), 8)).astype(numpy.float32)
    out = model.run(x=rarefy.SparseTensor(coords, feats))
    order = numpy.lexsort(coords.T[::-1])
    w = {name: value.astype(float) for name, value in model.weights.items()}
    assert w["se.squeeze.weight"].shape == (8, 2)
    for sample in (0, 1):
        rows = order[coords[order, 0] == sample]
        hidden = numpy.maximum(feats[rows].astype(float).mean(0) @ w["se.squeeze.weight"] + w["se.squeeze.bias"], 0)
        gate = 1 / (1 + numpy.exp(-(hidden @ w["se.excite.weight"] + w["se.excite.bias"])))
        numpy.testing.assert_allclose(out["y"][coords[order, 0] == sample], feats[rows] * gate, atol=1e-6)


def test_a_mask_of_the_callers_and_values_over_different_sites(rng):
    g = rarefy.Graph()
    x, mask = g.sparse_input(channels=2, dims=3), g.sparse_input(channels=1, dims=3, name="mask")
    g.output("kept", g.prune(x, mask))
    g.output("sum", g.add(*g.align(g.linear(x, channels=1), mask)))
    g.output("common", g.concat(*g.align(x, mask, sites="common")))
    g.output("back", g.unpool(g.pool(x, reduction="max", kernel=2, stride=2), like=x, kernel=2, stride=2))
    with pytest.raises(rarefy.UsageError, match="'united' or 'common'"):
        g.align(x, mask, sites="all")
    model = rarefy.Model(g, seed=1)
    coords, others = random_sites(rng), random_sites(rng)
    bits = (rng.random((len(others), 1)) < 0.5).astype(numpy.float32)
    out = model.run(x=rarefy.SparseTensor(coords, rng.normal(size=(len(coords), 2)).astype(numpy.float32)),
                    mask=rarefy.SparseTensor(others, bits))
    mine, theirs = {tuple(c) for c in coords}, {tuple(c) for c in others}
    ones = {tuple(c) for c in others[bits[:, 0] == 1]}
    assert {tuple(c) for c in out.coords("kept")} == mine & ones
    assert {tuple(c) for c in out.coords("sum")} == mine | theirs
    assert {tuple(c) for c in out.coords("common")} == mine & theirs
    assert out["back"].shape == (len(coords), 2)


def test_attention_takes_sizes_or_none():
    g = rarefy.Graph()
    x = g.points(6, name="tokens")
    q = g.linear(x, channels=4, name="q")
    plain = g.attention(q, q, q, heads=2)
    assert g.attention(q, q, q, None, heads=2).id == plain.id
    sizes = g.softplus(g.linear(x, channels=1, name="sizes"))
    assert g.attention(q, q, q, sizes, heads=2).id != plain.id
    with pytest.raises(rarefy.UsageError, match="at least 3 inputs"):
        g.attention(q, q, heads=2)
    with pytest.raises(rarefy.ShapeError, match="3 heads do not share 4 channels"):
        g.attention(q, q, q, heads=3)


def test_sentences_of_one_batch_equal_each_alone():
    settings = {"dim": 12, "depth": 2, "heads": 3, "hidden": 16, "words": 30, "positions": 20, "merge": 2}
    model = rarefy.build("bert", settings=settings)
    assert model.pipeline is None
    rng = numpy.random.default_rng(1)
    sentences = [numpy.stack([rng.integers(0, 30, n), numpy.zeros(n)], 1).astype("f4") for n in (9, 1, 20)]
    together = model.run(tokens=sentences)["sentence"]
    alone = [model.run(tokens=sentence)["sentence"].copy()[0] for sentence in sentences]
    assert (together == numpy.array(alone)).all()
    with pytest.raises(rarefy.InputError, match="row 30 of a table of 30"):
        model.run(tokens=numpy.array([[30, 0]], "f4"))
    with pytest.raises(rarefy.UsageError, match="dept"):
        rarefy.build("bert", settings={"dept": 3})
