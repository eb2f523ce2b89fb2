"""Models and sessions."""

import os

import numpy

from . import _core
from ._arrays import as_array, as_rows
from ._core import ShapeError, UsageError
from .graph import Graph
from .sparse import SparseTensor

_FIELDS = ("x", "y", "z", "intensity")


class Outputs(dict):
    """Results by name: NumPy arrays in memory that they keep alive, theirs for as long as they are held.

    Features are float32 [N, C]; labels and indices are vectors. Arrays have __dlpack__: torch.from_dlpack reads them
    where they lie.
    """

    def __init__(self, results, types):
        super().__init__({name: array for name, (array, _) in results.items()})
        self._coords = {name: coords for name, (_, coords) in results.items()}
        self._types = types

    def coords(self, name):
        """int32 [N, 1 + D]: batch, x, y, ... of each row of output `name`."""
        if name not in self or self._coords[name] is None:
            raise UsageError(f"output '{name}' has no coordinates: its rows are points" if name in self else
                             f"there is no output '{name}'; known: {', '.join(self)}")
        return self._coords[name]

    def sparse(self, name):
        """Output `name` with its coordinates."""
        return SparseTensor(self.coords(name), self[name], tuple(self._types[name]["space_stride"]))


def _structured(array, what):
    """Points in an array with named fields, such as a sensor's own layout."""
    fields = []
    for field in _FIELDS:
        if field not in array.dtype.fields:
            if field != "intensity":
                raise UsageError(f"{what}: points have no field '{field}'; fields: {', '.join(array.dtype.names)}")
            fields.append(-1)
            continue
        dtype, offset = array.dtype.fields[field][:2]
        if dtype != numpy.float32:
            raise UsageError(f"{what}: field '{field}' is {dtype}, expected float32")
        fields.append(offset)
    if array.ndim != 1 or (len(array) > 1 and array.strides[0] < array.itemsize):
        array = numpy.ascontiguousarray(array.ravel())
    stride = array.strides[0] if len(array) > 1 else array.itemsize
    return array, stride, fields


def _prepare_points(value, channels, what):
    begin = None
    if isinstance(value, (list, tuple)):  # several scans, sentences or images
        scans = [as_array(scan, what) for scan in value]
        if not scans or any(scan.ndim != 2 for scan in scans):
            raise UsageError(f"{what}: several samples are given as a list of matrices")
        begin = numpy.cumsum([0] + [len(scan) for scan in scans], dtype=numpy.int64)
        value = numpy.concatenate(scans)
    array = as_array(value, what)
    if array.dtype.names:
        array, stride, fields = _structured(array, what)
        return "points", array, stride, fields, begin
    array = as_rows(array, numpy.float32, what)
    if array.ndim != 2 or array.dtype != numpy.float32:
        raise UsageError(f"{what}: expected float32 [P, {channels}], found {array.dtype} {list(array.shape)}")
    if channels not in (3, 4):
        return "rows", array, begin
    if array.shape[1] < 3:
        raise ShapeError(f"{what}: points have {array.shape[1]} columns, expected x, y, z and perhaps intensity")
    stride = array.strides[0] if len(array) > 1 else 4 * array.shape[1]
    return "points", array, stride, [0, 4, 8, 12 if array.shape[1] > 3 else -1], begin


def _prepare(value, spec):
    what = f"input '{spec['name']}'"
    if spec["op"] != "input_sparse":
        if isinstance(value, SparseTensor):
            raise UsageError(f"{what} takes points, not a SparseTensor")
        return _prepare_points(value, spec["channels"], what)
    if not isinstance(value, SparseTensor):
        raise UsageError(f"{what} takes a rarefy.SparseTensor, found {type(value).__name__}")
    return "sparse", value.coords, value.feats, -1 if value.batches is None else int(value.batches)


class Session:
    """A model made ready for this CPU, with `threads` threads and memory of its own, or for a GPU.

    Runs release the GIL; runs of one session wait for each other, those of several go side by side.
    memory_limit  most bytes that runs may hold; 0 = what the system has available
    isa           "portable", "avx2" or "avx512"; empty = the best
    tuning        file of `rarefy tune` for this model and CPU; None = a cost model chooses dataflows
    device        "cpu", or "cuda": the first GPU
    precision     what a GPU computes with: "fp16" (default), "bf16", "tf32" or "fp32"
    """

    def __init__(self, model, threads=1, *, memory_limit=0, isa="", fuse=True, tuning=None, device="cpu", precision=""):
        self.model = model
        self._inputs = {spec["name"]: spec for spec in model._core.inputs}
        self._types = model._core.graph.outputs
        self._core = _core.Session(model._core, threads, memory_limit, isa, fuse, os.fspath(tuning or ""), device,
                                   precision)

    def run(self, inputs=None, /, *, strict=False, deadline_ms=None, **named):
        """Results by name. Inputs by name: points as float32 [P, 3 or 4] (or a list of those: several scans; or an array
        with fields x, y, z, intensity), tokens and pixels as float32 [N, C] (or a list: several sentences or images),
        sparse tensors as SparseTensor.

        strict       points that cannot be used raise InputError instead of getting label 255
        deadline_ms  the run ends with Cancelled when it takes longer
        Rows over a sparse space come in the order of `.coords(name)`, not in that of the input.
        """
        given = {**(inputs or {}), **named}
        prepared = {name: _prepare(value, self._inputs[name]) if name in self._inputs else ("rows", numpy.zeros((0, 1), "f4"), None)
                    for name, value in given.items()}
        return Outputs(self._core.run(prepared, strict, deadline_ms), self._types)

    def profile(self):
        """Times and counts of the last run: total_ms, voxelize_ms, maps_ms, network_ms, macs, points, voxels, ..., and
        `steps`: name, op, kind, variant, dataflow, ms, macs, rows, pairs of each."""
        return self._core.profile()

    def plan(self):
        """One line per step, for people."""
        return self._core.plan()

    @property
    def threads(self):
        """Threads that a run uses."""
        return self._core.threads


class Model:
    """A graph, its weights, and (if it has one) the pipeline between raw input and result. Immutable.

    graph     rarefy.Graph, or what its build() gives
    weights   arrays by parameter name; None = fresh ones, a function of graph and seed
    pipeline  dict: voxel_size, rounding, crop_min, crop_max, reduction, features, classes, label_map
    notes     free text pairs kept in the file
    """

    def __init__(self, graph, weights=None, *, seed=0, pipeline=None, notes=None, threads=1):
        built = graph.build() if isinstance(graph, Graph) else graph
        if weights is None:
            weights = _core.initial_weights(built, seed)
        weights = {name: as_array(value, f"weights['{name}']") for name, value in weights.items()}
        self._take(_core.Model(built, weights, pipeline, notes or {}), threads)

    def _take(self, core, threads):
        self._core, self._threads, self._session = core, threads, None

    @classmethod
    def _of(cls, core, threads=1):
        model = cls.__new__(cls)
        model._take(core, threads)
        return model

    def run(self, inputs=None, /, **named):
        """Session.run on a session of the model's own, made at the first call."""
        if self._session is None:
            self._session = Session(self, self._threads)
        return self._session.run(inputs, **named)

    def profile(self):
        """Session.profile of the last run()."""
        if self._session is None:
            raise UsageError("the model has not run yet")
        return self._session.profile()

    def session(self, threads=1, **options):
        """A Session: one per thread that runs the model."""
        return Session(self, threads, **options)

    def save(self, path):
        """Writes a model file (docs/model-file.md): to a temporary name, then renamed."""
        self._core.save(os.fspath(path))

    @property
    def graph(self):
        """Structure only: `.nodes`, `.outputs`, `.parameters`, `.to_text()`, `.to_dot()`."""
        return self._core.graph

    @property
    def inputs(self):
        """Name, op, channels and dims of each input."""
        return self._core.inputs

    @property
    def weights(self):
        """Arrays by parameter name: read-only views of the model's memory."""
        return self._core.weights

    @property
    def pipeline(self):
        """What lies between raw input and result, as a dict, or None."""
        return self._core.pipeline

    @property
    def classes(self):
        """Names of the classes, by label."""
        return [c["name"] for c in (self.pipeline or {}).get("classes", [])]

    @property
    def notes(self):
        """Free text pairs kept in the file."""
        return self._core.notes

    def __reduce__(self):
        return _unpickle, (self._core.serialize(), self._threads)


def _unpickle(data, threads):
    return Model._of(_core.Model.parse(data, "pickled model"), threads)


def load(path, threads=1):
    """The model in a file; `threads` is what its run() uses. Raises IoError, InputError, UnsupportedError."""
    return Model._of(_core.Model.load(os.fspath(path)), threads)


def builders():
    """Published networks by name, with what each says of itself."""
    return _core.builders()


def build(name, *, width=1.0, classes=19, pipeline=None, settings=None, seed=0, threads=1):
    """A published network with fresh weights; pipeline=None is SemanticKITTI's at 5 cm. settings: numbers by name, such
    as {"depth": 4}, of the builder (`rarefy info` lists them)."""
    return Model._of(_core.build(name, width, classes, pipeline, dict(settings or {}), seed), threads)
