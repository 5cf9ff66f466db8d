# SPDX-License-Identifier: MIT
"""A container image with the interpreter that runs the tests, NumPy and Gymnasium: no download."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

NAME = "envring-test"
_PACKAGES = ("numpy", "gymnasium", "cloudpickle", "typing-extensions", "farama-notifications")
_LEFT_OUT = shutil.ignore_patterns(
    *("test", "tests", "__pycache__", "site-packages", "idlelib", "ensurepip", "tkinter"),
    *("turtledemo", "lib2to3", "config-*", "*.a", "_tkinter*"),
)


def make(folder: Path) -> Path:
    """Makes a tar file of the image's file system.

    Args:
        folder: an empty directory to work in.
    """
    root = folder / "root"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = root / "usr/local/lib" / version
    shutil.copytree(Path(sys.base_prefix, "lib", version), library, ignore=_LEFT_OUT)
    program = root / "usr/local/bin/python"
    program.parent.mkdir()
    shutil.copy2(os.path.realpath(sys.executable), program)
    for package in _PACKAGES:
        _copy_package(package, library / "site-packages")
    for tool in ("sh", "env"):
        _copy(Path(shutil.which(tool) or f"/bin/{tool}"), root)
    for path in set(_libraries(root)):
        _copy(path, root)
    for name in ("tmp", "proc", "dev", "sys", "etc", "run", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    archive = folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    shutil.rmtree(root)
    return archive


def _copy_package(name: str, site: Path) -> None:
    found = distribution(name)
    for file in found.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or "tests" in file.parts:
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(found.locate_file(file)), target)


def _copy(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(path), target)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(root: Path) -> Iterator[Path]:
    """Shared libraries, from outside, that programs and libraries in a tree load."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    binaries = [str(path) for path in files if _is_elf(path)]
    for start in range(0, len(binaries), 50):
        done = subprocess.run(
            ["ldd", *binaries[start : start + 50]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for match in re.finditer(r"(?m)(?:=> |^\s*)(/\S+) \(", done.stdout):
            if not match[1].startswith(str(root)):
                yield Path(match[1])
