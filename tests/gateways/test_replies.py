# SPDX-License-Identifier: MIT
"""What a host says of a batch beyond arrays is checked before it is used."""

from __future__ import annotations

import pytest

from envring.errors import CodecError
from envring.gateways.requests import plain
from envring.pool.remote_data import read_reply
from envring.pool.reply import Reply

HERE = range(3, 5)  # ids of the session's two envs


def test_it_arrives_with_the_ids_of_here():
    reply = Reply(
        failures=[(1, "exception", None, "text", "trace")],
        dynamic={0: {1: "a"}},
        finals={0: "b"},
        objects={1: [None]},
        odd={0: {"x": 1}},
        results={0: 1.0, 1: None},
    )
    assert read_reply(plain(reply, 2), HERE, 1) == Reply(
        failures=[(4, "exception", None, "text", "trace")],
        dynamic={0: {4: "a"}},
        finals={3: "b"},
        objects={4: [None]},
        odd={3: {"x": 1}},
        results={3: 1.0, 4: None},
    )


def test_what_is_empty_is_not_sent():
    assert plain(Reply(), 2) == {}
    assert read_reply({}, HERE, 1) == Reply()


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"other": {}},
        {"failures": {}},
        {"failures": [(0, "exception", "text")]},
        {"failures": [(2, "exception", "text", "trace")]},
        {"failures": [(0, "exception", b"text", "trace")]},
        {"failures": [(True, "exception", "text", "trace")]},
        {"dynamic": {1: {}}},
        {"dynamic": {-1: {}}},
        {"dynamic": {0: {2: "a"}}},
        {"dynamic": {0: []}},
        {"finals": {"0": "b"}},
        {"finals": None},
        {"objects": {0: "no list"}},
        {"infos": {-1: {}}},
        {"infos": {1.0: {}}},
        {"results": [1]},
        {"results": {0: 1, 1: 2}},
    ],
)
def test_what_is_not_a_reply(told):
    with pytest.raises(CodecError):
        read_reply(told, HERE, 1)
