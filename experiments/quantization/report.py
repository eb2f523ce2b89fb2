#!/usr/bin/python3
"""Writes RESULTS.md of the quantization experiment from what `run` left in the cache. results.json beside it keeps the
mIoU of every row: what was not computed this time is taken from there, and marked.

usage: report.py FOLDER RESULTS.md TRAINING_STREETS STEPS
"""
import json
import pathlib
import sys

folder, target, streets, steps = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
KINDS = ("held_out", "real")


def read(name):
    path = folder / name
    return json.loads(path.read_text()) if path.exists() and path.stat().st_size else None


def miou(name):
    found = {kind: read(f"{name}.{kind}.json") for kind in KINDS}
    if found["held_out"] is None:
        return kept.get(name, dict.fromkeys(KINDS))
    kept[name] = {kind: None if f is None else 100 * f["miou"] for kind, f in found.items()}
    return kept[name]


store = target.parent / "results.json"
kept = json.loads(store.read_text()) if store.exists() else {}
base = miou("fp32")


def cells(name, against=base):
    text = []
    for kind, value in miou(name).items():
        missing = value is None or against[kind] is None
        text += ["-", "-"] if missing else [f"{value:.2f}", f"{value - against[kind]:+.2f}"]
    return " | ".join(text)


def row(title, rule, name):
    earlier = "" if read(f"{name}.held_out.json") else " *"
    return f"| {title}{earlier} | {rule} | {cells(name)} |"


text = ["# Quantization: what integers cost", "",
        "Made by `experiments/quantization/run`: the shipped model, calibrated on 16 streets of the training set. mIoU in percent,",
        "differences to fp32 in points.", "", "## After calibration alone", "",
        "| bits | scales | 30 held-out streets | | real scans, pooled | |", "| --- | --- | --- | --- | --- | --- |",
        row("fp32", "", "fp32"), row("auto", "mse", "auto-mse")]
text += [row(bits, rule, f"{bits}-{rule}") for bits in (8, 7, 6) for rule in ("mse", "minmax", "percentile")]
if any(" *" in line for line in text):
    text += ["", "\\* of an earlier run of the same script: same model, same streets."]

auto = read("auto-mse.json")
if auto:
    count = {bits: sum(layer["bits"] == bits for layer in auto["choice"]) for bits in (8, 7, 0)}
    ms, changed = auto["network_ms"], auto["labels_changed"]
    text += ["", "## What `--bits auto` chose", "",
             f"{count[8]} layers on integers of 8 bits, {count[7]} of 7, {count[0]} on real numbers (the first included). On the calibration",
             f"streets {100 * changed['chosen']:.2f} % of the labels are not those of fp32 ({100 * changed['eight']:.2f} % with 8 bits everywhere; "
             f"at most {100 * auto['loss']:.1f} more were allowed).",
             f"Network: {ms['chosen']:.1f} ms, {ms['eight']:.1f} with 8 bits everywhere, {ms['real']:.1f} on real numbers (medians, "
             f"{auto['threads']} threads, {auto['cpu']}).",
             "The machine was busy with other work: bits and times are those of that moment, and say little of an idle machine." if auto["busy"]
             else "The machine did nothing else.", "",
             "| layer | group | bits | ms on real numbers | ms on integers | sensitivity | why |", "| --- | --- | --- | --- | --- | --- | --- |"]

    def figure(value, form):
        return "-" if value is None else form.format(value)

    text += [f"| {c['layer']} | {figure(c['group'], '{}')} | {c['bits'] or 'real'} | {c['ms_real']:.3f} | "
             f"{figure(c['ms_integers'], '{:.3f}')} | {figure(c['sensitivity'], '{:.1e}')} | {c['why']} |" for c in auto["choice"]]

trained = [(title, name) for title, name in (("fp32", "fp32"), ("8", "8-mse"), ("auto", "auto-mse"))
           if read(f"{name}+train.held_out.json")]
if trained:
    text += ["", "## After a short training", "",
             f"{steps} steps on {streets} streets of the training set at a fifth of the shipped model's last rate; with integers this is",
             "quantization-aware training. Differences to the shipped model, and to what the same training makes of it on real numbers.", "",
             "| bits | 30 held-out streets | to shipped | real scans, pooled | to shipped | to fp32 trained alike: held-out | real |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    alike = miou("fp32+train")
    for title, name in trained:
        to = miou(f"{name}+train")
        differences = ["-" if to[k] is None or alike[k] is None else f"{to[k] - alike[k]:+.2f}" for k in KINDS]
        text.append(f"| {title} | {cells(name + '+train')} | " + " | ".join(differences) + " |")

interval = read("fp32.real.json")
if interval and interval.get("interval_95"):
    low, high = (100 * v for v in interval["interval_95"])
    text += ["", f"The 95 % interval of fp32 on the real scans is {low:.1f} to {high:.1f}."]
store.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
target.write_text("\n".join(text) + "\n")
print("\n".join(text))
