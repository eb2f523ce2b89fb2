"""Writes results.json and RESULTS.md from the outputs of `rarefy eval`, and logs each evaluation on real scans."""
import datetime
import hashlib
import json
import os
import struct
import subprocess
import sys

here, cache, model, real = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "1"


def read(name):
    with open(os.path.join(cache, name), encoding="utf-8") as file:
        result = json.load(file)
    for entry in result.get("per_scan", []):  # no paths of this machine
        entry["file"] = os.path.basename(os.path.dirname(os.path.dirname(entry["file"]))) + "/" + os.path.basename(entry["file"])
    result["model"] = os.path.basename(model)
    result.pop("confusion", None)
    result.pop("ms_per_scan", None)  # taken while other programs ran: no measurement
    return result


def notes():
    with open(model, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    metadata = header.get("__metadata__", {})
    return {key.removeprefix("note."): value for key, value in metadata.items() if key.startswith("note.")}


path = os.path.join(here, "results.json")
results = {}
if os.path.exists(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
digest = hashlib.sha256(open(model, "rb").read()).hexdigest()[:16]
results["model"] = {"sha256_16": digest, "bytes": os.path.getsize(model), "notes": notes()}
results["held_out"] = read("held_out.json")
if real:
    results["real"] = read("real.json")
    results["real_full"] = read("real_full.json")
    results["real_xyz"] = read("real_xyz.json")
    results["real"]["model_sha256_16"] = digest
    log = os.path.join(here, "real_evaluations.tsv")
    fresh = not os.path.exists(log)
    with open(log, "a", encoding="utf-8") as file:
        if fresh:
            file.write("time (UTC)\tmodel (sha256)\tpooled mIoU %\tfull scan mIoU %\tsubsampled scans mIoU %\ttrivial %\tcommit\n")
        commit = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
        row = [datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"), digest]
        row += [f"{100 * results[k]['miou']:.2f}" for k in ("real", "real_full", "real_xyz")]
        row += [f"{100 * results['real']['trivial_baseline']['miou']:.2f}", commit]
        file.write("\t".join(row) + "\n")
with open(path, "w", encoding="utf-8") as file:
    json.dump(results, file, indent=1)
    file.write("\n")


def percent(value):
    return "-" if value is None else f"{100 * value:.1f}"


def line(name, result):
    interval = result.get("interval_95")
    bounds = f"{percent(interval[0])} to {percent(interval[1])} ({result['groups']} groups)" if interval else "-"
    return (f"| {name} | {result['scans']} | {percent(result['miou'])} | {bounds} | {result['classes']} | "
            f"{percent(result['accuracy'])} | {percent(result['trivial_baseline']['miou'])} |")


held_out = results["held_out"]
text = ["# Street segmentation: results", "",
        "Made by `experiments/segmentation/run` (stages simulate, train, evaluate); all figures are also in `results.json`. mIoU on",
        "points, over the classes that occur in the labels. The trivial baseline predicts the most frequent class of the training",
        "streets at a point's height and range.", "",
        "| data | scans | mIoU % | 95 % interval (bootstrap over groups) | classes | points right % | trivial baseline mIoU % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        line("held-out simulated streets", held_out)]
if "real" in results:
    text += [line("real scans, pooled", results["real"]), line("real: one full scan with intensity", results["real_full"]),
             line("real: four subsampled scans without intensity", results["real_xyz"])]
text += ["", "Real scans: SemanticKITTI 00/000000 and the four scans of Open3D-ML's demo (CC BY-NC-SA; not part of this repository).",
         "They were never trained on and decided nothing but which of at most five models ships; every evaluation on them is a line of",
         "`real_evaluations.tsv`. The simulator follows published class shares and, of six other KITTI scans without class labels,",
         "the numbers of points, voxels and neighbours, the ranges and the unevenness of the near ground.", "",
         "Training took 106 minutes on two cores (52 and 50 of the two phases, 4 that were begun again). The second curve is flat from",
         "step 10,000 of 11,810 on, while its rate falls to nothing: it does not rise any more, though a longer schedule may.", "",
         "Learning curves: [first phase](curve_first.svg), [second phase](curve_street.svg).", "", "![first phase](curve_first.svg)", "", "## The model", ""]
text += [f"- {key}: {value}" for key, value in sorted(results["model"]["notes"].items())]
text += [f"- file: {results['model']['bytes'] / 1e6:.1f} MB", "", "## IoU per class, %", "",
         "| class | held-out streets | points | real, pooled | points |", "| --- | --- | --- | --- | --- |"]
for i, c in enumerate(held_out["per_class"]):
    r = results["real"]["per_class"][i] if "real" in results else {"iou": None, "points": 0}
    text.append(f"| {c['name']} | {percent(c['iou'])} | {c['points']:,} | {percent(r['iou'])} | {r['points']:,} |")
if "real" in results:
    text += ["", "## Each real scan", "", "| scan | mIoU % | classes | points right % |", "| --- | --- | --- | --- |"]
    text += [f"| {s['file']} | {percent(s['miou'])} | {s['classes']} | {percent(s['accuracy'])} |" for s in results["real"]["per_scan"]]
ablation = os.path.join(here, "ablation.json")
if os.path.exists(ablation):
    with open(ablation, encoding="utf-8") as file:
        ablation = json.load(file)
    text += ["", "## What each realism feature of the simulator is worth", "",
             f"Made by `experiments/segmentation/ablation` after the shipped model was chosen: {ablation['steps']} steps on "
             f"{ablation['streets']} streets each, everything else alike.", "",
             "| left out | real mIoU % | road | building | vegetation | car | held-out mIoU % |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, arm in ablation["arms"].items():
        text.append(f"| {'nothing' if name == 'all-on' else name} | {percent(arm['real_miou'])} | " +
                    " | ".join(percent(v) for v in arm["real_iou"].values()) + f" | {percent(arm['held_out_miou'])} |")
with open(os.path.join(here, "RESULTS.md"), "w", encoding="utf-8") as file:
    file.write("\n".join(text) + "\n")
print("\n".join(text[7:12]))
