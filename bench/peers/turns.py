"""Two sides take turns; the peer with its best number of threads."""
import os
import statistics
import time

import numpy as np


class Sites:
    """The voxels of a scan: points float32 [P, 4], coords int64 [V, 3], the first point of each voxel."""

    def __init__(self, path, voxel=0.05):
        self.points = np.fromfile(path, "<f4").reshape(-1, 4)
        cells = np.floor(self.points[:, :3] / np.float32(voxel)).astype(np.int32)
        self.coords, self.first = np.unique(cells, axis=0, return_index=True)


def largest_error(ours, theirs):
    return float(abs(ours - theirs).max() / abs(theirs).max())


def in_turns(ours, theirs, set_threads, choices=(1, os.cpu_count()), repetitions=3, budget_s=30.0):
    """Medians in ms of both sides, and the number of threads that served the peer best. A first round warms up; then so
    many rounds, fewer where they take longer than the budget (at least 2)."""
    mine, others = [], {threads: [] for threads in choices}
    start = time.perf_counter()
    for turn in range(repetitions + 1):
        for threads in choices:
            set_threads(threads)
            begin = time.perf_counter()
            theirs()
            others[threads].append(1e3 * (time.perf_counter() - begin))
        begin = time.perf_counter()
        ours()
        mine.append(1e3 * (time.perf_counter() - begin))
        if turn == 0 and len(choices) > 1:  # the slower number of threads has no further part in it
            best = min(choices, key=lambda t: others[t][0])
            choices = tuple(t for t in choices if others[t][0] < 1.5 * others[best][0])
        if turn >= 2 and time.perf_counter() - start > budget_s:
            break
    warm = {threads: statistics.median(times[1:]) for threads, times in others.items() if len(times) > 1}
    best = min(warm, key=warm.get)
    return statistics.median(mine[1:]), warm[best], best


def matrix_product_gflops(torch):
    """Of two 1024 x 1024 matrices in one thread, by its CPU time."""
    torch.set_num_threads(1)
    a, least = torch.ones(1024, 1024), float("inf")
    for _ in range(8):
        begin = time.thread_time()
        a @ a
        least = min(least, time.thread_time() - begin)
    return 2e-9 * 1024**3 / least
