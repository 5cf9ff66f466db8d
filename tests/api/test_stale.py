# SPDX-License-Identifier: MIT
"""ENVRING_DEBUG=1: arrays of a rollout that are used too late, or too early, say so."""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys
from functools import partial

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple

import envring
from envring.testing import CountingEnv, SpaceEnv, assert_same_batch

SPACE = Dict(
    a=Box(-1, 1, (3,), np.float32),
    b=Tuple([Discrete(5), MultiBinary(4)]),
    c=Box(0, 255, (2, 2), np.uint8),
)


@contextlib.contextmanager
def rolling(env=CountingEnv, steps=2, count=2):
    envs = envring.RingVectorEnv([env] * count, num_workers=1, slots=steps + 1)
    try:
        yield envs.rollout()
    finally:
        envs.close()


@pytest.fixture(autouse=True)
def debugging(monkeypatch):
    monkeypatch.setenv("ENVRING_DEBUG", "1")


READERS = {
    "+": lambda a: a + 1,
    "right": lambda a: np.ones(1) * a,
    "@": lambda a: a @ a.T,
    "==": lambda a: a == a,
    "in place": lambda a: np.multiply(a, 2, out=np.empty(a.shape)),
    "index": lambda a: a[0],
    "elements": lambda a: a[(0,) * a.ndim],
    "slice": lambda a: a[0:1],
    "chosen": lambda a: a[[0]],
    "masked": lambda a: a[np.ones(len(a), bool)],
    "iter": lambda a: list(a),
    "in": lambda a: 3 in a,
    "bool": lambda a: bool(a),
    "float": lambda a: float(a[:1].view().reshape(-1)[:1]),
    "repr": repr,
    "str": str,
    "format": lambda a: f"{a}",
    "tolist": lambda a: a.tolist(),
    "item": lambda a: a.item(0),
    "astype": lambda a: a.astype(np.float64),
    "tobytes": lambda a: a.tobytes(),
    "copy": lambda a: a.copy(),
    "flatten": lambda a: a.flatten(),
    "deepcopy": copy.deepcopy,
    "shallow copy": copy.copy,
    "pickle": pickle.dumps,
    "max": lambda a: a.max(),
    "take": lambda a: a.take([0]),
    "plain view": lambda a: a.view(np.ndarray),
    "np.sum": np.sum,
    "np.concatenate": lambda a: np.concatenate([a, a]),
    "np.stack": lambda a: np.stack([a]),
    "np.where": lambda a: np.where(a, 1, 2),
    "np.copy": np.copy,
    "np.array_equal": lambda a: np.array_equal(a, a),
    "np.from_dlpack": np.from_dlpack,
    "after reshape": lambda a: a.reshape(-1, 1) + 1,
    "after transpose": lambda a: np.transpose(a).sum(),
}
if sys.version_info >= (3, 12):
    READERS["buffer"] = memoryview


def arrays_of(rollout):
    r = rollout
    outcomes = {"rewards": r.rewards, "ends": r.terminations, "cuts": r.truncations}
    return {"observations": r.observations, "actions": r.actions, "valid": r.valid, **outcomes}


@pytest.mark.parametrize("how", READERS)
def test_what_is_stale_raises(how):
    read = READERS[how]
    with rolling() as rollout:
        first, _ = rollout.reset(seed=0)
        second, *_ = rollout.step([1, 2])
        third, rewards, *_ = rollout.step([3, 4])
        whole = arrays_of(rollout)
        row = whole["observations"][0]
        rollout.step([5, 6])  # the next rollout: slots 0 and 1 are written
        for stale in (first, second, row, *whole.values()):
            with pytest.raises(envring.StaleViewError, match="written again"):
                read(stale)
        assert (third == third).all()  # slot 2 is as it was
        assert not np.isnan(rewards.sum())
        rollout.step([7, 8])
        for stale in (third, rewards):
            with pytest.raises(envring.StaleViewError, match="written again"):
                read(stale)
        assert rollout.actions.tolist() == [[5, 6], [7, 8]]


def test_what_numpy_does_not_ask_about_is_not_old_data():
    with rolling(partial(SpaceEnv, SPACE, Discrete(9)), steps=3) as rollout:
        rollout.reset(seed=0)
        for _ in range(3):
            rollout.step([1, 2])
        observations = rollout.observations
        checked = [observations["a"], *observations["b"], observations["c"], rollout.actions]
        checked += [rollout.rewards, rollout.truncations]
        before = [np.asarray(each) for each in checked]
        shared = [np.from_dlpack(each) for each in checked]
        values = [each.copy() for each in before]
        assert all(type(each) is np.ndarray for each in (*before, *shared, *values))
        rollout.step([3, 4])
        after = [np.asarray(each) for each in checked]
        copied = [np.array(each) for each in checked]
        for same in (before, shared, after, copied):
            for i, (old, value) in enumerate(zip(same, values, strict=True)):
                if old.dtype.kind == "f":
                    assert np.isnan(old[0]).all()
                elif old.dtype == bool:
                    assert old[0].all()
                else:
                    assert (old[0].view(np.uint8) == 0xCD).all()
                rest = slice(2, None) if i < 4 else slice(1, None)  # observations are a slot ahead
                np.testing.assert_array_equal(old[rest], value[rest])


def test_copies_are_never_refused():
    """However they were made."""
    with rolling(steps=4) as rollout:
        rollout.reset(seed=0)
        for _ in range(4):
            rollout.step([1, 2])
        observations, rewards = rollout.observations, rollout.rewards
        chosen = np.array([1, 0, 3])
        copies = [
            observations.reshape(8, -1)[chosen],
            observations[[0, 1]],
            observations[chosen, [0, 1, 0]],
            rewards[rewards > 0],
            rewards[np.ones(4, bool)],
            observations.astype(np.float64),
            observations.flatten(),
            observations.copy(),
            observations.ravel(order="F"),
            observations.swapaxes(0, 1).reshape(8, -1),
            observations.take([0], axis=0),
            np.array(observations),
            np.array(observations, subok=True),
            np.zeros_like(observations),
            np.copy(observations),
            observations + 0,
            copy.deepcopy(observations),
            pickle.loads(pickle.dumps(observations)),
            observations.mean(axis=0),
        ]
        values = [np.asarray(each).tolist() for each in copies]
        for _ in range(5):
            rollout.step([3, 4])
        for each, value in zip(copies, values, strict=True):
            assert (each + 0).tolist() == value
            assert each[...].tolist() == value
            each[...] = 7
            assert (each == 7).all()


def test_rows_of_steps_that_were_not_made_raise():
    with rolling(steps=4) as rollout:
        rollout.reset(seed=0)
        for begun in range(2):
            whole = arrays_of(rollout)  # taken before, read when they are there
            for at in range(1 + begun, 4):
                rollout.step([at, at])
                assert rollout.at == at
                for array in arrays_of(rollout).values():
                    assert len(array) == 4
                    array[:at] + 1
                    array[0] + 1
                    array[at - 1 :: -1].tolist()
                    array[[at - 1]] + 1
                    array[np.arange(4) < at] + 1
                    array.reshape(8, -1)[: 2 * at].sum()
                    array.reshape(8, -1)[np.arange(2 * at)].sum()
                    assert np.shape(array)[0] == 4
                for array in (rollout.rewards, rollout.actions, rollout.valid, whole["rewards"]):
                    for read in (
                        lambda a: a + 1,
                        lambda a: a[-1],
                        lambda a: a[at],  # noqa: B023
                        lambda a: a[[0, at]],  # noqa: B023
                        lambda a: a[at:],  # noqa: B023
                        lambda a: a[:, :1],
                        lambda a: a.reshape(8, -1)[np.arange(8)],
                        lambda a: a.T.sum(),
                        list,
                    ):
                        with pytest.raises(envring.StaleViewError, match="not made yet"):
                            read(array)
                assert np.isnan(np.asarray(rollout.rewards)[at:]).all()
            rollout.step([9, 9])
            assert rollout.full
            for name, array in arrays_of(rollout).items():
                assert (array == whole[name]).all()
            rollout.step([1, 1])


def test_they_are_what_is_stored():
    """The same as without ENVRING_DEBUG, round for round, and with lost and short rollouts."""

    def play(kept):
        env = partial(SpaceEnv, SPACE, Discrete(9))
        with rolling(env, steps=3, count=3) as rollout:
            for seed in range(3):
                kept.append(copy.deepcopy(rollout.reset(seed=seed)))
                for at in range(4 * seed + 2):
                    kept.append(copy.deepcopy(rollout.step(np.full(3, at))))
                    made = slice(0, rollout.at)
                    observations = rollout.observations
                    leaves = [observations["a"], *observations["b"], observations["c"]]
                    kept.append([np.array(each[made]) for each in leaves])
                    arrays = arrays_of(rollout)
                    del arrays["observations"]
                    kept.append({name: np.array(each[made]) for name, each in arrays.items()})
                    kept.append(copy.deepcopy(rollout.final_obs.observations))

    checked, plain = [], []
    play(checked)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ENVRING_DEBUG")
        play(plain)
    assert len(checked) == len(plain) == 75
    for some, others in zip(checked, plain, strict=True):
        assert_same_batch(some, others)


def test_they_may_be_written():
    with rolling() as rollout:
        rollout.reset(seed=0)
        rollout.step([1, 2])
        rollout.step([3, 4])
        rewards = rollout.rewards
        value = np.array(rewards)
        rewards *= 2
        np.add(rewards, 1, out=rewards)
        rollout.observations[0] = 0
        np.testing.assert_array_equal(rollout.rewards, value * 2 + 1)
        assert not rollout.observations[0].any()


def test_actions_of_several_parts_stay_as_they_were():
    space = Tuple([Discrete(3), Box(-1, 1, (2,), np.float32)])
    with rolling(partial(SpaceEnv, Discrete(5), space)) as rollout:
        rollout.reset(seed=0)
        for t in range(2):
            rollout.step((np.full(2, t), np.zeros((2, 2), np.float32)))
        actions = rollout.actions
        rollout.step((np.full(2, 2), np.zeros((2, 2), np.float32)))
        assert [part[0].tolist() for part in actions] == [[0, 0], [1, 1]]
        assert rollout.actions[0][0].tolist() == [2, 2]
        assert rollout.actions[1] is None  # not made yet
