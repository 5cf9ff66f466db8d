# SPDX-License-Identifier: MIT
"""An ssh server of our own: an ordinary process on a free port, with its own keys."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from support.processes import wait_until

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
NAME = "envring-host"  # what the client's configuration calls it

_SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
"""
_CLIENT = """
Host {name}
    HostName 127.0.0.1
    Port {port}
    User {user}
    HostKeyAlias {name}
Host *
    IdentityFile {folder}/user
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""


class Sshd:
    """A running server.

    Attributes:
        config: the client's configuration, in which the server is called `NAME`.
        python: an interpreter with this envring, for a shell that knows nothing of this process.
        process: the server.
    """

    def __init__(self, folder: Path) -> None:
        """Makes keys in the folder, which must be empty, and starts it."""
        self.folder = folder
        for name in ("host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
            )
        # kept, and where nobody listens yet: nobody else is given this port meanwhile
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        port = self._port.getsockname()[1]
        (folder / "server").write_text(_SERVER.format(port=port, folder=folder))
        self.config = folder / "config"
        self.config.write_text(
            _CLIENT.format(port=port, folder=folder, name=NAME, user=getpass.getuser())
        )
        (folder / "known").write_text(f"{NAME} {(folder / 'host.pub').read_text()}")
        self.python = self.script("python", f'exec {sys.executable} "$@"')
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # where Debian's sshd keeps privileges apart
        assert PROGRAM is not None
        self.process = subprocess.Popen(
            [PROGRAM, "-D", "-e", "-f", str(folder / "server")], stderr=subprocess.DEVNULL
        )
        wait_until(lambda: self._answers(port), 20, "sshd listens")

    @staticmethod
    def _answers(port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def script(self, name: str, text: str) -> Path:
        """A program for the other end of the connection."""
        path = self.folder / name
        modules = os.pathsep.join(filter(None, sys.path))
        path.write_text(f"#!/bin/sh\nexport PYTHONPATH={modules}\n{text}\n")
        path.chmod(0o755)
        return path

    def url(self, name: str = NAME, **options: object) -> str:
        """Its address for `remotes=`."""
        chosen = {"ssh_config": self.config, "python": self.python, **options}
        return f"ssh://{name}?" + "&".join(f"{key}={value}" for key, value in chosen.items())

    def children(self) -> list[int]:
        """All processes below the server."""
        found, layer = [], [self.process.pid]
        while layer:
            pid = layer.pop()
            with contextlib.suppress(OSError):  # it ended meanwhile
                for path in list(Path(f"/proc/{pid}/task").glob("*/children")):
                    with contextlib.suppress(OSError):
                        below = [int(word) for word in path.read_text().split()]
                        found += below
                        layer += below
        return found

    def end(self) -> None:
        """Ends the server."""
        self.process.terminate()
        self.process.wait(10)
        self._port.close()
