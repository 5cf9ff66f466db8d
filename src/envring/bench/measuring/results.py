# SPDX-License-Identifier: MIT
"""The JSON document of a run: all that it measured, and on which machine."""

from __future__ import annotations

import datetime
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envring.bench.measuring.samples import CellResult, Sample
from envring.bench.plan.cells import Cell

FORMAT = 2
_GZIP = b"\x1f\x8b"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass
class Document:
    """One run.

    Attributes:
        machine: What `envring.bench.measuring.machine.describe` found (`cpu`, `cores_usable`,
            `cores_total`, `kernel`, `versions` of all installed peers), with `load_before`
            and `load_after`.
        cells: The cells in the order in which they were measured.
        absent: Peers that are not installed, by name, each with the command that installs it.
        argv: The command line.
        when: The run's end, ISO 8601 in UTC.
        more: Further values of the program that ran it, by key.
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
        """Restore what `as_json` wrote.

        Raises:
            ValueError: if it is not a document of a known format.
        """
        if fields.get("format") == 1:
            return cls(**_from_first(fields))
        if fields.get("format") != FORMAT:
            known = f"this envring reads 1 to {FORMAT}"
            raise ValueError(f"format {fields.get('format')!r} is not known; {known}")
        return cls(
            machine=dict(fields["machine"]),
            cells=[CellResult.from_json(cell) for cell in fields["cells"]],
            absent=dict(fields["absent"]),
            argv=list(fields["argv"]),
            when=fields["when"],
            more=dict(fields["more"]),
        )


def write(path: Path, document: Document) -> None:
    """Write `document` to `path` as JSON, one line per cell and per other key.

    The file is compressed if its name ends in `.gz`.

    Raises:
        OSError: if it cannot be written.
    """
    fields = document.as_json()
    cells = ",\n".join(json.dumps(cell) for cell in fields.pop("cells"))
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()]
    lines.append(f'"cells": [\n{cells}\n]')
    data = ("{" + ",\n".join(lines) + "}\n").encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def read(path: Path) -> Document:
    """Read what `write` wrote.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a document of a known format; the message names the file.
    """
    try:
        data = path.read_bytes()
        fields = json.loads(gzip.decompress(data) if data.startswith(_GZIP) else data)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(fields, dict) or "format" not in fields:
        raise ValueError(f"{path} does not hold results of envring's benchmark")
    try:
        return Document.from_json(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged, or was written by another version: {text}") from error


def _from_first(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a document of format 1, which has fewer fields, to `Document`'s arguments."""
    own = ("format", "when", "machine", "cells")
    return {
        "machine": dict(fields["machine"]),
        "cells": [_cell_from_first(cell) for cell in fields["cells"]],
        "when": fields["when"],
        "more": {key: value for key, value in fields.items() if key not in own},
    }


def _cell_from_first(fields: Mapping[str, Any]) -> CellResult:
    samples = [Sample.from_json(each) for each in fields["samples"]]
    labels = dict.fromkeys([*(each.peer for each in samples), *fields["failures"]])
    cell = Cell.of(fields["workload"], fields["num_envs"], labels, fields["options"])
    return CellResult(cell, fields["cores"], samples, dict(fields["failures"]))
