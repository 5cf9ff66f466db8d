# SPDX-License-Identifier: MIT
"""What a caller of dm_env_rpc asks, and what it is answered; the last tests go over gRPC."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import envring
from envring.errors import AddressError, WireError
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.listener import end_idle
from envring.gateways.dm_env_rpc.protobuf import bytes_field, number_field
from envring.gateways.dm_env_rpc.service import Stream
from envring.gateways.guests import Guests
from envring.testing.conformance_base import quiet
from support.hosts import running
from support.processes import wait_until

COUNTING = "envring.testing:CountingEnv"
HERE = Path(__file__).parent
CREATE, JOIN, STEP, RESET, RESET_WORLD, LEAVE, DESTROY, ERROR = 1, 2, 3, 4, 5, 6, 7, 16
UNKNOWN, INVALID, NOT_FOUND, DENIED, PRECONDITION, UNIMPLEMENTED, INTERNAL, KEY = (
    2,
    3,
    5,
    7,
    9,
    12,
    13,
    16,
)
RUNNING, TERMINATED, INTERRUPTED = 1, 2, 3
ALL = (1, 2, 4, 5)


@pytest.fixture(scope="module")
def host():
    with envring.serve([COUNTING, "CartPole-v1"], max_sessions=4) as host:
        yield host


@pytest.fixture
def caller(host, no_sessions_left):
    caller = Caller(host)
    yield caller
    caller.stream.close()


class Failed(Exception):
    """An answer that is an error: its code and text."""


def text_tensor(text):
    return tensors.dumps(tensors.STRING, [text])


def settings(number, values):
    return b"".join(
        bytes_field(number, bytes_field(1, name.encode()), bytes_field(2, tensor))
        for name, tensor in values.items()
    )


class Caller:
    """Asks a stream, without gRPC between."""

    def __init__(self, host, key=None):
        self.stream = Stream(Guests(host), "test", key)

    def ask(self, kind, body=b""):
        answer = self.stream.answer(bytes_field(kind, body))
        ((number, wire, value),) = protobuf.fields(memoryview(answer))
        found = protobuf.message(wire, value)
        if number == ERROR:
            code, text = (value for _, _, value in protobuf.fields(found))
            raise Failed(code, bytes(text).decode())
        assert number == kind
        return found

    def create(self, **values):
        body = settings(1, {name: text_tensor(value) for name, value in values.items()})
        ((_, kind, name),) = protobuf.fields(self.ask(CREATE, body))
        return protobuf.text(kind, name)

    def join(self, name):
        return self.ask(JOIN, bytes_field(1, name.encode()))

    def begin(self, env, **kwargs):
        """Joins a new world."""
        name = self.create(env=env, kwargs=json.dumps(kwargs))
        self.join(name)
        return name

    def reset(self, **values):
        return self.ask(RESET, settings(1, values))

    def step(self, action=None, uids=ALL, **actions):
        """State, and values by uid."""
        if action is not None:
            actions["1"] = tensors.dumps(5, np.array(action))
        body = b"".join(
            bytes_field(1, number_field(1, int(uid)), bytes_field(2, tensor))
            for uid, tensor in actions.items()
        ) + bytes_field(2, protobuf.pack_varints(np.array(uids)))
        state, found = 0, {}
        for number, _, value in protobuf.fields(self.ask(STEP, body)):
            if number == 1:
                state = value
            else:
                (_, _, uid), (_, _, tensor) = protobuf.fields(value)
                read = tensors.loads(tensor)
                found[uid] = read.values if read.shape else read.values[0]
        return state, found


def code_of(caught):
    return caught.value.args[0]


class TestSequences:
    def test_an_episode_from_its_reset_to_its_end_and_beyond(self, caller):
        caller.begin(COUNTING, lengths=[2], index=3)
        state, found = caller.step(7)  # ignored
        assert state == RUNNING and found[1].tolist() == [3, 0, 0, -1] and found[2] == 0.0
        assert json.loads(found[4]) == {"round": 0} and not found[5]
        state, found = caller.step(5)
        assert state == RUNNING and found[1].tolist() == [3, 0, 1, 5] and found[2] == 3.125
        state, found = caller.step(0)
        assert state == TERMINATED and found[1].tolist() == [3, 0, 2, 0]
        state, found = caller.step(0)  # begins the next
        assert state == RUNNING and found[1].tolist() == [3, 1, 0, -1]
        caller.reset()
        assert caller.step()[1][1].tolist() == [3, 2, 0, -1]

    @pytest.mark.parametrize(
        ("ending", "expected", "truncated"),
        [
            ("terminated", TERMINATED, False),
            ("truncated", INTERRUPTED, True),
            ("both", TERMINATED, True),
        ],
    )
    def test_both_ways_to_end(self, caller, ending, expected, truncated):
        caller.begin(COUNTING, lengths=[1], ending=ending)
        caller.step()
        state, found = caller.step(0)
        assert state == expected and found[5] == truncated

    def test_what_does_not_fit_is_no_fault_of_the_action(self, caller, monkeypatch):
        """Its code differs from that of an action that was refused: the sequence is over."""
        caller.begin(COUNTING)
        caller.step()
        guest = caller.stream._joined.guest
        for raised in (None, WireError("of the env")):

            def step(action, raised=raised):
                if raised is not None:
                    raise raised
                return np.zeros(3, np.float32), 0.0, True, False, {}

            with monkeypatch.context() as patch:
                patch.setattr(guest, "step", step)
                with pytest.raises(Failed, match="of the env|has the shape") as caught:
                    caller.step(1)
            assert code_of(caught) == INTERNAL
            assert caller.step(1)[1][1][2] == 0  # of a reset

    def test_seed_and_options(self, caller):
        local = envring.make("CartPole-v1", launcher=envring.Python(sys.executable))
        caller.begin("CartPole-v1")
        for seed in (0, 1):
            options = {"low": -0.01, "high": 0.01}
            caller.reset(
                seed=tensors.dumps(5, np.array(seed)), options=text_tensor(json.dumps(options))
            )
            expected, _ = local.reset(seed=seed, options=options)
            np.testing.assert_array_equal(caller.step()[1][1], expected)
        local.close()
        for wrong in (
            {"seed": tensors.dumps(1, np.array(0.5))},
            {"options": text_tensor("[]")},
            {"options": text_tensor("[" * 100_000)},
            {"speed": text_tensor("1")},
        ):
            with pytest.raises(Failed) as caught:
                caller.reset(**wrong)
            assert code_of(caught) == INVALID

    def test_frames_come_with_each_step(self, caller):
        caller.begin(COUNTING, render_mode="rgb_array", lengths=[5], index=4)
        first = caller.step(uids=(1, 3))[1]
        assert first[1].tolist() == [4, 0, 0, -1]  # not of the second reset
        assert first[3].dtype == np.uint8 and first[3].size == 18 and (first[3] == 4).all()
        np.testing.assert_array_equal(caller.step(1, uids=(3,))[1][3], first[3])

    def test_an_action_that_is_missing_is_the_default(self, caller):
        caller.begin(COUNTING)
        caller.step()
        assert caller.step(uids=(1,))[1][1][3] == 0

    def test_an_error_of_the_env_is_an_answer(self, caller):
        caller.begin("CartPole-v1")
        caller.reset(options=text_tensor('{"low": 1, "high": 0}'))
        with quiet(), pytest.raises(Failed, match="ValueError"):
            caller.step()
        caller.reset()
        assert caller.step()[0] == RUNNING


class TestRequests:
    def test_each_that_does_not_fit_is_an_error_and_the_stream_goes_on(self, caller):
        for kind, body, code in [
            (RESET, b"", PRECONDITION),
            (STEP, b"", PRECONDITION),
            (JOIN, bytes_field(1, b"other"), NOT_FOUND),
            (DESTROY, bytes_field(1, b"other"), NOT_FOUND),
            (RESET_WORLD, b"", NOT_FOUND),
            (CREATE, settings(1, {"x": text_tensor("y")}), INVALID),
            (CREATE, settings(1, {"env": text_tensor("os:system")}), DENIED),
            (CREATE, settings(1, {"kwargs": text_tensor("{")}), INVALID),
            (CREATE, settings(1, {"args": text_tensor('{"repo": "https://x"}')}), DENIED),
            (CREATE, settings(1, {"args": text_tensor('{"entrypoint": "x.py"}')}), DENIED),
            (15, b"", UNIMPLEMENTED),
            (STEP, b"\xff", PRECONDITION),
            (CREATE, b"\xff", INVALID),
        ]:
            with pytest.raises(Failed) as caught:
                caller.ask(kind, body)
            assert code_of(caught) == code, caught.value
        name = caller.begin(COUNTING)
        for ask in (
            lambda: caller.join(name),
            lambda: caller.ask(DESTROY, bytes_field(1, name.encode())),
            lambda: caller.step(uids=(99,)),
        ):
            with pytest.raises(Failed):
                ask()
        caller.step()
        for wrong in (
            {"2": tensors.dumps(5, np.array(0))},
            {"1": tensors.dumps(5, np.array(8))},
            {"1": tensors.dumps(1, np.array(0))},
            {"1": tensors.dumps(5, np.array([0]), (1,))},
        ):
            with pytest.raises(Failed) as caught:
                caller.step(**wrong)
            assert code_of(caught) == INVALID
        assert caller.step(0)[0] == RUNNING

    def test_several_worlds(self, caller, host):
        first, second = caller.create(env=COUNTING), caller.create(env=COUNTING)
        assert first != second
        caller.join(first)
        caller.ask(LEAVE)
        answer = bytes(caller.join(second))
        caller.ask(LEAVE)
        caller.ask(LEAVE)
        assert bytes(caller.join(first)) == answer
        # beside the specs, what our own clients read
        assert answer.startswith(specs := bytes(caller.reset())) and len(answer) > len(specs)
        caller.ask(DESTROY, bytes_field(1, second.encode()))
        assert len(host.sessions) == 1

    def test_what_remote_gym_sends(self, caller):
        args = {"entrypoint_kwargs": {"env": COUNTING, "index": 2}}
        name = caller.create(args=json.dumps(args))
        caller.join(name)
        assert caller.step()[1][1][0] == 2

    def test_one_session_too_many(self, caller):
        for _ in range(4):
            caller.create(env=COUNTING)
        with pytest.raises(Failed, match="sessions of this host are taken"):
            caller.create(env=COUNTING)

    def test_random_bytes(self, caller):
        random.seed(5)
        caller.begin(COUNTING)
        step = bytes_field(STEP, bytes.fromhex("0a09080112052a030a0101120201021801"))
        for _ in range(300):
            data = bytearray(step)
            for _ in range(random.randrange(1, 5)):
                data[random.randrange(len(data))] = random.randrange(256)
            assert caller.stream.answer(bytes(data))

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 100_000,
            '{"a":' * 5000 + "1" + "}" * 5000,
            '{"a":' * 120 + "1" + "}" * 120,
            '{"a": ' + "1" * 5000 + "}",
            '{"a": nul}',
            "[1]",
        ],
        ids=lambda text: text[:12],
    )
    def test_json_that_does_not_do(self, caller, text):
        for _ in range(2):
            with quiet(), pytest.raises(Failed) as caught:
                caller.create(env=COUNTING, kwargs=text)
            assert code_of(caught) in (INVALID, UNKNOWN) and str(caught.value)
        caller.begin(COUNTING)

        def reset():
            caller.reset(options=text_tensor(text))
            caller.step()  # the env is reset now

        with pytest.raises(Failed):
            reset()
        caller.reset()
        caller.step()

    def test_wrong_wire_types(self, caller):
        caller.begin(COUNTING)
        fixed64, fixed32 = b"\x09" + bytes(8), b"\x0d" + bytes(4)
        for body in (number_field(1, 5), fixed64, fixed32, b"\x0b\x0c", bytes_field(2, b"\xff")):
            with pytest.raises(Failed) as caught:
                caller.ask(STEP, body)
            assert code_of(caught) == INVALID
        for request in (number_field(STEP, 1), b"\x19" + bytes(8), b"\x1d" + bytes(4), b"\x1b\x1c"):
            ((number, _, _),) = protobuf.fields(memoryview(caller.stream.answer(request)))
            assert number == ERROR
        caller.step()

    def test_the_key(self):
        with envring.serve(COUNTING, keys=["secret"]) as host:
            for caller, values in [
                (Caller(host, "secret"), {}),
                (Caller(host), {"key": "secret"}),
                (Caller(host), {"args": '{"key": "secret"}'}),
            ]:
                assert caller.create(**values)
                caller.stream.close()
            for caller, values in [(Caller(host), {}), (Caller(host, "secret"), {"key": "no"})]:
                with pytest.raises(Failed) as caught:
                    caller.create(**values)
                assert code_of(caught) == KEY


class TestStreamsWithoutAWorld:
    def test_they_have_a_time_limit(self, host):
        class Context:
            ended = False

            def peer(self):
                return "ipv4:127.0.0.1:1"

            def cancel(self):
                self.ended = True

        caller, idle = Caller(host), Caller(host)
        name = caller.create(env=COUNTING)
        streams = {each.stream: Context() for each in (caller, idle)}
        time.sleep(0.05)
        end_idle(streams, 0.04)
        assert [each.ended for each in streams.values()] == [False, True]
        caller.ask(DESTROY, bytes_field(1, name.encode()))
        time.sleep(0.05)
        end_idle(streams, 0.04)
        assert streams[caller.stream].ended

    def test_they_are_counted(self):
        with running(COUNTING, "--listen", "grpc://127.0.0.1:0", "--max-connections", "2") as host:
            envs = [envring.make(COUNTING, remotes=host.url) for _ in range(2)]
            with pytest.raises(envring.LaunchError, match="too many connections"):
                envring.make(COUNTING, remotes=host.url)
            envs.pop().close()
            wait_until(lambda: _has_room(host.url), 10, "a connection has ended")
            envs.pop().close()


def _has_room(url):
    try:
        envring.make(COUNTING, remotes=url).close()
    except envring.LaunchError:
        return False
    return True


class TestListening:
    def test_addresses(self):
        with pytest.raises(AddressError, match="insecure"):
            envring.serve(COUNTING, listen="grpc://0.0.0.0:0")
        with pytest.raises(AddressError, match="certificate"):
            envring.serve(COUNTING, listen="grpcs://127.0.0.1:0")

    def test_it_is_not_imported_unless_it_is_asked_for(self):
        code = "import sys, envring; envring.serve; assert 'grpc' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)
