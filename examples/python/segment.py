#!/usr/bin/env python3
"""A LiDAR scan in, one label per point out.

    python3 segment.py MODEL.safetensors SCAN.bin

The scan is a KITTI .bin: float32 x, y, z, intensity per point.
"""
import sys

import numpy as np

import rarefy


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    xyzi = np.fromfile(sys.argv[2], dtype="<f4").reshape(-1, 4)
    model = rarefy.load(sys.argv[1], threads=2)
    labels = model.run(points=xyzi)["labels"]  # one per point; nothing is copied

    print(f"{len(labels)} points in {model.profile()['total_ms']:.0f} ms")
    for label, count in enumerate(np.bincount(labels, minlength=256)):
        if count and label < len(model.classes):
            print(f"  {model.classes[label]:14} {count}")


if __name__ == "__main__":
    try:
        main()
    except rarefy.Error as error:
        sys.exit(f"segment: {error}")
