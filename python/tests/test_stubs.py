"""The type stubs beside the package are those that the bindings and the table of ops give, and they are complete."""

import ast
import importlib.util
import inspect
import os
import pathlib

import rarefy
from rarefy import _core, _ops

PACKAGE = pathlib.Path(rarefy.__file__).parent
MAKER = pathlib.Path(os.environ.get("RAREFY_SOURCE", pathlib.Path(__file__).parents[2])) / "python" / "make_stubs.py"


def maker():
    spec = importlib.util.spec_from_file_location("make_stubs", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stubs_are_current():
    assert (PACKAGE / "_core.pyi").read_text() == maker().core_stub()
    assert (PACKAGE / "_ops.pyi").read_text() == maker().ops_stub()
    assert (PACKAGE / "py.typed").exists()


def classes(tree):
    return {node.name: {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            for node in tree.body if isinstance(node, ast.ClassDef)}


def test_stubs_are_python_and_name_everything():
    core = ast.parse((PACKAGE / "_core.pyi").read_text())
    known = classes(core)
    functions = {node.name for node in core.body if isinstance(node, ast.FunctionDef)}
    for name, value in vars(_core).items():
        if name.startswith("_") or name == "version":
            continue
        if value is None or inspect.ismodule(value):  # what only some builds have
            assert any(isinstance(node, ast.AnnAssign) and node.target.id == name for node in core.body)
            continue
        if not inspect.isclass(value):
            assert name in functions
            continue
        assert name in known
        for member in vars(value):
            if not member.startswith("_"):
                assert member in known[name], f"{name}.{member}"
    methods = classes(ast.parse((PACKAGE / "_ops.pyi").read_text()))["OpMethods"]
    assert methods == set(_ops.OPS) | {"op"}


def test_stubs_of_ops_have_the_ops_attributes():
    tree = ast.parse((PACKAGE / "_ops.pyi").read_text())
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for method in cls.body:
        if method.name == "op":
            continue
        given = {argument.arg for argument in method.args.kwonlyargs}
        assert set(_ops.OPS[method.name].defaults) <= given, method.name
