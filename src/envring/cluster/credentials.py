# SPDX-License-Identifier: MIT
"""Certificates of the servers of a group: made when it is started, and known to nobody else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from envring.gateways.certificates import make

NAME = "envring-cluster"  # that they have all, whatever node they are on


@dataclass(frozen=True)
class Credentials:
    """What servers show, and what their callers trust: as text in PEM.

    Attributes:
        authority: the certificate that callers trust; it has signed no others.
        certificate: of the servers.
        key: of that.
    """

    authority: str = field(repr=False)
    certificate: str = field(repr=False)
    key: str = field(repr=False)

    @contextmanager
    def files(self) -> Iterator[tuple[Path, Path]]:
        """Files of the certificate and its key, for as long as it takes to read them."""
        with tempfile.TemporaryDirectory(prefix="envring-") as folder:  # of this user alone
            paths = Path(folder) / "server.pem", Path(folder) / "server.key"
            for path, text in zip(paths, (self.certificate, self.key), strict=True):
                path.write_text(text)
            yield paths


def new() -> Credentials | None:
    """Those of a new group; None without the package `cryptography`."""
    if find_spec("cryptography") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="envring-") as folder:
        make(folder, [NAME], clients=())
        texts = [
            (Path(folder) / name).read_text() for name in ("ca.pem", "server.pem", "server.key")
        ]
    return Credentials(*texts)
