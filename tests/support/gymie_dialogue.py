# SPDX-License-Identifier: MIT
"""What Gymie's clients can send, and what a server answers."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any

ID = "<id>"


def asked(method: str, **params: Any) -> str:
    """A request."""
    return json.dumps({"method": method, "params": params})


def episode(env_id: str, action: Any) -> list[Any]:
    """An env from `make` to `close`, and a step after that."""
    one = {"instance_id": ID}
    return [
        asked("make", env_id=env_id),
        asked("observation_space", **one),
        asked("action_space", **one),
        asked("reset", **one),
        *[asked("step", action=action, **one)] * 4,
        asked("step", action=action, render=False, **one),
        asked("reset", **one),
        asked("close", **one),
        asked("close", **one),
    ]


DIALOGUES: dict[str, list[Any]] = {
    "discrete": episode("Line-v0", 1),
    "box": episode("Push-v0", [0.25, -1.0]),
    "seed": [asked("make", env_id="Line-v0", seed=7), asked("reset", instance_id=ID)],
    "binary": [asked("make", env_id="Line-v0").encode(), asked("reset", instance_id=ID).encode()],
    "not json": ["x"],
    "nothing": [""],
    "half": ['{"method": '],
    "long": ["x" * 60],
    "umlaut": ["äöü"],
    "no params": ['{"method": "make"}'],
    "no method": ['{"params": {}}'],
    "empty": ["{}"],
    "other keys": ['{"a": 1, "b": 2}'],
    "no such method": [asked("fly")],
    "no env": [asked("make")],
    "malformed": [asked("make", env_id="malformed")],
    "not there": [asked("make", env_id="NotThere-v1")],
    "no instance": [asked("step", instance_id="abc", action=0)],
    "no action": [asked("make", env_id="Line-v0"), asked("step", instance_id=ID)],
    "unknown parameter": [asked("reset", instance_id="abc", more=1)],
    "wrong action": [
        asked("make", env_id="Line-v0"),
        asked("reset", instance_id=ID),
        asked("step", instance_id=ID, action=7),
    ],
    "text as an action": [
        asked("make", env_id="Line-v0"),
        asked("reset", instance_id=ID),
        asked("step", instance_id=ID, action="left"),
    ],
    "too few forces": [
        asked("make", env_id="Push-v0"),
        asked("reset", instance_id=ID),
        asked("step", instance_id=ID, action="left"),
    ],
    "step before reset": [
        asked("make", env_id="Line-v0"),
        asked("step", instance_id=ID, action=0),
    ],
}


def hold(url: str, messages: list[Any]) -> list[Any]:
    """The answers to messages, the last of which may be a code and a reason."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    name, told = "none", []
    with connect(f"{url}/gym", proxy=None, compression=None) as socket:
        for message in messages:
            old, new = (ID, name) if isinstance(message, str) else (ID.encode(), name.encode())
            try:
                socket.send(message.replace(old, new))
                answer = socket.recv(timeout=20)
            except ConnectionClosed as error:
                frame = error.rcvd
                told.append(None if frame is None else (frame.code, frame.reason.replace(name, ID)))
                break
            if re.fullmatch("[0-9a-f]{32}", answer):
                name, answer = answer, ID
            told.append(answer)
    return told


def page(url: str) -> tuple[int, bytes, str | None]:
    """Status, body and type of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read(), response.headers["content-type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b"", None


def wait_for(url: str) -> None:
    """Waits until a server listens."""
    for _ in range(200):
        try:
            page(url)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nothing listens at {url}")
