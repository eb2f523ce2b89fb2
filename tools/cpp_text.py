"""What the checks share: C++ text without comments and strings, and the list of the project's files."""

import os
import re

CODE = (".h", ".cpp", ".inc", ".c")
FOLDERS = ("include", "src", "apps", "tests", "bench", "examples", "python", "experiments", "tools", "cmake", "c")

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\s\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
_DIGIT_SEPARATOR = re.compile(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])")


def files(root, folders=FOLDERS, suffixes=CODE):
    """Paths relative to `root` of the files below `folders`, sorted; build products are elsewhere."""
    found = []
    for folder in folders:
        for directory, subdirectories, names in os.walk(os.path.join(root, folder)):
            subdirectories[:] = sorted(d for d in subdirectories if not d.startswith((".", "__pycache__")))
            for name in sorted(names):
                if suffixes is None or name.endswith(suffixes):
                    found.append(os.path.relpath(os.path.join(directory, name), root))
    return found


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text, keep_strings=False):
    """The text with comments (and string contents) blanked; line numbers stay."""

    def blank(match):
        token = match.group(0)
        if keep_strings and not token.startswith("/"):
            return token
        lines = "\n" * token.count("\n")
        return lines if token.startswith("/") else '""' + lines

    return _TOKEN.sub(blank, _DIGIT_SEPARATOR.sub("", text))
