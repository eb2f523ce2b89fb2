"""Where the peers from PyPI live: virtual environments of their own, installed by name."""
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("RAREFY_CACHE", pathlib.Path.home() / ".cache" / "rarefy")) / "peers"
INSTALL_SECONDS = float(os.environ.get("RAREFY_INSTALL_SECONDS", "900"))


class Missing(Exception):
    """A peer that cannot be had, with the reason."""


class Environment:
    """A virtual environment that is made when first needed. `system`: it sees the system's modules too."""

    def __init__(self, name, system=False):
        self.folder = CACHE / name
        self.python = self.folder / "bin" / "python"
        self.system = system

    def make(self):
        if self.python.exists():
            return
        options = ["--system-site-packages"] if self.system else []
        done = subprocess.run(["/usr/bin/python3", "-m", "venv", *options, str(self.folder)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Missing(f"no virtual environment can be made: {last_line(done.stdout + done.stderr)}")

    def imports(self, statement):
        """Empty when the statement runs in the environment, else its last complaint."""
        done = subprocess.run([str(self.python), "-c", statement], capture_output=True, text=True, timeout=120)
        return "" if done.returncode == 0 else last_line(done.stderr) or "no reason given"

    def install(self, *packages):
        print(f"installing {' '.join(packages)} into {self.folder}", file=sys.stderr)
        try:
            done = subprocess.run([str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages],
                                  capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise Missing(f"pip install {' '.join(packages)}: not done after {INSTALL_SECONDS:.0f} s") from None
        if done.returncode != 0:
            raise Missing(f"pip install {' '.join(packages)}: {last_line(done.stderr)}")

    def enter(self, script):
        """Runs the script again inside, with the BLAS kernels that suit the CPU and our own package. Never returns."""
        environment = dict(os.environ)
        avx512 = "avx512f" in pathlib.Path("/proc/cpuinfo").read_text()
        environment["OPENBLAS_CORETYPE"] = "SkylakeX" if avx512 else "Haswell"
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin would take a core from the other side
        for built in ("full", "notorch"):
            path = ROOT / "build" / built / "python"
            if "PYTHONPATH" not in environment and path.exists():
                environment["PYTHONPATH"] = str(path)
        os.execve(str(self.python), [str(self.python), script, *sys.argv[1:]], environment)

    def entered(self):
        return pathlib.Path(sys.prefix) == self.folder


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1].strip()


def enter_or_say(environment, script, name, install, check):
    """Inside the environment: returns. Outside: makes it, installs what `check` (an import statement) misses, goes in;
    or ends with one line that says why not."""
    if environment.entered():
        return
    try:
        environment.make()
        if environment.imports(check):
            install(environment)
            reason = environment.imports(check)
            if reason:
                raise Missing(reason)
    except Missing as missing:
        sys.exit(f"{pathlib.Path(script).name}: {name} cannot be had here: nothing was compared ({missing})")
    environment.enter(script)


def open3d_with_its_pytorch(environment):
    """Open3D's layers load with the very PyTorch they were compiled for, which its files name."""
    environment.install("open3d-cpu")
    found = list(environment.folder.glob("lib/python3*/site-packages/open3d/_build_config.py"))
    if not found:
        raise Missing("the package open3d-cpu has no _build_config.py")
    names = {}
    exec(found[0].read_text(), names)  # noqa: S102: the file holds one dict
    version = names["_build_config"].get("Pytorch_VERSION", "").split("+")[0]
    if not version:
        raise Missing("Open3D's wheel was built without its layers for PyTorch")
    environment.install(f"torch=={version}")  # PyPI's is the build for CUDA: several GB, of which the CPU's part is used
