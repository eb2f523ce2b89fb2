#!/usr/bin/python3
"""tools/check_layers and tools/check_sizes accept a small sound tree, and refuse it after each single violation."""

import os
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools")

SOUND = {
    "include/rarefy/view.h": "#pragma once\n/// A view.\n#include <span>\n/// Text: #include <torch/x.h>\nint f();\n",
    "src/base/view.cpp": '#include "rarefy/view.h"\n// std::thread and printf( in a comment are no harm\n',
    "src/base/executor.cpp": "#include <thread>\nvoid f() { std::thread t; auto n = std::thread::hardware_concurrency(); }\n",
    "src/base/check.h": "#pragma once\n",
    "src/sparse/coords.h": '#pragma once\n#include "base/check.h"\n',
    "src/kernels/cpu/conv_avx2.cpp": '#include <immintrin.h>\n#include "kernels/cpu/conv_tile.h"\n',
    "src/kernels/cpu/conv_tile.h": "#pragma once\n#include <cstdint>\n",
    "src/models/net.cpp": '#include "sparse/coords.h"\n',
    "src/data/scan.h": "#pragma once\n",
    "src/runtime/run.h": "#pragma once\n",
    "src/train/module.cpp": '#include <torch/torch.h>\n#include "runtime/run.h"\n',
    "include/rarefy/c.h": "#pragma once\n#include <stddef.h>\n#include <stdint.h>\n",
    "c/handles.h": '#pragma once\n#include "rarefy/c.h"\n#include "runtime/run.h"\n',
    "apps/main.cpp": '#include <cstdio>\n#include "data/scan.h"\nint main() { std::printf("x"); }\n',
}

LINK = "build bin/{0}: CXX_EXECUTABLE_LINKER__{0}_Release {0}.o\n  LINK_LIBRARIES = src/librarefy.a {1}\n\n"


def run(tool, tree, *arguments):
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        command = [sys.executable, os.path.join(TOOLS, tool), "--root", root]
        command += [a.replace("ROOT", root) for a in arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout


class Checks(unittest.TestCase):
    def accepts(self, tool, tree, *arguments):
        status, output = run(tool, tree, *arguments)
        self.assertEqual(status, 0, output)

    def refuses(self, tool, tree, words, *arguments):
        status, output = run(tool, tree, *arguments)
        self.assertEqual(status, 1, output)
        self.assertIn(words, output)

    def with_file(self, path, text):
        return {**SOUND, path: text}

    def test_sound_tree(self):
        self.accepts("check_layers", SOUND)
        self.accepts("check_sizes", SOUND)

    def test_layers(self):
        for path, text, words in (
            ("src/base/up.cpp", '#include "sparse/coords.h"\n', "layer base must not include layer sparse"),
            ("src/models/up.cpp", '#include "data/scan.h"\n', "beside"),
            ("src/data/up.cpp", '#include "runtime/run.h"\n', "must not include layer runtime"),
            ("src/sparse/up.cpp", '#include "../runtime/run.h"\n', "layer sparse must not include layer runtime"),
            ("src/util/x.h", '#pragma once\n#include "base/check.h"\n', "'util' is no layer"),
            ("include/rarefy/bad.h", "#pragma once\n#include <fmt/format.h>\n", "only the standard library"),
            ("include/rarefy/bad.h", '#pragma once\n#include "base/check.h"\n', "only the standard library"),
            ("src/runtime/t.cpp", "#include <ATen/ATen.h>\n", "may include LibTorch"),
            ("apps/info.cpp", "#include <torch/torch.h>\n", "may include LibTorch"),
            ("src/kernels/cpu/conv.cpp", "#include <immintrin.h>\n", "*_avx*.cpp only"),
            ("src/kernels/cpu/conv_tile.h", "#pragma once\n#include <vector>\n", "could be chosen for every CPU"),
            ("src/kernels/cpu/conv.cpp", "#include <thread>\nvoid f() { std::thread t; }\n", "executor.cpp only"),
            ("src/sparse/p.cpp", "void f() { std::cout << 1; }\n", "nothing prints"),
            ("src/sparse/p.cpp", "void f() { exit(1); }\n", "nothing ends the process"),
            ("c/p.cpp", "void f() { std::cerr << 1; }\n", "nothing prints"),
            ("python/bindings/p.cpp", '#include "c/handles.h"\n', "beside"),
            ("src/runtime/up.cpp", '#include "c/handles.h"\n', "layer runtime must not include layer c"),
            ("src/runtime/up.cpp", '#include "rarefy/c.h"\n', "layer runtime must not include layer c"),
            ("include/rarefy/c.h", "#pragma once\n#include <vector>\n", "only the standard library"),
            ("src/sparse/p.h", "int f();\n", "#pragma once"),
        ):
            with self.subTest(path=path, words=words):
                self.refuses("check_layers", self.with_file(path, text), words)
        self.refuses("check_layers", {"README.md": ""}, "no src folder")

    def test_links(self):
        build = ("--build", "ROOT/build")
        sound = LINK.format("rarefy", "/usr/lib/libfmt.so") + LINK.format("rarefy-train", "/usr/lib/libtorch_cpu.so")
        self.accepts("check_layers", self.with_file("build/build.ninja", sound), *build)
        for bad in ("/usr/lib/libtorch.so", "/usr/lib/libc10.so", "src/librarefy_train.a"):
            tree = self.with_file("build/build.ninja", LINK.format("rarefy", bad))
            self.refuses("check_layers", tree, "bin/rarefy links", *build)
        self.refuses("check_layers", self.with_file("build/build.ninja", "# empty\n"), "no link lines", *build)
        self.refuses("check_layers", SOUND, "configure this build first", *build)

    def test_sizes(self):
        self.accepts("check_sizes", self.with_file("src/base/long.cpp", "// x\n" * 800))
        self.refuses("check_sizes", self.with_file("src/base/long.cpp", "// x\n" * 801), "801 lines")
        function = "int f(int x) {\n" + "  x = x + 1;\n" * 130 + "}\n"
        self.refuses("check_sizes", self.with_file("src/base/f.cpp", "namespace a {\n" + function + "}\n"), "f has 131 lines")
        self.accepts("check_sizes", self.with_file("src/kernels/cpu/f.cpp", function))
        many = {**SOUND, **{f"src/base/f{i}.cpp": "" for i in range(26)}}
        self.refuses("check_sizes", many, "at most 25")
        self.accepts("check_sizes", {**SOUND, **{f"src/graph/ops/f{i}.cpp": "" for i in range(40)}})

    def test_docstrings(self):
        for text in ("struct Bare {\n  int x;\n};\n", "int bare(int x);\n", "/// A.\nclass A {\n public:\n\n  void bare();\n};\n"):
            with self.subTest(text=text):
                header = "#pragma once\nnamespace a {\n\n" + text + "}\n"
                self.refuses("check_sizes", self.with_file("include/rarefy/bare.h", header), "no docstring")
        told = "#pragma once\n/// A.\nclass A {\n public:\n  A();\n  /// Does.\n  void does();\n private:\n  void own();\n};\n"
        self.accepts("check_sizes", self.with_file("include/rarefy/told.h", told))


if __name__ == "__main__":
    unittest.main()
