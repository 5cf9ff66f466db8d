# SPDX-License-Identifier: MIT
"""gRPC with fewer threads between a connection and the thread that answers.

By default a server's connections are read by threads of gRPC's own ("event engine"), which wake the
thread that waits for messages. Without them that thread reads them itself: a message and its answer
then take about 50 us less, of 300. gRPC reads its settings once, when it is imported: if somebody
else has imported it before, or has settings of their own, nothing changes.
"""

from __future__ import annotations

import importlib
import os
from importlib import metadata
from typing import Any

_SETTINGS, _OURS = "GRPC_EXPERIMENTS", "-event_engine_listener"
_KNOWN_IN = (1, 85)  # and before; a release that does not know the name complains on stderr


def _imported() -> Any:
    if _SETTINGS in os.environ or not _is_known():
        return importlib.import_module("grpc")
    os.environ[_SETTINGS] = _OURS
    try:
        return importlib.import_module("grpc")
    finally:
        del os.environ[_SETTINGS]  # it is not for the processes that this one starts


def _is_known() -> bool:
    try:
        major, minor = metadata.version("grpcio").split(".")[:2]
        return (int(major), int(minor)) <= _KNOWN_IN
    except (metadata.PackageNotFoundError, ValueError):
        return False


grpc = _imported()
