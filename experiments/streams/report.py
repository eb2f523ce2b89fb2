#!/usr/bin/python3
"""Prints the result of `rarefy stream --json` as a table; keeps the figures without this machine's paths.

usage: report.py RESULT.json KEPT.json
"""

import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        r = json.load(file)
    r.pop("report", None)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(r, file, indent=2)
        file.write("\n")
    memory = r["memory_mb"]
    growth = memory["second_half"] - memory["second_quarter"]
    print("# Streams\n")
    print("`experiments/streams/run`: a simulated drive at the rate of a sensor, labelled by the shipped model; scans repeat. "
          "Latency is the time from a scan's arrival to its labels.\n")
    print("| | |\n| --- | --- |")
    rows = [
        ("machine", f"{r['cpu']}, {r['threads']} threads, {r['isa']}"),
        ("other programs", r["busy"] or "none"),
        ("played", f"{r['seconds']:.0f} s at {r['rate']:g} scans a second, dropping the {r['drop']}"),
        ("a scan", f"{r['points']:,.0f} points, {r['voxels']:,.0f} voxels, {r['macs'] / 1e9:.2f} G multiply-adds"),
        ("scans", f"{r['arrived']:,} arrived, {r['labelled']:,} labelled, {r['dropped']['no_place']:,} had no place, "
                  f"{r['dropped']['late']:,} were late already, {r['failed']:,} failed"),
        ("latency", "p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.1f} ms".format(**r["latency_ms"])),
        (f"deadline of {r['deadline_ms']:.0f} ms", f"missed by {r['missed']:,} of {r['labelled']:,}"),
        ("where the time went (mean ms)", ", ".join(f"{k} {v['mean']:.1f}" for k, v in r["ms"].items())),
        ("resident memory", f"{memory['second_quarter']:.0f} MB in the second quarter, {memory['second_half']:.0f} MB in "
                            f"the second half ({growth:+.1f} MB), {memory['expected_for_frames']:.0f} MB of it expected "
                            "for scans, maps and features"),
    ]
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
