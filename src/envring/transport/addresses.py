# SPDX-License-Identifier: MIT
"""Addresses of env hosts, and connections to them."""

from __future__ import annotations

import hmac
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from envring.errors import AddressError
from envring.transport.frames import Link

if TYPE_CHECKING:
    import ssl

_COMMON = {"key", "runtime", "session", "heartbeat"}
_TLS = {"ca", "cert", "certkey", "name"}
_ASKING = {"key", "runtime", "timeout"}
_OPTIONS = {
    "tcp": _COMMON,
    "tls": _COMMON | _TLS,
    "unix": _COMMON,
    "grpc": _ASKING,
    "grpcs": _ASKING | _TLS,
    "openenv": _ASKING - {"runtime"},
    "openenvs": (_ASKING - {"runtime"}) | _TLS,
    "http": set(),
    "https": set(),
    "listen": {"n", "key", "runtime", "heartbeat", "insecure", "cert", "certkey", "client_ca"},
    "ssh": {"python", "launcher", "env", "config", "runtime", "heartbeat", "ssh_config"},
}
# where a host is reached over other projects' wires
OF_OTHERS = ("grpc", "grpcs", "http", "https")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between two attempts to connect


@dataclass(frozen=True)
class Address:
    """Where an env host listens, or how it is reached.

    Attributes:
        scheme: "tcp", "tls", "unix", "ssh", "grpc", "grpcs", "openenv", "openenvs", "http",
            "https", or "listen" for where to wait for hosts.
        host: name or number; "" for unix.
        port: TCP port; 0 for unix, and for ssh's default.
        path: of a unix socket.
        user: of ssh; "" for its default.
        options: what stood behind the question mark. `key` is never shown.
        secret: the key itself, of a host that was started for this caller. It is never shown.
        authority: the certificate to trust itself, in PEM, likewise.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    user: str = ""
    options: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    secret: str | None = field(default=None, repr=False, compare=False)
    authority: str | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Returns the address without its options."""
        if self.scheme == "unix":
            return f"unix://{self.path}"
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{host}{port}"

    @property
    def key(self) -> str | None:
        """The key to show, read from where `key=` says.

        Raises:
            AddressError: there is no such file or variable.
        """
        return read_key(self.options["key"]) if "key" in self.options else self.secret

    def with_key(self) -> Address:
        """The same with the key itself, for another process to show.

        Raises:
            AddressError: there is no such file or variable.
        """
        others = {name: value for name, value in self.options.items() if name != "key"}
        return replace(self, options=others, secret=self.key)


def parse(text: str) -> Address:
    """Reads an address.

    Args:
        text: "tcp://HOST:PORT", "tls://HOST:PORT?ca=FILE", "unix://PATH", "ssh://USER@HOST" or
            "listen://HOST:PORT?n=HOSTS".

    Raises:
        AddressError: it is not one. The text never contains a key.
    """
    shown = text.partition("?")[0]
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"{shown!r} is not an address: {error}.") from None
    if parts.scheme not in _OPTIONS:
        known = ", ".join(f"{scheme}://" for scheme in _OPTIONS)
        raise AddressError(f"{shown!r} is not an address that begins with {known}.")
    with_user = parts.username is not None and parts.scheme != "ssh"
    if with_user or parts.password is not None or parts.fragment:
        raise AddressError(f"{parts.scheme}://... takes no user, password or fragment.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    strange = sorted(options.keys() - _OPTIONS[parts.scheme])
    if strange:
        known = ", ".join(sorted(_OPTIONS[parts.scheme]))
        raise AddressError(f"{shown!r} has an option {strange[0]!r}; known: {known}.")
    if parts.scheme == "unix":
        path = unquote(parts.netloc + parts.path)
        if not path:
            raise AddressError("unix:// needs a path: unix:///run/envring.sock")
        return Address("unix", path=os.path.abspath(os.path.expanduser(path)), options=options)
    if parts.scheme == "ssh":
        return _parse_ssh(parts, options, shown)
    if not parts.hostname or port is None or parts.path not in ("", "/"):
        raise AddressError(f"{shown!r} needs a host and a port: {parts.scheme}://127.0.0.1:7777.")
    return Address(parts.scheme, parts.hostname, port, options=options)


def _parse_ssh(parts: SplitResult, options: dict[str, str], shown: str) -> Address:
    # not parts.hostname, which is in lower case: it may be a name of ssh's configuration
    host = parts.netloc.rpartition("@")[2]
    host = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    user = unquote(parts.username or "")
    if not host or parts.path not in ("", "/"):
        raise AddressError(f"{shown!r} needs a host and no path: ssh://user@host:22.")
    if host.startswith("-") or user.startswith("-"):
        raise AddressError(f"{shown!r} would be taken for an option of ssh.")
    return Address("ssh", host, parts.port or 0, user=user, options=options)


def read_key(where: str) -> str:
    """Reads a key from "file:PATH" or "env:NAME".

    Raises:
        AddressError: it is neither, or there is nothing. The text never contains a key.
    """
    kind, separator, name = where.partition(":")
    if not separator or kind not in ("file", "env") or not name:
        raise AddressError("A key is named by key=file:PATH or key=env:NAME, never written out.")
    if kind == "env":
        key = os.environ.get(name, "").strip()
        if not key:
            raise AddressError(f"key=env:{name}: there is no such variable, or it is empty.")
        return key
    try:
        with open(os.path.expanduser(name), encoding="utf-8") as file:
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AddressError(f"key=file:{name}: {error}.") from None
    if not key or len(key.split()) > 1:
        raise AddressError(f"key=file:{name}: the file must hold one key and nothing else.")
    return key


def is_known(key: object, keys: Sequence[str]) -> bool:
    """Whether a key that was shown is one of those; of no keys at all, whether any will do: True.

    Takes as long for every wrong key.
    """
    if not keys:
        return True
    fits = [hmac.compare_digest(key_bytes(key), key_bytes(each)) for each in keys]
    return any(fits)


def key_bytes(key: object) -> bytes:
    """A key that was shown, for comparisons; b"" if it is not text."""
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else b""


def connect(address: Address, deadline: float | None, stop: Callable[[], None]) -> Link:
    """Connects to a host; tries again, with longer and longer pauses, until the deadline.

    Args:
        address: of the host.
        deadline: time.monotonic() at which to give up, or None.
        stop: called between two attempts; what it raises ends them.

    Raises:
        AddressError: a certificate cannot be read, or does not match.
        TimeoutError: nobody answered; the text says why the last attempt failed.
    """
    pause = FIRST_PAUSE
    tls = _tls_to(address)
    while True:
        left = 10.0 if deadline is None else min(10.0, deadline - time.monotonic())
        try:
            return _connect_once(address, max(left, 0.05), tls)
        except OSError as error:
            if deadline is not None and time.monotonic() + pause >= deadline:
                raise TimeoutError(error.strerror or str(error)) from None
        stop()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def connect_once(address: Address, seconds: float) -> Link:
    """Connects to a caller that waits for hosts, without another attempt.

    Raises:
        AddressError: a certificate cannot be read, or does not match.
        OSError: nobody answered.
    """
    return _connect_once(address, seconds, _tls_to(address))


def _tls_to(address: Address) -> ssl.SSLContext | None:
    if address.scheme != "tls":
        return None
    from envring.transport.tls import client_context

    return client_context(address)


def _connect_once(address: Address, seconds: float, tls: ssl.SSLContext | None) -> Link:
    try:
        return Link(_connected(address, seconds, tls), str(address))
    except OSError as error:
        if tls is not None:
            from envring.transport.tls import not_trusted, refusal_in

            if (refusal := refusal_in(error)) is not None:
                raise not_trusted(address, refusal) from None
        raise


def _connected(address: Address, seconds: float, tls: ssl.SSLContext | None) -> socket.socket:
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(seconds)
        try:
            sock.connect(address.path)
        except BaseException:
            sock.close()
            raise
        return sock
    sock = socket.create_connection((address.host, address.port), seconds)
    try:
        no_delay(sock)
        if tls is not None:
            name = address.options.get("name", address.host)
            return tls.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise
    return sock


def no_delay(sock: socket.socket) -> None:
    """Has a TCP socket send at once, and notice a peer that is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
