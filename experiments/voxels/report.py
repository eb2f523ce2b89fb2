#!/usr/bin/python3
"""Writes RESULTS.md and results.json from what experiments/voxels/run measured.

usage: report.py MEASURED_FOLDER HERE
"""

import json
import os
import sys

ROWS = [("dense", "all voxels, all offsets")]
ROWS += [(f"voxels.{s}.{r}", f"voxels, {s}, ratio {r}") for s in ("magnitude", "learned") for r in ("0.1", "0.2", "0.4")]
ROWS += [(f"offsets.{r}", f"offsets, ratio {r}") for r in ("0.1", "0.2", "0.3")]


def main():
    folder, here = sys.argv[1], sys.argv[2]
    kept = []
    busy = False
    out = []
    for name, title in ROWS:
        with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
            r = json.load(file)
        c = r["compress"]
        c.pop("out", None)
        busy = busy or c["busy"]
        kept.append({"name": name, **r})
        out.append(f"| {title} | {100 * (1 - c['macs']['after'] / c['macs']['before']):.1f} | {c['ms']['before'] / c['ms']['after']:.2f} | "
                   f"{100 * c['labels_changed']:.1f} | {100 * r['miou']:.1f} | {100 * r['accuracy']:.1f} |")
    head = ["# Voxels and offsets left out inside the network", "",
            "Made by `experiments/voxels/run`: the shipped model, changed by `rarefy compress` and **not trained further**; every "
            "stage has the same ratio. mIoU on 20 fresh simulated streets. Times are ratios of runs in turns, scoring, selection "
            "and neighbour search included.", "",
            f"{kept[0]['compress']['cpu']}, {kept[0]['compress']['threads']} threads"
            + ("; other programs were using the machine, so that times vary." if busy else "."), "",
            "| left out | multiply-adds saved % | times as fast | labels changed % | mIoU % | right % |",
            "| --- | --- | --- | --- | --- | --- |"]
    with open(os.path.join(here, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(head + out) + "\n")
    with open(os.path.join(here, "results.json"), "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
