#!/usr/bin/python3
"""Writes RESULTS.md and results.json from what experiments/deadline/run measured.

usage: report.py MEASURED_FOLDER HERE
"""

import json
import os
import sys

ORDERS = ["spread", "points", "near", "crowded", "random"]
KEEPS = ["0.8", "0.6", "0.4", "0.25"]
DEADLINES = ["250", "200", "150", "120", "100", "80"]


def read(folder, name):
    path = os.path.join(folder, name + ".json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def row_of(name, r):
    t = r["thinning"]
    return {"name": name, "miou": r["miou"], "accuracy": r["accuracy"], "scans": r["scans"], "order": t["order"],
            "keep": t["keep"], "deadline_ms": t["deadline_ms"], "voxels": t["voxels"], "share_left_out": t["share_left_out"],
            "macs": t["macs"], "ms": t["ms"], "missed": t["missed"]}


def stream_row(name, r):
    keys = ["cpu", "isa", "threads", "busy", "rate", "seconds", "arrived", "labelled", "dropped", "missed", "deadline_ms",
            "latency_ms", "voxels", "macs", "thinning"]
    return {"name": name, **{k: r[k] for k in keys}}


def order_table(rows, data, out):
    base = rows.get(f"{data}.all")
    if base is None:
        return
    what = {"streets": "fresh simulated streets", "real": "real scans"}[data]
    out.append(f"\n## mIoU and points right, %: {base['scans']} {what}\n")
    out.append(f"All voxels: mIoU {100 * base['miou']:.1f}, right {100 * base['accuracy']:.1f}, "
               f"{base['macs'] / 1e9:.2f} G multiply-adds.\n")
    out.append("| voxels that stay | " + " | ".join(ORDERS) + " | multiply-adds of `spread`, % |")
    out.append("| --- |" + " --- |" * (len(ORDERS) + 1))
    for keep in KEEPS:
        cells = []
        best = max(rows[f"{data}.{order}.{keep}"]["miou"] for order in ORDERS)
        for order in ORDERS:
            r = rows[f"{data}.{order}.{keep}"]
            text = f"{100 * r['miou']:.1f}"
            cells.append((f"**{text}**" if r["miou"] == best else text) + f" ({100 * r['accuracy']:.1f})")
        share = rows[f"{data}.spread.{keep}"]["macs"] / base["macs"]
        out.append(f"| {float(keep):.0%} | " + " | ".join(cells) + f" | {100 * share:.0f} |")


def main():
    folder, here = sys.argv[1], sys.argv[2]
    names = [f"{d}.all" for d in ("streets", "real")]
    names += [f"{d}.{o}.{k}" for d in ("streets", "real") for k in KEEPS for o in ORDERS]
    names += [f"deadline.{ms}" for ms in DEADLINES]
    rows = {n: row_of(n, r) for n in names if (r := read(folder, n)) is not None}
    streams = {n: stream_row(n, r) for n in ("thinned", "whole") if (r := read(folder, "stream." + n)) is not None}
    out = ["# Deadlines", "",
           "Made by `experiments/deadline/run`; all figures are also in `results.json`. Voxels are left out ahead of the "
           "network; points of those that are take the label of the nearest voxel that stays. The model is the shipped one and "
           "was trained with all voxels. The default order, `spread`, was chosen among twenty-odd rules on 10 of the streets of "
           "`experiments/segmentation` (seed 9001), not on these."]
    order_table(rows, "streets", out)
    order_table(rows, "real", out)
    out.append("\n## mIoU against a deadline (`rarefy eval --deadline`, one scan at a time)\n")
    any_stream = next(iter(streams.values()), None)
    if any_stream:
        out.append(f"{any_stream['cpu']}, {any_stream['threads']} threads, {any_stream['isa']}; "
                   f"other programs: {any_stream['busy'] or 'none'}.\n")
    out.append("| deadline, ms | mIoU % | right % | voxels left out % | p50, ms | p99, ms | missed |\n| --- | --- | --- | --- | --- | --- | --- |")
    for ms in DEADLINES:
        r = rows.get(f"deadline.{ms}")
        if r:
            out.append(f"| {ms} | {100 * r['miou']:.1f} | {100 * r['accuracy']:.1f} | {100 * r['share_left_out']:.0f} | "
                       f"{r['ms']['p50']:.0f} | {r['ms']['p99']:.0f} | {r['missed']} of {r['scans']} |")
    if streams:
        s = any_stream
        out.append(f"\n## A stream of {s['rate']:g} scans a second, deadline {s['deadline_ms']:.0f} ms "
                   f"(`rarefy stream`, {s['arrived']} arrivals)\n")
        out.append("| | labelled | dropped frames | missed | p50, ms | p99, ms | voxels left out % |\n| --- | --- | --- | --- | --- | --- | --- |")
        for name, title in (("thinned", "voxels left out"), ("whole", "`--whole`")):
            s = streams.get(name)
            if not s:
                continue
            left = f"{100 * s['thinning']['share_left_out']:.0f}" if s["thinning"] else "0"
            out.append(f"| {title} | {s['labelled']} | {s['dropped']['no_place'] + s['dropped']['late']} | {s['missed']} | "
                       f"{s['latency_ms']['p50']:.0f} | {s['latency_ms']['p99']:.0f} | {left} |")
    with open(os.path.join(here, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
    with open(os.path.join(here, "results.json"), "w", encoding="utf-8") as file:
        json.dump({"rows": list(rows.values()), "streams": list(streams.values())}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
