# SPDX-License-Identifier: MIT
"""Another env in the same worker: reset(options={"env_id": ...}) on a host."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envring
import support
from envring import EnvSource, HostRefused, RemoteEnvError
from envring.gateways.runtimes import Runtime
from envring.testing import assert_same_batch
from envring.testing.conformance_base import quiet
from support.same_steps import assert_same_steps

FILE = Path(support.__path__[0], "plain_levels.py")
LEVELS = tuple(f"{FILE}:{name}" for name in ("one", "two", "wide", "broken", "again"))
ONE, TWO, WIDE, BROKEN, AGAIN = LEVELS
THREE = f"{FILE}:three"


pytestmark = pytest.mark.usefixtures("no_sessions_left")


@pytest.fixture(scope="module")
def host():
    runtimes = [
        Runtime("levels", LEVELS, allow_kwargs=True),
        Runtime("more", (THREE,)),
        Runtime("classic", ("CartPole-v0", "CartPole-v1")),
    ]
    with envring.serve(runtimes=runtimes, grace=0.3) as host:
        yield host


@pytest.fixture
def envs(host):
    source = EnvSource.elsewhere(ONE, kwargs={"start": 7})
    envs = envring.RingVectorEnv([source] * 4, remotes=host.url, num_workers=2)
    envs.reset()
    yield envs
    envs.close()


def levels(batch):
    return batch[0][:, 0].tolist()


def facts(envs, name):
    return [each[name] for each in envs.call("facts")]


class TestSwitching:
    def test_the_workers_stay_and_the_envs_are_others(self, envs):
        pids = facts(envs, "pid")
        batch = envs.reset(seed=5, options={"env_id": TWO, "hard": True})
        assert levels(batch) == [2] * 4
        assert batch[1]["level 2"].tolist() == [5, 6, 7, 8]
        assert levels(envs.step(np.ones(4, int))) == [2] * 4
        assert facts(envs, "options") == [{"hard": True}] * 4
        assert facts(envs, "closed") == [[1, 1]] * 4  # of two envs in each worker
        assert facts(envs, "pid") == pids

    def test_nothing_is_built_for_the_same_name(self, envs):
        for name in (ONE, TWO, TWO):
            envs.reset(options={"env_id": name})
        assert facts(envs, "closed") == [[1, 1]] * 4
        assert facts(envs, "options") == [None] * 4

    def test_the_first_env_comes_back_with_its_arguments(self, envs):
        envs.reset(options={"env_id": TWO})
        assert envs.reset(options={"env_id": ONE})[0][:, 2].tolist() == [7] * 4

    def test_only_where_the_mask_says_so(self, envs):
        envs.step(np.ones(4, int))
        mask = np.array([True, False, False, True])
        batch = envs.reset(options={"env_id": TWO, "reset_mask": mask})
        assert levels(batch) == [2, 1, 1, 2]
        assert batch[0][:, 1].tolist() == [0, 1, 1, 0]

    def test_each_env_by_its_own_options(self, host):
        source = EnvSource.elsewhere(ONE)
        envs = envring.RingVectorEnv([source] * 3, remotes=host.url, options_per_env=True)
        batch = envs.reset(options=[{"env_id": TWO}, None, {"env_id": ONE, "hard": True}])
        assert levels(batch) == [2, 1, 1]
        assert facts(envs, "options") == [None, None, {"hard": True}]
        envs.close()

    def test_episodes_of_the_new_env_start_anew(self, envs):
        for _ in range(3):
            batch = envs.step(np.ones(4, int))
        assert batch[2].all()
        envs.reset(options={"env_id": TWO})  # the reset that was due is not made a second time
        assert envs.step(np.ones(4, int))[0][:, 1].tolist() == [1] * 4

    @pytest.mark.filterwarnings("ignore:.*out of date")
    def test_values_are_those_of_local_envs(self, host):
        envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
        local = gym.make_vec("CartPole-v0", 2, vectorization_mode="sync")
        ours = envs.reset(seed=3, options={"env_id": "CartPole-v0"})
        assert_same_batch(ours, local.reset(seed=3))
        assert_same_steps(envs, local)

    def test_one_env(self, host):
        env = envring.RingEnv(EnvSource.elsewhere(ONE), remotes=host.url)
        assert env.reset(options={"env_id": TWO})[0][0] == 2
        assert env.step(1)[0][0] == 2
        env.close()

    def test_over_two_hosts_and_with_the_reference_loop(self, host):
        with envring.serve(list(LEVELS)) as other:
            envs = envring.RingVectorEnv(
                [EnvSource.elsewhere(ONE)] * 4,
                remotes=f"{host.url},{other.url}",
                step_loop="reference",
            )
            assert levels(envs.reset(options={"env_id": TWO})) == [2] * 4
            assert levels(envs.step(np.ones(4, int))) == [2] * 4
            envs.close()


class TestWhatIsRefused:
    def assert_as_before(self, envs, closed=()):
        """The first envs go on."""
        assert levels(envs.step(np.ones(4, int))) == [1] * 4
        assert facts(envs, "closed") == [list(closed)] * 4

    def test_another_runtime(self, envs):
        with quiet(), pytest.raises(HostRefused, match="'more'.*'levels'") as caught:
            envs.reset(options={"env_id": THREE})
        assert caught.value.reason == "env"
        self.assert_as_before(envs)

    @pytest.mark.parametrize("name", ["os:system", "MountainCar-v0", "", f"{FILE}:facts"])
    def test_what_is_not_served(self, envs, name):
        with quiet(), pytest.raises(HostRefused, match="'levels' does not serve"):
            envs.reset(options={"env_id": name or "x"})
        self.assert_as_before(envs)

    def test_other_spaces(self, envs):
        with quiet(), pytest.raises(RemoteEnvError, match=":wide has .*:one has "):
            envs.reset(options={"env_id": WIDE})
        self.assert_as_before(envs, [1, 4, 1, 4])

    def test_an_env_that_cannot_be_built(self, envs):
        with quiet(), pytest.raises(RemoteEnvError, match="needs a licence"):
            envs.reset(options={"env_id": BROKEN})
        self.assert_as_before(envs, [1, 1])
        assert levels(envs.reset(options={"env_id": TWO})) == [2] * 4

    def test_an_env_object_for_two_envs(self, envs):
        with quiet(), pytest.raises(RemoteEnvError, match="returned before"):
            envs.reset(options={"env_id": AGAIN})
        envs.reset()

    def test_what_is_not_a_name_is_the_envs(self, envs):
        envs.reset(options={"env_id": 3})
        assert facts(envs, "options") == [{"env_id": 3}] * 4
