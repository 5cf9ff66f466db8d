# SPDX-License-Identifier: MIT
"""`remotes="openenv://..."`: an env that asks a server of OpenEnv, ours and others."""

from __future__ import annotations

import http.client
import json
import threading
import time
from http import HTTPStatus

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

import envring
from envring.batch.space_data import UnknownSpace
from envring.callers import json_spaces
from envring.errors import (
    AddressError,
    EnvringError,
    HostLost,
    HostRefused,
    LaunchError,
    RemoteEnvError,
    SourceError,
    WireError,
)
from envring.gateways.certificates import make
from envring.gateways.web import json_text, spaces
from envring.testing.conformance_base import quiet
from support.hosts import running, running_setup
from support.peers import python_of, server
from support.wire_envs import NOT_CARRIED, local_env

serve = pytest.importorskip("websockets.sync.server").serve
pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")

COUNTING = "Counting-v0"


@pytest.fixture(scope="module")
def host():
    with running_setup("http://127.0.0.1:0", first=[COUNTING]) as host:
        yield host


def at(host):
    return host.url.replace("http", "openenv")


def test_answers_over_http_are_not_delayed(host):
    """Each took 40 ms, until the caller acknowledged their heads."""
    line = http.client.HTTPConnection(host.url.removeprefix("http://"), timeout=10)
    took = []
    for _ in range(20):
        began = time.monotonic()
        line.request("GET", "/health")
        line.getresponse().read()
        took.append(time.monotonic() - began)
    line.close()
    assert min(took[2:]) < 0.02


class TestOurHost:
    def test_every_space(self, host):
        local = local_env(NOT_CARRIED)

        def text(value):  # in which every NaN is the same
            return json_text.dumps(spaces.encode(local.observation_space, value))

        env = envring.make("JsonSpaces-v0", remotes=at(host))
        assert env.observation_space == local.observation_space
        assert env.action_space == local.action_space
        for seed in (0, None):
            found, expected = (each.reset(seed=seed) for each in (env, local))
            assert text(found[0]) == text(expected[0])
            for _ in range(2):
                action = local.action_space.sample()
                found, expected = env.step(action), local.step(action)
                assert text(found[0]) == text(expected[0])
                assert found[2:4] == expected[2:4]
        assert found[2:4] == (False, True)
        env.close()
        local.close()

    def test_an_episode(self, host):
        env = envring.make(COUNTING, remotes=at(host))
        obs, info = env.reset(seed=0, options={"level": np.int64(3)})
        assert obs.tolist() == [0, 1, 0, -1]
        assert info == {"round": 1, "seed": 0, "options": {"level": 3}}
        assert env.step(1)[1:] == (0.125, False, False, {"t": 1})
        assert env.reset()[1]["round"] == 2  # in mid episode
        for _ in range(3):
            last = env.step(0)
        assert last[1:4] == (0.375, False, True)
        with quiet(), pytest.raises(RemoteEnvError, match="call reset first"):
            env.step(0)
        env.close()

    def test_integers_that_no_float_holds(self, host):
        env = envring.make("Long-v0", remotes=at(host))
        assert env.reset()[0].tolist() == [2**64 - 1, 2**53 + 1, 0]
        for action in ([-(2**63), 2**63 - 1], [2**53 + 1, 0]):
            assert env.step(np.array(action))[4] == {"action": str(action)}
        env.close()

    def test_sequences_and_graphs_with_nothing_in_them(self, host):
        env = envring.make("Empty-v0", remotes=at(host))
        obs, _ = env.reset()
        for count in (0, 2):
            assert env.step(np.zeros(count, np.int64))[1] == count
        assert obs["rows"].shape == (0, 2) and obs["rows"].dtype == np.float32
        assert obs["graph"].nodes.shape == (0, 3) and obs["graph"].edges is None
        assert obs["edges"].nodes.tolist() == [0] and obs["edges"].edge_links is None
        env.close()

    def test_an_error_of_the_env_leaves_the_session(self, host):
        env = envring.make("Failing-v0", remotes=at(host))
        for _ in range(2):
            env.reset()
            with quiet(), pytest.raises(RemoteEnvError, match="KeyError: 'broken'"):
                env.step(0)
        env.close()

    def test_several(self, host):
        envs = envring.make_vec(COUNTING, 2, remotes=at(host))
        assert envs.reset()[0].tolist() == [[0, 1, 0, -1]] * 2
        assert envs.step([0, 1])[0].tolist() == [[0, 1, 1, 0], [0, 1, 1, 1]]
        envs.close()

    @pytest.mark.parametrize(
        ("env", "kwargs", "error", "text"),
        [
            ("os:system", {}, HostRefused, "os:system"),
            ("Broken-v0", {}, LaunchError, "it cannot be built"),
            ("Custom-v0", {}, LaunchError, "cannot"),
            (COUNTING, {"level": 1}, SourceError, "no arguments"),
        ],
    )
    def test_what_is_refused(self, host, env, kwargs, error, text):
        with pytest.raises(error, match=text):
            envring.make(env, remotes=at(host), **kwargs)

    def test_tls_keys_capacity_and_a_kill(self, tmp_path, monkeypatch):
        make(tmp_path, ("localhost", "127.0.0.1"))
        (tmp_path / "key").write_text("secret\n")
        monkeypatch.setenv("ENVRING_TEST_KEY", "secret")
        files = ["--cert", f"{tmp_path}/server.pem", "--certkey", f"{tmp_path}/server.key"]
        options = ["--listen", "https://127.0.0.1:0", *files, "--max-sessions", "1"]
        with running("CartPole-v1", *options, "--key", f"file:{tmp_path}/key") as host:
            url = host.url.replace("https", "openenvs")
            key = "key=env:ENVRING_TEST_KEY"
            env = envring.make("CartPole-v1", remotes=f"{url}?ca={tmp_path}/ca.pem&{key}")
            env.reset()
            with pytest.raises(HostRefused) as caught:
                envring.make("CartPole-v1", remotes=f"{url}?ca={tmp_path}/ca.pem&{key}")
            assert caught.value.reason == "full"
            with pytest.raises(HostRefused, match="key"):
                envring.make("CartPole-v1", remotes=f"{url}?ca={tmp_path}/ca.pem")
            with pytest.raises(AddressError, match="other.org"):
                envring.make(
                    "CartPole-v1", remotes=f"{url}?ca={tmp_path}/ca.pem&{key}&name=other.org"
                )
            with pytest.raises(AddressError, match="ca=FILE"):
                envring.make("CartPole-v1", remotes=f"{url}?{key}")
            host.process.kill()
            host.process.wait()
            with quiet(), pytest.raises(HostLost, match=url):
                env.step(0)
            env.close()


SCHEMA = {
    "action": {"properties": {"n": {"type": "integer"}}, "required": ["n"]},
    "observation": {"properties": {"place": {"type": "integer"}, "done": {}}},
}
STATE = {"type": "state", "data": {}}
SEEN = {"type": "observation", "data": {"observation": {"place": 1}, "reward": 1, "done": False}}
TURNED_AWAY = {"type": "error", "data": {"code": "CAPACITY_REACHED", "message": "m"}}
# what a server answers in turn; None: silence; "close": the end of the connection
SCRIPTS = {
    "honest": (SCHEMA, [STATE, SEEN]),
    "silent": (SCHEMA, [None]),
    "silent-step": (SCHEMA, [STATE, SEEN, None]),
    "no-schema": ({}, []),
    "odd-schema": ({"action": 3, "observation": []}, []),
    "spaces": ({**SCHEMA, "x-envring-spaces": "AAAA"}, []),
    "ends": (SCHEMA, ["close"]),
    "text": (SCHEMA, ["no JSON"]),
    "deep": (SCHEMA, ["[" * 100_000]),
    "list": (SCHEMA, [[1]]),
    "long": (SCHEMA, ["x" * (1 << 24) + "x"]),
    "full": (SCHEMA, [TURNED_AWAY]),  # before it is asked
    "lacking": (SCHEMA, [STATE, {**SEEN, "data": {"observation": {}, "done": False}}]),
    "misfit": (SCHEMA, [STATE, {**SEEN, "data": {"observation": {"place": "x"}, "done": 0}}]),
    "infinite": (SCHEMA, [STATE, {**SEEN, "data": {"observation": {"place": 10**400}}}]),
    "ends-later": (SCHEMA, [STATE, SEEN, "close"]),
}


@pytest.fixture
def strange():
    """Starts a server that answers as a script says, in a thread."""
    ends = []

    def start(name):
        schema, answers = SCRIPTS[name]

        def respond(connection, request):
            if request.path == "/schema":
                return connection.respond(HTTPStatus.OK, json.dumps(schema))
            return None if request.path == "/ws" else connection.respond(HTTPStatus.NOT_FOUND, "")

        def talk(connection):
            if answers == [TURNED_AWAY]:
                connection.send(json.dumps(TURNED_AWAY))
                return
            for number, _ in enumerate(connection):
                answer = answers[min(number, len(answers) - 1)]
                if answer == "close":
                    return
                if answer is not None:
                    connection.send(answer if isinstance(answer, str) else json.dumps(answer))

        made = serve(talk, "127.0.0.1", 0, process_request=respond, compression=None)
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        ends.extend([thread.join, made.shutdown])
        limit = "?timeout=2" if name.startswith("silent") else ""
        return f"openenv://127.0.0.1:{made.socket.getsockname()[1]}{limit}"

    yield start
    for end in reversed(ends):
        end()


class TestStrangeServers:
    def test_an_honest_one_for_comparison(self, strange):
        env = envring.make("honest", remotes=strange("honest"))
        whole = Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (), np.int64)
        assert env.observation_space == Dict(place=whole) and env.action_space == Dict(n=whole)
        assert env.reset(seed=1)[0] == {"place": 1}
        assert env.step({"n": 3})[1:] == (1.0, False, False, {})
        env.close()

    @pytest.mark.parametrize(
        "name",
        ["silent", "no-schema", "odd-schema", "spaces", "ends", "text", "deep", "list", "long"],
    )
    def test_at_first(self, strange, name):
        began = time.monotonic()
        with pytest.raises(EnvringError) as caught:
            envring.make("x", remotes=strange(name))
        assert isinstance(caught.value, LaunchError | WireError | ValueError)
        assert time.monotonic() - began < 20

    def test_a_full_one(self, strange):
        with pytest.raises(HostRefused) as caught:
            envring.make("x", remotes=strange("full"))
        assert caught.value.reason == "full"

    @pytest.mark.parametrize("name", ["lacking", "misfit", "infinite"])
    def test_observations_that_do_not_fit(self, strange, name):
        env = envring.make("x", remotes=strange(name))
        with quiet(), pytest.raises(WireError):
            env.reset()
        with quiet(), pytest.raises(HostLost):
            env.reset()
        env.close()

    @pytest.mark.parametrize("name", ["silent-step", "ends-later"])
    def test_one_that_is_lost(self, strange, name):
        env = envring.make("x", remotes=strange(name))
        env.reset()
        with quiet(), pytest.raises(HostLost):
            env.step({"n": 1})
        env.close()


class TestSchemas:
    @pytest.mark.parametrize(
        ("schema", "space"),
        [
            ({"type": "integer", "minimum": -1, "maximum": 3}, Discrete(5, start=-1)),
            ({"type": "boolean"}, Discrete(2)),
            ({"type": "number", "minimum": 0}, Box(0, np.inf, (), np.float64)),
            (
                {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                Box(-np.inf, np.inf, (2,), np.float64),
            ),
            ({"type": "array", "items": {"type": "number"}}, UnknownSpace("array")),
            ({"type": "string"}, UnknownSpace("string")),
            ({"anyOf": [{"type": "number"}, {"type": "null"}]}, UnknownSpace("value")),
            ({"type": "array", "minItems": 1 << 40, "maxItems": 1 << 40}, UnknownSpace("array")),
        ],
    )
    def test_spaces_of_servers_that_say_only_schemas(self, schema, space):
        assert json_spaces.space_of(schema) == space


@pytest.mark.wide
def test_openenv_with_an_env_of_its_own_kind():
    with server("openenv_server.py", python=python_of("openenv")) as port:
        env = envring.make("", remotes=f"openenv://127.0.0.1:{port}")
        assert isinstance(env.observation_space["words"], UnknownSpace)
        assert isinstance(env.action_space["steps"], Box)
        obs, info = env.reset(seed=4, options={"level": 2})
        assert obs == {"place": 4, "words": ["begun", "2"], "hint": None} and info == {}
        with quiet(), pytest.raises(RemoteEnvError, match="too far"):
            env.step({"steps": 10})
        assert env.step({"steps": 1})[1:4] == (0.5, False, False)
        assert env.step({"steps": 9})[2:4] == (True, False)
        env.close()
