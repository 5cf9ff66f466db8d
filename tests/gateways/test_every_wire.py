# SPDX-License-Identifier: MIT
"""What holds on each wire: every space, seeds, both ends of episodes, numbers' edges."""

import contextlib
import json

import gymnasium
import numpy as np
import pytest

from envring.gateways.web import json_text, spaces
from support.hosts import running_setup
from support.wire_envs import FEWER, FEWER_TENSORS, local_env

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
grpc_caller = pytest.importorskip("support.grpc_caller", reason="gRPC stays unchecked")
web_callers = pytest.importorskip("support.web_callers", reason="it needs msgpack")
Requests, Socket = web_callers.Requests, web_callers.Socket


@pytest.fixture(scope="module")
def host():
    options = ("--listen", "grpc://127.0.0.1:0", "--idle-timeout", "30")
    with running_setup("http://127.0.0.1:0", *options) as host:
        yield host


def begun(host, wire, *arguments, **kwargs):
    """An env over a wire of a host, closed at the end."""
    url = host.urls[1 if wire is Grpc else 0]
    return contextlib.closing(wire(url, *arguments, **kwargs))


# Each makes an env whose first reset has the seed; `reset` gives an observation, `step` an
# observation, a reward, and whether the episode was terminated and truncated.


class Gymie:
    def __init__(self, url, env, seed, **kwargs):
        self.wire = Socket(url, "/gym")
        self.one = {
            "instance_id": self.wire.ask(self.said("make", env_id=env, seed=seed, **kwargs))
        }

    @staticmethod
    def said(method, **params):
        return {"method": method, "params": params}

    def reset(self):
        return json.loads(self.wire.ask(self.said("reset", **self.one)))

    def step(self, action):
        told = json.loads(self.wire.ask(self.said("step", action=action, **self.one)))
        obs, reward, done, info = told
        cut = info.get("TimeLimit.truncated", False)
        return obs, reward, done and not cut, cut

    def close(self):
        self.wire.close()


class OpenEnv:
    def __init__(self, url, env, seed, **kwargs):
        self.wire, self.seed = Socket(url, f"/openenv/{env}/ws"), seed

    def ask(self, kind, data):
        told = json.loads(self.wire.ask({"type": kind, "data": data}))
        assert told["type"] == "observation", told
        return told["data"]

    def reset(self):
        seed, self.seed = self.seed, None
        return self.ask("reset", {"seed": seed})["observation"]["obs"]

    def step(self, action):
        told = self.ask("step", action if isinstance(action, dict) else {"value": action})
        seen = told["observation"]
        assert told["done"] == (seen["terminated"] or seen["truncated"])
        return seen["obs"], told["reward"], seen["terminated"], seen["truncated"]

    def close(self):
        self.wire.close()


class Json:
    media = "application/json"

    def __init__(self, url, env, seed, **kwargs):
        self.wire, self.seed = Requests(url, self.media), seed
        self.wire.ask("/make", {"env_key": "k", "env_id": env, "kwargs": kwargs})

    def reset(self):
        seed, self.seed = self.seed, None
        return self.wire.ask("/reset", {"env_key": "k", "seed": seed})["observation"]

    def step(self, action):
        told = self.wire.ask("/step", {"env_key": "k", "action": action})
        return told["observation"], told["reward"], told["terminated"], told["truncated"]

    def close(self):
        self.wire.ask("/close", {"env_key": "k"})
        self.wire.close()


class Msgpack(Json):
    media = "application/x-msgpack"


class GymHttp:
    def __init__(self, url, env, seed):
        self.wire = Requests(url)
        name = self.wire.ask("/v1/envs/", {"env_id": env, "seed": seed})["instance_id"]
        self.place = f"/v1/envs/{name}"

    def reset(self):
        return self.wire.ask(f"{self.place}/reset/", {})["observation"]

    def step(self, action):
        told = self.wire.ask(f"{self.place}/step/", {"action": action})
        cut = told["info"].get("TimeLimit.truncated", False)
        return told["observation"], told["reward"], told["done"] and not cut, cut

    def close(self):
        self.wire.ask(f"{self.place}/close/", {})
        self.wire.close()


class Grpc:
    def __init__(self, url, env, seed, **kwargs):
        self.wire, self.seed = grpc_caller.GrpcCaller(url, env, **kwargs), seed

    def reset(self):
        seed, self.seed = self.seed, None
        return self.wire.reset(seed)

    def step(self, action):
        return self.wire.step(action)

    def close(self):
        self.wire.close()


WEB = [Gymie, OpenEnv, Json, Msgpack, GymHttp]
each_wire = pytest.mark.parametrize("wire", [*WEB, Grpc])


def as_json(space, value):
    return json.loads(json_text.dumps(spaces.encode(space, value)))


@each_wire
def test_integers_that_no_float_holds(host, wire):
    with begun(host, wire, "Long-v0", None) as env:
        assert env.reset() == [2**64 - 1, 2**53 + 1, 0]
        for action in ([-(2**63), 2**63 - 1], [2**53 + 1, 0]):
            seen, reward, *_ = env.step(action)
            assert reward == 1 and seen == [2**64 - 1, 2**53 + 1, 0], action


def differing(found, space, value):
    """Names of the parts that are not as they are here."""
    expected = as_json(space, value)
    assert found.keys() == expected.keys()
    return [name for name in expected if found[name] != expected[name]]


@each_wire
def test_every_space(host, wire):
    """The reward shows whether the action has arrived, bit for bit."""
    kwargs = {"without": FEWER_TENSORS} if wire is Grpc else {}
    local = local_env(kwargs.get("without", FEWER), special=False)
    space = local.observation_space
    local.action_space.seed(0)
    begins = begun(host, wire, "FiniteSpaces-v0", 3, **kwargs)
    with contextlib.closing(local), begins as env:
        assert not differing(env.reset(), space, local.reset(seed=3)[0])
        for _ in range(2):
            action = local.action_space.sample()
            said = as_json(local.action_space, action)
            if wire is not Grpc:
                action = spaces.decode(local.action_space, said)  # a Discrete's is an int
            obs, reward, terminated, truncated, _ = local.step(action)
            told = env.step(said)
            assert not differing(told[0], space, obs)
            assert told[1:] == (reward, terminated, truncated)
        assert truncated
        assert not differing(env.reset(), space, local.reset()[0])


@each_wire
def test_seed_0_is_a_seed(host, wire):
    local = gymnasium.make("CartPole-v1")
    with begun(host, wire, "CartPole-v1", 0) as env:
        assert env.reset() == local.reset(seed=0)[0].tolist()
        assert env.reset() == local.reset()[0].tolist()  # goes on with the generator


@pytest.mark.parametrize("wire", WEB)
def test_a_seed_may_be_a_float_that_is_whole(host, wire):
    expected = gymnasium.make("CartPole-v1").reset(seed=2)[0].tolist()
    with begun(host, wire, "CartPole-v1", 2.0) as env:
        assert env.reset() == expected


@each_wire
def test_both_ends_of_episodes(host, wire):
    for env_id, end in (("Scalar-v0", (True, False)), ("Counting-v0", (False, True))):
        with begun(host, wire, env_id, None) as env:
            action = [0.5, 0.5] if env_id == "Scalar-v0" else 1
            for _ in range(2):
                env.reset()
                told = [env.step(action)[2:] for _ in range(3)]
                assert told == [(False, False), (False, False), end]


@each_wire
def test_infinities(host, wire):
    with begun(host, wire, "Strange-v0", None) as env:
        far = [float(each) for each in env.reset()["far"]]  # msgpack's are text
        assert far == [np.inf, -np.inf]
        assert env.step({"move": -2, "force": [0.25]})[1] == -2


@pytest.mark.parametrize("wire", [OpenEnv, Json, Msgpack, Grpc])
def test_nan(host, wire):
    with begun(host, wire, "NotANumber-v0", None) as env:
        seen = [float(each) for each in env.reset()]  # msgpack's are text
        assert seen[0] == 0 and np.isnan(seen[1]) and seen[2:] == [np.inf, -np.inf]
        assert np.isnan(float(env.step(0)[0][1]))


def test_nan_is_refused_by_gym_http_api(host):
    with contextlib.closing(GymHttp(host.url, "NotANumber-v0", None)) as env:
        env.wire.connection.request("POST", f"{env.place}/reset/", "{}")
        with env.wire.connection.getresponse() as response:
            assert response.status == 400
            assert "cannot be written as JSON" in json.loads(response.read())["message"]


DEEP = 100_000
HOSTILE = {  # as actions of an env that takes 0 and 1
    "a bomb of lists": "[" * DEEP,
    "a bomb of lists that ends": "[" * DEEP + "]" * DEEP,
    "a bomb of objects": '{"a":' * DEEP,
    "deep": "[" * 300 + "]" * 300,
    "wide": "[" + "0," * 300_000 + "0]",
    "lists without end": "[]," * 200_000,
    "many digits": "1" * 5000,
    "more than 64 bits": "18446744073709551616",
    "a huge number": "1e999",
    "its negative": "-1e999",
    "no number": "NaN",
    "a fraction": "0.5",
    "a long text": '"' + "x" * 1_000_000 + '"',
    "half of a pair": '"\\ud800"',
    "not UTF-8": b'"\xff\xfe"',
    "nothing": "null",
    "a truth": "true",
    "an object": '{"value": 1}',
    "not closed": '"',
}


def asked(wire, place, action):
    """The bytes of a step with that action; `place` names the env."""
    template = {
        Gymie: f'{{"method": "step", "params": {{"instance_id": "{place}", "action": @}}}}',
        OpenEnv: '{"type": "step", "data": {"value": @}}',
        Json: '{"env_key": "k", "action": @}',
        GymHttp: '{"action": @}',
    }[wire]
    action = action.encode() if isinstance(action, str) else action
    return template.encode().replace(b"@", action)


def refused(env, data):
    """Whether a request is refused, with a reason."""
    line = env.wire.connection
    path = "/step" if isinstance(env, Json) else f"{env.place}/step/"
    line.request("POST", path, data, {"Content-Type": "application/json"})
    with line.getresponse() as response:
        told = json.loads(response.read())
        return response.status in (400, 422) and any(map(len, told.values()))


class TestHostileActions:
    """Each has an answer or a reason, and the env goes on; none reaches it."""

    @pytest.mark.parametrize("wire", [Json, GymHttp])
    def test_requests(self, host, wire):
        with begun(host, wire, "CartPole-v1", None) as env:
            env.reset()
            for what, action in HOSTILE.items():
                assert refused(env, asked(wire, None, action)), what
                assert len(env.step(1)[0]) == 4, what

    def test_openenv(self, host):
        with contextlib.closing(OpenEnv(host.url, "CartPole-v1", None)) as env:
            env.reset()
            for what, action in HOSTILE.items():
                env.wire.socket.send(asked(OpenEnv, None, action))
                told = json.loads(env.wire.socket.recv(timeout=20))
                assert told["type"] == "error" and told["data"]["message"], what
                assert len(env.step(1)[0]) == 4, what

    def test_gymie(self, host):
        """Its wire has no errors: the connection is closed with a reason."""
        with contextlib.closing(Gymie(host.url, "CartPole-v1", None)) as env:
            env.reset()
            for what, action in HOSTILE.items():
                with contextlib.closing(Socket(host.url, "/gym")) as other:
                    other.socket.send(asked(Gymie, env.one["instance_id"], action))
                    with pytest.raises(ConnectionClosed) as caught:
                        other.socket.recv(timeout=20)
                closed = caught.value.rcvd
                assert closed.code in (1003, 1007) and closed.reason, what
                assert len(env.step(1)[0]) == 4, what
