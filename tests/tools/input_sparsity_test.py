#!/usr/bin/python3
"""The proof of input sparsity: its statistics against cases whose answer is known, its queue ended in the middle, and the
smaller dense models that it compares with."""

import importlib
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "experiments" / "input-sparsity"))
os.environ["RAREFY_CACHE"] = tempfile.mkdtemp(prefix="rarefy_input_sparsity_")

import numpy  # noqa: E402

import intervals  # noqa: E402
import model_file  # noqa: E402
import runs  # noqa: E402
import smaller  # noqa: E402


def scored(rng, images, right_share, classes=4, points=500):
    """Counts of images whose points are right with this probability, else of any other class."""
    counts = numpy.zeros((images, 3, classes))
    truth_rng = numpy.random.default_rng(99)  # the same labels for every caller
    for image in range(images):
        truth = truth_rng.integers(classes, size=points)
        wrong = rng.random(points) > right_share
        predicted = numpy.where(wrong, (truth + rng.integers(1, classes, size=points)) % classes, truth)
        for c in range(classes):
            counts[image, :, c] = (truth == c).sum(), (predicted == c).sum(), ((truth == c) & (predicted == c)).sum()
    return counts


class Statistics(unittest.TestCase):
    def test_mean_iou_by_hand(self):
        totals = numpy.array([[4, 2, 0], [3, 3, 1], [2, 2, 0]])  # truth, predicted, right; the third class does not occur
        self.assertAlmostEqual(float(intervals.miou(totals)), 100 * (2 / 5 + 2 / 3) / 2)
        self.assertTrue(numpy.isnan(intervals.class_iou(totals)[2]))
        self.assertEqual(float(intervals.miou(numpy.zeros((3, 2)))), 0)

    def test_interval_holds_a_known_difference_and_narrows_with_images(self):
        widths = []
        for images in (20, 320):
            rng = numpy.random.default_rng(3)
            pairs = [[(scored(rng, images, 0.80), scored(rng, images, 0.78)) for _ in range(3)] for _ in range(3)]
            found = intervals.bootstrap_difference(pairs, draws=400)
            expected = 100 * (0.78 / (2 - 0.78) - 0.80 / (2 - 0.80))  # IoU of classes alike: p / (2 - p)
            self.assertLess(found["low"], expected)
            self.assertGreater(found["high"], expected)
            self.assertEqual((found["parents"], found["continuations"], found["images"]), (3, 9, images))
            widths.append(found["high"] - found["low"])
        self.assertLess(widths[1], widths[0] / 2)

    def test_what_is_alike_differs_by_nothing_and_runs_widen_the_interval(self):
        rng = numpy.random.default_rng(1)
        a = scored(rng, 50, 0.8)
        same = intervals.bootstrap_difference([[(a, a)]], draws=100)
        self.assertEqual((same["difference"], same["low"], same["high"]), (0, 0, 0))
        # Two parents that disagree by far more than images do: the interval must reach both.
        worse, better = scored(rng, 50, 0.7), scored(rng, 50, 0.9)
        found = intervals.bootstrap_difference([[(a, worse)], [(a, better)]], draws=400)
        self.assertLess(found["low"], -8)
        self.assertGreater(found["high"], 8)

    def test_runs_that_cannot_be_compared_are_refused(self):
        rng = numpy.random.default_rng(1)
        a = scored(rng, 10, 0.8)
        other = a.copy()
        other[0, 0, 0] += 1
        for pairs in ([], [[]], [[(a, a[:5])]], [[(a, other)]]):
            with self.assertRaises(ValueError):
                intervals.bootstrap_difference(pairs, draws=10)

    def test_verdicts(self):
        def verdict(low, difference, high, parents=3, continuations=9, floor=True):
            interval = {"low": low, "difference": difference, "high": high, "parents": parents, "continuations": continuations}
            return intervals.verdict(interval, 0.5, floor)

        self.assertEqual(verdict(-0.4, 0.1, 0.6), "no loss")
        self.assertEqual(verdict(-0.6, 0.1, 0.8), "inconclusive")  # the margin cannot be resolved
        self.assertEqual(verdict(-3, -2, -1), "loss")
        self.assertEqual(verdict(-0.9, -0.4, 0.1), "inconclusive")
        self.assertEqual(verdict(-0.45, -0.3, -0.1), "no loss")  # smaller than the margin, if real
        self.assertIn("floor", verdict(-0.4, 0.1, 0.6, floor=False))
        self.assertIn("too few", verdict(-0.4, 0.1, 0.6, parents=1))
        self.assertIn("too few", verdict(-0.4, 0.1, 0.6, continuations=2))

    def test_ceiling_and_break_even(self):
        self.assertAlmostEqual(intervals.amdahl(0.8, 0.5), 1 / 0.6)
        self.assertEqual(intervals.amdahl(0, 0), 1)
        with self.assertRaises(ValueError):
            intervals.amdahl(1.5, 0)
        self.assertAlmostEqual(intervals.break_even([(0.4, 1.3), (0.2, 0.9), (0.3, 1.1)]), 0.25)
        self.assertEqual(intervals.break_even([(0.1, 1.2)]), 0.1)
        self.assertIsNone(intervals.break_even([(0.1, 0.8), (0.5, 0.99)]))


class Queue(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="rarefy_queue_")
        self.results = os.path.join(self.folder, "results.json")

    def path(self, name):
        return os.path.join(self.folder, name)

    def row(self, value):
        return {key: None for key in runs.KEYS} | {"value": value}

    def test_goes_on_at_the_stage_that_failed_and_does_nothing_twice(self):
        second = self.path("second")
        stages = [runs.Stage(self.path("first"), ["sh", "-c", "echo once"], captured=True),
                  runs.Stage(second, ["sh", "-c", f"test -e {self.path('ready')} && echo made > {second}"])]
        run = runs.Run("task.run", 1, stages, row=lambda: self.row(7))
        with self.assertRaisesRegex(RuntimeError, "exit code 1"):
            runs.execute(run, self.results, say=lambda text: None)
        self.assertFalse(run.done())
        self.assertEqual(runs.read_results(self.results), {})
        before = os.stat(self.path("first")).st_mtime_ns
        open(self.path("ready"), "w", encoding="utf-8").close()
        for _ in range(2):
            runs.execute(run, self.results, say=lambda text: None)
        self.assertEqual(os.stat(self.path("first")).st_mtime_ns, before)
        with open(self.results, encoding="utf-8") as file:
            lines = file.readlines()
        self.assertEqual(len(lines), 1)
        self.assertEqual(json.loads(lines[0])["value"], 7)

    def test_an_unfinished_output_is_not_taken_for_one(self):
        broken = runs.Stage(self.path("out"), ["sh", "-c", "echo half; exit 3"], captured=True)
        with self.assertRaisesRegex(RuntimeError, "exit code 3"):
            runs.make(broken)
        self.assertFalse(os.path.exists(broken.output))
        with self.assertRaisesRegex(RuntimeError, "did not write"):
            runs.make(runs.Stage(self.path("none"), ["true"]))

    def test_rows_are_replaced_in_place_and_complete(self):
        for name, value in (("a", 1), ("b", 2), ("a", 3)):
            runs.record(self.results, name, self.row(value))
        rows = runs.read_results(self.results)
        self.assertEqual(list(rows), ["a", "b"])
        self.assertEqual(rows["a"]["value"], 3)
        with self.assertRaisesRegex(ValueError, "lacks latency_ms"):
            runs.record(self.results, "c", {k: 0 for k in runs.KEYS if k != "latency_ms"})

    def test_order_is_that_of_the_budget_with_needs_first(self):
        a, b, c = (runs.Run(n, line, needs=needs) for n, line, needs in (("a", 1, ("c",)), ("b", 2, ()), ("c", 9, ())))
        self.assertEqual([r.name for r in runs.in_order([b, a, c])], ["c", "a", "b"])
        with self.assertRaisesRegex(ValueError, "needs z"):
            runs.in_order([runs.Run("a", 1, needs=("z",))])
        with self.assertRaisesRegex(ValueError, "one name"):
            runs.in_order([runs.Run("a", 1), runs.Run("a", 2)])

    def test_one_queue_at_a_time(self):
        held = runs.lock()
        with self.assertRaisesRegex(RuntimeError, "another queue"):
            runs.lock()
        held.close()
        runs.lock().close()

    def test_every_task_has_runs_in_a_possible_order_and_what_the_report_reads(self):
        every = []
        for name in ("lidar", "camvid"):
            if not (ROOT / "experiments" / "input-sparsity" / f"{name}.py").exists():
                continue
            task = importlib.import_module(name)
            every += task.all_runs()
            self.assertTrue({"TITLE", "ABOUT", "ARMS", "RARE", "FLOOR", "MARGIN"} <= set(dir(task)), name)
            self.assertIn("dense", task.ARMS)
        order = [run.name for run in runs.in_order(every)]
        self.assertIn("lidar.1.ours.1", order)
        self.assertLess(order.index("lidar.1.dense.1"), order.index("lidar.1.ours.1"))


class SmallerModels(unittest.TestCase):
    def setUp(self):
        self.model = model_file.read(ROOT / "models" / "street.safetensors")

    def test_the_file_is_written_as_it_was_read(self):
        path = os.path.join(tempfile.mkdtemp(), "copy.safetensors")
        model_file.write(path, self.model)
        again = model_file.read(path)
        self.assertEqual(again["graph"], self.model["graph"])
        self.assertEqual(again["notes"], self.model["notes"])
        for name, array in self.model["arrays"].items():
            numpy.testing.assert_array_equal(again["arrays"][name], array)

    def test_larger_voxels_are_so_in_graph_and_pipeline(self):
        model = smaller.larger(self.model, 0.15)
        self.assertEqual(model["pipeline"]["voxel_size"], [0.15] * 3)
        self.assertEqual([n["attributes"]["voxel_size"] for n in model["graph"]["nodes"] if n["op"] == "voxelize"], [[0.15] * 3])

    def test_narrower_keeps_the_strongest_filters_of_layers_that_fit_together(self):
        before = {name: array.copy() for name, array in self.model["arrays"].items()}
        model = smaller.narrower(self.model, 0.21)
        nodes = {node["name"]: node for node in model["graph"]["nodes"]}
        for node in nodes.values():
            if node["op"] not in ("sparse_conv", "linear"):
                continue
            weight = model["arrays"][node["parameters"][0]]
            self.assertEqual(weight.shape[-1], node["attributes"]["channels"], node["name"])
        self.assertEqual(nodes["classifier"]["attributes"]["channels"], 19)
        self.assertEqual(model["arrays"]["stem.conv1.weight"].shape[1], 2)  # z and intensity are no filters
        first = before["up4.res2.conv1.weight"]
        kept = model["arrays"]["up4.res2.conv1.weight"]
        self.assertEqual(kept.shape[-1], int(0.21 * 96))
        strength = numpy.sort(numpy.abs(first).sum((0, 1)))[::-1][:kept.shape[-1]]
        self.assertGreater(numpy.abs(kept).sum(), 0.3 * strength.sum())  # its inputs were cut, too
        up = numpy.concatenate([[model["arrays"]["up4.conv.weight"].shape[-1]], [model["arrays"]["stem.conv2.weight"].shape[-1]]])
        self.assertEqual(model["arrays"]["up4.res1.conv1.weight"].shape[1], up.sum())


if __name__ == "__main__":
    unittest.main()
