"""One method per op, made from the table of ops when the package is imported: no op is named here."""

import collections
import inspect

from . import _core
from ._core import UsageError


def _plain(value, default):
    """A Python value as an attribute can hold it: NumPy's numbers and sequences become Python's."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return _plain(value.tolist(), default)
    if isinstance(value, (list, tuple)):
        return [_plain(item, default) for item in value]
    if isinstance(value, float) and isinstance(default, (int, list)) and not isinstance(default, bool):
        whole = isinstance(default, int) or all(isinstance(item, int) for item in default)
        return int(value) if whole and default != [] and value == int(value) else value
    return value


def _kind(spec):
    """What an input such as "map: map" takes."""
    return spec.split(":", 1)[1].strip().rstrip("?") if ":" in spec else "features"


def _optional(spec):
    return spec.endswith("?")


def _label(spec):
    return spec.split(":", 1)[0].strip()


class _Op:
    """An op of the table, ready to add nodes to a graph."""

    def __init__(self, name, info):
        self.name, self.info = name, info
        self.kinds = [_kind(spec) for spec in info["inputs"]]
        self.defaults = {attribute: default for attribute, default, _ in info["attributes"]}
        outputs = [_label(spec) for spec in info["outputs"]]
        self.result = collections.namedtuple(name, outputs, rename=True) if len(outputs) > 1 else None

    def signature(self):
        parameter = inspect.Parameter
        given = [parameter("self", parameter.POSITIONAL_ONLY)]
        for place, spec in enumerate(self.info["inputs"]):
            last = self.info["variadic"] and place == len(self.kinds) - 1
            kind = parameter.VAR_POSITIONAL if last else parameter.POSITIONAL_ONLY
            default = None if self.kinds[place] == "map" or _optional(spec) else parameter.empty
            given.append(parameter(_label(spec), kind, default=parameter.empty if last else default))
        for attribute, default, _ in self.info["attributes"]:
            missing = parameter.empty if default is None else default
            given.append(parameter(attribute, parameter.KEYWORD_ONLY, default=missing))
        given.append(parameter("name", parameter.KEYWORD_ONLY, default=""))
        given.append(parameter("parameters", parameter.KEYWORD_ONLY, default=()))
        return inspect.Signature(given)

    def doc(self):
        lines = [self.info["doc"], "", "Inputs: " + (", ".join(self.info["inputs"]) or "none"),
                 "Outputs: " + ", ".join(self.info["outputs"])]
        lines += [f"{attribute}: {text}" for attribute, _, text in self.info["attributes"]]
        return "\n".join(lines)

    def add(self, graph, inputs, attributes, name, parameters):
        inputs = list(inputs)
        while inputs and inputs[-1] is None and _optional(self.info["inputs"][min(len(inputs), len(self.kinds)) - 1]):
            inputs.pop()
        if "map" in self.kinds and not self.info["variadic"] and len(inputs) == len(self.kinds) - 1:
            inputs.insert(self.kinds.index("map"), self._map(graph, inputs[0], attributes))
        ids = []
        for place, value in enumerate(inputs):
            wanted = self.kinds[min(place, len(self.kinds) - 1)] if self.kinds else "features"
            if wanted == "space" and getattr(value, "kind", "") == "features":
                value = value.space  # the space that the features lie on
            ids.append(graph._id(value))
        plain = {key: _plain(value, self.defaults.get(key)) for key, value in attributes.items()}
        outputs = [graph._value(i) for i in graph._builder.add(self.name, ids, plain, name, list(parameters))]
        return self.result(*outputs) if self.result else outputs[0]

    def _map(self, graph, x, attributes):
        """The map that was left out: kernel attributes are given to the layer instead, as in Builder::conv."""
        kernel_map = OPS["kernel_map"]
        kernel = {key: attributes.pop(key) for key in list(attributes)
                  if key in kernel_map.defaults and key not in self.defaults}
        stride = _plain(kernel.get("stride", 1), [])
        space = x.space if x.kind == "features" else x
        strided = any(s != 1 for s in (stride if isinstance(stride, list) else [stride]))
        target = OPS["downsample"].add(graph, [space], dict(kernel), "", ()) if strided else space
        return kernel_map.add(graph, [space, target], kernel, "", ())


def _method(op):
    def call(self, *inputs, name="", parameters=(), **attributes):
        return op.add(self, inputs, attributes, name, parameters)

    call.__name__ = op.name
    call.__qualname__ = f"Graph.{op.name}"
    call.__doc__ = op.doc()
    call.__signature__ = op.signature()
    return call


OPS = {name: _Op(name, info) for name, info in _core.ops().items()}


class OpMethods:
    """Base of Graph: `graph.relu(x)`, `graph.sparse_conv(x, channels=32, kernel=3)`, ... for each op of the table."""

    def op(self, op, *inputs, name="", parameters=(), **attributes):
        """The same by the op's name as a text."""
        if op not in OPS:
            _core.GraphBuilder().add(op, [], {})  # raises, naming the nearest candidates
            raise UsageError(f"there is no op '{op}'")
        return OPS[op].add(self, inputs, attributes, name, parameters)


for _name, _op in OPS.items():
    setattr(OpMethods, _name, _method(_op))
