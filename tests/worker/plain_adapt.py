# SPDX-License-Identifier: MIT
"""Checks of resets and steps of old envs behind the modern interface."""

import numpy as np
from envring_worker.envs.adapt import adapt, to_five
from plain_checks import main, raises, stderr
from plain_generations import Bare, Between, Env, Modern, Seedless, Swallowing, Wrapper, same_reset
from plain_spaces import Box, Dict, Discrete, Tuple

# -- reset ---------------------------------------------------------------------------------------


def check_resets_of_every_generation():
    for wrap in (lambda env: env, Wrapper, lambda env: Wrapper(Wrapper(env))):
        env = Modern()
        adapted = adapt(wrap(env))
        same_reset(adapted.reset(), {"level": 3})
        same_reset(adapted.reset(seed=5), {"level": 3})
        same_reset(adapted.reset(seed=6, options={"easy": True}), {"level": 3})
        assert env.heard == [(None, None), (5, None), (6, {"easy": True})]

        env = Bare()
        adapted = adapt(wrap(env))
        same_reset(adapted.reset(), {})
        same_reset(adapted.reset(seed=5), {})
        same_reset(adapted.reset(seed=0, options={}), {})
        assert env.heard == ["reset", 5, "reset", 0, "reset"]

        env = Between()
        adapted = adapt(wrap(env))
        same_reset(adapted.reset(), {} if wrap(env) is not env else {"level": 3})
        same_reset(adapted.reset(7, {"a": 1}), {} if wrap(env) is not env else {"level": 3})
        assert env.heard == [(None, None), (7, {"a": 1})]


def check_info_is_asked_for_only_where_every_wrapper_expects_it():
    class Aware(Wrapper):
        def reset(self, seed=None, return_info=False, options=None):
            return self.env.reset(seed=seed, return_info=return_info, options=options)

    class Library(Wrapper):
        __module__ = "gym.wrappers.order_enforcing"

    class Stacking(Wrapper):
        """One of before: what the inner reset returns must be the observation."""

        def reset(self, **kwargs):
            return self.env.reset(**kwargs) * 1

    same_reset(adapt(Aware(Between())).reset(), {"level": 3})
    same_reset(adapt(Library(Aware(Library(Between())))).reset(seed=1), {"level": 3})
    same_reset(adapt(Library(Stacking(Between()))).reset(), {})
    same_reset(adapt(Aware(Stacking(Between()))).reset(), {})


def check_info_that_is_never_there():
    class Ignoring(Bare):
        """Has the parameter for the looks of it."""

        def reset(self, seed=None, return_info=None):
            self.heard.append((seed, return_info))
            return self.obs()

    class Checker(Wrapper):
        """As gym's own, which looks at the first reset."""

        __module__ = "gym.wrappers.env_checker"
        checked = False

        def reset(self, **kwargs):
            result = self.env.reset(**kwargs)
            if kwargs.get("return_info") and not self.checked:
                self.checked = True
                assert isinstance(result, tuple), "no tuple by `env.reset(return_info=True)`"
            return result

    same_reset(adapt(Ignoring()).reset(seed=2), {})
    for seed in (None, 2):
        env = Ignoring()
        adapted = adapt(Checker(env))
        same_reset(adapted.reset(seed=seed), {})
        same_reset(adapted.reset(), {})
        assert env.heard == [(seed, True), (seed, None), (None, None)], env.heard

    class Failing(Between):
        def reset(self, seed=None, return_info=False, options=None):
            raise AssertionError("the level is broken")

    assert "broken" in str(raises(AssertionError, adapt(Failing()).reset))


def check_a_keyword_that_only_the_call_refuses():
    env = Swallowing()
    adapted = adapt(Wrapper(env))
    same_reset(adapted.reset(seed=3), {})
    assert env.heard == [{"seed": 3}]
    error = raises(ValueError, adapted.reset, seed=4, options={"easy": 1})
    assert "takes no options" in str(error) and "easy" in str(error), error
    same_reset(adapted.reset(seed=4, options={}), {})

    env = Swallowing()
    env.knows = ()
    env.seed = lambda seed: env.heard.append(seed)
    same_reset(adapt(env).reset(seed=3), {})
    assert env.heard == [3, {}]


def check_parameters_that_inspect_cannot_read():
    class Bound(Bare):
        def reset(self, seed=None, *rest, **options):
            self.heard.append((seed, rest, options))
            return self.obs()

        reset.__signature__ = "nonsense"

    env = Bound()
    adapted = adapt(env)
    same_reset(adapted.reset(seed=3, options={"a": 1}), {})
    assert env.heard == [(3, (), {"options": {"a": 1}})]

    class Called(Bare):
        """Its reset is no function: only a call tells what it takes."""

        class Reset(object):
            __signature__ = "nonsense"

            def __call__(self, **keywords):
                if keywords:
                    raise TypeError("reset() takes no keyword arguments")
                return np.ones(2, np.float32)

        reset = Reset()

    env = Called()
    same_reset(adapt(env).reset(seed=3), {})
    assert env.heard == [3]


def check_an_error_of_the_env_is_no_refusal():
    class Broken(Env):
        def reset(self, seed=None):
            raise TypeError("the map got an unexpected keyword argument 'seed'")

        def seed(self, seed=None):
            raise AssertionError("not asked for")

    error = raises(TypeError, adapt(Broken()).reset, seed=3)
    assert str(error).startswith("the map"), error

    class BrokenSeed(Bare):
        def seed(self, seed=None):
            raise TypeError("seeds are strings")

    error = raises(TypeError, adapt(BrokenSeed()).reset, seed=3)
    assert str(error) == "seeds are strings", error


def check_no_seed_at_all_is_said_once():
    with stderr() as texts:
        for env in (Seedless(), Wrapper(Seedless())):
            env.__dict__.pop("seed", None)
            adapted = adapt(env if isinstance(env, Seedless) else env.env)
            for seed in (1, 2):
                same_reset(adapted.reset(seed=seed), {})
    assert texts[0].count("\n") == 1 and "Seedless takes no seed" in texts[0], texts


def check_a_seed_method_that_takes_none():
    """As procgen's, behind gym's own wrappers."""

    class Library(Wrapper):
        __module__ = "gym.wrappers.time_limit"

    class Ignoring(Env):
        def reset(self):
            return self.obs()

        def seed(self):
            raise AssertionError("not asked for")

    class Deaf(Ignoring):
        pass

    class Many(Bare):
        def seed(self, *seeds):
            self.heard.extend(seeds)

    with stderr() as texts:
        same_reset(adapt(Ignoring()).reset(seed=3), {})
        same_reset(adapt(Library(Deaf())).reset(seed=3), {})
    assert texts[0].count("takes no seed") == 2, texts
    for env, wrap in ((Bare(), Wrapper), (Many(), Library)):
        same_reset(adapt(Library(wrap(env))).reset(seed=3), {})
        assert env.heard == [3, "reset"], env.heard


def check_options_where_there_are_none():
    error = raises(ValueError, adapt(Bare()).reset, options={"map": "4x4"})
    assert "Bare" in str(error) and "4x4" in str(error), error


def check_an_observation_that_looks_like_a_pair():
    class Pair(Env):
        observation_space = Tuple([Box(-1, 1, (2,)), Dict([("a", Discrete(3))])])

        def obs(self):
            return np.ones(2, np.float32), {"a": 1}

    for base, info in ((Modern, {"level": 3}), (Bare, {})):
        env = type("Env", (Pair, base), {})()
        obs, found = adapt(env).reset()
        assert type(obs) is tuple and len(obs) == 2 and obs[1] == {"a": 1}, obs
        assert found == info

    class Odd(Pair, Bare):
        """Not even in its own space."""

        def obs(self):
            return np.ones(3), {"b": 1}

    assert adapt(Odd()).reset()[1] == {}

    class List(Modern):
        def reset(self, seed=None, options=None):
            return [self.obs(), self.info]

    same_reset(adapt(List()).reset(), {"level": 3})

    class Without(Modern):
        info = None

    same_reset(adapt(Without()).reset(), {})


def check_seed_that_was_given():
    for kind in (Modern, Bare):
        adapted = adapt(Wrapper(kind()))
        assert adapted.np_random_seed == -1
        adapted.reset(seed=11)
        adapted.reset()
        assert adapted.get_wrapper_attr("np_random_seed") == 11
    env = Modern()
    env.np_random_seed = 99
    assert adapt(Wrapper(env)).np_random_seed == 99


# -- step ----------------------------------------------------------------------------------------


def check_step_is_the_envs_own():
    env = Bare()
    adapted = adapt(env)
    assert adapted.step == env.step and adapt(adapted) is adapted
    adapted.set_wrapper_attr("step", "another")
    assert adapted.step == "another"


def check_steps_of_four():
    key = "TimeLimit.truncated"
    for done, info, flags in (
        (False, {}, (False, False)),
        (True, {}, (True, False)),
        (True, {key: False}, (True, False)),
        (True, {key: True}, (False, True)),
        (False, {key: True}, (False, False)),
        (np.True_, {key: np.True_}, (False, True)),
        (np.array([True]), {"other": 1}, (True, False)),
        (1, {key: 1}, (False, True)),
        (True, None, (True, False)),
    ):
        result = to_five(("obs", 2.0, done, info))
        assert result[:2] == ("obs", 2.0) and result[4] is info
        assert result[2:4] == flags, (done, info, result)
        assert [type(flag) for flag in result[2:4]] == [bool, bool]
    five = ("obs", 2.0, 1, 0, {})
    assert to_five(five) is five
    error = raises(ValueError, to_five, ("obs", 2.0, False))
    assert "3 items" in str(error), error


def check_numbers_as_arrays():
    seen = []

    class Asserting(Bare):
        def step(self, action):
            assert isinstance(action, np.ndarray), action
            seen.append(action)
            return Bare.step(self, action)

    env = adapt(Asserting(), array_actions=True)
    for action in (np.int64(3), 3):
        env.step(action)
    assert [action.item() for action in seen] == [3, 3] and seen[0].shape == ()
    class Nested(Bare):
        action_space = Dict([("a", Discrete(2)), ("b", Tuple([Discrete(3)]))])

        def step(self, action):
            assert [type(part) for part in (action["a"], action["b"][0])] == [np.ndarray] * 2
            return Bare.step(self, action)

    adapt(Nested(), array_actions=True).step({"a": np.int64(1), "b": (2,)})
    box = Asserting()
    box.action_space = Box(-1, 1, (2,))
    assert adapt(box, array_actions=True).step == box.step


if __name__ == "__main__":
    main(globals())
