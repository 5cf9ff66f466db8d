# SPDX-License-Identifier: MIT
"""What `examples/serve/` has, tried as far as that goes without systemd, Slurm and an engine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import envring
from envring.cli.commands import command
from envring.gateways.runtimes import load
from support.processes import wait_until

FOLDER = Path(__file__).parents[2] / "examples" / "serve"

STUBS = {
    "scontrol": "echo localhost",
    "srun": 'shift; SLURM_PROCID=0 SLURMD_NODENAME=localhost exec "$@"',
    "envring": f'exec {shlex.quote(sys.executable)} -m envring.cli "$@"',
}


def options_of(text):
    """The options of `envring serve` in a line of a file, without their values."""
    return [word for word in shlex.split(text) if word.startswith("--")]


def known_options():
    shown = CliRunner().invoke(command, ["serve", "--help"], terminal_width=200)
    return set(shown.output.replace(",", " ").split())


def test_configuration():
    (runtime,) = load(FOLDER / "serve.toml")
    assert runtime.serves("CartPole-v1")
    commented = (FOLDER / "serve.toml").read_text().replace("\n# ", "\n")
    assert "[runtimes.old]" in commented


def test_unit():
    text = (FOLDER / "envring-serve.service").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    (start,) = (line for line in lines if line.startswith("ExecStart="))
    assert set(options_of(start)) <= known_options()
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", FOLDER / "envring-serve.service"],
            capture_output=True,
            text=True,
            timeout=40,
        )
        wrong = [line for line in done.stderr.splitlines() if "is not executable" not in line]
        assert not wrong


def test_container_file():
    text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith(("ENTRYPOINT", "CMD")):
            words = json.loads(line.partition(" ")[2])
            assert {word for word in words if word.startswith("--")} <= known_options()


def test_slurm_script(tmp_path):
    """With stand-ins for Slurm: a learner finds the hosts, and SIGTERM ends them."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, body in STUBS.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "localhost", "SLURM_NTASKS": "1"}
    path = f"{tools}:{os.environ['PATH']}"
    script = subprocess.Popen(
        ["bash", FOLDER / "slurm.sh", "CartPole-v1"],
        cwd=tmp_path,
        env={**os.environ, **slurm, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    folder = tmp_path / "envring-7"
    try:
        wait_until(lambda: (folder / "remotes").exists() or script.poll(), 40, "it listens")
        remotes = (folder / "remotes").read_text().strip()
        assert remotes.startswith("tls://localhost:")
        assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
        with pytest.raises(envring.HostRefused):
            envring.make_vec("CartPole-v1", 1, remotes=remotes.partition("&key")[0])
        envs = envring.make_vec("CartPole-v1", 2, remotes=remotes)
        envs.reset()
        envs.step(np.ones(2, int))
        envs.close()
    finally:
        os.killpg(script.pid, signal.SIGTERM)
        _, errors = script.communicate(timeout=20)
    assert "Traceback" not in errors
