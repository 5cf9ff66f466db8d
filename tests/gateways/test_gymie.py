# SPDX-License-Identifier: MIT
"""Gymie's wire: answers and reasons byte for byte as Gymie 0.5.4 gives them."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import gymnasium
import pytest

from support.hosts import running_setup

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
websockets = pytest.importorskip("websockets.sync.client")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed


@pytest.fixture(scope="module")
def host():
    with running_setup("http://127.0.0.1:0") as host:
        yield host


class Session:
    def __init__(self, socket):
        self.socket = socket

    def send(self, text):
        self.socket.send(text)
        return self.socket.recv(timeout=20)

    def ask(self, method, **params):
        return self.send(json.dumps({"method": method, "params": params}))


@contextmanager
def session(host):
    url = getattr(host, "url", host).replace("http://", "ws://")
    with websockets.connect(f"{url}/gym", proxy=None) as socket:
        yield Session(socket)


def closed(host, text):
    """Code and reason of the close frame that answers a message."""
    with session(host) as gymie, pytest.raises(ConnectionClosed) as caught:
        gymie.send(text)
    return caught.value.rcvd.code, caught.value.rcvd.reason


def asked(method, **params):
    return json.dumps({"method": method, "params": params})


def test_answers_byte_for_byte(host):
    env = gymnasium.make("CartPole-v1")
    with session(host) as gymie:
        name = gymie.ask("make", env_id="CartPole-v1", seed=0)
        assert re.fullmatch("[0-9a-f]{32}", name)
        assert gymie.ask("reset", instance_id=name) == str(env.reset(seed=0)[0].tolist())
        obs = env.step(1)[0].tolist()
        assert gymie.ask("step", instance_id=name, action=1) == f"[{obs}, 1.0, false, {{}}]"
        assert gymie.ask("reset", instance_id=name) == str(env.reset()[0].tolist())
        assert gymie.ask("action_space", instance_id=name) == '{"name": "Discrete", "n": 2}'
        assert gymie.ask("action_sample", instance_id=name) in ("0", "1")
        text = gymie.ask("observation_space", instance_id=name)
        assert text.startswith('{"name": "Box", "shape": [4], "low": [-4.800000190734863, -1e999, ')
        assert json.loads(text)["high"] == env.observation_space.high.astype(float).tolist()
        assert gymie.ask("close", instance_id=name) == "true"


def test_ends_of_episodes_and_other_spaces(host):
    with session(host) as gymie:
        cut = gymie.ask("make", env_id="Counting-v0")
        gymie.ask("reset", instance_id=cut)
        for _ in range(2):
            gymie.ask("step", instance_id=cut, action=0)
        assert gymie.ask("step", instance_id=cut, action=0) == (
            '[[0.0, 1.0, 3.0, 0.0], 0.375, true, {"t": 3, "TimeLimit.truncated": true}]'
        )
        number = gymie.ask("make", env_id="Scalar-v0")
        assert gymie.ask("observation_space", instance_id=number) == (
            '{"name": "Discrete", "n": 9, "start": -2}'
        )
        assert gymie.ask("reset", instance_id=number) == "-2"
        step = gymie.ask("step", instance_id=number, action=[0.5, 1])
        assert step == "[-1, 1.5, false, {}]"
        strange = gymie.ask("make", env_id="Strange-v0")
        seen = gymie.ask("reset", instance_id=strange)
        assert seen == '{"far": [1e999, -1e999], "text": "a\\u00e9"}'
        action = {"move": -2, "force": [0.25]}
        assert gymie.ask("step", instance_id=strange, action=action).endswith("}, -2.0, false, {}]")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("Wrong JSON", 1003, "Message `Wrong JSON` is invalid"),
        ("[1]", 1003, "Message `[1]` is invalid"),
        (b"\xff", 1003, "Message `\ufffd` is invalid"),
        ('{"method": "x"}', 1003, "Message keys ['method'] are missing or invalid"),
        ("{}", 1003, "Message keys [] are missing or invalid"),
        (asked("x"), 1007, "Method `x` not found"),
        (asked("_end"), 1007, "Method `_end` not found"),
        (asked("make"), 1007, "Parameters `{}` are wrong"),
        ('{"method": "make", "params": [1]}', 1007, "Parameters `[1]` are wrong"),
        (
            asked("make", env_id="a-v0", seed=-1),
            1007,
            "Parameters `{'env_id': 'a-v0', 'seed': -1}`",
        ),
        (asked("step", instance_id="1", action=0), 1007, "Instance `1` not found"),
        (asked("reset", instance_id=[]), 1007, "Instance `[]` not found"),
        (asked("make", env_id="malformed"), 1007, "Environment `malformed` is malformed"),
        (asked("make", env_id="NotFound-v1"), 1007, "Environment `NotFound-v1` not found"),
        (asked("make", env_id="os:system"), 1007, "Environment `os:system` is malformed"),
        (asked("make", env_id=3), 1007, "Environment `3` is malformed"),
        (
            asked("make", env_id="Broken-v0"),
            1007,
            "Unknonwn error: Env 0 could not be built: making Broken-v0: Val",
        ),
        (asked("make", env_id="Custom-v0"), 1007, "Unknonwn error: "),
        ("[" * 100_000, 1003, "Message `[[["),
        ("x" * 100_000, 1003, "Message `xxx"),
    ],
)
def test_reasons_word_for_word(host, message, code, reason):
    found = closed(host, message)
    assert found[0] == code
    assert found[1].startswith(reason)


@pytest.mark.parametrize(("env", "actions"), [("CartPole-v1", ["7", "[1]"]), ("Failing-v0", ["0"])])
def test_wrong_actions(host, env, actions):
    for action in actions:
        with session(host) as gymie:
            name = gymie.ask("make", env_id=env)
            gymie.ask("reset", instance_id=name)
            with pytest.raises(ConnectionClosed) as caught:
                gymie.ask("step", instance_id=name, action=json.loads(action))
        assert caught.value.rcvd.reason == f"Action `{action}` is wrong"


def test_nan_is_not_sent_as_something_else(host):
    with session(host) as gymie:
        name = gymie.ask("make", env_id="NotANumber-v0")
        with pytest.raises(ConnectionClosed, match="1007.*nan cannot be written as JSON"):
            gymie.ask("reset", instance_id=name)


def test_every_connection_may_use_every_instance(host):
    with session(host) as maker:
        name = maker.ask("make", env_id="Counting-v0")
        with session(host) as other:
            assert other.ask("reset", instance_id=name) == "[0.0, 1.0, 0.0, -1.0]"
        assert maker.ask("reset", instance_id=name) == "[0.0, 2.0, 0.0, -1.0]"
    assert closed(host, asked("reset", instance_id=name))[1] == f"Instance `{name}` not found"


def test_plain_requests(host):
    for path in ("/", "/some/path"):
        with urllib.request.urlopen(host.url + path, timeout=20) as response:
            assert response.read() == b"Gymie is running..."
            assert response.headers["Content-Type"] == "text/plain"
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        urllib.request.urlopen(f"{host.url}/gym", timeout=20)
    caught.value.close()


SCRIPT = """
import gymnasium
import numpy as np
from envring import gymie

@gymie.override("get_env")
def get_env(env_id, seed=None, length=5):
    if env_id == "none":
        raise gymie.EnvironmentNotFound(env_id)
    env = gymnasium.make(env_id, max_episode_steps=length)
    env.reset(seed=seed)
    return env

@gymie.override("process_step")
def process_step(step):
    observation, reward, done, info = step
    return [int(observation.size), np.float32(reward), done, info]

gymie.start("127.0.0.1", 0)
"""


def test_a_script_with_overrides(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[-1].removesuffix("/gym")
        with session(url) as gymie:
            name = gymie.ask("make", env_id="CartPole-v1", seed=3, length=1)
            gymie.ask("reset", instance_id=name)
            assert gymie.ask("step", instance_id=name, action=0) == (
                '[4, 1.0, true, {"TimeLimit.truncated": true}]'
            )
        assert closed(url, asked("make", env_id="none"))[1] == "Environment `none` not found"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_only_two_parts_can_be_replaced():
    from envring import gymie

    with pytest.raises(AssertionError):
        gymie.override("reset")
