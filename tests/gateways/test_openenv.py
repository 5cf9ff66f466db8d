# SPDX-License-Identifier: MIT
"""OpenEnv's wire: its messages, its requests, and its own client."""

import base64
import contextlib
import json
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import gymnasium
import pytest

from docs import pages
from support import foreign_prefixes
from support.foreign_prefixes import Recipe
from support.hosts import running, running_setup
from support.processes import wait_until

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
websockets = pytest.importorskip("websockets.sync.client")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
ConnectionClosedOK = pytest.importorskip("websockets.exceptions").ConnectionClosedOK


@pytest.fixture(scope="module")
def host():
    with running_setup("http://127.0.0.1:0", "--metrics", "0", first=["Counting-v0"]) as host:
        yield host


@pytest.fixture(scope="module")
def classic():
    with running("CartPole-v1", "--listen", "http://127.0.0.1:0", "--max-sessions", "1") as host:
        yield host


class Session:
    def __init__(self, host, path="/ws", **options):
        url = host.url.replace("http://", "ws://")
        self._ended = contextlib.ExitStack()
        self.socket = self._ended.enter_context(
            websockets.connect(url + path, proxy=None, **options)
        )

    def ask(self, message):
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
        return json.loads(self.socket.recv(timeout=20))

    def reset(self, **data):
        return self.ask({"type": "reset", "data": data})

    def step(self, **data):
        return self.ask({"type": "step", "data": data})

    def code(self, message):
        answer = self.ask(message)
        assert answer["type"] == "error", answer
        return answer["data"]["code"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ConnectionClosed):
            self._ended.close()


def no_sessions(host):
    with urllib.request.urlopen(f"{host.urls[-1]}/metrics") as response:
        return b"envring_sessions 0\n" in response.read()


def fetch(host, path, data=None, **headers):
    body = None if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(host.url + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class TestSession:
    def test_an_episode(self, host):
        with Session(host) as session:
            first = session.reset(seed=0, episode_id="mine")
            assert first == {
                "type": "observation",
                "data": {
                    "observation": {
                        "obs": [0.0, 1.0, 0.0, -1.0],
                        "terminated": False,
                        "truncated": False,
                        "info": {"round": 1, "seed": 0, "options": None},
                    },
                    "reward": None,
                    "done": False,
                },
            }
            session.step(value=1)
            assert session.ask({"type": "state"}) == {
                "type": "state",
                "data": {"episode_id": "mine", "step_count": 1},
            }
            session.step(value=0)
            last = session.step(value=1)["data"]
            assert (last["reward"], last["done"]) == (0.375, True)
            assert not last["observation"]["terminated"] and last["observation"]["truncated"]
            assert session.reset(level=3)["data"]["observation"]["info"]["options"] == {"level": 3}

    def test_values_are_those_of_the_env(self, classic):
        env = gymnasium.make("CartPole-v1")
        obs, _ = env.reset(seed=0)
        with Session(classic) as session:
            assert session.reset(seed=0)["data"]["observation"]["obs"] == obs.tolist()
            for action in (0, 1, 1):
                obs, reward, *_ = env.step(action)
                data = session.step(value=action, metadata={"a": 1})["data"]
                assert (data["observation"]["obs"], data["reward"]) == (obs.tolist(), reward)

    def test_errors_keep_the_connection(self, host):
        with Session(host) as session:
            session.reset()
            for text in ("x", "", "{", "[" * 100_000, b"\xff\xfe", "1" * 5000):
                assert session.code(text) == "INVALID_JSON"
            for message in ({}, {"type": "mcp", "data": {}}, {"type": 3}, {"type": []}):
                assert session.code(message) == "UNKNOWN_TYPE"
            for message in (
                [],
                3,
                {"type": "step"},
                {"type": "step", "data": 1},
                {"type": "step", "data": {}},
                {"type": "step", "data": {"value": 2}},
                {"type": "step", "data": {"value": [1]}},
                {"type": "step", "data": {"value": 1, "other": 1}},
                {"type": "step", "data": {"value": 1}, "more": 1},
                {"type": "state", "data": {}},
                {"type": "reset", "data": {"seed": -1}},
                {"type": "reset", "data": {"seed": "1"}},
                {"type": "reset", "data": {"seed": True}},
                {"type": "reset", "data": {"episode_id": "x" * 256}},
                {"type": "reset", "data": {"options": 3}},
            ):
                assert session.code(message) == "VALIDATION_ERROR", message
            error = session.ask({"type": "step", "data": {"value": 2}})["data"]
            assert error["errors"][0]["loc"] == ["data", "value"]
            assert session.step(value=1)["type"] == "observation"

    def test_an_error_of_the_env(self, host):
        with Session(host, "/openenv/Failing-v0/ws") as session:
            session.reset()
            error = session.step(value=0)["data"]
            assert error["code"] == "EXECUTION_ERROR"
            assert "KeyError: 'broken'" in error["message"]
            assert session.reset()["type"] == "observation"

    def test_infinities_and_dicts(self, host):
        with Session(host, "/openenv/Strange-v0/ws") as session:
            obs = session.reset()["data"]["observation"]["obs"]
            assert obs == {"far": [float("inf"), -float("inf")], "text": "aé"}
            assert session.step(move=-2, force=[0.5])["data"]["reward"] == -2
            assert session.code({"type": "step", "data": {"move": -2}}) == "VALIDATION_ERROR"

    def test_close_ends_the_session(self, host):
        with Session(host) as session:
            session.socket.send('{"type":"close"}')
            with pytest.raises(ConnectionClosedOK, match="1000"):
                session.socket.recv(timeout=10)

    @pytest.mark.parametrize(
        ("env", "code"),
        [("Custom", "FACTORY_ERROR"), ("a/b", "SESSION_ERROR"), ("Broken", "FACTORY_ERROR")],
    )
    def test_no_session(self, host, env, code):
        with Session(host, f"/openenv/{env}-v0/ws") as session:
            answer = json.loads(session.socket.recv(timeout=20))["data"]
            assert answer["code"] == code
            with pytest.raises(ConnectionClosedOK, match="1000"):
                session.socket.recv(timeout=10)

    def test_capacity(self, classic):
        with Session(classic) as session:
            session.reset()
            with Session(classic) as other:
                answer = json.loads(other.socket.recv(timeout=10))["data"]
            assert answer["code"] == "CAPACITY_REACHED"
            assert (answer["active_sessions"], answer["max_sessions"]) == (1, 1)
            assert session.step(value=0)["type"] == "observation"

    def test_a_slow_env_delays_nobody(self, host):
        with (
            Session(host, "/openenv/Sleepy-v0/ws") as slow,
            Session(host) as session,
        ):
            slow.reset()
            session.reset()
            slow.socket.send('{"type":"step","data":{"value":0}}')
            session.step(value=0)
            with pytest.raises(TimeoutError):
                slow.socket.recv(timeout=0)
            assert json.loads(slow.socket.recv(timeout=20))["type"] == "observation"


class TestRequests:
    def test_what_there_is(self, host):
        assert fetch(host, "/health") == (200, {"status": "healthy"})
        _, metadata = fetch(host, "/metadata")
        assert metadata["name"] == "Counting-v0"
        assert fetch(host, "/state") == (200, {"episode_id": None, "step_count": 0})

    def test_schema(self, host):
        status, schema = fetch(host, "/schema")
        assert status == 200
        assert schema["action"]["properties"]["value"]["maximum"] == 1
        assert schema["observation"]["properties"]["obs"]["minItems"] == 4
        _, schema = fetch(host, "/openenv/Strange-v0/schema")
        assert schema["action"]["required"] == ["force", "move"]

    def test_each_request_has_a_new_env(self, host):
        for _ in range(2):
            status, data = fetch(host, "/reset", {"seed": 7})
            assert status == 200
            assert data["observation"]["info"] == {"round": 1, "seed": 7, "options": None}
        status, data = fetch(host, "/step", {"action": {"value": 1}})
        assert (status, data["reward"]) == (200, 0.125)

    def test_errors(self, host):
        assert fetch(host, "/step", {})[0] == 422
        assert fetch(host, "/step", {"action": {"value": 5}})[0] == 422
        assert fetch(host, "/reset", b"{")[0] == 400
        assert fetch(host, "/reset", [])[0] == 422
        assert fetch(host, "/openenv/a/b/reset", {})[0] == 404
        assert fetch(host, "/openenv/Custom-v0/schema")[0] == 500


class TestDoor:
    def test_keys(self):
        arguments = ("CartPole-v1", "--listen", "http://127.0.0.1:0", "--key", "env:KEY")
        with running(*arguments, env={"KEY": "secret"}) as host:
            assert fetch(host, "/health")[0] == 401
            assert fetch(host, "/health", Authorization="Bearer wrong")[0] == 401
            assert fetch(host, "/health", Authorization="Bearer secret")[0] == 200
            basic = base64.b64encode(b"any:secret").decode()
            assert fetch(host, "/health", Authorization=f"Basic {basic}")[0] == 200
            assert fetch(host, "/health", Authorization="Basic ?")[0] == 401
            with pytest.raises(Exception, match="401"):
                Session(host)

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "http://[", "http://8.8.8.8"]
    )
    def test_pages_of_other_origins_stay_outside(self, host, origin):
        assert fetch(host, "/health", Origin=origin)[0] == 403
        with pytest.raises(Exception, match="403"):
            Session(host, origin=origin)

    @pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:1"])
    def test_pages_of_this_machine_come_in(self, host, origin):
        assert fetch(host, "/health", Origin=origin)[0] == 200

    def test_sessions_end_with_their_connections(self, host):
        with Session(host) as session:
            session.reset()
        wait_until(lambda: no_sessions(host), 20, "the session has ended")

    def test_a_step_without_an_end_ends_with_its_caller(self, host):
        with Session(host, "/openenv/Sleepy-v0/ws") as session:
            session.reset()
            session.socket.send('{"type":"step","data":{"value":1}}')
            session.socket.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: no_sessions(host), 20, "the session has ended")

    def test_idle_sessions_are_closed_with_the_reason(self):
        with running(
            "CartPole-v1", "--listen", "http://127.0.0.1:0", "--idle-timeout", "0.5"
        ) as host:
            with Session(host) as session:
                session.reset()
                with pytest.raises(Exception, match=r"1001.*idle"):
                    session.socket.recv(timeout=20)
            with Session(host) as session:
                session.reset()
                assert host.end() == 0  # sessions that go on do not hold it up for ever


CLIENT = """
import json, sys
from openenv import GenericEnvClient

with GenericEnvClient(sys.argv[1]).sync() as client:
    first = client.reset(seed=0)
    steps = [client.step({"value": 1}) for _ in range(3)]
    print(json.dumps([first.observation, [each.observation["obs"] for each in steps],
        [each.reward for each in steps], [each.done for each in steps], client.state()]))
    try:
        client.step({"value": 9})
    except RuntimeError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def python():
    """An interpreter that has openenv-core."""
    pins = Path(__file__).parents[2] / "benchmarks/peers-openenv.txt"
    lines = pins.read_text(encoding="utf-8").splitlines()
    packages = tuple(line for line in lines if line and not line.startswith("#"))
    foreign_prefixes.RECIPES["openenv"] = Recipe("3.11", packages)
    try:
        return foreign_prefixes.build("openenv") / "bin/python"
    finally:
        del foreign_prefixes.RECIPES["openenv"]


@pytest.mark.long  # its packages take half a minute to import
def test_the_block_of_the_page(classic, python):
    page = Path(__file__).parents[2] / "docs/wires-openenv.md"
    (block,) = (each for each in pages.blocks(page, "python") if "OpenEnv" in each.needs)
    text = block.text.replace("http://127.0.0.1:8000", classic.url)
    text += "\nprint(observation, truncated)"
    done = subprocess.run(
        [python, "-c", text], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    obs, _ = gymnasium.make("CartPole-v1").reset(seed=0)
    assert done.stdout.split() == f"{obs.tolist()} False".split()


@pytest.mark.long
def test_the_original_client(host, python):
    done = subprocess.run(
        [python, "-c", CLIENT, host.url], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    told, refused = map(json.loads, done.stdout.splitlines())
    first, observations, rewards, dones, state = told
    assert first["obs"] == [0, 1, 0, -1] and first["info"]["seed"] == 0
    assert observations == [[0, 1, t, 1] for t in (1, 2, 3)]
    assert (rewards, dones) == ([0.125, 0.25, 0.375], [False, False, True])
    assert state["step_count"] == 3
    assert "VALIDATION_ERROR" in refused
