# SPDX-License-Identifier: MIT
"""Vector envs in daemonic processes: those of multiprocessing's Pool and of AsyncVectorEnv.

tests/ecosystem/test_sb3_daemons.py has those of DataLoader and SubprocVecEnv.
"""

import multiprocessing

import pytest
from gymnasium.vector import AsyncVectorEnv

from support.nested import NAMES, Nesting, check, outcome
from support.processes import CONTEXTS


@pytest.mark.parametrize("context", CONTEXTS)
def test_pool(context):
    with multiprocessing.get_context(context).Pool(1) as pool:
        said = pool.map(outcome, NAMES)
        pool.close()
        pool.join()
    for name, each in zip(NAMES, said, strict=True):
        check(name, each)


def _put(queue, name):
    queue.put(outcome(name))


def test_process():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    for name in NAMES:
        process = context.Process(target=_put, args=(queue, name), daemon=True)
        process.start()
        check(name, queue.get())
        process.join()
        process.close()
    queue.close()


@pytest.mark.parametrize("context", CONTEXTS)
def test_async_vector_env(context):
    envs = AsyncVectorEnv([Nesting] * 2, context=context, shared_memory=False)
    try:
        envs.reset()
        for said in envs.get_attr("said"):
            for name, each in said.items():
                check(name, each)
        envs.step([0, 0])
    finally:
        envs.close()


def test_a_forked_process_has_a_fork_server_of_its_own():
    assert outcome("forkserver") == "works"  # now this process has one
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_put, args=(queue, "forkserver"), daemon=False)
    process.start()
    assert queue.get() == "works"
    process.join()
    process.close()
    queue.close()
    assert outcome("forkserver") == "works"  # and still has it


def test_a_process_that_is_not_daemonic_may_have_workers():
    envs = AsyncVectorEnv([Nesting], daemon=False, shared_memory=False)
    try:
        envs.reset()
        assert set(envs.get_attr("said")[0].values()) == {"works"}
    finally:
        envs.close()
