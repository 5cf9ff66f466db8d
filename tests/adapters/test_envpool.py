# SPDX-License-Identifier: MIT
"""Scripts for EnvPool on Python envs. What EnvPool itself returns was compared with by hand."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError

import envring.adapters.envpool as envpool
from envring import EnvFnError, EnvSource, SourceError, WorkerDied
from support.pools import same, with_pool

CARTPOLE = "CartPole-v1"


class Count(gym.Env):
    """Says its seed, how often it was reset and how many steps it took; `length` end it."""

    action_space = spaces.Discrete(100)
    observation_space = spaces.Dict(
        {
            "seed": spaces.Box(-1, 1000, (1,), np.int32),
            "at": spaces.Tuple([spaces.Discrete(1000), spaces.Text(8)]),
        }
    )

    def __init__(self, length=3, both=False, render_mode=None):
        self.length, self.both, self.render_mode = length, both, render_mode
        self.seed, self.resets = -1, 0
        self.metadata = {"render_modes": ["rgb_array"]}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.resets, self.steps = self.resets + 1, 0
        return self.look(), {"resets": self.resets}

    def step(self, action):
        if action == 99:
            raise KeyError("ninety-nine")
        self.steps += 1
        over = self.steps == self.length
        info = {"resets": self.resets, "inner": {"action": int(action)}}
        return self.look(), 0.5, over and self.both, over, info

    def look(self):
        return {"seed": np.array([self.seed], np.int32), "at": (self.steps, f"{self.steps}!")}

    def render(self):
        return np.full((2, 3, 3), self.seed, np.uint8)


# -- values -----------------------------------------------------------------------------------


@with_pool(CARTPOLE, "gymnasium", num_envs=3, num_threads=2, seed=5)
def test_sync_is_what_sync_vector_env_does(pool):
    envs = gym.vector.SyncVectorEnv([lambda: gym.make(CARTPOLE)] * 3)
    assert same(pool.reset()[0], envs.reset(seed=5)[0])
    rng = np.random.default_rng(1)
    for _ in range(120):
        actions = rng.integers(0, 2, 3)
        observations, rewards, terms, truncs, _ = envs.step(actions)
        ours = pool.step(actions)
        assert same(ours[:4], (observations, rewards.astype(np.float32), terms, truncs))
    envs.close()


@pytest.mark.parametrize("batch_size", [1, 3, 6])
def test_each_env_has_its_own_course(batch_size):
    """Whatever is sent together, an env gives what it gives alone."""
    pool = envpool.make(
        CARTPOLE, "gym", num_envs=6, batch_size=batch_size, num_threads=2, seed=range(10, 16)
    )
    alone = [gym.make(CARTPOLE) for _ in range(6)]
    over, steps, rng = [True] * 6, [0] * 6, np.random.default_rng(2)
    begun = set()
    actions = np.zeros(6, int)
    pool.async_reset()
    for _ in range(500 // batch_size):
        observations, rewards, terms, truncs, info = pool.recv()
        for row, i in enumerate(info["env_id"].tolist()):
            if over[i]:
                seed = None if i in begun else 10 + i
                told = (alone[i].reset(seed=seed)[0], 0.0, False, False)
                begun.add(i)
            else:
                told = alone[i].step(int(actions[i]))
            steps[i] = 0 if over[i] else steps[i] + 1
            over[i] = told[2] or told[3]
            assert observations[row].tobytes() == told[0].tobytes()
            assert (rewards[row], terms[row], truncs[row]) == told[1:4]
            assert info["elapsed_step"][row] == steps[i]
        sent = rng.permutation(info["env_id"])
        actions[sent] = rng.integers(0, 2, len(sent))
        pool.send(actions[sent], sent)
    pool.close()
    for env in alone:
        env.close()


@with_pool(Count, "gym", num_envs=4, num_threads=2, length=100)
def test_rows_come_in_the_order_of_sending(pool):
    pool.step(np.zeros(2, int), np.array([3, 1]))  # the others are reset later
    order = np.array([2, 3, 0], np.int32)
    pool.send(np.array([7, 8, 9]), order)
    order[:] = 1
    pool.send(np.array([6]), 1)
    observations, rewards, _, _, info = pool.recv()
    assert info["env_id"].tolist() == info["players"]["env_id"].tolist() == [2, 3, 0, 1]
    assert observations["seed"].tolist() == [[44], [45], [42], [43]]
    assert observations["at"][0].tolist() == [0, 1, 0, 1]
    assert observations["at"][1] == ("0!", "1!", "0!", "1!")
    assert rewards.tolist() == [0, 0.5, 0, 0.5]
    assert info["elapsed_step"].tolist() == [0, 1, 0, 1]
    assert info["inner"]["action"].tolist() == [0, 8, 0, 6]
    assert info["resets"].tolist() == [1, 1, 1, 1]
    with pytest.raises(NoAsyncCallError):
        pool.recv()


@with_pool(Count, "gym", num_envs=3, seed=[7, 8, 9], length=100)
def test_resets(pool):
    observations, info = pool.reset(np.array([2, 0]))
    assert observations["seed"].tolist() == [[9], [7]]
    assert info["env_id"].tolist() == [2, 0] and not info["elapsed_step"].any()
    pool.send(np.zeros(3, int))
    assert pool.recv(reset=True)[0]["at"][0].tolist() == [1, 0, 1]
    _, info = pool.reset(options={"reset_mask": np.array([False, True, True])})
    assert info["env_id"].tolist() == [1, 2]
    with pytest.warns(UserWarning, match="given to `make`"):
        observations, info = pool.reset(seed=1)
    assert observations["seed"].tolist() == [[7], [8], [9]]
    assert info["resets"].tolist() == [2, 3, 3]
    with pytest.warns(UserWarning, match="given to `make`"):
        pool.seed(3)
    for options in ({"a": 1}, {"reset_mask": [True]}, {"reset_mask": [False] * 3}):
        with pytest.raises(ValueError, match="reset_mask"):
            pool.reset(options=options)


@pytest.mark.parametrize("batch_size", [2, 4])
def test_a_reset_of_all_drops_what_was_sent(batch_size):
    pool = envpool.make(Count, "gym", num_envs=4, batch_size=batch_size, num_threads=2, length=50)
    pool.async_reset()
    pool.send(np.zeros(2, int), pool.recv()[-1]["env_id"][:2])
    with pytest.raises(AlreadyPendingCallError):
        pool.send(np.zeros(4, int))
    assert not pool.reset()[1]["elapsed_step"].any()
    pool.async_reset()
    for _ in range(4 // batch_size):
        assert not pool.recv()[-1]["elapsed_step"].any()
    pool.close()


@pytest.mark.filterwarnings("ignore:.*ERROR")
@with_pool(Count, "gym", num_envs=3, num_threads=1, length=50)
def test_an_env_that_raises(pool):
    pool.reset()
    for ids in (None, np.array([2, 1])):
        with pytest.raises(KeyError, match="ninety-nine"):
            pool.step(np.full(3 if ids is None else 2, 99), ids)
        assert not pool.reset()[1]["elapsed_step"].any()


@pytest.mark.filterwarnings("ignore:.*ERROR")
@pytest.mark.parametrize("workers", [0, 2])
def test_results_of_others_come_after_an_error(workers):
    pool = envpool.make(Count, "gym", num_envs=4, num_workers=workers, length=50)
    pool.reset()
    pool.send(np.array([99, 1, 2]), np.array([3, 0, 2]))
    with pytest.raises(KeyError, match="ninety-nine"):
        pool.recv()
    *_, info = pool.recv()
    assert info["env_id"].tolist() == [0, 2]
    assert info["inner"]["action"].tolist() == [1, 2]
    with pytest.raises(NoAsyncCallError):
        pool.recv()
    *_, info = pool.step(np.zeros(4, int))
    assert info["elapsed_step"].tolist() == [2, 1, 2, 1]
    pool.send(np.array([99, 99]), np.array([3, 1]))
    with pytest.raises(KeyError, match="ninety-nine"):
        pool.recv()
    assert pool.step(np.zeros(4, int))[-1]["elapsed_step"].tolist() == [3, 2, 3, 2]
    pool.close()


@pytest.mark.filterwarnings("ignore:.*ERROR")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_what_a_reset_drops_raises_nothing(workers, batch_size):
    pool = envpool.make(
        Count, "gym", num_envs=4, batch_size=batch_size, num_workers=workers, length=50
    )
    pool.async_reset()
    for _ in range(4 // (batch_size or 4)):
        pool.recv()
    for ids in (np.arange(4), np.array([2, 1, 3]), np.array([0])):
        pool.send(np.full(len(ids), 99), ids)
        pool.async_reset()
        for _ in range(4 // (batch_size or 4)):
            *_, info = pool.recv()
            assert not info["elapsed_step"].any()
    pool.close()


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_reset_of_dead_workers_raises(batch_size):
    pool = envpool.make(Count, "gym", num_envs=4, batch_size=batch_size, num_workers=2)
    pool.async_reset()
    for _ in range(4 // (batch_size or 4)):
        pool.recv()
    pool.send(np.array([0, 0]), np.array([0, 1]))
    for process in pool._envs.processes:
        process.kill()
        process.join()
    for _ in range(2):
        with pytest.raises(WorkerDied):
            pool.reset()
    pool.close()


@with_pool(Count, "gym", num_envs=2, batch_size=1)
def test_too_few_were_sent(pool):
    with pytest.raises(NoAsyncCallError):
        pool.recv()
    pool.send(np.zeros(1, int), 1)
    assert pool.recv()[-1]["env_id"].tolist() == [1]


# -- options ----------------------------------------------------------------------------------


@with_pool(CARTPOLE, "gymnasium", num_envs=4, batch_size=2, num_threads=9, seed=3)
def test_spec_and_config(pool):
    config = pool.config
    assert (config["num_envs"], config["batch_size"], config["seed"]) == (4, 2, 3)
    assert (config["max_episode_steps"], config["reward_threshold"]) == (500, 475.0)
    assert pool.spec.config.num_envs == 4 and pool.spec.reward_threshold == 475.0
    assert pool.all_env_ids.tolist() == [0, 1, 2, 3]
    assert str(pool).startswith("GymnasiumEnvPool(num_envs=4, batch_size=2, num_threads=9, ")
    assert repr(pool.spec).startswith("EnvSpec(num_envs=4, ")
    assert (
        pool.observation_space
        == pool.single_observation_space
        == gym.make(CARTPOLE).observation_space
    )
    assert isinstance(pool, gym.vector.VectorEnv) and isinstance(pool, gym.Env)
    spec = envpool.make_spec(CARTPOLE, num_envs=4, seed=[1, 2, 3, 4])
    assert spec.config.env_seed == [1, 2, 3, 4]
    assert (spec.action_space, spec.observation_space) == (
        pool.action_space,
        pool.observation_space,
    )


def test_all_envs():
    ids = envpool.list_all_envs()
    assert CARTPOLE in ids and not any(id.startswith("envring/") for id in ids)


@pytest.mark.parametrize("task", [Count, lambda **kwargs: Count(**kwargs)])
def test_functions(task):
    with envpool.make_gym(task, num_envs=2, max_episode_steps=2, length=9) as pool:
        pool.reset()
        pool.step(np.zeros(2, int))
        assert pool.step(np.zeros(2, int))[3].all()
        assert pool.spec.config.length == 9
    with pytest.raises(ClosedEnvironmentError):
        pool.reset()


def test_a_function_that_makes_vector_envs():
    with pytest.raises(EnvFnError, match="single envs are wanted"):
        envpool.make_gym(partial(CartPoleVectorEnv, 2), num_envs=2)


def test_sources():
    source = EnvSource(f"{__file__}:Count", kwargs={"length": 1})
    with envpool.make_gym(source, num_envs=2) as pool:
        pool.reset()
        assert pool.step(np.zeros(2, int))[3].all()
    with pytest.raises(SourceError, match="max_episode_steps"):
        envpool.make_gym(source, max_episode_steps=3)


@with_pool(Count, "gym", num_envs=3, render_mode="rgb_array", render_env_id=1)
def test_render(pool):
    pool.reset()
    frames = pool.render()
    assert frames.dtype == np.uint8 and frames.tolist() == [[[[43] * 3] * 3] * 2]
    assert pool.render(env_ids=[2, 0])[:, 0, 0, 0].tolist() == [44, 42]
    with pytest.raises(ValueError, match="Cameras"):
        pool.render(camera_id=1)


@with_pool(Count, "gym", thread_affinity_offset=1)
def test_pinned(pool):
    assert pool.config["thread_affinity_offset"] == 1
    with pytest.raises(RuntimeError, match="render_mode='rgb_array'"):
        pool.render()
    with pytest.raises(NotImplementedError, match="io_callback"):
        pool.xla()
    with pytest.raises(RuntimeError):  # as EnvPool without JAX
        pool.xla()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_num_players": 2}, "pettingzoo"),
        ({"gym_reset_return_info": False}, "returns"),
        ({"from_pixels": True}, "pixels"),
        ({"render_width": 84}, "size of frames"),
        ({"autoreset_mode": "SameStep"}, "step after"),
        ({"seed": [1, 2], "num_envs": 3}, "2 seeds for 3 envs"),
        ({"batch_size": 5, "num_envs": 3}, "batch_size"),
        ({"env_type": "jax"}, "'jax'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        envpool.make(**{"task_id": CARTPOLE, "env_type": "gym", **options})


def test_options_that_change_nothing():
    options = {"max_num_players": 1, "gym_reset_return_info": True, "from_pixels": False}
    with envpool.make_gymnasium(CARTPOLE, thread_affinity_offset=-1, **options) as pool:
        assert pool.reset()[0].shape == (1, 4)


# -- dm_env -----------------------------------------------------------------------------------


@pytest.fixture
def dm_env():
    return pytest.importorskip("dm_env", reason="the interface of dm_env stays unchecked")


def test_dm_steps(dm_env):
    with envpool.make_dm(CARTPOLE, num_envs=2, max_episode_steps=2) as pool:
        kinds, discounts = [], []
        for _ in range(5):
            told = pool.step(np.array([0, 1]))
            kinds.append(told.step_type[0])
            discounts.append(told.discount[0])
        assert isinstance(pool, dm_env.Environment) and isinstance(told, dm_env.TimeStep)
        assert kinds == [0, 1, 2, 0, 1] and discounts == [1, 1, 0, 1, 1]
        assert [each.dtype for each in told[:3]] == ["i4", "f4", "f4"]
        state = told.observation
        assert state._fields == ("env_id", "players", "obs")
        assert state.env_id.tolist() == state.players.env_id.tolist() == [0, 1]
        assert state.obs.shape == (2, 4)
        assert pool.reset(np.array([1])).first().all()
        spec = pool.observation_spec()
        assert spec._fields == state._fields and spec.obs.shape == (4,)
        assert pool.action_spec().num_values == 2
        assert str(pool).startswith("DMEnvPool(num_envs=2, ")


@pytest.mark.usefixtures("dm_env")
def test_dm_states_of_dicts():
    with envpool.make_dm(Count, num_envs=4, batch_size=2) as pool:
        pool.async_reset()
        told = pool.recv()
        assert told.observation._fields == ("env_id", "players", "resets", "at", "seed")
        told = pool.step(np.zeros(2, int), told.observation.env_id)
        assert told.observation.at[0].shape == (2,)
        spec = pool.observation_spec()
        assert spec.seed.shape == (1,) and spec.at[0].num_values == 1000


@pytest.mark.parametrize(
    ("space", "described"),
    [
        (spaces.Discrete(3), ((), 0, 2)),
        (spaces.Discrete(3, start=2), ((), 2, 4)),
        (spaces.Box(-2, 2, (1,)), ((1,), -2, 2)),
        (spaces.MultiDiscrete([2, 3]), ((2,), 0, [1, 2])),
        (spaces.MultiBinary(2), ((2,), 0, 1)),
    ],
)
@pytest.mark.usefixtures("dm_env")
def test_dm_specs(space, described):
    from envring.adapters.envpool.dm_specs import spec

    made = spec("action", space)
    assert made.shape == described[0] and made.dtype == space.dtype and made.name == "action"
    assert (made.minimum == described[1]).all() and (made.maximum == described[2]).all()
    assert made.validate(space.sample()) is not None
    assert spec("text", spaces.Text(3)).shape == ()
    assert spec("both", spaces.Dict({"a b": space}))._fields == ("a_b",)
