# SPDX-License-Identifier: MIT
"""The notebooks of `examples/` run.

Without Jupyter: the cells of code run in order in one namespace, and the value of a cell's last
line is printed, as a notebook shows it.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from docs import pages

NOTEBOOKS = sorted((pages.ROOT / "examples").glob("*.ipynb"))
RUN = """
import ast, json, sys

def run(cell, number):
    tree, last = ast.parse(cell), None
    if isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    where = f"cell {number}"
    exec(compile(tree, where, "exec"), globals())
    value = eval(compile(last, where, "eval"), globals()) if last else None
    print(f"Out[{number}]: {value!r}", flush=True)

with open(sys.argv[1], encoding="utf-8") as file:
    cells = json.load(file)["cells"]
for number, cell in enumerate(cells):
    if cell["cell_type"] == "code":
        run("".join(cell["source"]), number)
"""


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def run(path, home):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, path],
        cwd=home,
        env=os.environ | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["quickstart.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_plain(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert not any(cell.get("outputs") for cell in notebook["cells"])  # they would grow old
    assert max(len(line) for cell in cells(path, "code") for line in cell.splitlines()) <= 100
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", "\n".join(cells(path, "markdown"))):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("old", ["gym-0.21"])
def test_quickstart(old, matrix_prefix, tmp_path):
    (tmp_path / "venvs").mkdir()
    prefix = (tmp_path / "venvs" / old).resolve()
    prefix.symlink_to(matrix_prefix(old))
    said = run(pages.ROOT / "examples" / "quickstart.ipynb", tmp_path)
    values = re.findall(r"^Out\[\d+\]: (.*)$", said, re.MULTILINE)
    assert values[0].startswith("RingVectorEnv(")
    assert values[1].startswith("((64, 4), ")
    assert "True" in values[2:4], "the same as SyncVectorEnv"
    assert re.search(r"^env \d ended at  \[.+\]\nenv \d begins at \[.+\]$", said, re.MULTILINE)
    assert re.search(r"^\(0, 1, 2, 3\) in .*3\.8", said, re.MULTILINE)
    rates = dict(re.findall(r"^ *(\w+VectorEnv|RingVectorEnv) +([\d,]+) env steps/s", said, re.M))
    assert set(rates) == {"RingVectorEnv", "SyncVectorEnv", "AsyncVectorEnv"}
    assert values[-1] == "True", "closed"
