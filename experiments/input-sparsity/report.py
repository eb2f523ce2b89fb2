"""Makes summary.md of results.json, counts/ and speed.json."""

import glob
import importlib
import json
import os

import numpy

import intervals
import runs

DRAWS = 2000


def counts_of(here, row):
    path = os.path.join(here, "counts", row["run"] + ".npz")
    if not os.path.exists(path):
        return None
    with numpy.load(path) as file:
        return file["counts"].astype(float)


def pairs_of(rows, here, task, method, against="dense"):
    """By parent: (counts of `against`, counts of the method) of every continuation that both have."""
    table = {}
    for row in rows:
        if row["task"] == task and row["method"] in (method, against) and row["split"] == "test":
            table.setdefault((row["parent"], row["seed"]), {})[row["method"]] = row
    pairs = {}
    for (parent, _), both in sorted(table.items()):
        if len(both) == 2:
            a, b = counts_of(here, both[against]), counts_of(here, both[method])
            if a is not None and b is not None:
                pairs.setdefault(parent, []).append((a, b))
    return list(pairs.values())


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def shown(value, digits=1, factor=1):
    return "-" if value is None else f"{factor * value:.{digits}f}"


def speed_of(rows, threads):
    return mean([row["latency"]["threads"][threads]["speed"] for row in rows if row.get("latency")])


def aa_text(rows, here, task):
    pairs = pairs_of(rows, here, task, "dense again")
    if not pairs:
        return ["AA (dense continued twice): not measured yet, so no claim can be judged."]
    i = intervals.bootstrap_difference(pairs, DRAWS)
    return [f"AA, dense continued twice with other seeds: {i['difference']:+.2f} mIoU, 95 % interval {i['low']:+.2f} to "
            f"{i['high']:+.2f} ({i['parents']} parents, {i['continuations']} pairs). Differences of this size mean nothing."]


def method_row(rows, here, task, method, dense, settings):
    own = [row for row in rows if row["task"] == task and row["method"] == method]
    value, macs = mean([row["value"] for row in own]), mean([row["macs"] for row in own])
    promised = dense["macs"] / macs
    times = {threads: speed_of(own, threads) for threads in ("1", "2")}
    reached = None if times["1"] is None else times["1"] / promised
    cells = [method, shown(value), "", "", shown(mean([row["sparsity_mean"] for row in own]), 1, 100),
             shown(macs / dense["macs"], 0, 100), shown(times["1"], 2), shown(times["2"], 2), shown(promised, 2),
             shown(reached, 0, 100)]
    pairs = pairs_of(rows, here, task, method) if method != "dense" else []
    if pairs:
        i = intervals.bootstrap_difference(pairs, DRAWS)
        cells[2] = f"{i['difference']:+.1f} ({i['low']:+.1f} to {i['high']:+.1f})"
        if method != "dense again":
            cells[3] = intervals.verdict(i, settings.MARGIN, dense["value"] >= settings.FLOOR)
    return "| " + " | ".join(cells) + " |"


def class_table(rows, task, methods, names):
    lines = ["| class | " + " | ".join(methods) + " |", "| --- |" + " --- |" * len(methods)]
    for name in names:
        values = [mean([row["per_class"].get(name) for row in rows if row["task"] == task and row["method"] == method])
                  for method in methods]
        lines.append(f"| {name} | " + " | ".join(shown(v) for v in values) + " |")
    return lines


def speed_lines(here, task):
    path = os.path.join(here, f"speed_{task}.json")
    if not os.path.exists(path):
        return ["Not measured yet (`run --latency`)."]
    with open(path, encoding="utf-8") as file:
        speed = json.load(file)
    lines = []
    for threads, share in speed["removable"].items():
        lines.append(f"- {threads} thread(s): {100 * share:.0f} % of the dense time lies in blocks that rows may skip; skipping all "
                     f"of it would be {intervals.amdahl(share, 0):.1f} times as fast, 60 % of it "
                     f"{intervals.amdahl(share, 0.4):.2f} times (Amdahl).")
    lines += ["", "Measured without training, every stage alike (break-even: the sparsity from which on it is faster than dense; "
                  "below it the dense model is the choice):", "",
              "| method | threads | times as fast at a mean sparsity of | break-even % |", "| --- | --- | --- | --- |"]
    keys = sorted({(p["method"], p["threads"]) for p in speed["points"]})
    for method, threads in keys:
        points = [(p["sparsity"], p["dense_ms"] / p["ms"]) for p in speed["points"]
                  if (p["method"], p["threads"]) == (method, threads)]
        even = intervals.break_even(points)
        text = ", ".join(f"{100 * s:.0f} %: {v:.2f}" for s, v in sorted(points))
        lines.append(f"| {method} | {threads} | {text} | {'never faster' if even is None else f'{100 * even:.0f}'} |")
    lines.append("")
    lines.append(f"{speed['cpu']}." + (" Other programs were using the machine: times vary." if speed["busy"] else ""))
    return lines


def task_section(rows, here, task):
    settings = importlib.import_module(task)
    mine = [row for row in rows if row["task"] == task]
    methods = [m for m in settings.ARMS if any(row["method"] == m for row in mine)]
    lines = [f"## {settings.TITLE}", "", settings.ABOUT, ""]
    dense_rows = [row for row in mine if row["method"] == "dense"]
    if not dense_rows:
        return lines + ["No dense run is done yet.", ""]
    dense = {"value": mean([r["value"] for r in dense_rows]), "macs": mean([r["macs"] for r in dense_rows])}
    busy = any(t["busy"] for r in mine if r.get("latency") for t in r["latency"]["threads"].values())
    lines += aa_text(rows, here, task)
    lines += ["", f"Floor: the dense model must reach {settings.FLOOR:g} mIoU, it has {dense['value']:.1f}. Margin: "
                  f"{settings.MARGIN} points.", "",
              "| method | mIoU % | minus dense (95 % interval) | verdict | sparsity, mean % | multiply-adds % | times as fast, 1 "
              "thread | 2 threads | promised by multiply-adds | reached % |",
              "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    lines += [method_row(rows, here, task, method, dense, settings) for method in methods]
    cpus = sorted({row["cpu"] for row in mine if row["cpu"]})
    lines += ["", f"Times: end to end, batch 1, in turns with the dense model; {', '.join(cpus) or 'not measured yet'}."
                  + (" Other programs were using the machine during some." if busy else "")]
    lines += ["", "Rare classes, IoU %:", ""] + class_table(mine, task, methods, settings.RARE)
    real = [(m, [row["real"] for row in mine if row["method"] == m and row.get("real")]) for m in methods]
    real = [(m, r) for m, r in real if r]
    if real:
        lines += ["", f"Real scans ({real[0][1][0]['scans']}; they decided nothing): mIoU % "
                      + ", ".join(f"{m} {mean([x['miou'] for x in r]):.1f}" for m, r in real) + "."]
    lines += ["", "### Ceiling and break-even", ""] + speed_lines(here, task) + [""]
    return lines


def write(results, here):
    """summary.md beside `results`."""
    rows = list(runs.read_results(results).values())
    tasks = [os.path.basename(path)[:-3] for path in glob.glob(os.path.join(here, "*.py"))]
    tasks = [task for task in ("lidar", "camvid") if task in tasks]
    lines = ["# Input sparsity: the proof", "",
             "Made by `experiments/input-sparsity/run` of `results.json`; what was decided before the first run: `budget.md`. "
             "Intervals: hierarchical bootstrap over parents, continuations and scans or images (crossed), pairs of sparse and "
             "dense. With one parent or fewer than three continuations an interval knows nothing of how much trainings differ, "
             "and nothing is called \"no loss\".", ""]
    for task in tasks:
        lines += task_section(rows, here, task)
    with open(os.path.join(here, "summary.md.unfinished"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines).rstrip() + "\n")
    os.replace(os.path.join(here, "summary.md.unfinished"), os.path.join(here, "summary.md"))
