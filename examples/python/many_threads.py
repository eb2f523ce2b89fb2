#!/usr/bin/env python3
"""One model, eight tasks on a pool of Python's threads, the same bits from each.

    python3 many_threads.py [MODEL.safetensors]

Each thread has a session of its own; runs release the GIL, so they go side by side.
"""
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import rarefy


def made_up_scan():
    """A wavy ground with a few posts, so that the example needs no file."""
    i = np.arange(20000)
    x, y = i % 200 * 0.1 - 10.0, i // 200 * 0.2 - 10.0
    z = np.where(i % 97 == 0, i % 11 * 0.2, 0.1 * np.sin(x))
    return np.stack([x, y, z, np.full(len(i), 0.3)], axis=1).astype(np.float32)


def main():
    if len(sys.argv) > 1:
        model = rarefy.load(sys.argv[1])
    else:
        model = rarefy.build("minkunet_small", seed=1)
    scan, local = made_up_scan(), threading.local()

    def task(_):
        if not hasattr(local, "session"):
            local.session = model.session()
        return local.session.run(points=scan)["logits"]

    with ThreadPoolExecutor(max_workers=8) as pool:
        logits = list(pool.map(task, range(8)))
    if any(not np.array_equal(result, logits[0]) for result in logits):
        sys.exit("many_threads: results differ")
    print(f"8 tasks, {logits[0].size} logits each, all bits equal")


if __name__ == "__main__":
    main()
