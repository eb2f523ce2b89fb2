#!/usr/bin/python3
"""What bench/write_results makes of measurements: times out, bridges recorded figures, replaces its own part of the file only;
and a peer that cannot be installed says so in one line."""

import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from results import peers, recorded  # noqa: E402
from results.command import Failed, json_of  # noqa: E402

loader = importlib.machinery.SourceFileLoader("write_results", str(BENCH / "write_results"))
write_results = importlib.util.module_from_spec(importlib.util.spec_from_loader("write_results", loader))
loader.exec_module(write_results)


def row(name, threads, ours, peer, kind="inference"):
    return {"name": name, "threads": threads, "kind": kind, "ours": {"ms": ours}, "peer": {"ms": peer}, "ratio": peer / ours}


class Command(unittest.TestCase):
    def test_what_takes_too_long_is_stopped_with_all_that_it_started(self):
        with tempfile.TemporaryDirectory() as folder:
            mark = os.path.join(folder, "mark")
            start = time.monotonic()
            with self.assertRaisesRegex(Failed, "^sh was not done after 1 s and was stopped$"):
                json_of(["/bin/sh", "-c", f"(sleep 3; touch {mark}) & sleep 60"], 1.0)
            self.assertLess(time.monotonic() - start, 20)
            time.sleep(3)
            self.assertFalse(os.path.exists(mark))

    def test_the_last_complaint_is_the_reason(self):
        with self.assertRaisesRegex(Failed, "^rarefy: no such scan$"):
            json_of(["/bin/sh", "-c", "echo first >&2; echo 'rarefy: no such scan' >&2; exit 1"])
        self.assertEqual(json_of(["/bin/sh", "-c", "echo '{\"rows\": []}'; exit 1"]), {"rows": []})  # a size that was refused


class Recorded(unittest.TestCase):
    ROWS = [row("MinkUNet 1x, new coordinates", 2, 1000, 4000), row("MinkUNet 1x, int7, new coordinates", 2, 500, 4000, "integers"),
            row("map, level 0", 2, 7, 70, "map")]

    def test_on_the_same_cpu_times_are_compared(self):
        lines = recorded.engine_table(self.ROWS, {"family": 25, "model": 1})
        self.assertFalse(any("bridged" in line for line in lines))
        self.assertIn("| MinkUNet 1.0x, new coordinates | 2 | 5263 | 4636 | 1000 | **5.3** | 500 | **10.5** |", lines)
        self.assertIn("| 3x3x3 map | 2 | 35 | 80 | 7.0 | **5.0** |  |  |", lines)
        self.assertFalse(any(line.startswith("| training step 0.5x |") for line in lines))  # not measured, not shown

    def test_elsewhere_the_ratio_to_libtorch_is_the_bridge(self):
        for cpu in ({"family": 26, "model": 2}, {"family": 25, "model": 97}, None):
            text = "\n".join(recorded.engine_table(self.ROWS, cpu))
            self.assertIn("times (bridged)", text)
            self.assertIn("An estimate", text)
            # 4000 / 1000 here, 5263 / 4636 there.
            self.assertIn("| 1000 | **4.5** | 500 | **9.1** |", text)
            self.assertIn("| 7.0 | **4.4** |", text)


class Peers(unittest.TestCase):
    def test_the_best_peer_is_the_fastest_of_all(self):
        rows = [row("MinkUNet 0.5x, new coordinates", 2, 400, 2000), row("MinkUNet 0.5x, cached maps", 2, 390, 100),
                row("MinkUNet 0.5x, int8, new coordinates", 2, 200, 2100, "integers"),
                row("MinkUNet 0.5x, new coordinates", 1, 800, 50)]
        scripts = [{"name": "MinkUNet 0.5x, new coordinates", "peer_ms": 1600.0, "peer_name": "PyTorch 2.x"},
                   {"name": "MinkUNet 0.5x, cached maps", "peer_ms": 10.0, "peer_name": "Open3D"}]
        lines = peers.best_peer_table(rows, scripts)
        self.assertEqual(lines[-1], "| 0.5 | PyTorch 2.x | 1600 | 400 | **4.0** | int8 | 200 | **8.0** |")
        self.assertIn("straightforward LibTorch | 2000", peers.best_peer_table(rows, [])[-1])

    def test_what_a_peer_cannot_do_is_said_in_its_place(self):
        rows, machine, problems = peers.measured_rows("/bin/false", "scan.bin")
        self.assertEqual((rows, machine), ([], {}))
        self.assertEqual(len(problems), sum(len(calls) for calls in peers.CALLS.values()))
        self.assertIn("--threads 1", problems[0])
        self.assertIn(problems[0], peers.libtorch_table(rows, machine, problems))

    def test_transformers_are_compared_with_the_fastest(self):
        result = {"torch": "2.9", "openvino": "2025.1", "load": 0.1, "problems": ["PyTorch compiled: no compiler"],
                  "rows": [{"name": "DeiT-Ti, batch 1", "threads": 1, "ms": {"rarefy": 20.0, "PyTorch": 31.0, "OpenVINO": 24.0},
                            "errors": {"PyTorch": 2e-6, "OpenVINO": 3e-6}, "best_peer": "OpenVINO", "ratio": 1.2}]}
        lines = peers.transformer_lines(result)
        self.assertEqual(lines[0], "torch 2.9, openvino 2025.1. Load when it began: 0.1.")
        self.assertIn("| DeiT-Ti, batch 1 | 1 | 20.0 | 24.0 | 31.0 | **1.20** (OpenVINO) | 3e-06 |", lines)
        self.assertEqual(lines[-1], "PyTorch compiled: no compiler")

    def test_one_that_cannot_be_installed_says_so_in_one_line(self):
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "RAREFY_CACHE": cache, "PIP_NO_INDEX": "1"}
            done = subprocess.run([BENCH / "peers" / "with_open3d", "--scan", "scan.bin", "--json"], env=environment,
                                  capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr.splitlines()[-1],
                         r"^with_open3d: Open3D cannot be had here: nothing was compared \(pip install open3d-cpu: .*\)$")


class File(unittest.TestCase):
    def test_only_the_comparisons_of_one_section_are_replaced(self):
        text = "# T\n\nx\n\n## A, avx2\n\nmine\n\n### Compared with L\n\nold\n\n### An ablation: i\n\nkept\n\n## B, avx512\n\n### Compared with L\n\nother\n"
        sections = write_results.sections_of(text)
        self.assertEqual(list(sections), ["## A, avx2", "## B, avx512"])
        changed = write_results.with_comparisons(sections["## A, avx2"], ["### Compared with L", "", "new"])
        self.assertEqual(changed, "## A, avx2\n\nmine\n\n### Compared with L\n\nnew\n\n### An ablation: i\n\nkept\n")
        self.assertEqual(write_results.with_comparisons("## C\n", ["### Compared with L"]), "## C\n\n### Compared with L\n")
        again = write_results.with_comparisons(changed, ["### Compared with L", "", "new"])
        self.assertEqual(again, changed)


    def test_one_part_alone_is_replaced_or_added(self):
        part = ["### Compared with P: t", "", "new"]
        section = "## A\n\n### Compared with P: t\n\nold\n\n### Next\n\nkept\n"
        changed = write_results.with_part(section, part)
        self.assertEqual(changed, "## A\n\n### Compared with P: t\n\nnew\n\n### Next\n\nkept\n")
        self.assertEqual(write_results.with_part(changed, part), changed)
        self.assertEqual(write_results.with_part("## A\n\n### An ablation: i\n\nkept\n", part),
                         "## A\n\n### Compared with P: t\n\nnew\n\n### An ablation: i\n\nkept\n")
        self.assertEqual(write_results.with_part("## A\n", part), "## A\n\n### Compared with P: t\n\nnew\n")


if __name__ == "__main__":
    unittest.main()
