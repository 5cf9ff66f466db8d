# SPDX-License-Identifier: MIT
"""Checks of registered envs and of wrappers, for whatever gym or gymnasium there is."""

from __future__ import print_function

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import textwrap
import types
import warnings

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from envring_worker.data import codec  # noqa: E402
from envring_worker.envs import sources  # noqa: E402
from envring_worker.envs.adapt import AdaptedSlice, adapt, to_five  # noqa: E402
from envring_worker.envs.describe import describe  # noqa: E402
from envring_worker.envs.spaces import value_to_data  # noqa: E402
from envring_worker.errors import SourceError  # noqa: E402
from plain_checks import main, raises  # noqa: E402

LIBRARY = "gymnasium" if sources.is_installed("gymnasium") else "gym"
gym = importlib.import_module(LIBRARY)
wrappers = importlib.import_module(LIBRARY + ".wrappers")
VERSION = tuple(int(part) for part in gym.__version__.split(".")[:2])
OLD = LIBRARY == "gym" and VERSION < (0, 26)  # steps of four, resets without info
PENDULUM = "Pendulum-v0" if "Pendulum-v0" in sources.registered_ids(gym) else "Pendulum-v1"


def make(env, **kwargs):
    return sources.make_env({"env": env, "kwargs": kwargs})


def refused(kind, env, *args, **kwargs):
    source = {"env": env, "args": args, "kwargs": kwargs}
    error = raises(SourceError, sources.make_env, source)
    assert error.kind == kind, (error.kind, str(error), error.trace)
    return str(error)


def array(env, obs):
    return np.asarray(value_to_data(env.observation_space, obs))


# -- registered ids ------------------------------------------------------------------------------


def check_ids():
    env = make("CartPole-v1")
    found = describe([env, make("CartPole-v1")])
    assert codec.pack(found)
    assert found["gym"] == "%s %s" % (LIBRARY, gym.__version__), found["gym"]
    assert found["spec"]["id"] == "CartPole-v1" and found["spec"]["max_episode_steps"] == 500
    assert found["action_spaces"] == ([("discrete", 2, 0, "<i8")], [0, 0])
    kind, low, high, dtype, shape = found["observation_spaces"][0][0]
    assert (kind, shape) == ("box", (4,)) and dtype == ("<f4" if VERSION > (0, 9) else dtype)
    space = gym.make("CartPole-v1").observation_space
    assert np.array_equal(low, space.low) and np.array_equal(high, space.high)
    assert "rgb_array" in found["metadata"]["render_modes"]
    env.close()


def check_ids_that_a_module_registers():
    module = types.ModuleType("registers_an_env")
    module.Env = type(gym.make("CartPole-v1").unwrapped)
    sys.modules[module.__name__] = module
    registration = importlib.import_module(LIBRARY + ".envs.registration")
    registration.register(id="Mine-v3", entry_point="registers_an_env:Env", max_episode_steps=7)
    for name in ("registers_an_env:Mine-v3", "Mine-v3"):
        env = make(name)
        assert type(env.env.unwrapped) is module.Env and env.spec.max_episode_steps == 7
    assert "no module 'no_such_module" in refused("import", "no_such_module:Mine-v3")
    text = refused("unknown-id", "Mine-v4")
    assert "Mine-v3" in text and gym.__version__ in text and sys.executable in text, text
    text = refused("unknown-id", "cartpole-v1")
    assert "CartPole-v1" in text and "imports=(...)" in text, text
    refused("unknown-id", "no id at all")


def check_arguments_that_an_env_does_not_take():
    text = refused("kwargs", "CartPole-v1", nonsense=3)
    assert "CartPole-v1 does not take" in text and "nonsense" in text
    refused("kwargs", "CartPole-v1", *range(30))


def check_an_env_that_fails_to_be_made():
    registration = importlib.import_module(LIBRARY + ".envs.registration")

    def failing(**kwargs):
        raise gym.error.DependencyNotInstalled("install the simulator first")

    def inner(**kwargs):
        return gym.make("NoSuchEnvAtAll-v0")

    module = types.ModuleType("registers_failing")
    module.failing, module.inner = failing, inner
    sys.modules[module.__name__] = module
    registration.register(id="Failing-v0", entry_point="registers_failing:failing")
    registration.register(id="Inner-v0", entry_point="registers_failing:inner")
    assert "install the simulator first" in refused("env", "Failing-v0")
    assert "NoSuchEnvAtAll" in refused("env", "Inner-v0")


def check_render_mode():
    env = make("CartPole-v1", render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    assert describe([env])["render_mode"] == "rgb_array"
    assert describe([make("CartPole-v1")])["render_mode"] is None


# -- episodes ------------------------------------------------------------------------------------


def check_seeds():
    first = [array(env, env.reset(seed=9)[0]) for env in (make("CartPole-v1"), make("CartPole-v1"))]
    assert np.array_equal(*first)
    by_hand = gym.make("CartPole-v1")
    if hasattr(by_hand.unwrapped, "seed") and OLD and VERSION < (0, 22):
        by_hand.seed(9)
        expected = by_hand.reset()
    else:
        expected = by_hand.reset(seed=9)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert np.array_equal(first[0], expected)
    env = make("CartPole-v1")
    env.reset(seed=9)
    assert env.np_random_seed == 9
    assert not np.array_equal(env.reset()[0], expected)


def check_a_time_limit_truncates():
    env = make(PENDULUM)
    for _ in range(2):
        env.reset(seed=1)
        for step in range(200):
            obs, reward, terminated, truncated, _ = to_five(env.step(np.zeros(1, np.float32)))
            assert not terminated and truncated == (step == 199), step
            assert array(env, obs).shape == (3,) and float(reward) <= 0


def check_an_end_terminates():
    env = make("CartPole-v1")
    env.reset(seed=1)
    ends = []
    while not any(ends) and len(ends) < 100:
        terminated, truncated = to_five(env.step(1))[2:4]
        assert not truncated
        ends.append(terminated)
    assert 5 < len(ends) < 30
    env.reset()
    assert to_five(env.step(1))[2:4] == (False, False)


# -- wrappers ------------------------------------------------------------------------------------


def wrapped():
    """What the library has to wrap a CartPole in; each wants other arguments."""
    for name, arguments in (
        ("FrameStack", (4,)),
        ("FrameStackObservation", (4,)),
        ("FlattenObservation", ()),
        ("TimeAwareObservation", ()),
        ("RecordEpisodeStatistics", ()),
        ("TransformReward", (float,)),
        ("OrderEnforcing", ()),
        ("PassiveEnvChecker", ()),
    ):
        wrapper = getattr(wrappers, name, None)
        if wrapper is not None:
            inner = gym.make("CartPole-v1")
            if name in ("OrderEnforcing", "PassiveEnvChecker"):
                inner = inner.unwrapped
            try:
                yield name, adapt(wrapper(inner, *arguments))
            except ImportError:  # some want packages that are not here
                continue


def check_wrappers():
    names = []
    for name, env in wrapped():
        names.append(name)
        assert codec.pack(describe([env]))
        obs, info = env.reset(seed=4)
        again, _ = env.reset(seed=4)
        shape = env.observation_space.shape
        assert array(env, obs).shape == shape, (name, obs)
        assert np.array_equal(array(env, obs), array(env, again)), name
        assert isinstance(info, dict)
        for _ in range(3):
            obs, _, terminated, truncated, info = to_five(env.step(1))
            assert array(env, obs).shape == shape and not terminated and not truncated, name
            codec.pack(value_to_data(env.observation_space, obs))
        assert env.get_wrapper_attr("gravity") == 9.8, name
        assert env.has_wrapper_attr("gravity") and not env.has_wrapper_attr("no_such_thing"), name
        assert env.set_wrapper_attr("gravity", 1.5) and env.env.unwrapped.gravity == 1.5, name
        raises(AttributeError, env.get_wrapper_attr, "no_such_thing")
        env.close()
    assert names or VERSION < (0, 13), names


def check_info_of_a_reset():
    """Taxi tells the action mask, or the probability, by its reset's info from 0.22 on."""
    known = sources.registered_ids(gym)
    taxi = [name for name in ("Taxi-v2", "Taxi-v3", "Taxi-v4") if name in known][-1]
    try:
        env = make(taxi)
    except SourceError:
        return  # some want packages that are not here
    _, info = env.reset(seed=1)
    if not OLD or VERSION >= (0, 22):
        assert "prob" in info, info
    else:
        assert info == {}


def check_an_env_of_before_behind_a_newer_librarys_wrapper():
    if "apply_api_compatibility" not in gym.make.__code__.co_varnames:
        return  # there is none

    class Before(gym.Env):
        metadata = {"render.modes": ["rgb_array"]}
        observation_space = gym.spaces.Box(-1, 1, (2,), dtype=np.float32)
        action_space = gym.spaces.Discrete(2)
        seeds = []

        def seed(self, seed=None):
            self.seeds.append(seed)

        def reset(self):
            return np.zeros(2, np.float32)

        def step(self, action):
            return np.ones(2, np.float32), 1.0, False, {}

        def render(self, mode="human"):
            return mode

    gym.register(id="Before-v0", entry_point=Before, max_episode_steps=2)
    env = make("Before-v0", apply_api_compatibility=True, render_mode="rgb_array")
    env.reset(seed=8)
    assert Before.seeds[-1] == 8 and env.render() == "rgb_array"
    assert to_five(env.step(0))[2:4] == (False, False)
    assert to_five(env.step(0))[2:4] == (False, True)


def check_a_class_of_the_library_without_make():
    kind = type(gym.make("CartPole-v1").unwrapped)
    env = sources.make_env({"env": "%s:%s" % (kind.__module__, kind.__name__)})
    assert type(env.env) is kind and env.spec is None
    obs, info = env.reset(seed=3)
    assert obs.shape == (4,) and info == {}
    assert describe([env])["spec"] is None
    assert describe([env])["gym"] == "%s %s" % (LIBRARY, gym.__version__)


@contextlib.contextmanager
def env_main(text):
    """The path of a file in a directory of its own."""
    kept = list(sys.path), list(sys.argv), sys.modules["__main__"]
    folder = tempfile.mkdtemp(prefix="registered")
    path = os.path.join(folder, "env_main.py")
    with open(path, "w") as file:
        file.write(textwrap.dedent(text).replace("LIBRARY", LIBRARY))
    try:
        yield path
    finally:
        sys.path[:], sys.argv[:], sys.modules["__main__"] = kept
        shutil.rmtree(folder)


def check_a_wrapper_of_ones_own_in_a_file():
    text = """
        import LIBRARY as gym

        class Stack(gym.Wrapper):
            def reset(self, **kwargs):
                self.asked = kwargs
                return self.env.reset(**kwargs)

        def make(env, **kwargs):
            return Stack(gym.make(env, **kwargs))
        """
    with env_main(text) as path:
        env = sources.make_env({"env": path + ":make", "args": ["CartPole-v1"]})
    env.reset(seed=2)
    assert env.env.asked == ({"seed": 2} if VERSION >= (0, 22) or not OLD else {})
    assert to_five(env.step(0))[2:4] == (False, False)


# -- Portal-Env ----------------------------------------------------------------------------------


def portal_env(path, *args, **kwargs):
    return sources.make_env({"env": path, "portal": True, "args": args, "kwargs": kwargs})


def check_a_portal_that_hands_make_over():
    text = """
        from portal_env import EnvSidePortal
        from portal_env.config import config
        import LIBRARY

        def main():
            portal = EnvSidePortal(env_factory=LIBRARY.make, port=config.env_ports['ale'])
            portal.start()

        if __name__ == '__main__':
            main()
        """
    with env_main(text) as path:
        env = portal_env(path, "CartPole-v1")
        error = raises(SourceError, portal_env, path, "CartPole-v1", nonsense=1)
        assert error.kind == "kwargs" and "nonsense" in str(error), str(error)
        error = raises(SourceError, portal_env, path, "NoSuchEnvAtAll-v0")
        assert "NoSuchEnvAtAll" in str(error)
    obs, _ = env.reset(seed=3)
    assert np.array_equal(obs, make("CartPole-v1").reset(seed=3)[0])
    assert array(env, env.step(np.int64(1))[0]).shape == (4,)
    assert describe([env])["spec"]["id"] == "CartPole-v1"


def check_a_portal_whose_envs_are_vector_envs():
    """As Gym Retro's, which has one emulator in a process."""
    text = """
        from portal_env import EnvSidePortal
        import gymnasium

        class Shown(gymnasium.Wrapper):
            def step(self, action):
                obs, reward, terminated, truncated, info = self.env.step(action)
                return obs, reward, terminated, truncated, {"score": 3}

        class AsyncWrapper(gymnasium.Env):
            def __init__(self, env_factory):
                super().__init__()
                self.env = gymnasium.vector.AsyncVectorEnv([env_factory])
                self.action_space = self.env.single_action_space
                self.observation_space = self.env.single_observation_space

            def reset(self, *, seed=None, options=None):
                obs, info = self.env.reset(seed=seed, options=options)
                return obs[0], info

            def step(self, action):
                obs, reward, terminated, truncated, info = self.env.step([action])
                return obs[0], reward, terminated, truncated, info

            def close(self):
                self.env.close()

        def env_factory(*args, **kwargs):
            return AsyncWrapper(lambda: Shown(gymnasium.make(*args, **kwargs)))

        if __name__ == "__main__":
            EnvSidePortal(env_factory=env_factory).start()
        """
    if LIBRARY != "gymnasium":
        return
    with env_main(text) as path:
        env = portal_env(path, "CartPole-v1")
        envs = AdaptedSlice([env], 0, 0, None)
        obs, _ = env.reset(seed=3)
        assert obs.shape == (4,)
        obs, reward, terminated, truncated, info = envs.to_result(0, env.step(np.int64(1)))
        assert (envs.to_reward(0, reward), bool(terminated), bool(truncated)) == (1.0, False, False)
        assert info["score"].tolist() == [3]
        codec.pack(info)
        env.close()


if __name__ == "__main__":
    main(globals())
