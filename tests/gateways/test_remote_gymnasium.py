# SPDX-License-Identifier: MIT
"""The wire of Remote Gymnasium in its dialects: JSON with bodies, with queries, msgpack."""

import json
import math
import time
import urllib.error
import urllib.request
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from support.hosts import running, running_setup
from support.plain_agents import NAMES

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
msgpack = pytest.importorskip("msgpack", reason="a dialect stays unchecked")

SUPPORT = Path(__file__).parents[1] / "support"
NOT_MADE = "Environment not initialized. Please call /make first."
JSON, MSGPACK = "application/json", "application/x-msgpack"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    path = tmp_path_factory.mktemp("remote-gymnasium") / "serve.toml"
    agents = f"{SUPPORT / 'plain_agents.py'}:Battle"
    path.write_text(
        f"[runtimes.envs]\nenvs = ['Counting-v0', '*']\nsetup = '{SUPPORT / 'wire_envs.py'}'\n"
        f"[runtimes.agents]\nenvs = ['{agents}']\n"
    )
    with running("--config", str(path), "--listen", "http://127.0.0.1:0") as host:
        host.agents = agents
        yield host


def send(host, path, body=None, kind=JSON, **headers):
    """(status, what the answer says)."""
    if body is not None and not isinstance(body, bytes):
        body = msgpack.packb(body) if kind == MSGPACK else json.dumps(body).encode()
    headers = {"Content-Type": kind, **headers} if body is not None else headers
    request = urllib.request.Request(f"{host.url}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            data, form = response.read(), response.headers["content-type"]
            status = response.status
    except urllib.error.HTTPError as error:
        with error:
            data, form, status = error.read(), error.headers["content-type"], error.code
    return status, (msgpack.unpackb(data) if form == MSGPACK else json.loads(data))


class TestJson:
    def test_an_episode(self, host):
        made = send(host, "/make", {"env_key": "k1", "env_id": "CartPole-v1"})
        assert made == (200, {"env_key": "k1", "message": "Environment CartPole-v1 created."})
        env = gymnasium.make("CartPole-v1")
        obs, _ = env.reset(seed=42)
        first = send(host, "/reset", {"env_key": "k1", "seed": 42, "options": None})
        assert first == (200, {"observation": obs.tolist(), "info": {}})
        obs, *_ = env.step(0)
        assert send(host, "/step", {"env_key": "k1", "action": 0})[1] == {
            "observation": obs.tolist(),
            "reward": 1.0,
            "terminated": False,
            "truncated": False,
            "info": {},
        }
        action_space = send(host, "/action_space?env_key=k1")
        assert action_space == (200, {"type": "Discrete", "n": 2, "start": 0})
        space = send(host, "/observation_space?env_key=k1")[1]
        assert (space["type"], space["shape"], space["dtype"]) == ("Box", [4], "float32")
        assert space["high"][1] == math.inf
        closed = send(host, "/close", {"env_key": "k1"})
        assert closed == (200, {"message": "Environment with key k1 closed successfully."})
        assert send(host, "/reset", {"env_key": "k1"}) == (
            400,
            {"error": NOT_MADE, "detail": NOT_MADE},
        )

    def test_closing_by_query(self, host):
        for _ in range(2):
            send(host, "/make", {"env_key": "k2", "env_id": "Counting-v0"})
            assert send(host, "/close?env_key=k2", b"")[0] == 200
            assert send(host, "/close?env_key=k2", b"")[0] == 400

    def test_the_example_of_its_manual(self, host):
        """`env_name`, no key of an env, a reset without a body."""
        made = send(host, "/make", {"env_name": "Counting-v0"})[1]
        assert made == {"env_key": None, "message": "Environment Counting-v0 created."}
        assert send(host, "/reset", b"")[1]["observation"] == [0, 1, 0, -1]
        assert send(host, "/step", {"action": 1})[1]["observation"] == [0, 1, 1, 1]
        assert send(host, "/action_space")[1]["n"] == 2
        send(host, "/make", {"env_key": "other", "env_id": "Counting-v0"})
        closed = send(host, "/close", b"")
        assert closed == (200, {"message": "All environments closed successfully."})
        assert send(host, "/reset", {"env_key": "other"})[0] == 400
        assert "done" in send(host, "/reset", {})[1]  # OpenEnv's again

    def test_seeds_options_and_both_ends(self, host):
        send(host, "/make", {"env_key": "e", "env_id": "Counting-v0"})
        info = send(host, "/reset", {"env_key": "e", "seed": 0, "options": {"a": [1]}})[1]["info"]
        assert info == {"round": 1, "seed": 0, "options": {"a": [1]}}
        steps = [send(host, "/step", {"env_key": "e", "action": 0})[1] for _ in range(3)]
        assert [each["truncated"] for each in steps] == [False, False, True]
        send(host, "/make", {"env_key": "e", "env_id": "Scalar-v0"})  # instead of the other
        send(host, "/reset", {"env_key": "e"})
        steps = [send(host, "/step", {"env_key": "e", "action": [0.5, 1]})[1] for _ in range(3)]
        assert [each["terminated"] for each in steps] == [False, False, True]
        assert (steps[0]["observation"], steps[0]["reward"]) == (-1, 1.5)
        send(host, "/close", {"env_key": "e"})

    def test_infinities(self, host):
        send(host, "/make", {"env_key": "n", "env_id": "NotANumber-v0"})
        obs = send(host, "/reset", {"env_key": "n"})[1]["observation"]
        assert math.isnan(obs[1]) and obs[2:] == [math.inf, -math.inf]
        obs = send(host, "/reset", {"env_key": "n"}, Accept=JSON)[1]["observation"]
        assert obs == [0.0, "NaN", "Infinity", "-Infinity"]
        send(host, "/close", {"env_key": "n"})

    def test_errors(self, host):
        send(host, "/make", {"env_key": "f", "env_id": "Failing-v0"})
        send(host, "/reset", {"env_key": "f"})
        for path, body, status, words in (
            ("/make", {}, 400, "env_id is missing"),
            ("/make", {"env_id": 3}, 400, "env_id is missing"),
            ("/make", {"env_key": 3, "env_id": "CartPole-v1"}, 400, "env_key"),
            ("/make", {"env_id": "Missing-v7"}, 404, "Missing"),
            ("/make", {"env_id": "os:system"}, 404, "not served"),
            ("/make", {"env_id": "a", "env_entry_point": "os:system"}, 404, "not served"),
            ("/make", {"env_id": "CartPole-v1", "env_dir": "/"}, 400, "env_dir"),
            ("/make", {"env_id": "CartPole-v1", "kwargs": 3}, 400, "malformed"),
            ("/make", {"env_id": "Custom-v0"}, 500, "space"),
            ("/make", {"env_id": "Broken-v0"}, 500, "cannot be built"),
            ("/make_vec", {"env_id": "CartPole-v1"}, 400, "num_envs"),
            ("/make_vec", {"env_id": "CartPole-v1", "num_envs": 0}, 400, "num_envs"),
            ("/make_vec", {"env_id": "CartPole-v1", "num_envs": True}, 400, "num_envs"),
            ("/reset", {"env_key": "f", "seed": -1}, 400, "seed"),
            ("/reset", {"env_key": "f", "seed": [1]}, 400, "seed"),
            ("/reset", {"env_key": "f", "options": []}, 400, "options"),
            ("/step", {"env_key": "f"}, 400, "action is missing"),
            ("/step", {"env_key": "f", "action": 2}, 400, "not in Discrete"),
            ("/step", {"env_key": "f", "action": [0]}, 400, "not an integer"),
            ("/step", {"env_key": "f", "action": 0}, 500, "KeyError: 'broken'"),
            ("/step", {"env_key": "none", "action": 0}, 400, NOT_MADE),
            ("/close", {"env_key": "none"}, 400, NOT_MADE),
            ("/make", [], 422, "object"),
        ):
            found, answer = send(host, path, body)
            assert (found, answer["error"]) == (status, answer["detail"]), (path, body, answer)
            assert words in answer["error"]
        send(host, "/close", {"env_key": "f"})

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"action": ' + b"9" * 5000 + b"}",
        ],
    )
    def test_hostile_bodies(self, host, body):
        status, answer = send(host, "/step", body)
        assert status == 400 and answer["error"] == answer["detail"]


class TestVector:
    def test_lists_by_env(self, host):
        made = send(host, "/make_vec", {"env_key": "v", "env_id": "Counting-v0", "num_envs": 2})
        text = "Environment Counting-v0 created with 2 instance(s)."
        assert made == (200, {"env_key": "v", "message": text})
        assert send(host, "/action_space?env_key=v")[1]["nvec"] == [2, 2]
        first = send(host, "/reset", {"env_key": "v", "seed": [3.0, 4]})[1]
        assert first["observation"] == [[0, 1, 0, -1]] * 2
        for t in (1, 2):
            told = send(host, "/step", {"env_key": "v", "action": [0, 1]})[1]
            assert told["observation"] == [[0, 1, t, 0], [0, 1, t, 1]]
        told = send(host, "/step", {"env_key": "v", "action": [0, 1]})[1]
        assert told["observation"] == [[0, 2, 0, -1]] * 2
        assert (told["reward"], told["truncated"]) == ([0.375] * 2, [True] * 2)
        last = [[0, 1, 3, 0], [0, 1, 3, 1]]
        info = told["info"]
        assert info["final_obs"] == info["final_observation"] == last
        assert info["_final_obs"] == info["_final_observation"] == [True, True]
        for action in (0, [0], [0, 2], [0, "a"]):
            assert send(host, "/step", {"env_key": "v", "action": action})[0] == 400
        send(host, "/close", {"env_key": "v"})

    def test_what_was_seen_last_is_none_of_envs_that_go_on(self, host):
        body = {"env_key": "c", "env_id": "CartPole-v1", "num_envs": 3}
        send(host, "/make_vec", body)
        send(host, "/reset", {"env_key": "c", "seed": 1})
        for _ in range(60):
            told = send(host, "/step", {"env_key": "c", "action": [0, 1, 0]})[1]
            if any(told["terminated"]) and not all(told["terminated"]):
                break
        for ended, last in zip(told["terminated"], told["info"]["final_obs"], strict=True):
            assert (last is not None) == ended
        send(host, "/close", {"env_key": "c"})

    def test_dicts_and_the_other_autoreset(self, host):
        body = {"env_id": "Strange-v0", "num_envs": 2, "autoreset_mode": "NextStep"}
        send(host, "/make_vec", {"env_key": "d", **body})
        seen = {"far": [math.inf, -math.inf], "text": "aé"}
        assert send(host, "/reset", {"env_key": "d"})[1]["observation"] == [seen] * 2
        actions = [{"move": -2, "force": [0.5]}, {"move": 2, "force": [1]}]
        told = send(host, "/step", {"env_key": "d", "action": actions})[1]
        assert told["reward"] == [-2.0, 2.0]
        send(host, "/close", {"env_key": "d"})


class TestMsgpack:
    def test_an_episode(self, host):
        body = {"env_id": "NotANumber-v0", "env_key": "m", "env_entry_point": None, "env_dir": None}
        assert send(host, "/make", body, MSGPACK)[1]["env_key"] == "m"
        assert send(host, "/action_space?env_key=m") == (
            200,
            {"type": "Discrete", "n": 2, "start": 0},
        )
        space = send(host, "/observation_space?env_key=m")[1]
        assert space["high"] == ["Infinity"] * 4
        obs = send(host, "/reset", {"env_key": "m", "seed": 1}, MSGPACK)[1]["observation"]
        assert obs == [0.0, "NaN", "Infinity", "-Infinity"]
        told = send(host, "/step", {"env_key": "m", "action": 1}, MSGPACK)[1]
        assert (told["reward"], told["terminated"]) == (0.125, False)
        closed = send(host, "/close", {"env_key": "m"}, MSGPACK)
        assert closed == (200, {"message": "Environment m closed successfully."})

    def test_infinities_as_actions(self, host):
        send(host, "/make", {"env_id": "Scalar-v0", "env_key": "i"}, MSGPACK)
        send(host, "/reset", {"env_key": "i"}, MSGPACK)
        told = send(host, "/step", {"env_key": "i", "action": ["Infinity", 1.0]}, MSGPACK)[1]
        assert told["reward"] == "Infinity"
        assert send(host, "/step", {"env_key": "i", "action": ["Inf", 1.0]}, MSGPACK)[0] == 400
        send(host, "/close", {"env_key": "i"}, MSGPACK)

    def test_a_missing_field(self, host):
        assert send(host, "/make", {"env_key": "x"}, MSGPACK)[0] == 400

    @pytest.mark.parametrize(
        "body",
        [
            b"\xdd\xff\xff\xff\xff",  # a list of 2**32 - 1 items
            b"\xdf\xff\xff\xff\xff",
            b"\xdd\x00\xff\xff\xff" * 1000,
            b"\x91" * 100_000,
            b"\xc1",
            b"\x81\xa6action",
            b"\x81\xa2\xff\xfe\x00",  # not UTF-8
            msgpack.packb({"action": msgpack.ExtType(5, b"x")}),
            msgpack.packb({"action": msgpack.Timestamp(1)}),
            msgpack.packb({"env_key": b"k", "action": 1}),
            msgpack.packb({1: 2}),
            msgpack.packb({"a": 1}) + b"\x00",
            msgpack.packb([1]),
        ],
    )
    def test_hostile_bodies(self, host, body):
        status, answer = send(host, "/step", body, MSGPACK)
        assert status in (400, 422) and answer["error"] == answer["detail"]

    @pytest.mark.parametrize("value", [b"x", msgpack.Timestamp(1), {1: 2}, [b"x"]])
    def test_what_json_has_not_goes_no_further(self, host, value):
        body = {"env_id": "Counting-v0", "env_key": "b", "kwargs": {"a": value}}
        assert send(host, "/make", body, MSGPACK)[0] in (400, 422)
        send(host, "/make", {"env_id": "Counting-v0", "env_key": "b"}, MSGPACK)
        body = {"env_key": "b", "options": {"a": value}}
        assert send(host, "/reset", body, MSGPACK)[0] in (400, 422)
        send(host, "/close", {"env_key": "b"}, MSGPACK)


@pytest.mark.parametrize("media", [JSON, MSGPACK])
@pytest.mark.parametrize("depth", [95, 300, 800])
def test_what_has_too_many_levels_goes_no_further(host, media, depth):
    deep = 1
    for _ in range(depth):
        deep = {"a": [deep]} if depth == 95 else {"a": deep}
    made = {"env_id": "Counting-v0", "env_key": "d"}
    assert send(host, "/make", {**made, "kwargs": deep}, media)[0] == 400
    assert send(host, "/make", made, media)[0] == 200
    assert send(host, "/reset", {"env_key": "d", "options": deep}, media)[0] == 400
    assert send(host, "/reset", {"env_key": "d", "options": {"a": [1]}}, media)[0] == 200
    send(host, "/close", {"env_key": "d"}, media)


class TestAgents:
    def test_what_an_agent_does_not_have_is_none(self, host):
        from support.plain_agents import Battle

        assert send(host, "/make", {"env_key": "a", "env_id": host.agents})[0] == 200
        kinds = [each["type"] for each in send(host, "/action_space?env_key=a")[1]["spaces"]]
        assert kinds == ["Discrete", "Box", "MultiDiscrete", "Dict"]
        env = Battle()
        seen, _ = env.reset(seed=5)
        told = send(host, "/reset", {"env_key": "a", "seed": 5})[1]
        actions = {"red": 3, "blue": [0.5, 1.0], "green": [1, 2], "amber": {"x": 1, "y": [0.25]}}
        while env.agents:
            assert [each is not None for each in told["observation"]] == [n in seen for n in NAMES]
            if "red" in seen:
                assert told["observation"][0] == seen["red"].tolist()
            chosen = {name: actions[name] for name in env.agents}
            seen, rewards, ends, cuts, _ = env.step(chosen)
            listed = [chosen.get(name) for name in NAMES]
            told = send(host, "/step", {"env_key": "a", "action": listed})[1]
            for key, found in (("reward", rewards), ("terminated", ends), ("truncated", cuts)):
                assert told[key] == [found.get(name) for name in NAMES]
            assert told["info"]["agents"] == [name for name in NAMES if name in env.agents]
        assert send(host, "/step", {"env_key": "a", "action": [0]})[0] == 400
        assert send(host, "/step", {"env_key": "a", "action": [9, None, None, None]})[0] == 400
        send(host, "/close", {"env_key": "a"})

    def test_several_of_them_are_refused(self, host):
        body = {"env_key": "a", "env_id": host.agents, "num_envs": 2}
        status, answer = send(host, "/make_vec", body)
        assert status == 400 and "one by one" in answer["error"]


def test_keys():
    keys = ("--key", "env:KEY1", "--key", "env:KEY2")
    values = {"KEY1": "one", "KEY2": "two"}
    with running_setup("http://127.0.0.1:0", *keys, env=values) as host:
        body = {"env_key": "k", "env_id": "Counting-v0"}
        for headers in ({}, {"Authorization": "Bearer three"}):
            status, answer = send(host, "/make", body, **headers)
            assert status == 401 and answer["error"] == answer["detail"]
        one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))
        assert send(host, "/make", body, **one)[0] == 200
        assert send(host, "/reset", {"env_key": "k"}, **one)[0] == 200
        assert send(host, "/reset", {"env_key": "k"}, **two)[0] == 400
        assert send(host, "/close", {"env_key": "k"}, **two)[0] == 400
        assert send(host, "/make", {"env_name": "Counting-v0"}, **one)[0] == 200
        assert "episode_id" not in send(host, "/reset", b"", **one)[1]
        assert send(host, "/close", b"", **two)[0] == 200  # has none
        assert send(host, "/reset", {"env_key": "k"}, **one)[0] == 200
        send(host, "/close", b"", **one)


def test_an_env_that_was_idle_is_gone():
    with running_setup("http://127.0.0.1:0", "--idle-timeout", "0.3") as host:
        send(host, "/make", {"env_key": "k", "env_id": "Counting-v0"})
        for _ in range(100):
            status, answer = send(host, "/action_space?env_key=k")
            if status == 400:
                break
            time.sleep(0.1)
        assert answer["error"] == f"{NOT_MADE} It was closed: it was idle."  # and so each time
        assert send(host, "/step", {"env_key": "k", "action": 0}) == (400, answer)
        assert send(host, "/close", {"env_key": "k"}) == (400, answer)
        send(host, "/make", {"env_key": "k", "env_id": "Counting-v0"})
        assert send(host, "/close", {"env_key": "k"})[0] == 200
        assert send(host, "/step", {"env_key": "k", "action": 0})[1]["error"] == NOT_MADE


def test_every_space_is_described():
    from gymnasium.spaces import (
        Box,
        Dict,
        Discrete,
        Graph,
        MultiBinary,
        MultiDiscrete,
        OneOf,
        Sequence,
        Text,
        Tuple,
    )

    from envring.gateways.web import json_text
    from envring.gateways.web.space_descriptions import described

    one = Discrete(3, start=-1)
    told = {"type": "Discrete", "n": 3, "start": -1}
    for space, found in (
        (one, told),
        (MultiBinary(3), {"type": "MultiBinary", "n": 3}),
        (MultiBinary((2, 3)), {"type": "MultiBinary", "n": [2, 3]}),
        (MultiDiscrete([2, 3]), {"type": "MultiDiscrete", "nvec": [2, 3], "start": [0, 0]}),
        (Tuple([one]), {"type": "Tuple", "spaces": [told]}),
        (OneOf([one]), {"type": "OneOf", "spaces": [told]}),
        (Dict(a=one), {"type": "Dict", "spaces": {"a": told}}),
        (Sequence(one, stack=True), {"type": "Sequence", "space": told, "stack": True}),
        (Graph(one, None), {"type": "Graph", "node_space": told, "edge_space": None}),
        (
            Box(0, 255, (2,), np.uint8),
            {"type": "Box", "shape": [2], "dtype": "uint8", "low": [0, 0], "high": [255, 255]},
        ),
    ):
        assert json.loads(json_text.dumps(described(space))) == found
    text = described(Text(5, charset="ab"))
    assert (text["min_length"], text["max_length"], sorted(text["characters"])) == (
        1,
        5,
        ["a", "b"],
    )
