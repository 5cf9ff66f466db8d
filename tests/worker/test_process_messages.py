# SPDX-License-Identifier: MIT
"""What a worker process is told and what it answers, however long and whether it can cross."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from envring.core import _core
from worker.caller import LIBRARY, Caller, source

OLD_NEW = pytest.mark.parametrize("version", ["2.7", "3.6", "3.13"])
BOTH = pytest.mark.parametrize("library", [LIBRARY, None], ids=["native", "relay"])


@pytest.fixture
def python(version, foreign_python) -> str:
    return foreign_python(version)


@OLD_NEW
@BOTH
def test_messages(python, library):
    with Caller(python, [source("Counting"), source("Counting")], library=library) as caller:
        caller.up()
        caller.reset(seed=1)
        caller.step()
        mask = np.array([False, True])
        assert caller.run(_core.OP_MESSAGE, "reset", 0, [8, 9], {"any": 1}, mask) is None
        assert caller.obs.tolist() == [[1, 1], [0, 9]]
        assert caller.run(_core.OP_MESSAGE, "set_attr", "length", [3, 1]) is None
        assert caller.call("length") == [3, 1]
        value = {"a": [1, (2.5, None)], "b": "gr\xf6\xdfe", "c": 2**80, "d": True}
        assert caller.call("echo", value, key="x") == [((value,), {"key": "x"})] * 2
        array = np.arange(6, dtype=">i2").reshape(2, 3)
        for (got,), _ in caller.call("echo", array):
            assert got.dtype == array.dtype and (got == array).all()

        caller.run(_core.OP_MESSAGE, "actions", [4, 5], answered=False)
        caller.actions[:] = 0
        caller.begin(_core.OP_STEP, action=1)
        assert caller.finish() is None
        assert caller.rewards.tolist() == [4, 5]


@OLD_NEW
@BOTH
def test_info_columns_and_objects(python, library):
    info = {"n": 3, "x": 0.5, "name": "gr\xf6\xdfe", "inner": {"list": [1, 2]}}
    with Caller(python, [source("Counting", info=info)], library=library) as caller:
        caller.up()
        reply = caller.reset()
        assert reply["odd"] == {0: info}
        template = (
            1,
            [("i", "n", 0), ("f", "x", 8), ("o", "name"), ("d", "inner", [("o", "list")])],
        )
        if caller.python2:  # a dict's order is its own there
            order = list(reply["odd"][0])
            template[1].sort(key=lambda entry: order.index(entry[1]))
        caller.run(_core.OP_MESSAGE, "templates", [template], answered=False)
        reply = caller.step()
        objects = [[info["name"], [1, 2]], [[1, 2], info["name"]]]
        assert reply["odd"] == {} and reply["objects"][0] in objects
        area = caller.segment.array(caller.segment.off_infos, (16,), np.uint8)
        assert area[:8].view(np.int64) == 3 and area[8:].view(np.float64) == 0.5


@OLD_NEW
@BOTH
def test_large_messages_and_replies(python, library):
    """Larger than rings, sockets and pipes hold."""
    text = "x" * 3_000_001
    with Caller(python, [source("Counting")], library=library) as caller:
        caller.up()
        assert caller.call("size_of", text) == [len(text)]
        (got,) = caller.call("many", 2_500_000)
        assert got in (b"x" * 2_500_000, "x" * 2_500_000)


@OLD_NEW
@BOTH
def test_memory_does_not_grow(python, library):
    info = {"text": "x" * 1000, "list": list(range(50))}
    with Caller(python, [source("Counting", info=info, length=4)], library=library) as caller:
        caller.up()
        text = "y" * 200_000

        def work(rounds: int) -> int:
            for _ in range(rounds):
                caller.reset(seed=1)
                caller.call("size_of", text)
                for _ in range(6):
                    caller.step()
            (used,) = caller.call("memory")
            return used

        first = work(60)
        assert work(300) - first < 2 << 20


# -- what cannot cross -------------------------------------------------------------------------


def failure(reply: Any) -> tuple[str, str]:
    """Text and traceback of the one failure, which came without anything to unpickle."""
    ((env_id, label, data, text, trace),) = reply["failures"]
    assert (env_id, label, data) == (0, "exception", None)
    return text, trace


@OLD_NEW
@BOTH
@pytest.mark.parametrize(
    ("how", "text"),
    [("text", "no gr\xf6\xdfe"), ("bytes", "no text"), ("nothing", "without a readable text")],
)
def test_exceptions_travel_as_text(python, library, how, text):
    with Caller(python, [source("Raising", how=how)], library=library) as caller:
        caller.up()
        caller.reset(seed=1)
        assert caller.step() is None
        said, trace = failure(caller.step())
        assert text in said
        assert "in step" in trace and "plain_envs.py" in trace
        assert caller.step() is None
        assert caller.obs[0, 0] == 3


@OLD_NEW
@BOTH
def test_what_cannot_cross_is_named(python, library):
    advice = "cannot be sent to another interpreter"
    with Caller(python, [source("Counting")], library=library) as caller:
        caller.up()
        text, _ = failure(caller.run(_core.OP_MESSAGE, "call", "give", ("foo",), {}))
        assert re.match(r"result\['a'\]\[1\]: <class '.*\.Foo'> " + advice, text)
        text, _ = failure(caller.run(_core.OP_MESSAGE, "call", "foo", (), {}))
        assert re.match(r"result: <class '.*\.Foo'> " + advice, text)

        caller.call("put", {"a": {"n": 1}}, "foo", ["a", "b"])
        text, _ = failure(caller.step())
        assert re.match(r"info\['a'\]\['b'\]: <class '.*\.Foo'> " + advice, text)
        # objects of a template travel without their keys
        order = ["b", "n"] if caller.call("order") == [["b", "n"]] else ["n", "b"]
        inner = [("o", "b") if key == "b" else ("i", "n", 0) for key in order]
        template = (1, [("d", "a", inner)])
        caller.run(_core.OP_MESSAGE, "templates", [template], answered=False)
        text, _ = failure(caller.step())
        assert re.match(r"info\['a'\]\['b'\]: <class '.*\.Foo'> " + advice, text)
        caller.call("put", {}, None, [])
        assert caller.step() is None


@OLD_NEW
@BOTH
def test_observations_that_cannot_cross_are_named(python, library):
    """A final one, and one of no fixed size."""
    advice = "cannot be sent to another interpreter"
    strange = source("Strange", how="subclass", length=2)
    with Caller(python, [strange], library=library, autoreset_mode=1) as caller:
        caller.up()
        caller.reset()
        assert caller.step() is None
        text, _ = failure(caller.step())
        assert re.match(r"final observation: <class '.*MaskedArray'> " + advice, text)

    with Caller(python, [source("Strange", how="inner")], library=library) as caller:
        caller.ready()
        layout = caller.lay_out()
        layout["obs_leaves"] = layout["final_leaves"] = [(0, None, "")]
        plan = ("dict", [("a", ("dynamic", 0))])
        assert caller.attach(layout, plan) == ("attached",)
        text, _ = failure(caller.step())
        assert re.match(r"observation\['a'\]\[1\]: <class '.*\.Foo'> " + advice, text)


@pytest.mark.parametrize("version", ["3.13"])  # it takes seconds
def test_what_is_too_large_altogether_is_an_error_too(python):
    with Caller(python, [source("Counting"), source("Counting")]) as caller:
        caller.up()
        ((_, _, _, text, _), _) = caller.run(_core.OP_MESSAGE, "call", "crowd", (), {})["failures"]
        assert "items" in text
        assert caller.call("length") == [5, 5]
