# SPDX-License-Identifier: MIT
"""Runs plain scripts of this folder under other interpreters, beside the worker package.

Each check of a script is a test; the script runs once for all of them.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envring import _foreign

HERE = Path(__file__).parent
FOREIGN = Path(_foreign.__file__).parent
_OUTCOME = re.compile(r"^(\w+): (passed|failed)$", re.MULTILINE)


def functions(script: str) -> list[str]:
    """Functions of a script that need no arguments, in their order."""
    body = ast.parse((HERE / script).read_text("utf-8")).body
    found = [node for node in body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in found if not ast.unparse(node.args)]


def checks(script: str) -> list[str]:
    """Those that `plain_checks.main` runs."""
    return [name for name in functions(script) if name.startswith("check_")]


def each_check(names: Iterable[str], scripts: Iterable[str]) -> Any:
    """Parameters `name`, `script`, `check`: the checks of scripts under interpreters."""
    return pytest.mark.parametrize(
        ("name", "script", "check"),
        [
            pytest.param(name, script, check, id=f"{name}-{Path(script).stem}-{check}")
            for name in names
            for script in scripts
            for check in checks(script)
        ],
    )


@dataclass(frozen=True)
class _Run:
    """How a script ended, and what it said: of each check, and in all."""

    outcomes: dict[str, tuple[str, str]]
    end: str
    text: str


@functools.cache
def _run(argv: tuple[str, ...], environ: tuple[tuple[str, str], ...], seconds: float) -> _Run:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = subprocess.Popen(
        argv,
        env={**kept, "PYTHONPATH": str(FOREIGN), **dict(environ)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    with command:
        try:
            out, err = command.communicate(timeout=seconds)
            end = f"ended with exit code {command.returncode}"
        except subprocess.TimeoutExpired:
            command.kill()
            out, err = command.communicate()
            end = f"was not done after {seconds:g} s"
    outcomes, start = {}, 0
    for found in _OUTCOME.finditer(out):
        outcomes[found[1]] = (found[2], out[start : found.start()])
        start = found.end()
    failed = sum(outcome == "failed" for outcome, _ in outcomes.values())
    if end == f"ended with exit code {int(failed > 0)}":
        end = ""
    return _Run(outcomes, end, f"{out[start:][-6000:]}\n{err[-3000:]}")


def run_check(
    python: str | Path,
    script: str,
    check: str,
    *arguments: str | Path,
    flags: tuple[str, ...] = ("-s", "-B"),
    seconds: float = 40.0,
    **environ: str,
) -> None:
    """Runs a script, unless that was done before, and reports one of its checks.

    Raises:
        AssertionError: the check failed, was not run, or the script did not end as it should.
    """
    argv = (str(python), *flags, str(HERE / script), *map(str, arguments))
    ran = _run(argv, tuple(sorted(environ.items())), seconds)
    outcome, text = ran.outcomes.get(check, ("not run to its end", ""))
    assert outcome == "passed", f"{check} {outcome}; the script {ran.end}\n{text}{ran.text}"
    assert not ran.end, f"the script {ran.end}\n{ran.text}"
