"""The part of a CPU's section that compares with other libraries. Each is measured by a program of its own; what cannot be
had, or takes too long, is said in its place."""
import pathlib
import re

from . import recorded
from .command import Failed, json_of, said

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "peers"
# A peer that hangs must not hold up the rest. Installing takes its own time, the first time only.
PEER_SECONDS, SCRIPT_SECONDS = 420, 300

# What rarefy-bench-peer is asked for; together some five minutes on two cores. Memory is measured where it matters.
LAYERS = ["--rows", "map,convolution,gradient", "--seconds", "0.7", "--least", "3", "--no-memory"]
DENSE = ["--rows", "dense", "--channels", "64", "--seconds", "0.7", "--least", "3", "--no-memory"]
CALLS = {
    1: [[*LAYERS, "--channels", "64,128"], [*DENSE], ["--rows", "inference,integers", "--widths", "0.5", "--least", "3", "--seconds", "1", "--no-memory"],
        ["--rows", "inference,integers", "--widths", "1.0", "--no-cached", "--least", "3", "--seconds", "1", "--no-memory"]],
    2: [[*LAYERS, "--channels", "64,128"], ["--rows", "inference,integers", "--least", "3", "--seconds", "1"],
        ["--rows", "training", "--widths", "0.5", "--least", "2", "--seconds", "1"]],
}


def measured_rows(peer, scan):
    """All rows of rarefy-bench-peer, what each thread count measured of the machine, and what went wrong."""
    rows, machine, problems, seen = [], {}, [], set()
    for threads, calls in CALLS.items():
        for arguments in calls:
            command = [peer, "--scan", scan, "--json", "--threads", str(threads), *arguments]
            said("rarefy-bench-peer " + " ".join(command[4:]))
            try:
                result = json_of(command, PEER_SECONDS)
            except Failed as failure:
                problems.append(f"`rarefy-bench-peer {' '.join(command[4:])}`: {failure}")
                continue
            machine.setdefault(threads, result)
            machine[threads]["busy"] = machine[threads]["busy"] or result["busy"]
            for row in result["rows"]:
                if (row["name"], threads) not in seen:
                    seen.add((row["name"], threads))
                    rows.append({**row, "threads": threads})
    return rows, machine, problems


def side_cells(side):
    digits = 1 if side["ms"] < 100 else 0
    speed = f"{side['gflops']:.0f}, {100 * side['of_peak']:.0f} %" if "of_peak" in side else ""
    memory = f"{side['peak_memory_mb']:.0f}" if "peak_memory_mb" in side else ""
    return [f"{side['ms']:.{digits}f} ({side['low']:.{digits}f} to {side['high']:.{digits}f})", speed, memory]


def libtorch_table(rows, machine, problems):
    lines = ["### Compared with a straightforward LibTorch implementation", "",
             "Per kernel offset index_select, mm, index_add_ on maps from sorted int64 keys (searchsorted); batch norms folded and",
             "everything in place for inference; AdamW and autograd for training, `own derivative` with a hand-written derivative",
             "per convolution. In turns in one process on identical inputs, after both gave the same result (`error`: largest",
             "difference over largest value). `gradient`: of input and weights. `dense`: LibTorch's conv3d over the 64 x 64 x 32",
             "cells that hold most voxels (GFLOP/s of what sparse computes). The peer runs with the better of one thread and all.",
             "Quartiles in parentheses; memory: peak of a fresh process that does only this, LibTorch loaded in both. Rows with int7",
             "or int8: ours on the fastest integers of this CPU, calibrated on the scan, the peer in fp32; their error is that of the",
             "logits, and labels agree as the line below the table says.", ""]
    for threads in CALLS:
        if threads not in machine:
            continue
        lines += [f"{threads} thread{'s' if threads != 1 else ''}; LibTorch's product of 1024 x 1024 matrices: "
                  f"{machine[threads]['matrix_product_gflops']:.0f} of {machine[threads]['peak_gflops']['fp32']:.0f} GFLOP/s per core.", "",
                  "| | error | rarefy ms | GFLOP/s, of peak | MB | peer ms | GFLOP/s, of peak | MB | peer / rarefy |",
                  "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        mine = [row for row in rows if row["threads"] == threads]
        for row in mine:
            lines.append(f"| {row['name']} | {row['error']:.0e} | {' | '.join(side_cells(row['ours']) + side_cells(row['peer']))} | "
                         f"**{row['ratio']:.1f}** |")
        lines.append("")
        agreeing = [f"{row['name']}: {100 * row['same_labels']:.1f} %" for row in mine if "same_labels" in row]
        if agreeing:
            lines += [f"Voxels with the label of fp32 (random weights, so that scores lie close together): {'; '.join(agreeing)}.", ""]
    return [*lines, *problems] if problems else lines[:-1]


SCRIPT_PEERS = {
    "with_pytorch": ("PyTorch 2.x", [
        "`bench/peers/with_pytorch`: the same straightforward implementation in Python on a PyTorch 2 from PyPI (with MKL), the",
        "same weights. Both run from points, in turns in one process, after both gave the same result, all cores; PyTorch with its",
        "best number of threads."]),
    "with_open3d": ("Open3D", [
        "`bench/peers/with_open3d`: open3d.ml.torch's SparseConv, which searches neighbours in each call, and MinkUNet on its op",
        "sparse_conv with maps at hand, the same weights. In turns in one process, after both gave the same result, all cores; Open3D",
        "with its best number of threads."]),
    "with_spconv": ("spconv", [
        "`bench/peers/with_spconv`: one definition of each network over `rarefy.torch.spconv` and `spconv.pytorch`, the same weights,",
        "in turns in one process, after both gave the same result. Both through PyTorch's modules, maps included, all cores; spconv",
        "with its best number of threads of those with which its results do not vary from run to run."]),
}
SCRIPT_OPTIONS = {"with_open3d": ["--channels", "64", "--widths", "0.5,1.0"],
                  "with_spconv": ["--channels", "64,128", "--widths", "0.5,1.0"]}


def script_table(script, scan, peak, rows):
    """Lines; appends what was measured to `rows`. @param peak  fp32 GFLOP/s of one core, or None where it was not measured"""
    name, explanation = SCRIPT_PEERS[script]
    lines = [f"### Compared with {name}", "", *explanation, ""]
    said(script)
    try:
        result = json_of([SCRIPTS / script, "--scan", scan, "--json", *SCRIPT_OPTIONS.get(script, [])], SCRIPT_SECONDS)
    except Failed as failure:
        return [*lines, str(failure)]
    product_of = result.get("matrix_product_gflops")
    if peak and product_of and product_of < 0.4 * peak:
        return [*lines, f"Its product of 1024 x 1024 matrices reaches {product_of:.0f} GFLOP/s, less than 40 % of the peak of {peak:.0f}: "
                "no ratio would be fair."]
    versions = ", ".join(f"{key} {result[key]}" for key in ("spconv", "open3d", "torch") if key in result)
    product = f"; its product of 1024 x 1024 matrices: {product_of:.0f} GFLOP/s per core" if product_of else ""
    lines += [f"{versions}{product}.", "", f"| | error | rarefy ms | {name} ms | its threads | {name} / rarefy |",
              "| --- | --- | --- | --- | --- | --- |"]
    for row in result["rows"]:
        rows.append({**row, "peer_name": name})
        lines.append(f"| {row['name']} | {row['error']:.0e} | {row['rarefy_ms']:.1f} | {row['peer_ms']:.1f} | "
                     f"{row['peer_threads']} | **{row['ratio']:.1f}** |")
    return lines


TRANSFORMERS = "### Compared with PyTorch, ONNX Runtime and OpenVINO: dense vision transformers"
TRANSFORMER_SECONDS = 1500


def transformer_lines(result):
    """A table of what with_transformers measured."""
    versions = ", ".join(f"{key} {result[key]}" for key in ("torch", "onnxruntime", "openvino") if key in result)
    names = sorted({name for row in result["rows"] for name in row["ms"]} - {"rarefy"})
    lines = [f"{versions}. Load when it began: {result['load']:.1f}.", "",
             f"| | threads | rarefy ms | {' | '.join(f'{name} ms' for name in names)} | best peer / rarefy | largest error |",
             "| --- | --- | --- |" + " --- |" * (len(names) + 2)]
    for row in result["rows"]:
        cells = [f"{row['ms'][name]:.1f}" if name in row["ms"] else "" for name in ("rarefy", *names)]
        ratio = f"**{row['ratio']:.2f}** ({row['best_peer']})" if row["ratio"] else ""
        error = f"{max(row['errors'].values()):.0e}" if row["errors"] else ""
        lines.append(f"| {row['name']} | {row['threads']} | {' | '.join(cells)} | {ratio} | {error} |")
    return [*lines, *(["", *result["problems"]] if result["problems"] else [])]


def transformer_table():
    lines = [TRANSFORMERS, "",
             "`bench/peers/with_transformers`: DeiT at 224 x 224, the same random weights everywhere, all tokens, fp32, from pixels to",
             "logits, in turns in one process after all gave the same logits; medians. Peers take NCHW as they like it best, rarefy its",
             "rows; ONNX Runtime and OpenVINO get the exported graph; compiled: torch.compile with frozen weights.", ""]
    said("with_transformers")
    try:
        return [*lines, *transformer_lines(json_of([SCRIPTS / "with_transformers", "--json"], TRANSFORMER_SECONDS))]
    except Failed as failure:
        return [*lines, str(failure)]


def network_of(name):
    """(width, "new coordinates" or "cached maps") of a row on MinkUNet, or None."""
    found = re.match(r"MinkUNet ([\d.]+)x, (?:int\d, )?(new coordinates|cached maps)$", name)
    return (float(found[1]), found[2]) if found else None


def best_peer_table(rows, script_rows):
    """The fastest peer of all that were measured on new coordinates, two threads: ours in fp32 and on integers against it."""
    lines = ["### The best peer on this CPU", "",
             "MinkUNet with new coordinates, two threads: the fastest of the peers measured here, all in fp32, against rarefy in fp32 and",
             "on the fastest integers of this CPU.", "",
             "| width | best peer | its ms | rarefy fp32 ms | times | rarefy on integers | ms | times |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    mine = [row for row in rows if row["threads"] == 2]
    for width in (0.5, 1.0):
        wanted = (width, "new coordinates")
        plain = [row for row in mine if row["kind"] == "inference" and network_of(row["name"]) == wanted]
        whole = [row for row in mine if row["kind"] == "integers" and network_of(row["name"]) == wanted]
        if not plain or not whole:
            continue
        peers = [(plain[0]["peer"]["ms"], "straightforward LibTorch")]
        peers += [(row["peer_ms"], row["peer_name"]) for row in script_rows if network_of(row["name"]) == wanted]
        ms, name = min(peers)
        fp32, integers = plain[0]["ours"]["ms"], whole[0]["ours"]["ms"]
        precision = re.search(r"int\d", whole[0]["name"])[0]
        lines.append(f"| {width} | {name} | {ms:.0f} | {fp32:.0f} | **{ms / fp32:.1f}** | {precision} | {integers:.0f} | "
                     f"**{ms / integers:.1f}** |")
    return lines


def sections(peer, scan, cpu):
    """Lines of all comparisons, and whether other programs disturbed them. @param cpu  dict with family and model, or None"""
    rows, machine, problems = measured_rows(peer, scan)
    script_rows, peaks = [], [result["peak_gflops"]["fp32"] for result in machine.values()]
    scripts = [script_table(script, scan, max(peaks, default=None), script_rows) for script in SCRIPT_PEERS]
    lines = libtorch_table(rows, machine, problems)
    for more in (*scripts, transformer_table(), best_peer_table(rows, script_rows), recorded.engine_table(rows, cpu)):
        lines += ["", *more]
    return lines, any(result["busy"] for result in machine.values())
