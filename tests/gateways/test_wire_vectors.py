# SPDX-License-Identifier: MIT
"""The bytes in docs/wire.md are those of a host, and mean what the page says."""

from __future__ import annotations

import ast
import math
import re
import socket
import struct
from dataclasses import dataclass, field
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import zstandard

import envring
from docs import pages
from envring._foreign.envring_worker.envs.spaces import describe_space
from envring.batch.layout import Layout
from envring.gateways.plans import plans_of
from envring.pool.mirror import Mirror
from envring.transport import codec, frames
from support.launcher_conformance import FILE

PAGE = pages.ROOT / "docs" / "wire.md"
GAME = f"{FILE}:make"
HEAD = struct.Struct("<QBBHIQ")  # length, kind, flags, 0, 0, number
VALUES = (frames.HELLO, frames.OPEN, frames.MESSAGE, frames.TEMPLATES, frames.CLOSE)


@dataclass
class Part:
    """What one end sends: hexadecimal digits, dots for those that differ, and the comments."""

    sign: str
    digits: str
    comments: list[str] = field(default_factory=list)

    @property
    def data(self):
        return bytes.fromhex(self.digits)

    def fits(self, data):
        pattern = self.digits
        if pattern.endswith("..."):
            pattern = pattern[:-3] + ".*"
        return re.fullmatch(pattern, data.hex()) is not None


def parts(block):
    found = []
    for line in block.text.splitlines():
        text, _, comment = line.partition("#")
        digits = re.sub(r"\s", "", text[1:])
        if text[0] != " ":
            found.append(Part(text[0], digits))
        else:
            found[-1].digits += digits
        found[-1].comments.append(comment.strip())
    return found


CONVERSATION, *OTHERS, COLUMNS = [parts(block) for block in pages.blocks(PAGE, "wire")]
BEGINNING = CONVERSATION[:4]  # greetings, HELLO, WELCOME
SENT = [part for parts in (CONVERSATION, *OTHERS) for part in parts if part.sign == ">"]


class Client:
    """Sends bytes and receives frames, as the page describes them."""

    def __init__(self, url):
        name, port = url.removeprefix("tcp://").split(":")
        self.socket = socket.create_connection((name, int(port)), timeout=20)
        self.has_greeted = False

    def read(self, count):
        data = b""
        while len(data) < count:
            received = self.socket.recv(count - len(data))
            assert received, "the host closed the connection"
            data += received
        return data

    def frame(self):
        if not self.has_greeted:
            self.has_greeted = True
            return self.read(8)
        head = self.read(HEAD.size)
        return head + self.read(HEAD.unpack(head)[0])

    def play(self, conversation):
        answers = []
        for part in conversation:
            if part.sign == ">":
                self.socket.sendall(part.data)
            else:
                answers.append(self.frame())
                assert part.fits(answers[-1]), f"{part.comments[0]}: {answers[-1].hex(' ')}"
        return answers

    def ask(self, kind, body=b"", number=0):
        if not isinstance(body, bytes):
            body = codec.dumps(body)
        self.socket.sendall(HEAD.pack(len(body), kind, 0, 0, 0, number) + body)
        if kind != frames.TEMPLATES:
            return self.frame()
        return None


@pytest.fixture(scope="module")
def host():
    with envring.serve(["CartPole-v1", GAME]) as host:
        yield host


@pytest.fixture
def client(host):
    client = Client(host.url)
    yield client
    client.socket.close()


def leaves(plan):
    if plan[0] in ("leaf", "dynamic"):
        return [plan]
    children = [child[1] if plan[0] == "dict" else child for child in plan[1]]
    return [leaf for child in children for leaf in leaves(child)]


class Result:
    """A RESULT, read as the page says: slowly, and by nothing of ours but the codec."""

    def __init__(self, frame, obs, num_envs, templates=()):
        length, self.kind, self.flags, *zeros, self.number = HEAD.unpack_from(frame)
        assert zeros == [0, 0]
        assert length == len(frame) - HEAD.size
        self.rest = frame[HEAD.size :]
        fixed = [(dtype, shape) for kind, _, dtype, shape in leaves(obs) if kind == "leaf"]
        if self.flags & 1:
            self.leaves = [self.take(dtype, num_envs, *shape) for dtype, shape in fixed]
            self.rewards = self.take("<f8", num_envs)
            self.flagged = [self.take("u1", num_envs) for _ in "tt"]
        if self.flags & 2:
            self.ids = self.take("<u2", num_envs)
            self.cells = {
                number: [
                    (name, self.take(dtype, np.count_nonzero(self.ids == number), *shape))
                    for name, dtype, shape in self.columns(keys)
                ]
                for number, keys in sorted(templates)
            }
        if self.flags & 4:
            self.marks = self.take("u1", num_envs)
            count = np.count_nonzero(self.marks == 1)
            self.finals = [self.take(dtype, count, *shape) for dtype, shape in fixed]
        self.reply = codec.loads(self.rest) if self.flags & 8 else {}
        assert self.flags & 8 or not self.rest

    def take(self, dtype, *shape):
        count = math.prod(shape) * np.dtype(dtype).itemsize
        data, self.rest = self.rest[:count], self.rest[count:]
        return np.frombuffer(data, dtype).reshape(shape)

    def columns(self, keys):
        for kind, name, *rest in keys:
            if kind == "d":
                yield from self.columns(rest[0])
            elif kind in "na":
                yield name, rest[0], rest[1] if kind == "a" else ()
            elif kind in "fib":
                yield name, {"f": "<f8", "i": "<i8", "b": "u1"}[kind], ()


class TestConversations:
    def test_the_page_has_them(self):
        assert len(OTHERS) == 5
        assert "WELCOME" in BEGINNING[-1].comments[0]

    def test_the_first(self, client):
        client.play(CONVERSATION)

    @pytest.mark.parametrize("conversation", OTHERS)
    def test_others(self, client, conversation):
        if conversation[0].digits != BEGINNING[0].digits:
            client.play(BEGINNING)
        client.play(conversation)

    @pytest.mark.parametrize("part", SENT)
    def test_comments_say_what_is_sent(self, part):
        if len(part.data) <= HEAD.size or part.data[8] not in VALUES:
            return
        comments, body = part.comments[1:], part.data[HEAD.size :]
        if part.data[9] & frames.PACKED:
            comments, body = comments[1:], zstandard.decompress(body)
        assert codec.dumps(ast.literal_eval(" ".join(comments))) == body

    def test_final_observations(self, client):
        client.play(BEGINNING)
        answers = client.play(OTHERS[0])
        obs = ("leaf", 0, "<f4", (4,))
        first, second = (Result(answer, obs, 1) for answer in answers[1:3])
        third = Result(answers[3], obs, 1, [(1, [("F", "final_obs"), ("d", "final_info", [])])])
        local = gym.make_vec(
            "CartPole-v1",
            1,
            vectorization_mode="sync",
            max_episode_steps=1,
            vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
        )
        np.testing.assert_array_equal(first.leaves[0], local.reset(seed=7)[0])
        for result, action in ((second, 1), (third, 0)):
            observations, rewards, _, truncations, infos = local.step(np.array([action]))
            np.testing.assert_array_equal(result.leaves[0], observations)
            np.testing.assert_array_equal(result.rewards, rewards)
            np.testing.assert_array_equal(result.flagged[1], truncations)
            np.testing.assert_array_equal(result.finals[0][0], infos["final_obs"][0])
        assert second.reply == {"infos": {0: {"final_obs": None, "final_info": {}}}}
        assert third.ids.tolist() == [1]
        local.close()


class TestColumns:
    TEMPLATES = (
        (1, [("i", "t"), ("d", "by", [("f", "x")])]),
        (2, [("b", "new")]),
    )

    def test_the_page_names_these_templates(self):
        assert str(list(self.TEMPLATES)).replace("'", '"') in " ".join(PAGE.read_text().split())

    def test_a_reader(self):
        (part,) = COLUMNS
        result = Result(part.data, ("leaf", 0, "<f8", (1,)), 2, self.TEMPLATES)
        assert result.ids.tolist() == [2, 1]
        assert result.cells == {1: [("t", [5]), ("x", [-1.5])], 2: [("new", [1])]}
        assert not result.reply

    def test_ours(self):
        (part,) = COLUMNS
        section = part.data[-21:]
        area = np.zeros(1024, np.uint8)
        segment = SimpleNamespace(
            template_ids=np.zeros(2, np.uint16),
            final_marks=np.zeros(2, np.uint8),
            final_arrays=[],
            info_area=area,
            core=SimpleNamespace(num_envs=2),
        )
        mirror = Mirror(segment, slice(0, 2))  # whose own ids are in another order
        mirror.add_template(7, [("i", "t", 64), ("d", "by", [("f", "x", 128)])])
        mirror.add_template(3, [("b", "new", 192)])
        segment.template_ids[:] = 3, 7
        area[64:80].view("<i8")[1], area[128:144].view("<f8")[1], area[192] = 5, -1.5, 1
        assert b"".join(mirror.pack_infos(np.array([2, 1], np.uint16))) == section

        other = Mirror(segment, slice(0, 2))
        other.add_template(1, [("i", "t", 256), ("d", "by", [("f", "x", 320)])])
        other.add_template(2, [("b", "new", 384)])
        assert not other.unpack(frames.COLUMNS, memoryview(section))
        assert segment.template_ids.tolist() == [2, 1]
        assert area[256:272].view("<i8").tolist() == [0, 5]
        assert area[320:336].view("<f8").tolist() == [0.0, -1.5]
        assert area[384:386].tolist() == [1, 0]

    @pytest.mark.parametrize("order", [(1, 2), (2, 1)])
    def test_of_a_host_after_a_caller_came_back(self, host, order):
        """Who comes back may number its templates in another order."""
        session = {"client_id": f"columns {order}", "key": None}
        plans = {"obs": ("leaf", 0, "<f8", (3,)), "action": ("leaf", 0, "<i8", ())}
        for numbers in ((1, 2), order):
            client = Client(host.url)
            client.play(CONVERSATION[:2])
            client.ask(frames.HELLO, session)
            opened = client.ask(frames.OPEN, {"sources": [{"env": GAME}] * 2})
            assert codec.loads(opened[HEAD.size :])["plans"] == plans
            templates = sorted(zip(numbers, ([("i", "t")], [("f", "start")]), strict=True))
            client.ask(frames.TEMPLATES, templates)
            client.ask(frames.MESSAGE, ("reset", [1, 2], None, None, False), 1)
            for _ in range(7):
                client.ask(frames.STEP, bytes(20), 2)
            client.ask(frames.MESSAGE, ("reset", [None, None], None, [True, False], False), 3)
            for _ in range(6):
                frame = client.ask(frames.STEP, bytes(20), 4)
            # env 1 was reset by the first of these steps, env 0 is a step ahead of it
            result = Result(frame, plans["obs"], 2, templates)
            step, start = numbers
            assert result.ids.tolist() == [step, step]
            assert dict(result.cells[step])["t"].tolist() == [6, 5]
            client.ask(frames.STEP, bytes(20), 5)
            result = Result(client.ask(frames.STEP, bytes(20), 6), plans["obs"], 2, templates)
            assert result.ids.tolist() == [start, step]
            assert dict(result.cells[step])["t"].tolist() == [7]
            assert dict(result.cells[start])["start"].tolist() == result.leaves[0][:1, 0].tolist()
            client.socket.close()
        client = Client(host.url)
        client.play(CONVERSATION[:2])
        client.ask(frames.HELLO, session)
        assert client.ask(frames.OPEN, {"sources": [{"env": GAME}] * 2})[8] == frames.OPENED
        client.ask(frames.CLOSE)
        client.socket.close()


SPACES = [
    gym.spaces.Box(0, 255, (3, 2), np.uint8),
    gym.spaces.Discrete(3),
    gym.spaces.MultiBinary([2, 3]),
    gym.spaces.MultiDiscrete([[2, 3]]),
    gym.spaces.Dict(
        b=gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Text(3)]),
        a=gym.spaces.Sequence(gym.spaces.Discrete(2)),
    ),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_plans_of_the_host_are_those_of_our_caller(space):
    layout = Layout(space)
    spaces = ([describe_space(space)], [0])
    found = plans_of({"observation_spaces": spaces, "action_spaces": spaces})
    assert found["obs"] == layout.plan
    assert found["action"] == (None if layout.has_dynamic else layout.plan)
