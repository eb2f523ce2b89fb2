#!/usr/bin/python3
"""docs/operators.md names every op of the graph, no call that Builder lacks, and no test that does not exist."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operators.md").read_text()
ROWS = [line.split("|")[1:-1] for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| ---")]


def quoted(text):
    return set(re.findall(r"`([\w.]+)`", text))


class Operators(unittest.TestCase):
    def test_every_op_is_there(self):
        ops = {path.stem for path in (ROOT / "src" / "graph" / "ops").glob("*.cpp")}
        table = (ROOT / "src" / "graph" / "elementwise.inc").read_text()
        ops |= set(re.findall(r"^RAREFY_(?:UNARY|BINARY)\((\w+),", table, re.M))
        # A convolution is known by the call that makes its map too, and chooses its op.
        by_call = {"sparse_conv", "grouped_conv"}
        self.assertEqual(ops - by_call - quoted(" ".join(row[1] for row in ROWS)), set())

    def test_starred_calls_are_methods_in_both_languages(self):
        builder = (ROOT / "include" / "rarefy" / "builder.h").read_text()
        python = (ROOT / "python" / "rarefy" / "graph.py").read_text()
        starred = set(re.findall(r"`(\w+)`\*", TEXT))
        self.assertGreater(len(starred), 5)
        for name in starred:
            self.assertRegex(builder, rf"\b{name}\(", name)
            self.assertIn(f"def {name}(", python)

    def test_the_tests_named_exist(self):
        sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*_test.cpp"))
        existing = set(re.findall(r"TEST(?:_P|_F)?\(\s*(\w+),\s*(\w+)\s*\)", sources))
        named = {tuple(name.split(".")) for row in ROWS for name in quoted(row[2]) if "." in name}
        self.assertGreater(len(named), 20)
        self.assertEqual(named - existing, set())


if __name__ == "__main__":
    unittest.main()
