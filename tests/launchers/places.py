# SPDX-License-Identifier: MIT
"""Launchers of every kind for the interpreter that runs the tests; nothing is fetched."""

import json
import os
import sys
import sysconfig
import zipfile
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy

from envring.launchers.base import Launcher, Sandbox
from envring.launchers.micromamba import Micromamba
from envring.launchers.prefix import Prefix, Python
from envring.launchers.uv import Uv
from launchers.running import link_python
from support import local_channel

# where the launchers below keep what they make; set for the process that remakes one
FOLDER = "ENVRING_TEST_PLACES"

_PACKAGES = sorted({str(Path(module.__file__).parents[1]) for module in (numpy, gymnasium)})


def prefix(sandbox: bool = False) -> Launcher:
    """The environment of the tests itself."""
    return Prefix(sys.prefix, sandbox=sandbox)


def python() -> Launcher:
    """Its interpreter."""
    return Python(sys.executable)


def conda(sandbox: bool = False) -> Launcher:
    """A prefix as conda makes them, whose variables lead to the packages."""
    path = Path(os.environ[FOLDER], "conda")
    if not path.exists():
        link_python(path)
        (path / "conda-meta").mkdir()
        packages = os.pathsep.join(_PACKAGES)
        state = {"version": 1, "env_vars": {"PYTHONPATH": packages}}
        (path / "conda-meta/state").write_text(json.dumps(state))
        scripts = path / "etc/conda/activate.d"
        scripts.mkdir(parents=True)
        (scripts / "a.sh").write_text('export GAME_HOME="$CONDA_PREFIX/share"\n')
    return Prefix(path, sandbox=sandbox)


def uv(sandbox: bool = False) -> Launcher:
    """An environment of uv, filled with one package that leads to the others."""
    wheel = Path(os.environ[FOLDER], "leads-1.0-py3-none-any.whl")
    if not wheel.exists():
        info = "leads-1.0.dist-info"
        files = {
            "leads.pth": "".join(f"{path}\n" for path in _PACKAGES),
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: leads\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    return Uv([f"leads @ {wheel.as_uri()}"], python=sysconfig.get_python_version(), sandbox=sandbox)


def micromamba() -> Launcher:
    """A conda prefix out of the channel that the tests make of this interpreter."""
    spec = Path(os.environ[FOLDER], "spec.yml")
    if not spec.exists():
        packages = f"[python={local_channel.OWN}, numpy, gymnasium]"
        channel = f"channels: ['{local_channel.build()}']"
        spec.write_text(f"name: places\n{channel}\ndependencies: {packages}\n")
    return Micromamba(spec, solver="rattler")


def boxed_prefix() -> Launcher:
    """In a sandbox."""
    return prefix(sandbox=True)


def boxed_conda() -> Launcher:
    """In a sandbox; the packages lie outside of the prefix."""
    return replace(conda(), sandbox=Sandbox(read=tuple(_PACKAGES)))


def boxed_uv() -> Launcher:
    """In a sandbox."""
    return uv(sandbox=True)
