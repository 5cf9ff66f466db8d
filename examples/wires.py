# SPDX-License-Identifier: MIT
"""One server with every wire, and a client of each: what each carries, and how fast.

`pip install 'envring[grpc,web]'` first. The server is this script in a process of its own. Clients
are envring's own, or a few lines with http.client and websockets, as other programs have them.

    python examples/wires.py [SECONDS]

A cell says "yes", or what comes instead; a wire whose server or client is missing is left out.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Sequence, Text, Tuple
from websockets.sync.client import connect

import envring

LISTEN = ("tcp://127.0.0.1:0", "grpc://127.0.0.1:0", "http://127.0.0.1:0")
SPEED = "CartPole-v1"
PATIENCE = 60.0  # seconds for an answer

# -- what is carried: envs of the server -----------------------------------------------------------

PARTS = {
    "float64": (Box(-9, 9, (2,), np.float64), np.array([1 / 3, 1e-300])),
    "int8, uint16": (
        Tuple([Box(-128, 127, (2,), np.int8), Box(0, 65535, (1,), np.uint16)]),
        (np.array([-128, 127], np.int8), np.array([65535], np.uint16)),
    ),
    "bool, MultiBinary": (
        Tuple([Box(0, 1, (2,), np.bool_), MultiBinary(3)]),
        (np.array([True, False]), np.array([1, 0, 1], np.int8)),
    ),
    "Discrete from -2 on": (Discrete(5, start=-2), np.int64(-2)),
    "Dict in Tuple": (Tuple([Dict({"a": Discrete(3)})]), ({"a": np.int64(2)},)),
    "Text": (Text(9), "xyz"),
    "infinities": (Box(-np.inf, np.inf, (2,)), np.array([np.inf, -np.inf], np.float32)),
}
ALONE = {
    "NaN": (Box(-np.inf, np.inf, (1,)), np.array([np.nan], np.float32)),
    "Sequence": (Sequence(Discrete(9)), (np.int64(3), np.int64(4))),
}


class Values(gymnasium.Env):
    """Always the same observation; the reward says whether the action was that, too."""

    def __init__(self, space: gymnasium.Space, value: Any) -> None:
        """Takes both."""
        self.observation_space = self.action_space = space
        self.value = value

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        """Begins."""
        return self.value, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Compares."""
        return self.value, float(plain(action) == plain(self.value)), False, False, {}


def parts() -> gymnasium.Env:
    """Most kinds of values in one Dict."""
    spaces = {name: space for name, (space, _) in PARTS.items()}
    return Values(Dict(spaces), {name: value for name, (_, value) in PARTS.items()})


def alone_0() -> gymnasium.Env:
    """What some wires refuse."""
    return Values(*next(iter(ALONE.values())))


def alone_1() -> gymnasium.Env:
    """What others refuse."""
    return Values(*list(ALONE.values())[1])


class Episodes(gymnasium.Env):
    """One that ends, one that is cut off, and so on. Observations show the seed and the options."""

    observation_space = Box(-1, 1e9, (3,), np.float64)
    action_space = Discrete(3)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    round = 0

    def __init__(self, level: int = 0, render_mode: str | None = None) -> None:
        """Shows the level."""
        self.level, self.render_mode = level, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        """Begins the next."""
        super().reset(seed=seed)
        self.round += 1
        self.level = (options or {}).get("level", self.level)
        return self.seen(), {"round": self.round}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Ends it, one way or the other; action 2 is an error."""
        if action == 2:
            raise ValueError("as you like")
        odd = self.round % 2 == 1
        return self.seen(), 1.0, odd, not odd, {"deep": {"array": np.arange(3)}}

    def seen(self) -> Any:
        """A random number, the round and the level."""
        return np.array([self.np_random.random(), self.round, self.level])

    def render(self) -> Any:
        """A picture."""
        return np.zeros((2, 3, 3), np.uint8)


def plain(value: Any) -> Any:
    """A value as JSON has it, to compare what came over different wires."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return np.asarray(value).tolist()


# -- clients: reset(seed, options) -> observation, info; step -> as Gymnasium's --------------------


class Ours:
    """An env of envring, over three wires."""

    def __init__(self, url: str, env: str, seed: int | None = None, **kwargs: Any) -> None:
        """Makes the env there."""
        # not by a fork: this script has threads
        self.env = envring.make(env, remotes=url, context="forkserver", **kwargs)
        self.step, self.close, self.render = self.env.step, self.env.close, self.env.render

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Resets it."""
        return self.env.reset(seed=seed, options=options)


class Gymie:
    """Gymie's wire: JSON over a WebSocket."""

    def __init__(self, url: str, env: str, seed: int | None = None, **kwargs: Any) -> None:
        """Makes an instance."""
        self.ended = ExitStack()
        self.socket = self.ended.enter_context(
            connect(url.replace("http", "ws") + "/gym", proxy=None, compression=None)
        )
        seeded = {} if seed is None else {"seed": seed}
        self.name = self.ask("make", env_id=env, **seeded, **kwargs)

    def ask(self, method: str, **params: Any) -> Any:
        """A request and its answer."""
        self.socket.send(json.dumps({"method": method, "params": params}))
        answer = self.socket.recv(timeout=PATIENCE)
        return answer if method == "make" else json.loads(answer)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Neither seed nor options can be said here."""
        return self.ask("reset", instance_id=self.name), None

    def step(self, action: Any) -> Any:
        """Tells the ends apart by the info, as Gym did."""
        obs, reward, done, info = self.ask("step", instance_id=self.name, action=plain(action))
        return obs, reward, *ends(done, info), info

    def close(self) -> None:
        """Ends the connection, and the instance with it."""
        self.ended.close()


def ends(done: bool, info: dict) -> tuple[bool, bool]:
    """What `done` meant, which Gym's time limits say in the info."""
    cut = info.pop("TimeLimit.truncated", False)
    return done and not cut, cut


class Http:
    """A connection over which JSON is posted."""

    def __init__(self, url: str, prefix: str) -> None:
        """Connects."""
        self.line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
        self.line.connect()
        self.line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.prefix = prefix

    def post(self, path: str, **body: Any) -> Any:
        """A request and its answer."""
        headers = {"Content-Type": "application/json"}
        self.line.request("POST", self.prefix + path, json.dumps(body), headers)
        answer = self.line.getresponse()
        text = answer.read()
        if answer.status >= 300:
            self.line.close()
            raise RuntimeError(f"{answer.status}: {text[:200]!r}")
        return json.loads(text) if text else None


class GymHttp(Http):
    """gym-http-api's wire."""

    def __init__(self, url: str, env: str, seed: int | None = None, **kwargs: Any) -> None:
        """Makes an instance."""
        if kwargs:
            raise TypeError("this wire has no arguments of envs")
        super().__init__(url, "/v1/envs/")
        self.name = self.post("", env_id=env, seed=seed)["instance_id"]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Neither seed nor options can be said here."""
        return self.post(f"{self.name}/reset/")["observation"], None

    def step(self, action: Any) -> Any:
        """Tells the ends apart by the info, as Gym did."""
        found = self.post(f"{self.name}/step/", action=plain(action))
        info = found["info"]
        return found["observation"], found["reward"], *ends(found["done"], info), info

    def close(self) -> None:
        """Ends the instance."""
        with closing(self.line):
            self.post(f"{self.name}/close/")


class RemoteGymnasium(Http):
    """AgentGPT's wire."""

    keys = iter(range(1 << 30))

    def __init__(self, url: str, env: str, seed: int | None = None, **kwargs: Any) -> None:
        """Makes an env under a key."""
        super().__init__(url, "/")
        self.key = str(next(self.keys))
        self.post("make", env_id=env, env_key=self.key, kwargs=kwargs)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Resets it."""
        found = self.post("reset", env_key=self.key, seed=seed, options=options)
        return found["observation"], found["info"]

    def step(self, action: Any) -> Any:
        """Steps it."""
        found = self.post("step", env_key=self.key, action=plain(action))
        return tuple(
            found[name] for name in ("observation", "reward", "terminated", "truncated", "info")
        )

    def close(self) -> None:
        """Ends it."""
        with closing(self.line):
            self.post("close", env_key=self.key)


def clients(tcp: str, grpc: str, http: str) -> dict[str, Callable[..., Any]]:
    """What makes an env over each wire."""
    openenv = http.replace("http", "openenv")
    return {
        "envring": lambda env, **kwargs: Ours(tcp, env, **kwargs),
        "dm_env_rpc": lambda env, **kwargs: Ours(grpc, env, **kwargs),
        "OpenEnv": lambda env, **kwargs: Ours(openenv, env, **kwargs),
        "Gymie": lambda env, **kwargs: Gymie(http, env, **kwargs),
        "Remote Gymnasium": lambda env, **kwargs: RemoteGymnasium(http, env, **kwargs),
        "gym-http-api": lambda env, **kwargs: GymHttp(http, env, **kwargs),
    }


# -- the table -------------------------------------------------------------------------------------

Row = tuple[str, str]


def carried(make: Callable[..., Any]) -> Iterator[Row]:
    """What a wire carries: rows of the table."""
    for names, env in ((list(PARTS), "parts"), *(([n], f"alone_{i}") for i, n in enumerate(ALONE))):
        same = True
        try:
            with closing(make(f"{__file__}:{env}")) as session:
                expected = {name: value for name, (_, value) in (PARTS | ALONE).items()}
                whole = {name: expected[name] for name in PARTS}
                seen, _ = session.reset()
                if names != ["NaN"]:  # which no Box contains: an action is never that
                    same = session.step(whole if env == "parts" else expected[names[0]])[1] == 1
        except Exception as error:
            yield from ((name, f"no: {type(error).__name__}") for name in names)
            continue
        for name in names:
            got = seen[name] if env == "parts" else seen
            yield name, said(same and repr(plain(got)) == repr(plain(expected[name])))


def episodes(make: Callable[..., Any]) -> Iterator[Row]:
    """Seeds, options, infos, ends of episodes, arguments, pictures."""
    env, arguments = f"{__file__}:Episodes", {"level": 3, "render_mode": "rgb_array"}
    try:
        session = make(env, seed=0, **arguments)
    except Exception:
        session = make(env, seed=0)
    with closing(session):
        (first, info), ended = session.reset(seed=0), session.step(0)
        yield "seed", said(first[0] == seeded(0))
        yield "its arguments", said(first[2] == 3)
        frame = session.render() if hasattr(session, "render") else None
        yield "pictures", said(np.shape(frame) == (2, 3, 3))
        yield "info of reset", said(info == {"round": first[1]})
        yield "info of step", said(plain(ended[4]) == {"deep": {"array": [0, 1, 2]}})
        second, _ = session.reset(seed=5, options={"level": 7})
        cut = session.step(0)
        yield "seeds of later resets", said(second[0] == seeded(5))
        yield "options", said(second[2] == 7)
        told = {tuple(map(bool, each[2:4])) for each in (ended, cut)}
        yield "terminated and truncated", said(told == {(True, False), (False, True)})
        session.reset()
        try:
            session.step(2)
        except Exception:
            with suppress(Exception):
                second, _ = session.reset()
        yield "goes on after an error", said(second[1] > first[1] + 2)


def said(yes: Any) -> str:
    """What a cell says."""
    return "yes" if yes else "no"


def seeded(seed: int) -> float:
    """What Episodes draws first."""
    return float(gymnasium.utils.seeding.np_random(seed)[0].random())


def speed(make: Callable[..., Any], seconds: float) -> Row:
    """Steps per second of CartPole."""
    with closing(make(SPEED)) as session:
        session.reset()
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            _, _, terminated, truncated, _ = session.step(count % 2)
            count += 1
            if terminated or truncated:
                session.reset()
    return "steps/s", f"{count / seconds:.0f}"


def serve() -> None:
    """The server: says where it listens, and ends when stdin does."""
    envs = [f"{__file__}:{name}" for name in ("parts", "alone_0", "alone_1", "Episodes")]
    with envring.serve([SPEED, *envs], listen=LISTEN) as host:
        print(*host.urls, flush=True)
        sys.stdin.read()


def main(seconds: float = 1.0) -> None:
    """Starts the server, asks over every wire, prints the table."""
    gymnasium.logger.min_level = 50  # errors are tried here, too: nobody needs to be told
    argv = [sys.executable, __file__, "serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        makers = clients(*server.stdout.readline().decode().split())
        table = {}
        with ThreadPoolExecutor(len(makers)) as threads:
            asked = {
                wire: threads.submit(lambda make: [*episodes(make), *carried(make)], make)
                for wire, make in makers.items()
            }
        for wire, rows in asked.items():
            if rows.exception() is None:
                table[wire] = dict([*rows.result(), speed(makers[wire], seconds)])
            else:
                print(f"{wire} is left out: {rows.exception()!r}", file=sys.stderr)
        server.stdin.close()
    names = next(iter(table.values()))
    lines = [["", *table]] + [[name, *(rows[name] for rows in table.values())] for name in names]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main(*map(float, sys.argv[1:]))
