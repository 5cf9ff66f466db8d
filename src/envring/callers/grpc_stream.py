# SPDX-License-Identifier: MIT
"""One stream of dm_env_rpc to a server: a request, then its answer, each with a time limit."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from typing import Any, NoReturn

import grpc

from envring.callers.waiting import CONNECT_SECONDS, answer_seconds, lost
from envring.errors import AddressError, HostLost, HostRefused, LaunchError
from envring.gateways.dm_env_rpc.callers import OURS
from envring.transport.addresses import Address

_METHOD = "/dm_env_rpc.v1.Environment/Process"
_LONGEST = 1 << 28  # bytes of an answer
_CLOSE_SECONDS = 2.0  # for a server to end its side
_WHY_SECONDS = 2.0  # to learn why a server cannot be reached
_LOOK_SECONDS = 0.1  # between two looks at the clock
_HANGS = (
    "If it is remote-gym's own server, this is how it hangs, at about every third start: it forks "
    "while threads of gRPC run. Start it anew, or with use_thread=True. If the env takes so long "
    "to build, add ?timeout=SECONDS to the address"
)


class GrpcStream:
    """A stream of its own connection: some servers tell their callers apart by that.

    Attributes:
        began: whether a session has begun, which can be lost from then on.
    """

    def __init__(self, address: Address) -> None:
        """Connects.

        Raises:
            AddressError: a certificate cannot be read, or the address is malformed.
            LaunchError: the server cannot be reached.
        """
        self._address = address
        self._seconds = answer_seconds(address)
        self._metadata = [OURS]
        if address.key:
            self._metadata.append(("authorization", f"Bearer {address.key}"))
        self.began = False
        self._deadline = float("inf")
        self._late = False
        self._ended = threading.Event()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._channel = _channel(address)
        self._open = self._channel.stream_stream(_METHOD)
        try:
            ready = grpc.channel_ready_future(self._channel)
            ready.result(timeout=min(CONNECT_SECONDS, self._seconds))
        except grpc.FutureTimeoutError:
            ready.cancel()
            why = self._why_not()
            self._channel.close()
            raise why from None
        self._call = self._open(iter(self._requests.get, None), metadata=self._metadata)
        threading.Thread(target=self._watch, name="envring-answers", daemon=True).start()

    def _why_not(self) -> LaunchError:
        """Why there is no connection, which only a call is told."""
        text = "it does not answer"
        try:
            next(self._open(iter(()), timeout=_WHY_SECONDS), None)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                text = _details(error)
        if "CERTIFICATE" in text.upper() or "HANDSHAKE" in text.upper():
            return AddressError(
                f"{self._address} was reached, but TLS cannot begin: {text}. Give ca=FILE, the "
                "certificate of the authority that signed the server's, name=NAME if that is for "
                "another name, and cert=FILE&certkey=FILE if it asks for a certificate of ours."
            )
        return LaunchError(
            f"{self._address} cannot be reached ({text}). Does a server of dm_env_rpc run there, "
            "with TLS for grpcs:// and without for grpc://?"
        )

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            if time.monotonic() > self._deadline:
                self._late = True
                self._call.cancel()
                return

    def ask(self, request: bytes) -> bytes:
        """The answer to a request.

        Raises:
            LaunchError: there is none in time, or the stream ended, before a session began.
            HostLost: the same afterwards.
        """
        if self._ended.is_set():
            raise lost(self._address, "the stream has ended")
        self._deadline = time.monotonic() + self._seconds
        self._requests.put(request)
        try:
            answer: bytes = next(self._call)
        except StopIteration:
            self._fail("the server ended the stream", None)
        except grpc.RpcError as error:
            self._fail(_details(error), error.code())
        self._deadline = float("inf")
        return answer

    def _fail(self, why: str, code: Any) -> NoReturn:
        late = self._late
        self.close()
        if self.began:
            raise lost(self._address, f"no answer came for {self._seconds:g} s" if late else why)
        if late:
            raise LaunchError(
                f"{self._address} was reached, but has not answered for {self._seconds:g} s. "
                f"{_HANGS}."
            )
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise HostRefused(f"{self._address} refuses us: {why}", "key")
        raise LaunchError(f"{self._address} cannot serve us: {why}.")

    def lose(self, why: str) -> HostLost:
        """Ends the stream, as the error of a server that has ended our session."""
        self.close()
        return lost(self._address, why)

    def close(self) -> None:
        """Ends the stream, and with it the server's session; a second call does nothing."""
        if self._ended.is_set():
            return
        self._deadline = time.monotonic() + _CLOSE_SECONDS
        self._requests.put(None)
        with contextlib.suppress(grpc.RpcError):
            for _ in self._call:  # until the server has ended it, too
                pass
        self._ended.set()
        self._call.cancel()
        with contextlib.suppress(Exception):
            self._channel.close()


def _details(error: Any) -> str:
    return f"{error.code().name}: {error.details() or ''}".rstrip(" .")


def _channel(address: Address) -> Any:
    options: list[tuple[str, str | int]] = [
        ("grpc.use_local_subchannel_pool", 1),  # two channels of a process would share a connection
        ("grpc.max_receive_message_length", _LONGEST),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
    ]
    host = f"[{address.host}]" if ":" in address.host else address.host
    place = f"{host}:{address.port}"
    if address.scheme == "grpc":
        return grpc.insecure_channel(place, options)
    if "name" in address.options:
        options.append(("grpc.ssl_target_name_override", address.options["name"]))
    cert = _read(address, "cert")
    key = _read(address, "certkey") or cert
    credentials = grpc.ssl_channel_credentials(_read(address, "ca"), key, cert)
    return grpc.secure_channel(place, credentials, options)


def _read(address: Address, option: str) -> bytes | None:
    path = address.options.get(option)
    if path is None:
        return None
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read()
    except OSError as error:
        raise AddressError(f"The certificates for {address} cannot be read: {error}.") from None
