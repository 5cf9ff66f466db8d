# SPDX-License-Identifier: MIT
"""House rules that no linter knows: licence lines, sizes, and what the worker package may be."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.foreign_prefixes import VERSIONS, interpreter

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "src/envring/_foreign/envring_worker"
FOLDERS = ["src", "csrc", "tests", "benchmarks", "scripts"]
SUFFIXES = {".py", ".pyx", ".pxi", ".pxd", ".pyi", ".c", ".h", ".sh", ".pml"}
SOURCES = sorted(
    [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and path.is_file()
    ]
    + [ROOT / name for name in ("setup.py", "Makefile", ".ci/run", "scripts/release")]
)
WORKER_MODULES = sorted(WORKER.rglob("*.py"))
WORKER_FILES = sorted(WORKER.parent.rglob("*.py"))  # with what is run and imported beside it

CORE_FILES = sorted((ROOT / "csrc").glob("*.[ch]"))

MOST_LINES = {".py": 400, ".c": 450, ".h": 450, ".pyx": 600, ".pxi": 600}
# path -> lines: files that may be longer. It is empty and should stay so.
OVERSIZED: dict[str, int] = {}

PYTHON_2_NAMES = {"cPickle", "copy_reg", "__builtin__", "Queue", "StringIO", "thread"}

COMPILE = """
import sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec", dont_inherit=True)
print("%d.%d: %d files" % (sys.version_info[0], sys.version_info[1], len(sys.argv) - 1))
"""


def name(path):
    return str(path.relative_to(ROOT))


def test_there_are_sources():
    folders = {path.relative_to(ROOT).parts[0] for path in SOURCES}
    assert {"src", "csrc", "tests"} <= folders
    assert WORKER_MODULES
    assert CORE_FILES


def test_files_name_their_licence():
    lacking = []
    for path in SOURCES:
        head = path.read_text(encoding="utf-8").splitlines()[:2]  # the first may be a #! line
        if not any("SPDX-License-Identifier: MIT" in line for line in head):
            lacking.append(name(path))
    assert lacking == []


def test_files_are_one_idea_long():
    too_long = {}
    for path in SOURCES:
        if path.suffix in MOST_LINES:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > OVERSIZED.get(name(path), MOST_LINES[path.suffix]):
                too_long[name(path)] = lines
    assert too_long == {}


def forbidden_imports(path):
    """Lines of a worker module that import what some interpreter lacks, or leave the package."""
    allowed = set(sys.stdlib_module_names) | PYTHON_2_NAMES | {"numpy"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            roots = {node.module.split(".")[0]}
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(path.relative_to(WORKER).parts):
                yield f"{name(path)}:{node.lineno} leaves the package"
            continue
        else:
            continue
        if not roots <= allowed:
            yield f"{name(path)}:{node.lineno} imports {', '.join(sorted(roots - allowed))}"


def test_worker_modules_import_only_what_every_interpreter_has():
    assert [line for path in WORKER_MODULES for line in forbidden_imports(path)] == []


def means_the_same_in_python_2(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    code = [node for node in body if not isinstance(node, ast.Expr)]
    if not code:
        return True  # a docstring and nothing else
    return (
        isinstance(code[0], ast.ImportFrom)
        and code[0].module == "__future__"
        and {alias.name for alias in code[0].names}
        >= {"absolute_import", "division", "print_function"}
    )


def test_worker_modules_mean_the_same_in_python_2():
    assert [name(p) for p in WORKER_MODULES if not means_the_same_in_python_2(p)] == []


def test_worker_modules_are_ascii():
    # Python 2 refuses anything else without a coding line
    assert [name(p) for p in WORKER_FILES if not p.read_text(encoding="utf-8").isascii()] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_worker_package_compiles_under(version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here: the worker package's syntax is unchecked for it")
    files = [str(path) for path in WORKER_FILES]
    done = subprocess.run(
        [python, "-W", "error", "-E", "-s", "-B", "-c", COMPILE, *files],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    python, _, count = done.stdout.strip().partition(": ")
    assert version in (python, "pypy")
    assert count == f"{len(files)} files"


def test_core_knows_no_python_and_names_atomics_once():
    wrong = []
    for path in CORE_FILES:
        text = path.read_text(encoding="utf-8")
        if re.search(r"#\s*include\s*[<\"](Python|numpy/)", text):
            wrong.append(f"{name(path)} includes Python's headers")
        if path.name != "er_atomic.h" and re.search(
            r"stdatomic\.h|\batomic_\w+\(|__atomic_|__sync_", text
        ):
            wrong.append(f"{name(path)} uses atomics")
    assert wrong == []
