"""Builds the wheel and the source archive (PEP 517) with CMake and the standard library alone: pip needs nothing else,
with or without a network. Name and version come from pyproject.toml and CMakeLists.txt.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUMMARY = "Efficient deep learning with sparsity: sparse convolutions, graphs and models on CPUs"


def _version():
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        return re.search(r"project\(rarefy VERSION ([\d.]+)", file.read()).group(1)


def _metadata():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    return (f"Metadata-Version: 2.1\nName: rarefy\nVersion: {_version()}\nSummary: {SUMMARY}\nLicense: Apache-2.0\n"
            f"Requires-Python: >=3.9\nRequires-Dist: numpy>=1.22\nProvides-Extra: torch\n"
            f'Requires-Dist: torch>=1.13; extra == "torch"\nDescription-Content-Type: text/markdown\n\n{readme}')


def _tag():
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{python}-{python}-{platform}"


def get_requires_for_build_wheel(config_settings=None):
    """Only what the system lacks."""
    wanted = []
    if shutil.which("cmake") is None:
        wanted.append("cmake>=3.25")
    if shutil.which("ninja") is None:
        wanted.append("ninja")
    roots = [os.environ.get("pybind11_DIR", "")] + [p for p in ("/usr/lib/cmake/pybind11", "/usr/share/cmake/pybind11",
                                                                "/usr/local/share/cmake/pybind11")]
    if not any(root and os.path.isdir(root) for root in roots):
        wanted.append("pybind11>=2.10")
    return wanted


def get_requires_for_build_sdist(config_settings=None):
    return []


def _pybind11():
    """Where a pybind11 from a package index keeps its CMake files, if there is one."""
    try:
        import pybind11
    except ImportError:
        return []
    return [f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]


def _run(*command):
    subprocess.run(command, check=True, cwd=ROOT)


def _build(folder):
    """The package as it is installed, below `folder`."""
    build = os.environ.get("RAREFY_WHEEL_BUILD") or os.path.join(ROOT, "build", "wheel-" + _tag())
    _run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DRAREFY_PYTHON=ON",
         "-DRAREFY_PROGRAM=OFF", "-DRAREFY_SIMULATE=OFF", f"-DPython_EXECUTABLE={sys.executable}", *_pybind11(),
         *os.environ.get("CMAKE_ARGS", "").split())
    jobs = ["-j", os.environ["RAREFY_JOBS"]] if "RAREFY_JOBS" in os.environ else []
    _run("cmake", "--build", build, *jobs, "--target", "rarefy_python", "rarefy_python_stubs")
    _run("cmake", "--install", build, "--component", "python", "--prefix", folder, "--strip")


class _Wheel(zipfile.ZipFile):
    """A zip that remembers what RECORD must list. Same contents, same bytes: times are fixed."""

    def __init__(self, path):
        super().__init__(path, "w", zipfile.ZIP_DEFLATED)
        self.records = []

    def add(self, name, data, mode=0o644):
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.external_attr = (0o100000 | mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        self.writestr(info, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.records.append(f"{name},sha256={digest},{len(data)}")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = f"rarefy-{_version()}-{_tag()}.whl"
    info = f"rarefy-{_version()}.dist-info"
    with tempfile.TemporaryDirectory() as folder, _Wheel(os.path.join(wheel_directory, name)) as wheel:
        _build(folder)
        for directory, subdirectories, files in os.walk(folder):
            subdirectories.sort()
            for file in sorted(files):
                path = os.path.join(directory, file)
                with open(path, "rb") as content:
                    wheel.add(os.path.relpath(path, folder), content.read(), 0o755 if file.endswith(".so") else 0o644)
        for licence in ("LICENSE", "NOTICE"):
            with open(os.path.join(ROOT, licence), "rb") as content:
                wheel.add(f"{info}/licenses/{licence}", content.read())
        wheel.add(f"{info}/METADATA", _metadata().encode())
        wheel.add(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: rarefy\nRoot-Is-Purelib: false\nTag: {_tag()}\n".encode())
        wheel.writestr(f"{info}/RECORD", "\n".join(wheel.records + [f"{info}/RECORD,,", ""]))
    return name


def build_sdist(sdist_directory, config_settings=None):
    base = f"rarefy-{_version()}"
    name = f"{base}.tar.gz"
    folders = ("c", "cmake", "include", "python", "src", "pyproject.toml", "CMakeLists.txt", "CMakePresets.json",
               "README.md", "LICENSE", "NOTICE")

    def wanted(member):
        return None if "__pycache__" in member.name else member

    with tarfile.open(os.path.join(sdist_directory, name), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        with tempfile.NamedTemporaryFile("w", suffix="PKG-INFO") as file:
            file.write(_metadata())
            file.flush()
            archive.add(file.name, f"{base}/PKG-INFO")
        for folder in folders:
            archive.add(os.path.join(ROOT, folder), f"{base}/{folder}", filter=wanted)
    return name
