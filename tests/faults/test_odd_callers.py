# SPDX-License-Identifier: MIT
"""Programs that start vector envs in a way that most do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import CONTEXTS

UNGUARDED = """
import sys
import envring
from envring.testing import CountingEnv
envs = envring.RingVectorEnv([CountingEnv] * 4, num_workers=4, context=sys.argv[1])
"""

CLOSED = """
import os, sys
if __name__ == "__main__":
    out = os.dup(1)
    for fd in sys.argv[2]:
        os.close(int(fd))
import envring
from envring.testing import CountingEnv
if __name__ == "__main__":
    envs = envring.RingVectorEnv([CountingEnv] * 2, num_workers=2, context=sys.argv[1])
    envs.reset()
    os.write(out, repr(envs.step([0, 0])[1].tolist()).encode())
    envs.close()
"""


def run(tmp_path: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(text)
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_script_without_a_main_guard(tmp_path: Path, context: str) -> None:
    """Its workers end without a word, and one error says what to do."""
    done = run(tmp_path, UNGUARDED, context)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("envring.errors.LaunchError: ")
    assert str(tmp_path / "script.py") in error
    assert "if __name__ == '__main__':" in error
    assert done.stderr.count("Traceback") == 1
    assert "freeze_support" not in done.stderr


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("closed", ["02", "012"])
def test_closed_standard_streams(tmp_path: Path, context: str, closed: str) -> None:
    done = run(tmp_path, CLOSED, context, closed)
    assert done.stdout == "[0.125, 0.125]", done.stderr
