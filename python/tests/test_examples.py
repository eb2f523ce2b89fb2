"""The examples run as they stand, and what the documents show of them stands in them."""

import os
import pathlib
import re
import subprocess
import sys

import numpy
import pytest
from conftest import point_model

SOURCE = pathlib.Path(os.environ.get("RAREFY_SOURCE", pathlib.Path(__file__).parents[2]))


def run(folder, example, *arguments):
    command = [sys.executable, str(SOURCE / "examples" / "python" / example), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=300)


def test_segment(tmp_path):
    classes = [{"name": n, "raw_id": 0, "color": (0, 0, 0)} for n in ("car", "road", "tree", "pole", "sign")]
    model = point_model(pipeline={"voxel_size": [0.2] * 3, "classes": classes})
    model.save(tmp_path / "m.safetensors")
    scan = numpy.random.default_rng(0).uniform(-4, 4, (500, 4)).astype("<f4")
    scan.tofile(tmp_path / "scan.bin")
    done = run(tmp_path, "segment.py", "m.safetensors", "scan.bin")
    assert done.returncode == 0, done.stderr
    counts = numpy.bincount(model.run(points=scan)["labels"], minlength=5)
    assert "500 points in" in done.stdout
    for c, count in zip(classes, counts):
        assert (f"  {c['name']:14} {count}\n" in done.stdout) == (count > 0)
    missing = run(tmp_path, "segment.py", "gone.safetensors", "scan.bin")
    assert missing.returncode == 1 and "gone.safetensors" in missing.stderr and "Traceback" not in missing.stderr


def test_many_threads(tmp_path):
    done = run(tmp_path, "many_threads.py")
    assert done.returncode == 0 and "all bits equal" in done.stdout, done.stderr


def test_own_network(tmp_path):
    if "RAREFY_REQUIRE_TORCH" not in os.environ:
        pytest.importorskip("torch")
    done = run(tmp_path, "own_network.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sites right" in done.stdout


def test_write_model(tmp_path):
    import rarefy
    done = run(tmp_path, "write_model.py", "w.safetensors")
    assert done.returncode == 0, done.stderr
    coords = numpy.array([[0, 0, 0, 0], [0, 1, 0, 0]], "i4")
    out = rarefy.load(tmp_path / "w.safetensors").run(x=rarefy.SparseTensor(coords, numpy.ones((2, 3), "f4")))
    assert out["y"].shape == (1, 4)


def test_the_documents_show_the_example_in_c():
    program = (SOURCE / "examples" / "segment.c").read_text()
    shown = re.findall(r"^```c\n(.*?)^```", (SOURCE / "docs" / "c.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown
    for line in shown[0].splitlines():
        assert line.strip() in program, line
