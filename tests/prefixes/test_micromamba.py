# SPDX-License-Identifier: MIT
"""The same with a real micromamba, where there is one: $MAMBA_EXE, or on PATH."""

import os
import shutil
import subprocess

import pytest

from envring.errors import SolveError
from envring.launchers.micromamba import SURROUNDINGS, Micromamba
from envring.prefixes.freeze import freeze
from envring.prefixes.spec import this_platform
from support import local_channel

REAL = os.environ.get("MAMBA_EXE") or shutil.which("micromamba")


@pytest.fixture
def launcher(tmp_path):
    """A function that writes a spec for the channel of local CPythons."""
    if not REAL:
        pytest.skip("there is no micromamba here: its own way of building stays untried")
    if not local_channel.versions():
        pytest.skip("none of the CPythons of the channel is here: micromamba stays untried")
    channel = local_channel.build()

    def launcher(text, name="spec.yml"):
        (tmp_path / name).write_text(f"name: walk\nchannels: ['{channel}']\n{text}")
        return Micromamba(tmp_path / name, solver=REAL)

    return launcher


def test_builds_activates_and_freezes(launcher, tmp_path):
    short = next(iter(local_channel.versions()))
    entry, ready = launcher(f"dependencies: ['python={short}', corridor]\n").obtain()
    assert ready.solver == "micromamba"
    assert ready.python.startswith(f"{short}.")
    environ = SURROUNDINGS.activated(str(entry.prefix), str(entry.directory))
    done = subprocess.run(["corridor"], env=environ, capture_output=True, text=True, timeout=40)
    assert done.stdout == "corridor\n"
    assert environ["CORRIDOR_HOME"] == f"{entry.prefix}/share/corridor"
    frozen = freeze("again", entry.prefix)
    (tmp_path / "frozen.lock").write_text(frozen.explicit(this_platform()))
    again, _ = Micromamba(tmp_path / "frozen.lock", solver=REAL).obtain()
    assert freeze("again", again.prefix) == frozen


def test_shows_what_it_says_when_it_fails(launcher):
    with pytest.raises(SolveError, match="micromamba failed with exit code") as caught:
        launcher("dependencies: [python, nonsense]\n").obtain()
    assert "nonsense" in caught.value.tail
