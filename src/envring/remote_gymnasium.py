# SPDX-License-Identifier: MIT
"""Serving envs to clients of Remote Gymnasium (AgentGPT): here, through a tunnel, on a server.

from envring import remote_gymnasium
remote_gymnasium.launch_on_local_with_ip("CartPole-v1", port=5000)
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envring._version import __version__
from envring.errors import LaunchError
from envring.gateways.host import Host
from envring.gateways.serving import serve

__all__ = ["Launched", "launch_on_cloud", "launch_on_local_with_ip", "launch_on_local_with_url"]

_TUNNEL_SECONDS = 60.0
_URL = re.compile(r"https?://[^\s\"'<>|\\]+")
_NEAR = ("localhost", "127.", "0.0.0.0", "[::1]")
_END_SECONDS = 5.0
_LAST_LINES = 20


@dataclass
class Launched:
    """A server of envs.

    Attributes:
        url: where clients find it.
        key: what they show, as `Authorization: Bearer KEY`; None if they need none.
        host: the server.
        tunnel: the program that makes it reachable, or None.
    """

    url: str
    key: str | None
    host: Host
    tunnel: subprocess.Popen[str] | None = field(default=None)

    def wait(self) -> None:
        """Waits until the server is closed."""
        self.host.wait()

    def close(self) -> None:
        """Ends the server and the tunnel."""
        if self.tunnel is not None:
            self.tunnel.terminate()
            try:
                self.tunnel.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self.tunnel.kill()
                self.tunnel.wait()
        self.host.close()

    def __enter__(self) -> Launched:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self.close()


def launch_on_local_with_ip(
    env: str | Sequence[str] = "*",
    ip: str = "127.0.0.1",
    port: int = 5000,
    *,
    key: str | None = None,
    **options: Any,
) -> Launched:
    """Serves envs at an address of this machine; needs `envring[web]`.

    Args:
        env: names or patterns of envs; "*" is every registered id.
        ip: the address; one that others can reach needs `insecure=True`.
        port: the port, 0 for a free one.
        key: what callers must show; None: nothing.
        **options: of `envring.serve`.

    Raises:
        AddressError: the address is in use, or not allowed.
    """
    keys = () if key is None else (key,)
    host = serve(env, listen=f"http://{ip}:{port}", keys=keys, **options)
    return Launched(host.url, key, host)


def launch_on_local_with_url(
    tunnel: str | Sequence[str],
    env: str | Sequence[str] = "*",
    port: int = 5000,
    *,
    key: str | None = None,
    timeout: float = _TUNNEL_SECONDS,
    **options: Any,
) -> Launched:
    """Serves envs at the URL of a tunnel, by which other machines reach them.

    Args:
        tunnel: the program to run and its arguments; "{port}" in them is the port:
            "cloudflared tunnel --url http://127.0.0.1:{port}". It ends with the server, and must
            print the URL.
        env: names or patterns of envs.
        port: the port on this machine, 0 for a free one.
        key: what callers must show; None makes one: anybody may find the URL.
        timeout: seconds for the URL to appear.
        **options: of `envring.serve`.

    Raises:
        AddressError: the port is in use.
        LaunchError: the program could not be run, ended, or printed no URL in time.
    """
    made = launch_on_local_with_ip(env, port=port, key=key or secrets.token_urlsafe(24), **options)
    taken = made.url.rpartition(":")[2]
    words = shlex.split(tunnel) if isinstance(tunnel, str) else list(tunnel)
    argv = [word.replace("{port}", taken) for word in words]
    try:
        made.tunnel = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        made.url = _Output(made.tunnel).url(timeout, argv[0])
    except OSError as error:
        made.close()
        raise LaunchError(f"{shlex.join(argv)} cannot be run: {error}") from None
    except BaseException:
        made.close()
        raise
    return made


class _Output:
    """What a tunnel's program prints, read to its end, so that it never has to wait."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program
        self._lines: list[str] = []
        self._found: str | None = None
        self._settled = threading.Event()
        threading.Thread(target=self._read, name="envring-tunnel", daemon=True).start()

    def _read(self) -> None:
        assert self._program.stdout is not None
        with contextlib.suppress(ValueError, OSError), self._program.stdout as output:
            for line in output:
                if self._found is None:
                    self._lines = [*self._lines[1 - _LAST_LINES :], line]
                    self._look(line)
        self._settled.set()

    def _look(self, line: str) -> None:
        for found in _URL.findall(line):
            if not found.partition("://")[2].startswith(_NEAR):
                self._found = found.rstrip("/.,;)")
                self._settled.set()
                return

    def url(self, timeout: float, name: str) -> str:
        self._settled.wait(timeout)
        if self._found is None:
            said = "".join(self._lines).strip() or "nothing"
            raise LaunchError(f"{name} printed no URL within {timeout:g} s. It said: {said}")
        return self._found


def launch_on_cloud(
    directory: str | os.PathLike[str],
    env: str | Sequence[str] = "*",
    port: int = 5000,
    *,
    packages: Sequence[str] = ("gymnasium[classic-control]",),
    key: str | None = None,
) -> list[Path]:
    """Writes the files for a server in the cloud, which runs them with podman or docker.

    The server needs nothing but a container engine and systemd. `envring.service` says in its
    first lines what to do there. The port is published for the server itself: put the web server
    in front of it that has your certificate, or a tunnel.

    Args:
        directory: where to write them; it is made.
        env: names or patterns of envs.
        port: the port on the server.
        packages: what else to install into the container.
        key: what callers must show; None makes one.

    Returns:
        The files: Containerfile, serve.toml, envring.service and key, which only you can read.

    Raises:
        FileExistsError: one of them is there already.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    names = [env] if isinstance(env, str) else list(env)
    wanted = " ".join(map(shlex.quote, ("envring[web,cli]==" + __version__, *packages)))
    texts = {
        "Containerfile": _CONTAINERFILE.format(packages=wanted),
        "serve.toml": f"[runtimes.default]\nenvs = [{', '.join(map(_quoted, names))}]\n",
        "envring.service": _UNIT.format(port=int(port)),
        "key": f"ENVRING_KEY={key or secrets.token_urlsafe(24)}\n",
    }
    paths = [folder / name for name in texts]
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} is there already.")
    for path, text in zip(paths, texts.values(), strict=True):
        mode = 0o600 if path.name == "key" else 0o644
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
    return paths


def _quoted(text: str) -> str:
    if "'" in text or not text.isprintable():
        raise ValueError(f"{text!r} cannot be the name of an env.")
    return f"'{text}'"


_CONTAINERFILE = """\
FROM docker.io/library/python:3.13-slim
RUN pip install --no-cache-dir {packages} \\
    && useradd --create-home --uid 10001 envs
COPY serve.toml /etc/envring/serve.toml
USER envs
EXPOSE 5000
# what a container listens on is its own network: the unit publishes it
ENTRYPOINT ["envring", "serve", "--config", "/etc/envring/serve.toml", "--key", \\
    "env:ENVRING_KEY", "--listen", "http://0.0.0.0:5000", "--insecure", "--drain", "60"]
"""

_UNIT = """\
# Envs for clients of Remote Gymnasium. Copy this directory to the server, and there in it:
#   podman build --tag envring-serve .
#   install -D -m 600 key /etc/envring/key
#   install -m 644 envring.service /etc/systemd/system/
#   systemctl enable --now envring
# With docker in place of podman it is the same.
[Unit]
Description=Gymnasium environments over HTTP
After=network-online.target
Wants=network-online.target

[Service]
ExecStartPre=-/usr/bin/env podman rm --force envring
ExecStart=/usr/bin/env podman run --rm --name envring --env-file /etc/envring/key \\
    --publish 127.0.0.1:{port}:5000 --stop-timeout 90 envring-serve
TimeoutStopSec=100
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
