# SPDX-License-Identifier: MIT
"""What docs/moving.md says that differs from SyncVectorEnv, on both."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import SyncVectorEnv

from envring import ActionError, RingVectorEnv
from envring.testing import CountingEnv, FailingEnv, assert_same_batch
from envring.testing.conformance_base import quiet


class TableEnv(CountingEnv):
    """Has an object that callers can get hold of, also by an info."""

    def __init__(self, index: int = 0) -> None:
        super().__init__(index, (2,))
        self.table = [index]

    def step(self, action: Any) -> Any:
        *results, info = super().step(action)
        return *results, {**info, "table": self.table}


def fns() -> list[Any]:
    return [lambda i=i: TableEnv(i) for i in range(2)]  # type: ignore[misc]


@pytest.fixture
def both(request: pytest.FixtureRequest) -> Any:
    """A SyncVectorEnv and a RingVectorEnv, made with the same arguments."""
    kwargs = getattr(request, "param", {})
    made = [SyncVectorEnv(fns(), **kwargs), RingVectorEnv(fns(), num_workers=2, **kwargs)]
    yield made
    for envs in made:
        envs.close()


def test_only_envs_is_missing(both: Any) -> None:
    def public(envs: Any) -> set[str]:
        return {name for name in {*dir(envs), *vars(envs)} if not name.startswith("_")}

    sync, ring = both
    assert public(sync) - public(ring) == {"envs"}
    assert {"step_async", "send", "recv"} <= public(ring) - public(sync)
    with pytest.raises(AttributeError):
        _ = ring.envs
    assert len(ring) == 2


def test_env_fns_are_a_sequence() -> None:
    SyncVectorEnv(make for make in fns()).close()  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RingVectorEnv(make for make in fns())  # type: ignore[arg-type]


def test_objects_are_copies(both: Any) -> None:
    seen = []
    for envs in both:
        envs.reset(seed=0)
        envs.get_attr("table")[0].append("by get_attr")
        envs.step([1, 1])[4]["table"][1].append("by an info")
        envs.np_random[0].random()
        draws = [each.random() for each in envs.np_random]
        shared = ["ours"]
        table = envs.get_attr("table")
        envs.set_attr("gravity", [shared, shared])
        shared.append("later")
        same = envs.single_action_space is envs.get_attr("action_space")[0]
        seen.append((table, draws[0], envs.get_attr("gravity")[0], same))
    (of_sync, drawn, held, same), (of_ring, others, copied, other) = seen
    assert of_sync == ([0, "by get_attr"], [1, "by an info"])
    assert of_ring == ([0], [1])
    assert drawn != others
    assert (held, copied) == (["ours", "later"], ["ours"])
    assert (same, other) == (True, False)
    assert both[0].single_action_space == both[1].single_action_space


def test_without_workers_they_are_the_envs_own() -> None:
    with RingVectorEnv(fns(), num_workers=0) as envs:
        envs.reset(seed=0)
        envs.get_attr("table")[0].append(7)
        assert envs.get_attr("table")[0] == [0, 7]


@pytest.mark.parametrize("name", ["reset", "step", "close"])
def test_calls_of_what_has_a_method(name: str, both: Any) -> None:
    sync, ring = both
    for envs in both:
        envs.reset(seed=0)
    args = (1,) if name == "step" else ()
    assert len(sync.call(name, *args)) == 2
    with quiet(), pytest.raises(ValueError, match=f"use `{name}` directly"):
        ring.call(name, *args)


def test_use_after_close(both: Any) -> None:
    sync, ring = both
    for envs in both:
        envs.reset(seed=0)
        envs.close()
    sync.step([1, 1])
    for use in (ring.reset, lambda: ring.step([1, 1]), lambda: ring.get_attr("gravity")):
        with pytest.raises(ClosedEnvironmentError):
            use()


@pytest.mark.parametrize("seed", [np.int64(4), np.array([4, 5]), [np.int32(4), np.int64(5)]])
def test_seeds_of_numpy(seed: Any, both: Any) -> None:
    sync, ring = both
    with pytest.raises(Exception, match="integer|no len"):
        sync.reset(seed=seed)
    assert_same_batch(ring.reset(seed=seed), sync.reset(seed=[4, 5]))
    assert ring.np_random_seed == (4, 5)


@pytest.mark.parametrize("actions", [[1.5, 1], np.array([1.5, 1.0])])
def test_actions_that_would_lose_something(actions: Any, both: Any) -> None:
    sync, ring = both
    for envs in both:
        envs.reset(seed=0)
    assert sync.step(actions)[0][:, 3].tolist() == [1.5, 1]
    with pytest.raises(ActionError, match="casting would lose"):
        ring.step(actions)
    assert ring.step([1, 1])[0][:, 2].tolist() == [1, 1]


@pytest.mark.parametrize("actions", [[1], [1, 1, 1]])
def test_the_wrong_number_of_actions(actions: Any, both: Any) -> None:
    sync, ring = both
    for envs in both:
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"zip|Got . actions"):
            envs.step(actions)
    assert sync.step([1, 1])[0][0, 2] == 2
    assert ring.step([1, 1])[0][:, 2].tolist() == [1, 1]


def test_the_others_of_an_env_that_raises() -> None:
    made = [
        lambda: CountingEnv(0, (9,)),
        lambda: FailingEnv(lambda: ValueError("boom"), index=1, lengths=(9,)),
        lambda: CountingEnv(2, (9,)),
    ]
    steps = []
    for envs in (SyncVectorEnv(made), RingVectorEnv(made, num_workers=1)):
        envs.reset(seed=0)
        with quiet(), pytest.raises(ValueError, match="boom") as caught:
            envs.step([1] * 3)
        steps.append(envs.step([1] * 3)[0][:, 2].tolist())
        notes = getattr(caught.value, "__notes__", [])
        envs.close()
    assert steps == [[2, 1, 1], [2, 1, 2]]
    assert any("env 1" in note for note in notes)


def test_the_dict_of_a_masked_reset(both: Any) -> None:
    left = []
    for envs in both:
        envs.reset(seed=0)
        options = {"reset_mask": np.array([True, False])}
        envs.reset(options=options)
        left.append(list(options))
    assert left == [[], ["reset_mask"]]


@pytest.mark.parametrize("both", [{"autoreset_mode": "Disabled"}], indirect=True)
def test_steps_after_the_end(both: Any) -> None:
    sync, ring = both
    for envs in both:
        envs.reset(seed=0)
        envs.step([1, 1])
        assert envs.step([1, 1])[2].all()
    with pytest.raises(AssertionError):
        sync.step([1, 1])
    assert ring.step([1, 1])[0][:, 2].tolist() == [3, 3]


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies(take: Any, both: Any) -> None:
    sync, ring = both
    if take is not pickle.dumps:  # env functions are local here
        assert isinstance(take(sync), SyncVectorEnv)
    with pytest.raises(TypeError, match="Copy or send the env functions"):
        take(ring)
