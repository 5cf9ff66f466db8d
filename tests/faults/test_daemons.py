# SPDX-License-Identifier: MIT
"""Vector envs in daemonic processes, such as those of multiprocessing's Pool and of DataLoader."""

import multiprocessing
import sys

import pytest

from envring import EnvSource, LauncherError, RingEnv, RingVectorEnv
from envring.testing import CountingEnv


def _answer(queue, make):
    try:
        env = make()
        env.reset(seed=0)
        env.close()
        queue.put("works")
    except BaseException as error:
        queue.put((type(error), str(error), multiprocessing.active_children()))


def in_a_daemon(make):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_answer, args=(queue, make), daemon=True)
    process.start()
    answer = queue.get()
    process.join()
    process.close()
    queue.close()
    return answer


@pytest.mark.parametrize(
    "make",
    [
        lambda: RingVectorEnv([CountingEnv] * 2, num_workers=2),
        lambda: RingVectorEnv([CountingEnv] * 2, num_workers=1, context="forkserver", daemon=False),
        lambda: RingVectorEnv([CountingEnv] * 2, caller_steps=True),
        lambda: RingEnv(CountingEnv),
    ],
)
def test_local_workers_are_refused(make):
    kind, text, children = in_a_daemon(make)
    assert kind is LauncherError
    assert "num_workers=0" in text and "launcher=" in text
    assert children == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: RingVectorEnv([CountingEnv] * 2, num_workers=0),
        lambda: RingVectorEnv(
            [EnvSource("CartPole-v1")] * 2, launcher=f"prefix:{sys.prefix}", num_workers=1
        ),
    ],
)
def test_what_its_error_names_works(make):
    assert in_a_daemon(make) == "works"
