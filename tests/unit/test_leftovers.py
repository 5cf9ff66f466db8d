# SPDX-License-Identifier: MIT
"""`envring clean`: names that nobody uses any longer, and no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from envring.cli.commands import command
from envring.core import _core
from envring.transport import leftovers
from envring.transport.segment import SegmentFile

NAME = f"envring-{'0a' * 8}"
HOLD = """
import sys
held = open(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def left(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(bytes(4096))
    return path


def test_a_name_that_nobody_uses(left, tmp_path):
    (tmp_path / "envring-mine").touch()
    (tmp_path / f"envring-{'0b' * 8}").symlink_to(left)
    (tmp_path / f"envring-{'0c' * 8}").mkdir()
    assert leftovers.find(tmp_path, -1.0) == [left]


def test_a_young_name_stays(left, tmp_path):
    assert leftovers.find(tmp_path) == []
    assert leftovers.find(tmp_path / "none") == []


def test_a_name_that_is_open_stays(left, tmp_path):
    with open(left, "rb"):
        assert leftovers.find(tmp_path, -1.0) == []
    assert leftovers.find(tmp_path, -1.0) == [left]


def test_a_name_that_is_mapped_stays():
    file = SegmentFile(named=True)
    try:
        file.resize(4096)
        held = memoryview(_core.SharedBytes(file.fd, 4096))
        os.close(file.take_fd())
        status = os.stat(file.path)
        assert (status.st_dev, status.st_ino) in set(leftovers.used_by(Path("/proc/self")))
        assert Path(file.path) not in leftovers.find(age=-1.0)
        held.release()
    finally:
        file.unlink()


def test_a_name_that_another_process_uses_stays(left, tmp_path):
    argv = [sys.executable, "-c", HOLD, left]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert leftovers.find(tmp_path, -1.0) == []
    assert leftovers.find(tmp_path, -1.0) == [left]


def test_names_are_those_of_segments():
    file = SegmentFile(named=True)
    try:
        assert leftovers._NAME.fullmatch(os.path.basename(file.path))
    finally:
        file.close()


@pytest.mark.parametrize("is_dry", [True, False])
def test_the_command(left, tmp_path, monkeypatch, is_dry):
    find = leftovers.find
    monkeypatch.setattr(leftovers, "find", lambda: find(tmp_path, -1.0))
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "envs" / "game-0123").mkdir(parents=True)
    done = CliRunner().invoke(command, ["clean", *["--dry-run"] * is_dry], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"{'would remove' if is_dry else 'removed'} {left}\n" in done.output
    assert "not finished: game-0123. `envring env clean`" in done.output
    assert left.exists() == is_dry
