# SPDX-License-Identifier: MIT
"""The scripts of examples/cluster/ run; by make test-cluster, where Ray has its libraries."""

import ast
import os
import subprocess
import sys

import pytest

from docs import pages

EXAMPLES = pages.ROOT / "examples" / "cluster"

if "ENVRING_CLUSTER" not in os.environ:
    pytest.skip("NO CLUSTER IS TRIED: that is make test-cluster", allow_module_level=True)

pytestmark = pytest.mark.leaves("a cluster keeps names in /dev/shm")


def run(name, nodes, cwd):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=os.environ | {"RAY_ADDRESS": nodes.address, "HOME": str(cwd)},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_docstring_says_how_to_run_it(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert f"python examples/cluster/{path.name}" in docstring
    assert f"test_{path.stem}" in globals(), "an example without a test"


def test_tune_trials(nodes, tmp_path):
    pytest.importorskip(
        "ray.tune", reason="TUNE IS NOT TRIED: pip install 'ray[tune]'", exc_type=ImportError
    )
    assert "best gain: 0.5" in run("tune_trials.py", nodes, tmp_path)


def test_rllib_ppo(nodes, tmp_path):
    pytest.importorskip("torch", reason="RLLIB IS NOT TRIED: pip install torch")
    pytest.importorskip(
        "ray.rllib", reason="RLLIB IS NOT TRIED: pip install 'ray[rllib]'", exc_type=ImportError
    )
    assert run("rllib_ppo.py", nodes, tmp_path).count("return: ") == 3
