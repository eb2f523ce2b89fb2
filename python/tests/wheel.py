#!/usr/bin/python3
"""Builds the wheel with pip, without a network, installs it into a fresh virtual environment, and runs there every line
of Python that README.md and docs/python.md show.

usage: wheel.py WORK_FOLDER
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
    print("+", *command, flush=True)
    subprocess.run([str(c) for c in command], check=True, **options)


def write_scan(path):
    """A wavy street, as in a KITTI .bin."""
    with open(path, "wb") as file:
        for i in range(4000):
            file.write(struct.pack("<4f", i % 80 * 0.25 - 10, i // 80 * 0.4 - 10, -1.7 + i % 7 * 0.01, 0.3))


def blocks(document):
    """The text's blocks of Python, one after another: later ones use what earlier ones made."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    work = pathlib.Path(sys.argv[1]).resolve()
    place = work / "test"
    shutil.rmtree(place, ignore_errors=True)
    (place / "run").mkdir(parents=True)
    venv.create(place / "venv", system_site_packages=True, with_pip=True, clear=True)
    python = place / "venv" / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["RAREFY_WHEEL_BUILD"] = str(work)  # as deep as other builds: a compiler cache sees the same commands
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", ROOT,
        env=environment)

    write_scan(place / "run" / "scan.bin")
    shutil.copy(ROOT / "models" / "street.safetensors", place / "run")
    check = "import rarefy, sys; print(rarefy.__file__); sys.exit(str(sys.prefix) not in rarefy.__file__)"
    run(python, "-c", check, cwd=place / "run", env=environment)
    for document in ("README.md", "docs/python.md"):
        found = blocks(document)
        assert found, f"{document} shows no Python"
        script = place / "run" / (document.replace("/", "_") + ".py")
        script.write_text("\n".join(found), encoding="utf-8")
        if re.search(r"^(import|from) \S*torch", script.read_text(), re.MULTILINE) and subprocess.run([python, "-c", "import torch"], env=environment,
                                                             stderr=subprocess.DEVNULL, check=False).returncode:
            if "RAREFY_REQUIRE_TORCH" in os.environ:
                sys.exit("torch is missing")
            print(f"{document}: not run, torch is not installed")
            continue
        run(python, script, cwd=place / "run", env=environment)


if __name__ == "__main__":
    main()
