#!/usr/bin/python3
"""Writes the type stubs of rarefy._core and rarefy._ops into a folder: from the signatures that the bindings carry, and
from the table of ops.

usage: PYTHONPATH=build/.../python make_stubs.py FOLDER
"""

import inspect
import os
import re
import sys
import types

if "rarefy" not in sys.modules:  # the two modules alone: a wheel may be built where NumPy is not
    package = types.ModuleType("rarefy")
    package.__path__ = [os.path.join(folder, "rarefy") for folder in sys.path]
    sys.modules["rarefy"] = package

from rarefy import _core, _ops  # noqa: E402

KEYWORDS = {"from", "in", "is", "as", "with", "lambda", "map"}
PLAIN = (("rarefy._core.", ""), ("numpy.ndarray", "numpy.ndarray"), ("capsule", "object"))
ATTRIBUTE = {"int": "int", "float": "float", "str": "str", "list": "int | float | Sequence[int] | Sequence[float]"}
VALUES = {"features": "Value", "space": "Value", "map": "Value | None", "index": "Value"}


def signature(doc):
    """The text after the name in "name(self: X, a: int = 1) -> int", which pybind11 puts first, in valid syntax."""
    first = doc.split("\n", 1)[0]
    text = first[first.index("("):]
    for found, wanted in PLAIN:
        text = text.replace(found, wanted)
    text = re.sub(r"<[^<>]*>", "...", text)  # defaults that are objects
    text = re.sub(r"Tuple\[", "tuple[", re.sub(r"Dict\[", "dict[", re.sub(r"List\[", "list[", text)))
    return re.sub(r"Optional\[([\w.\[\], ]+?)\](?=[,)=\s]|$)", r"\1 | None", text)


def summary(doc):
    lines = [line.strip() for line in (doc or "").split("\n")[1:] if line.strip()]
    return f'"""{" ".join(lines)}"""' if lines else "..."


def function(name, doc, indent="", decorator=""):
    text = f"{indent}{decorator}def {name}{signature(doc)}:"
    return f"{text} {summary(doc)}\n" if summary(doc) == "..." else f"{text}\n{indent}    {summary(doc)}\n"


def of_class(name, cls):
    base = next((b.__name__ for b in cls.__bases__ if b.__module__ == "rarefy" or issubclass(b, Exception)), "")
    lines = [f"class {name}({base}):\n" if base else f"class {name}:\n"]
    for member, value in sorted(vars(cls).items()):
        if isinstance(value, property):
            kind = re.search(r"-> (.+)", value.fget.__doc__ or "")
            kind = signature("x()" + " -> " + kind.group(1))[5:].strip() if kind else "object"
            lines.append(f"    @property\n    def {member}(self) -> {kind}: ...\n")
        elif isinstance(value, staticmethod):
            lines.append(function(member, value.__func__.__doc__, "    ", "@staticmethod\n    "))
        elif callable(value) and (member == "__init__" or not member.startswith("_")) and value.__doc__ and \
                value.__doc__.startswith(member + "("):
            lines.append(function(member, value.__doc__, "    "))
    if len(lines) == 1:
        lines.append(f'    """{cls.__doc__}"""\n' if cls.__doc__ else "    ...\n")
    return "".join(lines)


def core_stub():
    parts = ['"""Made by python/make_stubs.py from the bindings."""\n\nimport collections.abc\nimport typing\nfrom typing import Any, Union\n\nimport numpy\n\nversion: str\n']
    members = {name: value for name, value in vars(_core).items() if not name.startswith("_") and name != "version"}
    order = sorted(members, key=lambda n: (not inspect.isclass(members[n]), len(inspect.getmro(members[n]))
                                           if inspect.isclass(members[n]) else 0, n))
    for name in order:
        value = members[name]
        if value is None or inspect.ismodule(value):  # what only some builds have
            parts.append(f"{name}: Any\n")
            continue
        parts.append(of_class(name, value) if inspect.isclass(value) else function(name, value.__doc__))
    return "\n\n".join(parts)


def op_stub(op):
    given = ["self"]
    for place, spec in enumerate(op.info["inputs"]):
        label, kind = _ops._label(spec), VALUES.get(op.kinds[place], "Value")
        if op.info["variadic"] and place == len(op.kinds) - 1:
            given.append(f"*{label}: {kind}")
        else:
            if _ops._optional(spec):
                kind += " | None"
            given.append(f"{'__' + label}: {kind}" + (" = None" if kind.endswith("None") else ""))
    if not op.info["variadic"]:
        given.append("*")
    for name, default, _ in op.info["attributes"]:
        kind = ATTRIBUTE.get(type(default).__name__, "object")
        given.append(f"{name}: {kind}" + ("" if default is None else f" = {default!r}"))
    given += ["name: str = ''", "parameters: Sequence[str] = ()"]
    if "map" in op.kinds:
        given.append("**kernel: int | str | Sequence[int]")
    result = "Value" if op.result is None else "tuple[" + ", ".join(["Value"] * len(op.info["outputs"])) + "]"
    doc = op.doc().replace("\\", "\\\\").replace("\n", "\n        ")
    return f'    def {op.name}({", ".join(given)}) -> {result}:\n        """{doc}\n        """\n'


def ops_stub():
    head = ('"""Made by python/make_stubs.py from the table of ops."""\n\nfrom collections.abc import Sequence\n'
            "from typing import Any\n\nfrom .graph import Value\n\nOPS: dict[str, Any]\n\n\nclass OpMethods:\n"
            "    def op(self, op: str, *inputs: Value, name: str = '', parameters: Sequence[str] = (), "
            "**attributes: Any) -> Any: ...\n\n")
    return head + "\n".join(op_stub(op) for _, op in sorted(_ops.OPS.items()))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, text in (("_core.pyi", core_stub()), ("_ops.pyi", ops_stub())):
        with open(os.path.join(sys.argv[1], name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
