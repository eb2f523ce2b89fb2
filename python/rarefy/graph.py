"""Networks of one's own: a graph built node by node."""

from . import _core
from ._core import UsageError
from ._ops import OpMethods


def _numbers(value):
    """One number for all axes, or one per axis."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)]


class Value:
    """What a node makes: features over a space, a space, a map or an index. `a + b` and `a * b` add nodes."""

    __slots__ = ("graph", "id")

    def __init__(self, graph, number):
        self.graph, self.id = graph, number

    @property
    def type(self):
        """dict with kind, channels, dims, stride, dtype, and the values `space` and `target` by number."""
        return self.graph._builder.type(self.id)

    @property
    def kind(self):
        """"features", "space", "map" or "index"."""
        return self.type["kind"]

    @property
    def channels(self):
        """Columns of features; kernel volume of a map."""
        return self.type["channels"]

    @property
    def space(self):
        """The space that the rows lie on."""
        return Value(self.graph, self.type["space"])

    @property
    def stride(self):
        """Of the space, per axis in finest voxels; empty for points."""
        return tuple(self.graph._builder.type(self.type["space"])["stride"])

    def __add__(self, other):
        return self.graph.add(self, other)

    def __mul__(self, other):
        return self.graph.mul(self, other)

    def __repr__(self):
        return f"<rarefy.Value {self.id}: {self.kind}, {self.channels} channels>"


class Graph(OpMethods):
    """A network under construction. Each call adds a node, infers its type, and raises at once what does not fit.

    There is one method per op of the table (`help(rarefy.Graph.sparse_conv)`), which takes values and the op's own
    attributes. Where an op wants a space, features stand for the space they lie on; where it wants a map and none is
    given, kernel, stride, dilation, padding and rule say which is made.
    """

    def __init__(self):
        self._builder = _core.GraphBuilder()

    def _id(self, value):
        if not isinstance(value, Value):
            raise UsageError(f"expected a rarefy.Value (what another node made), found {type(value).__name__}")
        if value.graph is not self:
            raise UsageError("the value belongs to another graph")
        return value.id

    def _value(self, number):
        return Value(self, number)

    def points(self, channels, name="points"):
        """Points of one or several scans: float32 [P, channels], coordinates first. Returns the features."""
        return self.input_points(channels=channels, name=name)[1]

    def sparse_input(self, channels, dims, stride=1, name="x"):
        """A sparse tensor given from outside. Returns the features, float32 [N, channels]."""
        return self.input_sparse(channels=channels, dims=dims, stride=_numbers(stride), name=name)[1]

    def _conv(self, layer, values, channels, kernel, stride, dilation, padding, rule, bias, name):
        ids = [self._id(value) for value in values]
        return self._value(getattr(self._builder, layer)(
            *ids, channels, _numbers(kernel), _numbers(stride), _numbers(dilation), _numbers(padding), rule, bias, name))

    def conv(self, x, channels, kernel=3, stride=1, dilation=1, padding=0, rule="block", bias=False, name=""):
        """Stride 1: submanifold. Stride > 1: a new, coarser space, shared by equal calls."""
        return self._conv("conv", [x], channels, kernel, stride, dilation, padding, rule, bias, name)

    def conv_transposed(self, x, like, channels, kernel=3, stride=1, dilation=1, padding=0, rule="block", bias=False,
                        name=""):
        """Inverse of the strided convolution that leads from `like`'s space to x's; writes over `like`'s space."""
        return self._conv("conv_transposed", [x, like], channels, kernel, stride, dilation, padding, rule, bias, name)

    def conv_generative(self, x, channels, kernel=3, stride=1, dilation=1, padding=0, rule="block", bias=False, name=""):
        """Creates all sites that the kernel reaches from x's."""
        return self._conv("conv_generative", [x], channels, kernel, stride, dilation, padding, rule, bias, name)

    def conv_to(self, x, like, channels, kernel=3, stride=1, dilation=1, padding=0, rule="block", bias=False, name=""):
        """Convolution from x's space to that of `like`."""
        return self._conv("conv_to", [x, like], channels, kernel, stride, dilation, padding, rule, bias, name)

    def unpool(self, x, like, kernel=2, stride=2, dilation=1, padding=0, rule="block", reduction="mean"):
        """Back from a pooling or strided convolution with these options to `like`'s space."""
        return self._value(self._builder.unpool(
            self._id(x), self._id(like), _numbers(kernel), _numbers(stride), _numbers(dilation), _numbers(padding), rule,
            reduction))

    def squeeze_excite(self, x, reduction=16, pooling="mean", activation="relu", gate="sigmoid", bias=True, name=""):
        """x times, per sample and channel, sigmoid(W2 relu(W1 mean of the sample's rows)). Hu et al., CVPR 2018."""
        return self._value(self._builder.squeeze_excite(self._id(x), reduction, pooling, activation, gate, bias, name))

    def prune(self, x, scores, threshold=0.0):
        """The rows of x whose score (one channel over x's space) is above the threshold. A mask of ones and zeros given
        as an input of its own is such a score: of rows whose mask is one, with the threshold at its default."""
        return self._value(self._builder.prune(self._id(x), self._id(scores), threshold))

    def align(self, *values, sites="united"):
        """The values over one space: "united" (sites of any of them, zeros where a value has none) or "common"."""
        if sites not in ("united", "common"):
            raise UsageError(f"sites must be 'united' or 'common', found {sites!r}")
        found = self._builder.align([self._id(value) for value in values], sites == "common")
        return tuple(self._value(number) for number in found)

    def output(self, name, value):
        """Names a result."""
        self._builder.output(name, self._id(value))

    def build(self):
        """The immutable graph: `.nodes`, `.parameters`, `.to_text()`. Nodes that no output needs are dropped."""
        return self._builder.build()
