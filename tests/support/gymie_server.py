# SPDX-License-Identifier: MIT
"""Gymie's own server, in an interpreter that has it; prints its port."""

import socket
import sys

import gymie
import plain_line  # noqa: F401 (registers envs)

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
print(port, flush=True)
sys.stdout = sys.stderr  # it logs requests
gymie.start("127.0.0.1", port)
