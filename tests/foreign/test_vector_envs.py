# SPDX-License-Identifier: MIT
"""Vector envs of Gymnasium of other versions than ours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import envring
from envring import EnvFnError, EnvSource, Prefix, RemoteEnvError
from envring.testing import assert_same_batch
from envring.testing.conformance_base import quiet
from support import plain_vectors
from support.vector_envs import PLAIN


def launched(prefix, mode, **kwargs):
    source = EnvSource(PLAIN, kwargs={"count": 2, "mode": mode, **kwargs})
    return envring.RingVectorEnv([source] * 2, launcher=Prefix(str(prefix)), num_workers=2)


@pytest.mark.parametrize(
    ("name", "kwargs"), [("gymnasium-1.x", {}), ("gymnasium-1.0", {"says": 1})]
)
def test_of_other_versions(matrix_prefix, name, kwargs):
    envs = launched(matrix_prefix(name), "NextStep", **kwargs)
    oracle = SyncVectorEnv([plain_vectors.Counting] * 4)
    assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    for _ in range(5):
        got, expected = (each.step(np.arange(4)) for each in (envs, oracle))
        assert_same_batch(got, expected)
    envs.close()


@pytest.mark.parametrize("told", ["raise", "drop", "repr"])
def test_what_cannot_be_sent(told):
    source = EnvSource(PLAIN + "_telling", kwargs={"count": 2})
    launcher = envring.Python(sys.executable)
    envs = envring.RingVectorEnv([source] * 2, launcher=launcher, on_unsendable=told)
    envs.reset()
    if told == "raise":
        with pytest.raises(RemoteEnvError, match=r"envs 2, 3 raised .*info\['odd'\]"), quiet():
            envs.step(np.zeros(4, int))
    else:
        infos = envs.step(np.zeros(4, int))[4]
        assert infos["t"].tolist() == [1] * 4
        assert sorted(infos) == (["_odd", "_t", "odd", "t"] if told == "repr" else ["_t", "t"])
        assert told == "drop" or all("Odd object" in each for each in infos["odd"])
    envs.close()


def test_without_a_mode(matrix_prefix):
    """Gymnasium 1.0's do not say when they reset their envs."""
    with pytest.raises(EnvFnError, match=r"envs 0-3.*'autoreset_mode': 'NextStep'"):
        launched(matrix_prefix("gymnasium-1.0"), "NextStep")


def test_before_they_were_of_this_kind(matrix_prefix):
    with pytest.raises(RemoteEnvError, match=r"a vector env, but none of Gymnasium 1\.0"):
        launched(matrix_prefix("gymnasium-0.29"), "NextStep")
