# SPDX-License-Identifier: MIT
"""What RingVectorEnv has beyond AsyncVectorEnv, or does by decision where that is wrong."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from gymnasium.vector import SyncVectorEnv

from envring import RingVectorEnv
from envring.testing import BufferEnv, CountingEnv, SlowEnv, assert_same_batch, example_spaces
from envring.testing.conformance_base import same_results
from envring.testing.conformance_values import counting, sampling

HOMES = [(0, "compiled"), (0, "reference"), (2, "compiled"), (2, "reference")]
CONTEXTS = ["fork", "forkserver", "spawn"]


@pytest.fixture(params=HOMES, ids=lambda home: f"{home[0]}-{home[1]}")
def home(request: pytest.FixtureRequest) -> dict[str, Any]:
    workers, loop = request.param
    return {"num_workers": workers, "step_loop": loop}


def test_old_names_of_final_observations(home: dict[str, Any]) -> None:
    """``final_observation=True`` adds the names from before Gymnasium 1.0."""
    space = Dict({"a": Box(-1, 1, (2,), np.float32)})
    for fns in (counting(), sampling(space, infos="steady")):
        count = len(fns)
        envs = RingVectorEnv(fns, autoreset_mode="SameStep", final_observation=True, **home)
        oracle = SyncVectorEnv(fns, autoreset_mode="SameStep")
        envs.reset(seed=0), oracle.reset(seed=0)
        seen = 0
        for _ in range(6):
            infos, expected = envs.step([1] * count)[4], oracle.step([1] * count)[4]
            assert ("final_observation" in infos) == ("final_obs" in expected)
            if "final_obs" in expected:
                seen += 1
                assert_same_batch(infos.pop("final_observation"), expected["final_obs"])
                assert_same_batch(infos.pop("_final_observation"), expected["_final_obs"])
            assert set(infos) == set(expected)
        assert seen > 1
        envs.close()
        oracle.close()


def test_old_names_are_off_by_default(home: dict[str, Any]) -> None:
    envs = RingVectorEnv(counting(lengths=(1,)), autoreset_mode="SameStep", **home)
    envs.reset()
    infos = envs.step([0, 0])[4]
    assert "final_obs" in infos
    assert "final_observation" not in infos
    envs.close()


def test_final_obs_of_an_environment_that_reuses_its_buffers(home: dict[str, Any]) -> None:
    """The end is kept, though the reset overwrites the array and the info that held it."""
    fns = [lambda i=i: BufferEnv(i, (2,)) for i in range(3)]  # type: ignore[misc]
    envs = RingVectorEnv(fns, autoreset_mode="SameStep", **home)
    envs.reset(seed=0)
    envs.step([5, 5, 5])
    observations, *_, infos = envs.step([6, 6, 6])
    for index in range(3):
        final = np.array([index, 0, 2, 6], np.float32)
        assert_same_batch(infos["final_obs"][index], final)
        assert_same_batch(observations[index], np.array([index, 1, 0, -1], np.float32))
    assert_same_batch(infos["final_info"]["t"], np.array([2, 2, 2]))
    assert "round" not in infos["final_info"]
    kept = infos["final_obs"]
    envs.step([1, 1, 1])
    envs.step([1, 1, 1])
    assert_same_batch(kept[2], np.array([2, 0, 2, 6], np.float32))
    envs.close()


def test_observations_of_an_environment_that_reuses_its_buffers(home: dict[str, Any]) -> None:
    """The neighbours' rows and earlier batches are copies."""
    fns = [lambda i=i: BufferEnv(i, (9,)) for i in range(3)]  # type: ignore[misc]
    envs = RingVectorEnv(fns, **home)
    batches = [envs.reset(seed=0)[0]] + [envs.step([t] * 3)[0] for t in range(4)]
    for t, batch in enumerate(batches):
        expected = [[i, 0, t, t - 1] for i in range(3)]
        assert_same_batch(batch, np.array(expected, np.float32))
    envs.close()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", ["box_float16", "nested", "mixed", "graph", "box_64k"])
def test_contexts(context: str, name: str) -> None:
    """Every start method gives the same results."""
    fns = sampling(example_spaces()[name], infos="churn")
    envs = RingVectorEnv(fns, context=context, num_workers=2)
    oracle = SyncVectorEnv(fns)
    try:
        same_results(envs.reset(seed=2), oracle.reset(seed=2), "reset")
        for number in range(8):
            same_results(envs.step([0, 1, 2]), oracle.step([0, 1, 2]), f"step {number}")
        assert_same_batch(envs.call("probe", 1), oracle.call("probe", 1))
    finally:
        envs.close()
        oracle.close()


@pytest.mark.parametrize("workers", [0, 1, 2, 3, 5, 9])
def test_results_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    space = example_spaces()["nested"]
    fns = [fn for _ in range(3) for fn in sampling(space, infos="churn")][:7]
    envs = RingVectorEnv(fns, num_workers=workers, autoreset_mode="SameStep")
    oracle = SyncVectorEnv(fns, autoreset_mode="SameStep")
    try:
        same_results(envs.reset(seed=2), oracle.reset(seed=2), "reset")
        for number in range(6):
            same_results(envs.step([1] * 7), oracle.step([1] * 7), f"step {number}")
        pids = envs.get_attr("np_random_seed")
        assert len(pids) == 7
    finally:
        envs.close()
        oracle.close()


def test_number_of_workers() -> None:
    """Contiguous slices; never more workers than environments."""
    for wanted, got in ((0, 0), (1, 1), (2, 2), (5, 3)):
        envs = RingVectorEnv(counting(3), num_workers=wanted)
        pids = envs.get_attr("pid")
        assert envs.num_workers == got
        assert len(set(pids)) == max(got, 1)
        assert (os.getpid() in pids) == (got == 0)
        assert len(envs.processes) == got
        envs.close()
    usable = len(os.sched_getaffinity(0))
    envs = RingVectorEnv(counting(3))
    assert 1 <= envs.num_workers <= min(3, usable)
    envs.close()


def test_max_concurrency_is_the_number_of_workers() -> None:
    envs = RingVectorEnv(counting(3), max_concurrency=2)
    assert envs.num_workers == 2
    envs.close()


def test_no_environment_is_built_in_the_caller() -> None:
    """Workers build them, each its own, once."""
    envs = RingVectorEnv([lambda: Built()] * 3, num_workers=3)
    assert os.getpid() not in envs.get_attr("born_in")
    assert len(set(envs.get_attr("born_in"))) == 3
    envs.close()


class Built(CountingEnv):
    def __init__(self) -> None:
        super().__init__()
        self.born_in = os.getpid()


def test_worker_environment_variables() -> None:
    os.environ["ENVRING_TEST_GONE"] = "here"
    try:
        envs = RingVectorEnv(
            [lambda: Variables()] * 2,
            num_workers=2,
            worker_env={"ENVRING_TEST_NEW": "set", "ENVRING_TEST_GONE": None},
        )
        assert envs.call("variable", "ENVRING_TEST_NEW") == ("set", "set")
        assert envs.call("variable", "ENVRING_TEST_GONE") == (None, None)
        assert envs.call("variable", "OMP_NUM_THREADS") == ("1", "1")
        envs.close()
        assert os.environ["ENVRING_TEST_GONE"] == "here"
        assert "ENVRING_TEST_NEW" not in os.environ
    finally:
        del os.environ["ENVRING_TEST_GONE"]


class Variables(CountingEnv):
    def variable(self, name: str) -> str | None:
        return os.environ.get(name)


def test_pinned_workers() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    envs = RingVectorEnv([lambda: Pinned()] * 2, num_workers=2, pin=True)
    assert all(len(cpus) == 1 for cpus in envs.get_attr("cpus"))
    envs.close()
    envs = RingVectorEnv([lambda: Pinned()] * 2, num_workers=2, pin=[cpus[0]])
    assert envs.get_attr("cpus") == ({cpus[0]}, {cpus[0]})
    envs.close()
    envs = RingVectorEnv([lambda: Pinned()] * 2, num_workers=2)
    assert envs.get_attr("cpus") == (set(cpus), set(cpus))
    envs.close()


class Pinned(CountingEnv):
    @property
    def cpus(self) -> set[int]:
        return os.sched_getaffinity(0)


@pytest.mark.parametrize("spin", [0, 0.0005, None])
def test_spin(spin: float | None) -> None:
    """However it waits, the results are the same."""
    envs = RingVectorEnv(counting(4, lengths=(99,)), num_workers=2, spin=spin)
    envs.reset(seed=0)
    for number in range(1, 60):
        assert envs.step([0] * 4)[1].tolist() == [i + number / 8 for i in range(4)]
    envs.close()


def test_environments_that_sleep_are_pointed_out() -> None:
    """Few workers and envs that mostly wait: one warning with the remedy."""
    envs = RingVectorEnv([SlowEnv] * 4, num_workers=2)
    envs.reset()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(60):
            envs.step(np.full(4, 0.004))
    envs.close()
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 1
    assert all("num_workers=num_envs" in text for text in texts)


def test_threads_of_the_caller_are_left_alone() -> None:
    before = threading.active_count()
    envs = RingVectorEnv(counting(2), num_workers=2)
    envs.reset()
    assert threading.active_count() == before
    envs.close()


@pytest.mark.parametrize("context", CONTEXTS)
def test_mpi_variables_stay_with_the_caller(context: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An env that imports MPI must not take its worker for a rank of the caller's job."""
    monkeypatch.setenv("OMPI_ENVRING_TEST", "1")
    monkeypatch.setenv("PMI_ENVRING_TEST", "1")
    envs = RingVectorEnv([Variables], num_workers=1, context=context)
    assert envs.call("variable", "OMPI_ENVRING_TEST") == (None,)
    assert envs.call("variable", "PMI_ENVRING_TEST") == (None,)
    assert os.environ["OMPI_ENVRING_TEST"] == "1"
    envs.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_ended_environments_in_disabled_mode_are_stepped(mode: str, home: dict[str, Any]) -> None:
    """AsyncVectorEnv does not check, and callers may rely on it."""
    envs = RingVectorEnv(counting(2, lengths=(1,)), autoreset_mode=mode, **home)
    envs.reset(seed=0)
    envs.step([3, 3])
    expected = {"NextStep": [1, 0, -1], "SameStep": [2, 0, -1], "Disabled": [0, 2, 3]}[mode]
    assert envs.step([3, 3])[0][0, 1:].tolist() == expected
    envs.close()


def test_registered_environments_under_spawn() -> None:
    """gymnasium.make in the env function, and lambdas, cross to spawned workers."""
    kwargs = {"max_episode_steps": 5}
    fns = [lambda: gymnasium.make("CartPole-v1", **kwargs)] * 2
    envs, oracle = RingVectorEnv(fns, context="spawn", num_workers=2), SyncVectorEnv(fns)
    same_results(envs.reset(seed=1), oracle.reset(seed=1), "reset")
    for number in range(12):
        same_results(envs.step([0, 1]), oracle.step(np.array([0, 1])), f"step {number}")
    envs.close()
    oracle.close()
