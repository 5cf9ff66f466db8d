# SPDX-License-Identifier: MIT
"""Whose terminal workers have, and who takes turns with whom on a CPU."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import envring
from envring.testing import deadline

ENV = f"{Path(__file__).parents[1] / 'foreign/plain_envs.py'}:Plain"


def children() -> set[int]:
    """Processes that this one started and that still run."""
    mine = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        state, parent = text[text.rindex(")") + 2 :].split()[:2]
        if int(parent) == os.getpid() and state != "Z":
            mine.add(int(name))
    return mine


def started(launcher: envring.Launcher) -> tuple[envring.RingEnv, int]:
    before = children()
    env = envring.make(ENV, launcher=launcher)
    (worker,) = children() - before
    return env, worker


def test_workers_are_of_the_caller_s_session_and_of_a_group_of_their_own():
    """Of another session they would be of another scheduling group, where yielding helps nobody."""
    with deadline(30):
        env, worker = started(envring.Python(sys.executable))
        try:
            assert os.getsid(worker) == os.getsid(0)
            assert os.getpgid(worker) == worker
        finally:
            env.close()


def test_what_is_in_a_sandbox_has_no_terminal_of_ours():
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap: nothing runs in a sandbox")
    with deadline(30):
        try:
            env, worker = started(envring.Python(sys.executable, sandbox=True))
        except envring.LauncherError as error:
            pytest.skip(f"bubblewrap cannot make namespaces here: {error}")
        try:
            assert os.getsid(worker) == os.getpgid(worker) == worker
        finally:
            env.close()
