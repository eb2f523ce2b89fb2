"""Libraries that are not built here: what was measured once, and how it compares with what is measured now.

MinkowskiEngine 0.5.4 does not build with today's compilers, and PyPI has no wheel of it. These figures were measured once on a
2-core AMD Zen 3 (family 25 model 1) with Debian's PyTorch 1.13.1, on the same scan (kitti 000001, 90,695 voxels at 5 cm) and the
same networks; minimum ms. A straightforward LibTorch implementation was measured beside it then, as it is now."""

CPU = {"family": 25, "model": 1}


class Row:
    """@param ours  row of rarefy-bench-peer (name, threads), and that of its integers where there is one"""

    def __init__(self, name, threads, ours, integers, libtorch_ms, engine_ms):
        self.name, self.threads, self.ours, self.integers = name, threads, ours, integers
        self.libtorch_ms, self.engine_ms = libtorch_ms, engine_ms


ROWS = [
    Row("MinkUNet 1.0x, new coordinates", 2, "MinkUNet 1x, new coordinates", "MinkUNet 1x, int", 4636, 5263),
    Row("MinkUNet 1.0x, cached maps", 2, "MinkUNet 1x, cached maps", None, 3953, 4870),
    Row("MinkUNet 0.5x, new coordinates", 2, "MinkUNet 0.5x, new coordinates", "MinkUNet 0.5x, int", 2058, 3141),
    Row("MinkUNet 0.5x, cached maps", 2, "MinkUNet 0.5x, cached maps", None, 2028, 2570),
    Row("MinkUNet 0.5x, new coordinates", 1, "MinkUNet 0.5x, new coordinates", "MinkUNet 0.5x, int", 2943, 2762),
    Row("MinkUNet 0.5x, cached maps", 1, "MinkUNet 0.5x, cached maps", None, 2342, 2070),
    Row("training step 0.5x", 2, "MinkUNet 0.5x, training step", None, 8892, 6148),
    Row("3x3x3 map", 2, "map, level 0", None, 80, 35),
    Row("3x3x3 convolution, 64 to 64", 2, "convolution, level 0, 64 channels", None, 68, 101),
    Row("3x3x3 convolution, 128 to 128", 2, "convolution, level 0, 128 channels", None, 167, 295),
]

OTHERS = """A denser synthetic scan (91,615 voxels, 439,355 pairs; MinkUNet 81.1 / 20.3 GMAC), one thread, measured once on the same machine:

| | straightforward LibTorch | MinkowskiEngine 0.5.4 | SparseConvNet 0.2 | torchsparse 2.0.0 |
| --- | --- | --- | --- | --- |
| 3x3x3, 32 / 64 / 128 / 256 channels, GFLOP/s | 15 / 29 / 41 / 64 | 13 / 20 / 32 / 49 | 15 / 25 / 31 / 51 | 3 / 9 / 23 / 46 |
| MinkUNet 1.0x, new coordinates / cached maps, ms | 3922 / 3908 | 4464 / 4261 | 5086 / 5000 | 9597 / 8843 |
| MinkUNet 0.5x, new coordinates / cached maps, ms | 1641 / 1325 | 1824 / 1632 | 1997 / 1853 | 7371 / 6902 |
| training step 0.5x, ms | 4648 | 4387 | 5032 | |

torchsparse 2.1 builds no maps on a CPU."""


def found(rows, name, threads):
    """The row measured now: by its name, or by how its name begins (integers: int7 or int8)."""
    matching = [row for row in rows if row["threads"] == threads and row["name"].startswith(name)]
    exact = [row for row in matching if row["name"] == name]
    return (exact or matching or [None])[0]


def ratio(recorded, row, same_cpu):
    """How many times longer MinkowskiEngine took: on the CPU that it was measured on, its ms over ours; elsewhere what
    LibTorch takes now over ours, times what MinkowskiEngine took over LibTorch then."""
    if same_cpu:
        return recorded.engine_ms / row["ours"]["ms"]
    return row["ratio"] * recorded.engine_ms / recorded.libtorch_ms


def engine_table(rows, cpu):
    """Lines. @param rows  of rarefy-bench-peer, all thread counts  @param cpu  dict with family and model, or None"""
    same = cpu == CPU
    lines = ["### MinkowskiEngine", "",
             "MinkowskiEngine 0.5.4 is what the field's best known figure (2.9 times, TorchSparse++, on GPUs) was measured against. PyPI",
             "has no wheel of it and its sources do not build with today's compilers: its times were **measured once on a 2-core Zen 3,**",
             "**Debian's torch 1.13.1** (minimum ms, the same scan and networks), with a straightforward LibTorch beside it."]
    if same:
        lines += ["This is the same kind of CPU: `times` is its time over ours in this run; the fastest integers against its fp32.", ""]
    else:
        lines += ["This CPU is another one, so times cannot be compared: `times (bridged)` is LibTorch / rarefy, measured here, times",
                  "MinkowskiEngine / LibTorch, measured there. An estimate: the two ratios are of different machines.", ""]
    times = "times" if same else "times (bridged)"
    lines += [f"| | threads | MinkowskiEngine ms, there | LibTorch ms, there | rarefy ms, here | {times} | on integers ms, here | {times} |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for recorded in ROWS:
        row = found(rows, recorded.ours, recorded.threads)
        if row is None:
            continue
        cells = [f"{row['ours']['ms']:.{1 if row['ours']['ms'] < 100 else 0}f}", f"**{ratio(recorded, row, same):.1f}**"]
        whole = found(rows, recorded.integers, recorded.threads) if recorded.integers else None
        cells += [f"{whole['ours']['ms']:.0f}", f"**{ratio(recorded, whole, same):.1f}**"] if whole else ["", ""]
        lines.append(f"| {recorded.name} | {recorded.threads} | {recorded.engine_ms} | {recorded.libtorch_ms} | {' | '.join(cells)} |")
    return [*lines, "", *OTHERS.splitlines()]
