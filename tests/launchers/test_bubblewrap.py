# SPDX-License-Identifier: MIT
"""Where there is no bubblewrap, or none that works."""

import pytest

from envring.errors import LauncherError
from envring.launchers import sandbox
from envring.launchers.base import Needs
from envring.launchers.prefix import Prefix


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Puts another bwrap in the place of the real one."""

    def make(text):
        file = tmp_path / "fake/bwrap"
        file.parent.mkdir()
        file.write_text(text)
        file.chmod(0o755)
        monkeypatch.setenv("PATH", str(file.parent))

    sandbox.bubblewrap.cache_clear()
    yield make
    sandbox.bubblewrap.cache_clear()


def test_bubblewrap_is_missing(fake, venv_prefix, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LauncherError, match=r"there is no bwrap on PATH .*apt-get install"):
        Prefix(venv_prefix, sandbox=True).prepare(Needs())


def test_bubblewrap_may_not_be_used(fake, venv_prefix):
    fake("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    with pytest.raises(LauncherError, match="No permissions to create new namespace") as caught:
        Prefix(venv_prefix, sandbox=True).prepare(Needs())
    assert "user namespaces" in str(caught.value)


def test_bubblewrap_cannot_be_run(fake, venv_prefix):
    fake("no program")
    with pytest.raises(LauncherError, match="bwrap fails: .*Exec format error"):
        Prefix(venv_prefix, sandbox=True).prepare(Needs())


def test_the_interpreter_is_looked_at_before_the_sandbox(fake, tmp_path):
    with pytest.raises(Exception, match=f"^There is no prefix {tmp_path}/x"):
        Prefix(tmp_path / "x", sandbox=True).prepare(Needs())


@pytest.mark.parametrize("wanted", ["yes", 1, None, ("/x",)])
def test_what_is_no_sandbox(venv_prefix, wanted):
    with pytest.raises(LauncherError, match=r"^sandbox= must be True, False or a Sandbox, not "):
        Prefix(venv_prefix, sandbox=wanted).prepare(Needs())
