#!/usr/bin/python3
"""tools/pt_to_safetensors.py reads what PyTorch writes (and a file made here, byte by byte, without it), and runs no
code of a checkpoint."""

import collections
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "pt_to_safetensors.py")

try:
    import torch
except ImportError:
    torch = None


def convert(path, out, *arguments):
    done = subprocess.run([sys.executable, TOOL, path, out, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    body = data[8 + length:]
    return metadata, {n: (t["dtype"], t["shape"], body[slice(*t["data_offsets"])]) for n, t in header.items()}


def fake_torch():
    """Modules whose functions pickle as PyTorch's do."""
    main, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})
    main.FloatStorage = storage

    def _rebuild_tensor_v2(*_):
        return None

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    return {"torch": main, "torch._utils": utils}


class Stored:
    def __init__(self, key):
        self.key = key


def write_by_hand(path, entries, storages, wrap=lambda d: d):
    """entries: name -> (storage key, offset, shape, stride)."""
    modules = fake_torch()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        class Fake:
            def __init__(self, arguments):
                self.arguments = arguments

            def __reduce__(self):
                return modules["torch._utils"]._rebuild_tensor_v2, self.arguments

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj):
                if isinstance(obj, Stored):
                    return ("storage", modules["torch"].FloatStorage, obj.key, "cpu", 0)
                return None

        state = collections.OrderedDict(
            (name, Fake((Stored(key), offset, shape, stride, False, collections.OrderedDict())))
            for name, (key, offset, shape, stride) in entries.items())
        buffer = io.BytesIO()
        Pickler(buffer, protocol=2).dump(wrap(state))
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", struct.pack(f"<{len(values)}f", *values))


class PtToSafetensors(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.source, self.out = (os.path.join(self.folder.name, n) for n in ("in.pt", "out.safetensors"))

    def tearDown(self):
        self.folder.cleanup()

    def test_order_views_and_strides(self):
        storages = {"0": [0, 1, 2, 3, 4, 5], "1": [7]}
        write_by_hand(self.source, {"z.weight": ("0", 0, (2, 3), (3, 1)), "a.turned": ("0", 0, (3, 2), (1, 3)),
                                    "m.part": ("0", 2, (2,), (1,)), "scalar": ("1", 0, (), ())}, storages)
        self.assertEqual(convert(self.source, self.out), (0, ""))
        metadata, tensors = read(self.out)
        self.assertEqual(metadata, {"order": "state_dict"})
        self.assertEqual(list(tensors), ["z.weight", "a.turned", "m.part", "scalar"])
        values = {n: list(struct.unpack(f"<{len(t[2]) // 4}f", t[2])) for n, t in tensors.items()}
        self.assertEqual(values, {"z.weight": [0, 1, 2, 3, 4, 5], "a.turned": [0, 3, 1, 4, 2, 5], "m.part": [2, 3],
                                  "scalar": [7]})
        self.assertEqual(tensors["a.turned"][1], [3, 2])

    def test_finds_the_state_dict(self):
        entries, storages = {"w": ("0", 0, (1,), (1,))}, {"0": [3]}
        write_by_hand(self.source, entries, storages, lambda d: {"epoch": 3, "state_dict": d})
        self.assertEqual(convert(self.source, self.out)[0], 0)
        self.assertEqual(list(read(self.out)[1]), ["w"])
        write_by_hand(self.source, entries, storages, lambda d: {"ema": d})
        status, error = convert(self.source, self.out)
        self.assertEqual(status, 1)
        self.assertIn("--key", error)
        self.assertEqual(convert(self.source, self.out, "--key", "ema")[0], 0)

    def test_runs_no_code(self):
        marker = os.path.join(self.folder.name, "ran")

        class Evil:
            def __reduce__(self):
                return os.system, (f"touch {marker}",)

        with zipfile.ZipFile(self.source, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": {}, "config": Evil()}))
        self.assertEqual(convert(self.source, self.out)[0], 1)
        self.assertFalse(os.path.exists(marker))

    def test_says_what_is_wrong_and_leaves_nothing(self):
        for content, words in ((b"not a zip", "no zip archive"), (None, "No such file")):
            if content is not None:
                with open(self.source, "wb") as file:
                    file.write(content)
            else:
                os.remove(self.source)
            status, error = convert(self.source, self.out)
            self.assertEqual(status, 1)
            self.assertIn(words, error)
            self.assertEqual(error.count("\n"), 1)
        write_by_hand(self.source, {"w": ("0", 3, (2,), (1,))}, {"0": [1, 2, 3, 4]})
        self.assertIn("beyond its storage", convert(self.source, self.out)[1])
        self.assertFalse(os.path.exists(self.out))

    @unittest.skipIf(torch is None, "PyTorch is not installed")
    def test_equals_pytorch(self):
        net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5), torch.nn.Conv3d(2, 4, 3).half())
        torch.save({"model": net.state_dict(), "epoch": 1}, self.source)
        self.assertEqual(convert(self.source, self.out), (0, ""))
        tensors = read(self.out)[1]
        self.assertEqual(list(tensors), list(net.state_dict()))
        for name, tensor in net.state_dict().items():
            self.assertEqual(tensors[name][1], list(tensor.shape), name)
            self.assertEqual(tensors[name][2], tensor.numpy().tobytes(), name)


if __name__ == "__main__":
    unittest.main()
