# SPDX-License-Identifier: MIT
"""The `pip:` section of a spec: its relative paths start from the spec's directory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

FILE_OPTIONS = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
TREE_OPTIONS = {"-e": "-e", "--editable": "-e", "-f": "-f", "--find-links": "-f"}
ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2")
# files that a build writes into a source tree, or never reads
GENERATED = re.compile(r"\..*|__pycache__|build|dist|.*\.egg-info|node_modules")


class RequirementsError(ValueError):
    """A line that names a file that does not exist."""


@dataclass(frozen=True)
class Resolved:
    """Lines with absolute paths, and the local files that determine what they install."""

    lines: tuple[str, ...]
    watched: tuple[Path, ...]


def resolve(lines: Sequence[str], directory: Path) -> Resolved:
    """Makes the paths in lines absolute.

    Args:
        lines: as in a requirements file.
        directory: what relative paths start from.

    Raises:
        RequirementsError: a line names a file that does not exist.
    """
    watched: dict[Path, None] = {}
    return Resolved(tuple(_resolve(lines, directory, directory, watched)), tuple(watched))


def _resolve(
    lines: Sequence[str], directory: Path, home: Path, watched: dict[Path, None]
) -> Iterator[str]:
    """Resolves paths as pip does: those after options from `directory`, others from `home`."""
    for line in lines:
        option, value = _split(line)
        if option in FILE_OPTIONS:
            if "://" not in value:
                path = _existing(value, directory, line)
                if path not in watched:
                    watched[path] = None
                    nested = path.read_text(encoding="utf-8", errors="replace").splitlines()
                    list(_resolve(nested, path.parent, home, watched))
                value = str(path)
            yield f"{FILE_OPTIONS[option]} {shlex.quote(value)}"
        elif option in TREE_OPTIONS:
            place, extras = _without_extras(value)
            if "://" not in place and _looks_local(place, home):
                path = _existing(place, home, line)
                if TREE_OPTIONS[option] == "-e":
                    names = ("pyproject.toml", "setup.py", "setup.cfg")
                    watched.update(dict.fromkeys(p for n in names if (p := path / n).is_file()))
                value = f"{path}{extras}"
            yield f"{TREE_OPTIONS[option]} {shlex.quote(value)}"
        else:
            yield _requirement(line, home, watched)


def _split(line: str) -> tuple[str, str]:
    """Returns an option and its value, or two empty strings for a requirement."""
    match = re.match(r"(-[recf]|--[a-z-]+)(?:\s*=\s*|\s+|(?<=^-[recf]))(\S.*)$", line.strip())
    if not match:
        return "", ""
    value = re.sub(r"\s+#.*$", "", match[2]).strip().strip("'\"")
    return match[1], value


def _requirement(line: str, home: Path, watched: dict[Path, None]) -> str:
    text, comment, _ = line.partition(" #")
    place, tail = _without_extras(text.strip())
    url = re.search(r"(?:^|@\s*)(file:\S+)", text)
    if url:
        path = Path(unquote(urlparse(url[1]).path))
        if path.exists():
            watched.update(dict.fromkeys(files_below(path)))
        return line
    if comment or not _looks_local(place, home):
        return line
    path = _existing(place, home, line)
    watched.update(dict.fromkeys(files_below(path)))
    return f"{path}{tail}"


def _without_extras(text: str) -> tuple[str, str]:
    """Returns a path, and the "[extras]" or "; marker" after it."""
    match = re.match(r"([^\[;]*?)(\s*(?:\[[^\]]*\])?\s*(?:;.*)?)$", text)
    return (match[1], match[2]) if match else (text, "")


def _looks_local(place: str, home: Path) -> bool:
    if place.startswith(("./", "../", "/", "~")) or place in (".", ".."):
        return True
    return place.endswith(ARCHIVES) and "://" not in place and (home / place).is_file()


def _existing(place: str, directory: Path, line: str) -> Path:
    path = (directory / Path(place).expanduser()).resolve()
    if not path.exists():
        raise RequirementsError(f"{line.strip()!r}: there is no '{path}'.")
    return path


def files_below(path: Path) -> list[Path]:
    """Returns a file itself, or the files of a source tree without those that builds write."""
    if not path.is_dir():
        return [path]
    found = []
    for each in sorted(path.iterdir()):
        if not GENERATED.fullmatch(each.name) and not each.is_symlink():
            found += files_below(each)
    return found


def without_portal(lines: Sequence[str], packages: Sequence[str]) -> list[str]:
    """Returns lines without the package portal-env, which envring's workers do not need.

    portal-env depends on gymnasium, and env directories rely on that: gymnasium takes its place,
    unless another line asks for it or the interpreter is too old for it.
    """
    kept = [line for line in lines if _project(line) != "portal-env"]
    if len(kept) == len(lines):
        return kept
    old = any(re.match(r"(.*::)?python\s*=+\s*(2|3\.[0-7])(\D|$)", each) for each in packages)
    names = {_project(line) for line in kept}
    names |= {re.split(r"[\s=<>!~\[]", each.rpartition("::")[2])[0] for each in packages}
    if not old and "gymnasium" not in names:
        kept.append("gymnasium")
    return kept


def _project(line: str) -> str:
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""
