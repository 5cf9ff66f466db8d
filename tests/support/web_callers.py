# SPDX-License-Identifier: MIT
"""Callers of every wire over HTTP: `python web_callers.py URL THREADS SEED`, until it is killed.

Each thread makes an env by a wire drawn at random, steps it, and closes it, goes away without a
word, or leaves the connection half open. `drive` does one such thing. The env's worker may be
killed meanwhile: the caller must be told so, and goes on with another env.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgpack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ENV = "CartPole-v1"
SECONDS = 60.0
Step = Callable[[int], bool]  # whether an episode has ended
KILLED = "killed by signal 9"


class Killed(Exception):
    """The host said that the env's worker was killed."""


class Requests:
    """Requests over one connection."""

    def __init__(self, url: str, media: str = "application/json") -> None:
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
        self.media = media
        packed = "msgpack" in media
        self.dumps: Any = msgpack.packb if packed else json.dumps
        self.loads: Any = msgpack.unpackb if packed else json.loads

    def ask(self, path: str, body: Any) -> Any:
        self.connection.request("POST", path, self.dumps(body), {"Content-Type": self.media})
        with self.connection.getresponse() as response:
            data = response.read()
            if response.status >= 400 and KILLED.encode() in data:
                raise Killed
            assert response.status in (200, 204), (path, response.status, data)
            return self.loads(data) if data else None

    @property
    def sock(self) -> socket.socket:
        return self.connection.sock

    def close(self) -> None:
        self.connection.close()


def _remote_gymnasium(url: str, media: str) -> tuple[Any, Step, Callable[[], Any]]:
    wire, key = Requests(url, media), f"k{random.getrandbits(64):x}"
    wire.ask("/make", {"env_key": key, "env_id": ENV})
    wire.ask("/reset", {"env_key": key, "seed": 1})

    def step(action: int) -> bool:
        told = wire.ask("/step", {"env_key": key, "action": action})
        assert len(told["observation"]) == 4
        return bool(told["terminated"] and wire.ask("/reset", {"env_key": key}))

    return wire, step, lambda: wire.ask("/close", {"env_key": key})


def json_requests(url: str) -> tuple[Any, Step, Callable[[], Any]]:
    return _remote_gymnasium(url, "application/json")


def msgpack_requests(url: str) -> tuple[Any, Step, Callable[[], Any]]:
    return _remote_gymnasium(url, "application/x-msgpack")


def gym_http(url: str) -> tuple[Any, Step, Callable[[], Any]]:
    wire = Requests(url)
    name = wire.ask("/v1/envs/", {"env_id": ENV})["instance_id"]
    wire.ask(f"/v1/envs/{name}/reset/", {})

    def step(action: int) -> bool:
        told = wire.ask(f"/v1/envs/{name}/step/", {"action": action})
        assert len(told["observation"]) == 4
        return bool(told["done"] and wire.ask(f"/v1/envs/{name}/reset/", {}))

    return wire, step, lambda: wire.ask(f"/v1/envs/{name}/close/", {})


class Socket:
    """A WebSocket whose messages are JSON."""

    def __init__(self, url: str, path: str) -> None:
        place = url.replace("http", "ws", 1) + path
        self.ended = contextlib.ExitStack()
        made = connect(place, proxy=None, compression=None, open_timeout=SECONDS)
        self.socket = self.ended.enter_context(made)

    def ask(self, message: Any) -> Any:
        try:
            self.socket.send(json.dumps(message))
            answer = self.socket.recv(timeout=SECONDS)
        except ConnectionClosed as closed:
            if closed.rcvd is not None and KILLED in closed.rcvd.reason:
                raise Killed from None
            raise
        if KILLED in answer:
            raise Killed
        return answer

    @property
    def sock(self) -> socket.socket:
        return self.socket.socket

    def close(self) -> None:
        self.ended.close()


def gymie(url: str) -> tuple[Any, Step, Callable[[], Any]]:
    wire = Socket(url, "/gym")
    one = {"instance_id": wire.ask({"method": "make", "params": {"env_id": ENV}})}
    wire.ask({"method": "reset", "params": one})

    def step(action: int) -> bool:
        told = json.loads(wire.ask({"method": "step", "params": {**one, "action": action}}))
        assert len(told[0]) == 4
        return bool(told[2] and wire.ask({"method": "reset", "params": one}))

    return wire, step, lambda: wire.ask({"method": "close", "params": one})


def openenv(url: str) -> tuple[Any, Step, Callable[[], Any]]:
    wire = Socket(url, "/ws")
    wire.ask({"type": "reset", "data": {"seed": 1}})

    def step(action: int) -> bool:
        told = json.loads(wire.ask({"type": "step", "data": {"value": action}}))["data"]
        assert len(told["observation"]["obs"]) == 4
        return bool(told["done"] and wire.ask({"type": "reset"}))

    return wire, step, lambda: None


WIRES = {
    "JSON requests": json_requests,
    "msgpack requests": msgpack_requests,
    "gym-http-api": gym_http,
    "Gymie": gymie,
    "OpenEnv": openenv,
}


def drive(url: str, name: str, steps: int, end: str = "close") -> None:
    """Makes an env, steps it, and ends as `end` says: "close", "leave" or "half"."""
    wire, step, close = WIRES[name](url)
    for number in range(steps):
        step(number % 2)
    if end == "half":
        wire.sock.shutdown(socket.SHUT_WR)
    elif end == "leave":
        wire.sock.shutdown(socket.SHUT_RDWR)
    else:
        close()
        wire.close()


def main(url: str, threads: int, seed: int) -> None:
    random.seed(seed)

    def run() -> None:
        while True:
            end = random.choice(("close", "close", "leave", "half"))
            with contextlib.suppress(Killed):
                drive(url, random.choice(list(WIRES)), random.randrange(300), end)

    def report(_: Any) -> None:
        sys.excepthook(_.exc_type, _.exc_value, _.exc_traceback)
        print(f"failed: {_.exc_type.__name__}: {_.exc_value}", flush=True)

    threading.excepthook = report
    for _ in range(threads):
        threading.Thread(target=run).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
