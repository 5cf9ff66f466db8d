# SPDX-License-Identifier: MIT
"""Reads YAML files that users write; errors name the file and the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envring.errors import LauncherError, SpecError


def parse(path: Path, text: str) -> tuple[Any, dict[str, int]]:
    """Parses a document.

    Args:
        path: the file, for errors.
        text: its content.

    Returns:
        The document, and the line number of each of its keys.

    Raises:
        SpecError: it is not YAML, or a key stands twice in one mapping.
        LauncherError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise LauncherError("Reading a spec needs PyYAML: pip install 'envring[conda]'.") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        lines = _key_lines(path, node)
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(f"'{path}'{where}: this is not YAML: {problem}.") from error
    finally:
        loader.dispose()
    return data, lines


def _key_lines(path: Path, node: Any) -> dict[str, int]:
    """Returns the lines of a mapping's keys, and checks them and those of the mappings inside.

    Raises:
        SpecError: a key stands twice in one mapping: YAML's parser would take the last.
    """
    lines: dict[str, int] = {}
    if isinstance(getattr(node, "value", None), list):
        for item in node.value:
            key, value = item if isinstance(item, tuple) else (None, item)
            _key_lines(path, value)
            if key is None or not isinstance(key.value, str):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise SpecError(
                    f"'{path}': the key {key.value!r} stands in line {lines[key.value]} and again "
                    f"in line {line}: join the two."
                )
            lines[key.value] = line
    return lines
