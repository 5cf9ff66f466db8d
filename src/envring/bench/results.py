# SPDX-License-Identifier: MIT
"""The JSON document in which a run keeps all that it measured, and on what."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envring.bench.cells import CellResult

FORMAT = 2


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass
class Document:
    """One run.

    Attributes:
        machine: What `envring.bench.machine.describe` found (``cpu``, ``cores_usable``,
            ``cores_total``, ``kernel``, ``versions`` of all installed peers), with ``load_before``
            and ``load_after``.
        cells: The cells in the order in which they were measured.
        absent: Peers that are not installed, by name, each with the command that would add it.
        argv: The command line.
        when: The run's end, ISO 8601 in UTC.
        more: What else the program that ran it keeps, by key.
    """

    machine: dict[str, Any]
    cells: list[CellResult]
    absent: dict[str, str] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    when: str = field(default_factory=_now)
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        return {
            "format": FORMAT,
            "when": self.when,
            "argv": self.argv,
            "machine": self.machine,
            "absent": self.absent,
            "cells": [cell.as_json() for cell in self.cells],
            "more": self.more,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Document:
        """What `as_json` wrote.

        Raises:
            ValueError: if it is no document of a format known here.
        """
        if fields.get("format") != FORMAT:
            raise ValueError(f"format {fields.get('format')!r} is not known, only {FORMAT}")
        return cls(
            machine=dict(fields["machine"]),
            cells=[CellResult.from_json(cell) for cell in fields["cells"]],
            absent=dict(fields["absent"]),
            argv=list(fields["argv"]),
            when=fields["when"],
            more=dict(fields["more"]),
        )


def write(path: Path, document: Document) -> None:
    """Write ``document`` to ``path`` as JSON.

    Raises:
        OSError: if it cannot be written.
    """
    path.write_text(json.dumps(document.as_json(), indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Document:
    """Read what `write` wrote.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no document of a format known here.
    """
    return Document.from_json(json.loads(path.read_text(encoding="utf-8")))
