"""LiDAR segmentation: simulated streets, the shipped model as first parent, and its continuations."""

import json
import os
import statistics

import numpy

import runs
from runs import Run, Stage, program

TITLE = "LiDAR segmentation (simulated streets)"
ABOUT = ("MinkUNet, 16 residual blocks; parent 1 is the shipped model. Every arm goes on from the same parent for the same number "
         "of steps. Sparsity: voxel updates that the dense model makes and this one does not, mean over all blocks and scans; "
         "voxels left out ahead of the network count in every block. `voxel magnitude` is SparseViT's way on voxels: magnitude, "
         "nested, skipped blocks, ratios by search on the validation streets (on the parent's weights, without training at varying "
         "ratios before); `ours` lets kept voxels see all and share what they get "
         "within cells, by learned scores; at 60 % by one threshold per stage over all scans; `ours ahead` instead leaves half of the "
         "finest voxels out ahead of the network and drops a share of each scan; `random` is ours with random scores; "
         "`larger voxels` (15 cm) and `narrower` (width 0.21 of the filters with the largest L1 norm) are dense.")
TRAIN_STEPS = 2000
TRAINING = ("--drop-intensity 0.5 --drop-points 0.3 --translate 0.15 --jitter 0.015 --intensity-scale 0.3 --swap-sector 0.2 "
            f"--rotate-paste 0.1 --rare-region 0 --max-points 60000 --lr 1e-3 --steps {TRAIN_STEPS} --checkpoint-every 50 "
            "--report-every 100 --threads 2").split()
STREETS = {"train": (2101, 600), "validation": (2201, 60), "test": (2301, 300)}  # seed, streets
PARENTS, CONTINUATIONS = (1, 2, 3), {1: (1, 2, 3), 2: (1,), 3: (1,)}
FLOOR, MARGIN = 45.0, 0.5
RARE = ["bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "pole", "traffic-sign"]

# Which stages lose nearly all of their voxels: those that cost least on the validation streets.
OURS = {60: ["down1=0.9", "down3=0.9", "down4=0.9", "up1=0.9", "up3=0.9", "up4=0.3"],
        40: ["down3=0.9", "down4=0.95", "up1=0.95", "up3=0.4"],
        25: ["down3=0.1", "down4=0.95", "up1=0.95"]}
# The first recipe: half of the finest voxels left out ahead of the network, and stages less unevenly.
AHEAD = ["--ahead", "0.53", *(word for ratio in ("down2=0.3", "down3=0.9", "down4=0.95", "up1=0.95", "up2=0.3", "up3=0.35")
                              for word in ("--ratio", ratio))]
LEARNED = ["--score", "learned", "--surroundings", "cells"]
# One threshold per stage over all scans: a region that is trained on keeps what it would keep within its scan, while a share of
# the region would be another choice than the share of the scan that the model is used with.
ADAPTIVE = ["--keep", "all"]


def ratios(target):
    return [word for ratio in OURS[target] for word in ("--ratio", ratio)]


ARMS = {  # method: options of `rarefy compress`, or of smaller.py, or none
    "dense": None,
    "ours": LEARNED + ADAPTIVE + ratios(60),
    "ours 40 %": LEARNED + ratios(40),
    "ours 25 %": LEARNED + ratios(25),
    "ours ahead": LEARNED + AHEAD,
    "voxel magnitude": ["--score", "magnitude", "--left-out", "0.6", "--by", "classes"],
    "larger voxels": ("larger", "0.15"),
    "narrower": ("narrower", "0.21"),
    "random": ["--score", "random", "--surroundings", "cells", *ADAPTIVE, *ratios(60)],
    "dense again": None,
    "voxel magnitude 40 %": ["--score", "magnitude", "--left-out", "0.4", "--by", "classes"],
}


def folder(*parts):
    return runs.cache("lidar", *parts)


def streets(name):
    return folder(name)


def parent_model(parent):
    if parent == 1:
        return os.path.join(runs.ROOT, "models", "street.safetensors")
    return folder(f"parent{parent}", "model.safetensors")


def simulate(name, seed, count, *options):
    """A stage that ends with a file beside the streets; an interrupted simulation goes on."""
    done = folder(name + ".done")

    def make(path):
        runs.make(Stage(path + ".json", [program("rarefy"), "simulate", "lidar", "--out", streets(name), "--seed", str(seed),
                                         "--streets", str(count), "--json", *options], captured=True))
        os.replace(path + ".json", path)

    return Stage(done, make)


def run_name(parent, method, continuation):
    return f"lidar.{parent}.{method.replace(' %', '').replace(' ', '_')}.{continuation}"


def start_stage(where, parent, arm):
    start = os.path.join(where, "start.safetensors")
    if isinstance(arm, tuple):
        script = os.path.join(runs.HERE, "smaller.py")
        return Stage(start, lambda path: runs.make(Stage(path, ["/usr/bin/python3", script, arm[0], parent_model(parent), path,
                                                                arm[1]])))
    return Stage(start, [program("rarefy"), "compress", "--what", "voxels", "--model", parent_model(parent), "--data",
                         streets("validation"), "--scans", "6", "--threads", "2", "--json", "--out", start, *arm])


def evaluation(where, name, data):
    return Stage(os.path.join(where, name + ".json"),
                 [program("rarefy"), "eval", *data, "--model", os.path.join(where, "model.safetensors"), "--threads", "2",
                  "--scans", "--json"], captured=True)


def real_data():
    base = os.environ.get("RAREFY_DATA", "")
    found = [os.path.join(base, "lidar", name) for name in ("semantickitti", "semantickitti_xyz")]
    return found if all(os.path.isdir(path) for path in found) else None


def continuation_run(line, parent, method, continuation):
    name = run_name(parent, method, continuation)
    where, arm = folder("runs", name), ARMS[method]
    stages = [] if arm is None else [start_stage(where, parent, arm)]
    # Every arm of a continuation sees the same regions in the same order; dense again is another continuation.
    seed = 100 * parent + continuation + (50 if method == "dense again" else 0)
    start = parent_model(parent) if arm is None else stages[0].output
    model = os.path.join(where, "model.safetensors")
    stages.append(Stage(model, [program("rarefy-train"), "--init", start, "--data", streets("train"), *TRAINING, "--seed",
                                str(seed), "--checkpoint-dir", os.path.join(where, "checkpoint"), "--out", model]))
    stages.append(evaluation(where, "test", [streets("test")]))
    if real_data():
        stages.append(evaluation(where, "real", real_data()))
    needs = ["lidar.streets"] + ([] if parent == 1 else [f"lidar.parent{parent}"])
    if method != "dense":
        needs.append(run_name(parent, "dense", continuation))
    run = Run(name, line, stages, needs=tuple(needs))
    run.row = lambda: row(name, where, parent, method, continuation)
    return run


def parent_run(parent):
    """A model of the shipped one's builder, trained in the same two phases on other streets, for half as long."""
    where, seed, kinds = folder(f"parent{parent}"), 3000 + 10 * parent, ("residential", "urban", "country", "highway")
    stages = [simulate(f"parent{parent}_{kind}", seed, 600, "--kind", kind, "--rare", "3") for kind in kinds]
    stages.append(simulate(f"parent{parent}_natural", seed + 1, 1000))
    with open(os.path.join(runs.ROOT, "experiments", "segmentation", "options"), encoding="utf-8") as file:
        options = file.read().split()
    first, model = os.path.join(where, "first.safetensors"), os.path.join(where, "model.safetensors")
    rare = ",".join(streets(f"parent{parent}_{kind}") for kind in kinds)
    common = [program("rarefy-train"), *options, "--checkpoint-every", "50", "--report-every", "100", "--time-budget", "25m"]
    stages.append(Stage(first, [*common, "--data", rare, "--seed", str(seed), "--lr", "2.5e-3", "--max-points", "60000",
                                "--checkpoint-dir", os.path.join(where, "1"), "--out", first]))
    stages.append(Stage(model, [*common, "--data", streets(f"parent{parent}_natural"), "--init", first, "--swap-sector", "0.2",
                                "--rotate-paste", "0.1", "--seed", str(seed + 1), "--lr", "1e-3", "--checkpoint-dir",
                                os.path.join(where, "2"), "--out", model]))
    return Run(f"lidar.parent{parent}", 8, stages)


def all_runs():
    result = [Run("lidar.streets", 1, [simulate(name, seed, count) for name, (seed, count) in STREETS.items()])]
    result += [parent_run(parent) for parent in PARENTS if parent != 1]
    for parent in PARENTS:
        for continuation in CONTINUATIONS[parent]:
            line = 9 if parent != 1 else 1 if continuation == 1 else 4
            result += [continuation_run(line, parent, method, continuation) for method in ARMS]
    return result


def read_json(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return json.load(file)


def sparsity(scores, dense):
    """Mean over blocks and scans of the voxel updates that the dense model makes and this one does not; names of blocks may
    come in another order."""
    order = {b["block"]: i for i, b in enumerate(scores["blocks"])}
    places = [order[b["block"]] for b in dense["blocks"]]
    rows = numpy.array([scan["rows"] for scan in scores["per_scan"]], dtype=float)[:, places]
    whole = numpy.array([scan["rows"] for scan in dense["per_scan"]], dtype=float)
    by_block = (1 - rows / numpy.maximum(1, whole)).mean(0)
    return float(by_block.mean()), {b["block"]: round(float(s), 4) for b, s in zip(dense["blocks"], by_block, strict=True)}


def save_counts(path, scores):
    counts = numpy.array([[scan["counts"][k] for k in ("truth", "predicted", "right")] for scan in scores["per_scan"]])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    numpy.savez_compressed(path, counts=counts.astype(numpy.int32), classes=[c["name"] for c in scores["per_class"]])


def row(name, where, parent, method, continuation):
    scores = read_json(where, "test.json")
    dense = read_json(folder("runs", run_name(parent, "dense", continuation)), "test.json")
    mean, by_block = sparsity(scores, dense) if method not in ("larger voxels",) else (None, None)
    save_counts(os.path.join(runs.HERE, "counts", name + ".npz"), scores)
    latency = read_json(where, "latency.json") if os.path.exists(os.path.join(where, "latency.json")) else None
    one = latency["threads"]["1"] if latency else {}
    result = {"task": "lidar", "method": method, "seed": continuation, "split": "test", "metric": "miou",
              "value": round(100 * scores["miou"], 3), "sparsity_mean": mean if mean is None else round(mean, 4),
              "macs": round(scores["macs_per_scan"]), "latency_ms": one.get("ms"), "batch": 1, "threads": 1,
              "cpu": latency["cpu"] if latency else None, "parent": parent, "accuracy": round(100 * scores["accuracy"], 3),
              "steps": TRAIN_STEPS, "scans": scores["scans"], "sparsity_by_block": by_block, "latency": latency,
              "per_class": {c["name"]: c["iou"] if c["iou"] is None else round(100 * c["iou"], 2) for c in scores["per_class"]}}
    if os.path.exists(os.path.join(where, "real.json")):
        real = read_json(where, "real.json")
        result["real"] = {"miou": round(100 * real["miou"], 3), "accuracy": round(100 * real["accuracy"], 3),
                          "scans": real["scans"]}
    return result


def measure_latency(run, rounds=4):
    """End to end (points to labels, voxels, maps, scores and selection included) on one validation scan: dense and this model
    in turns, each in a process of its own, medians."""
    _, parent, method, continuation = run.name.split(".")
    where = folder("runs", run.name)
    dense = folder("runs", run_name(int(parent), "dense", continuation), "model.safetensors")
    scan = os.path.join(streets("validation"), "sequences", "00", "velodyne", "000000.bin")
    result = {"threads": {}, "scan_points": None}
    for threads in ("1", "2"):
        times, busy = {"dense": [], "this": []}, False
        for _ in range(rounds):
            for which, model in (("dense", dense), ("this", os.path.join(where, "model.safetensors"))):
                if method == "dense" and which == "this":
                    continue
                output = folder("bench.json")
                if os.path.exists(output):
                    os.remove(output)
                runs.make(Stage(output, [program("rarefy"), "bench", "model", "--model", model, "--scan", scan, "--threads",
                                         threads, "--repetitions", "5", "--json"], captured=True))
                bench = read_json(output)
                times[which].append(bench["ms"]["total"])
                busy = busy or bench["busy"]
                result["cpu"], result["scan_points"] = bench["cpu"], bench["points"]
        ms = statistics.median(times["this"] or times["dense"])
        result["threads"][threads] = {"ms": round(ms, 2), "dense_ms": round(statistics.median(times["dense"]), 2),
                                      "speed": round(statistics.median(times["dense"]) / ms, 3), "busy": busy}
    with open(os.path.join(where, "latency.json.unfinished"), "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(os.path.join(where, "latency.json.unfinished"), os.path.join(where, "latency.json"))


def measure_speed():
    """What dropping alone does to the time, without training: speed_lidar.json."""
    points, busy, cpu, removable = [], False, "", {}
    scan = os.path.join(streets("validation"), "sequences", "00", "velodyne", "000000.bin")
    made, unused = folder("speed.json"), folder("speed.safetensors")
    ways = {"voxel magnitude": lambda r: ["--score", "magnitude", "--ratio", str(r)],
            "ours": lambda r: [*LEARNED, "--ahead", str(r), "--ratio", str(r)]}

    def measure(*command):
        if os.path.exists(made):
            os.remove(made)
        runs.make(Stage(made, [program("rarefy"), *command, "--json"], captured=True))
        return read_json(made)

    for threads in ("1", "2"):
        profile = measure("bench", "model", "--model", parent_model(1), "--scan", scan, "--threads", threads, "--profile")
        steps = [(step["name"], step["ms"]) for step in profile["profile"]]
        removable[threads] = round(sum(ms for name, ms in steps if ".res" in name) / sum(ms for _, ms in steps), 4)
        for method, options in ways.items():
            for ratio in (0.05, 0.1, 0.2, 0.4, 0.6):
                found = measure("compress", "--what", "voxels", "--model", parent_model(1), "--data", streets("validation"),
                                "--scans", "2", "--repetitions", "5", "--threads", threads, "--out", unused, *options(ratio))
                points.append({"method": method, "ratio": ratio, "sparsity": round(found["left_out_mean"], 4),
                               "threads": int(threads), "ms": round(found["ms"]["after"], 2),
                               "dense_ms": round(found["ms"]["before"], 2)})
                busy, cpu = busy or found["busy"], found["cpu"]
    with open(os.path.join(runs.HERE, "speed_lidar.json"), "w", encoding="utf-8") as file:
        json.dump({"cpu": cpu, "busy": busy, "removable": removable, "points": points}, file, indent=1)
        file.write("\n")
