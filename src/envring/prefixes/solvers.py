# SPDX-License-Identifier: MIT
"""Programs that find and install conda packages, and which of them to use."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envring.errors import LauncherError
from envring.prefixes.spec import Spec

if TYPE_CHECKING:
    from envring.prefixes.condarc import Condarc

NAMES = ("micromamba", "mamba", "conda", "rattler")
TITLES = {"rattler": "py-rattler"}
_INSTALL = Path(__file__).with_name("rattler_install.py")
# what conda means by the channel "defaults", which py-rattler does not know
_DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")


@dataclass(frozen=True)
class Solver:
    """A program that makes conda prefixes.

    Attributes:
        name: one of NAMES.
        executable: its path; the caller's Python for py-rattler.
    """

    name: str
    executable: str

    @property
    def title(self) -> str:
        """Its name to show."""
        return TITLES.get(self.name, self.name)

    def command(self, spec: Spec, prefix: Path, directory: Path, packages: Path) -> list[str]:
        """Writes the program's input, and returns its command line.

        Args:
            spec: what to install; pip installs its pip section later.
            prefix: where to install; must not exist.
            directory: where to write the input.
            packages: cache of packages, for a solver without one of its own.
        """
        if self.name == "rattler":
            return self._rattler(spec, prefix, directory, packages)
        if spec.explicit is not None:
            file = directory / "explicit.txt"
            file.write_text("\n".join(["@EXPLICIT", *spec.explicit, ""]), encoding="utf-8")
            return [self.executable, "create", "-y", "-p", str(prefix), "--file", str(file)]
        file = directory / "conda.yml"
        # JSON is also YAML, and PyYAML is not needed
        nodefaults = ("nodefaults",) if spec.configured == "never" else ()
        content = {
            "channels": (*spec.channels, *nodefaults),
            "dependencies": spec.dependencies,
        }
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if self.name == "micromamba":
            return [self.executable, "create", "-y", "-p", str(prefix), "-f", str(file)]
        return [self.executable, "env", "create", "-p", str(prefix), "-f", str(file)]

    def _rattler(self, spec: Spec, prefix: Path, directory: Path, packages: Path) -> list[str]:
        from envring.prefixes import condarc

        rc = condarc.read()
        defaults = rc.default_channels or _DEFAULTS
        more = configured(spec, rc)
        named = () if more and spec.configured == "instead" else spec.channels
        channels: list[str] = []
        for channel in (*named, *more):
            channels += defaults if channel == "defaults" else (channel,)
        job = {
            "prefix": str(prefix),
            "packages": str(packages),
            "channels": list(dict.fromkeys(channels)),
            "defaults": defaults,
            "dependencies": spec.dependencies,
            "explicit": spec.explicit,
            "alias": alias(rc.channel_alias),
            "priority": spec.priority or _own_priority() or rc.channel_priority or "flexible",
            "proxies": dict(rc.proxies),
            "verify": _own_verify() if os.environ.get("CONDA_SSL_VERIFY") else rc.ssl_verify,
        }
        file = directory / "rattler.json"
        file.write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
        # -P: the script's directory holds this package's modules, which must not shadow others
        return [self.executable, "-P", str(_INSTALL), str(file)]


def configured(spec: Spec, rc: Condarc) -> tuple[str, ...]:
    """Returns the channels of conda's configuration that a spec is solved with."""
    if spec.configured == "never":
        return ()
    return tuple(each for each in rc.channels if each != "nodefaults")


def alias(configured: str | None = None) -> str | None:
    """Returns the URL before a channel's bare name, None for conda's own server.

    Args:
        configured: that of conda's configuration files.
    """
    text = (os.environ.get("CONDA_CHANNEL_ALIAS") or configured or "").rstrip("/")
    return f"{text}/" if text else None


def _own_priority() -> str | None:
    from envring.prefixes import condarc

    text = os.environ.get("CONDA_CHANNEL_PRIORITY")
    return condarc.priority("CONDA_CHANNEL_PRIORITY", text) if text else None


def _own_verify() -> bool | str:
    text = os.environ["CONDA_SSL_VERIFY"]
    return {"false": False, "0": False, "true": True, "1": True}.get(text.lower(), text)


# the CONDA_ and MAMBA_ variables that describe the active environment, not how to solve
_ACTIVE = (
    *("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL", "CONDA_PROMPT_MODIFIER"),
    *("CONDA_EXE", "CONDA_PYTHON_EXE", "MAMBA_EXE"),
)


def settings() -> dict[str, str]:
    """Returns the variables that configure solvers: mirrors, certificates, overrides."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("CONDA_", "MAMBA_")) and not name.startswith(_ACTIVE)
    }


# mamba knows these of conda's variables by its own name only
_SHARED = ("CHANNEL_ALIAS", "CHANNEL_PRIORITY")


def settings_for(spec: Spec) -> dict[str, str]:
    """Returns the variables that configure the solver of a spec, for each of the programs."""
    found = settings()
    if spec.priority:
        found["CONDA_CHANNEL_PRIORITY"] = found["MAMBA_CHANNEL_PRIORITY"] = spec.priority
    for name in _SHARED:
        if f"CONDA_{name}" in found:
            found.setdefault(f"MAMBA_{name}", found[f"CONDA_{name}"])
    return found


def overrides() -> dict[str, str]:
    """Returns those of the settings that change which packages are found."""
    names = [f"{program}_{name}" for program in ("CONDA", "MAMBA") for name in _SHARED]
    return {
        name: value
        for name, value in sorted(settings().items())
        if name.startswith("CONDA_OVERRIDE_") or name in names
    }


def configuration(spec: Spec, solver: str) -> dict[str, object]:
    """Returns what conda's configuration files add to what determines a prefix, if anything."""
    if solver != "rattler" or spec.explicit is not None:
        return {}  # the programs read their own
    from envring.prefixes import condarc

    rc = condarc.read()
    found: dict[str, object] = {**rc.content()}
    if channels := configured(spec, rc):
        found["channels"] = [spec.configured, *channels]
    return {"condarc": found} if found else {}


def choose(wanted: str | None = None) -> Solver:
    """Returns the solver to build with.

    Args:
        wanted: one of NAMES, or the path of a micromamba, mamba or conda; None: the first
            available of $MAMBA_EXE, micromamba, mamba, conda on PATH, and py-rattler.

    Raises:
        LauncherError: the solver is not available.
    """
    named = os.environ.get("MAMBA_EXE")
    own = _executable(named)
    if named and own is None:
        warnings.warn(
            f"MAMBA_EXE is {named!r}, which is not an executable micromamba, mamba or conda: it is "
            "not used. Correct or unset it.",
            stacklevel=2,
        )
    if wanted is None:
        found = next((each for each in (own, *map(_find, NAMES)) if each), None)
        if found is None:
            raise LauncherError(
                "Building a prefix needs micromamba, mamba or conda on PATH (or micromamba's path "
                "in MAMBA_EXE), but there is none. Install one of them, or py-rattler: "
                "pip install 'envring[conda]'"
            )
        return found
    name = name_of(wanted)
    if os.sep in wanted:
        found = _executable(wanted)
    else:
        found = own if own and own.name == name else _find(name)
    if found is None:
        hint = "put it on PATH, or use another solver with solver=None"
        if name == "rattler":
            hint = "pip install 'envring[conda]'"
        raise LauncherError(f"The solver {wanted!r} is not installed: {hint}.")
    return found


def name_of(wanted: str) -> str:
    """Returns which solver is meant, whether it is installed or not.

    Raises:
        LauncherError: there is no such solver.
    """
    base = os.path.basename(wanted)
    if base == "py-rattler":
        return "rattler"
    # also "micromamba-2.8-linux-64"
    found = next((name for name in NAMES if base == name or base.startswith(f"{name}-")), None)
    if found is None or (found == "rattler" and base != wanted):
        raise LauncherError(
            f"There is no solver {wanted!r}. Use one of {', '.join(NAMES)}, or the path of one of "
            "the first three."
        )
    return found


def _find(name: str) -> Solver | None:
    if name == "rattler":
        installed = importlib.util.find_spec("rattler") is not None
        return Solver(name, sys.executable) if installed else None
    path = shutil.which(name)
    return Solver(name, path) if path else None


def _executable(path: str | None) -> Solver | None:
    """Returns the solver at a path, recognised by its file name, or None."""
    if not path or not os.path.isfile(path) or not os.access(path, os.X_OK):
        return None
    try:
        return Solver(name_of(path), os.path.abspath(path))
    except LauncherError:
        return None
