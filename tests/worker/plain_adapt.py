# SPDX-License-Identifier: MIT
"""Checks of old envs behind the modern interface."""

import sys

import numpy as np
from envring_worker.adapt import AdaptedEnv, adapt, to_five
from envring_worker.spaces import kind_of
from plain_checks import main, raises, stderr
from plain_spaces import Box, Dict, Discrete, Tuple

PY2 = sys.version_info[0] == 2


class Env(object):
    """An env that notes what is asked of it; `reset` comes from the classes below."""

    observation_space = Box(-1.0, 1.0, (2,))
    action_space = Discrete(4)
    info = {"level": 3}

    def __init__(self):
        self.heard = []

    def obs(self):
        return np.ones(2, np.float32)

    def step(self, action):
        return self.obs(), 1.0, False, {}


class Wrapper(object):
    """As gym's, up to 0.21: it hands any keyword on and forwards attributes."""

    def __init__(self, env):
        self.env = env

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError("private %s" % name)
        return getattr(self.env, name)

    def step(self, action):
        return self.env.step(action)

    def reset(self, **kwargs):
        return self.env.reset(**kwargs)

    def seed(self, seed=None):
        return self.env.seed(seed)

    def render(self, mode="human", **kwargs):
        return self.env.render(mode, **kwargs)


class Modern(Env):
    def reset(self, seed=None, options=None):
        self.heard.append((seed, options))
        return self.obs(), self.info


class Bare(Env):
    """As gym's, up to 0.21."""

    def reset(self):
        self.heard.append("reset")
        return self.obs()

    def seed(self, seed=None):
        self.heard.append(seed)
        return [seed]


class Between(Env):
    """As gym's, 0.22 to 0.25."""

    def reset(self, seed=None, return_info=False, options=None):
        self.heard.append((seed, options))
        return (self.obs(), self.info) if return_info else self.obs()


class Swallowing(Env):
    """Takes whatever there is, and complains of some of it itself."""

    knows = ("seed",)

    def reset(self, **kwargs):
        for name in kwargs:
            if name not in self.knows:
                raise TypeError("reset() got an unexpected keyword argument %r" % name)
        self.heard.append(kwargs)
        return self.obs()


class Seedless(Env):
    def reset(self):
        return self.obs()


def same_reset(result, info):
    obs, found = result
    assert np.array_equal(obs, np.ones(2)) and found == info, result


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


# -- time limits of old --------------------------------------------------------------------------


def old_time_limit(method):
    """The wrapper of gym 0.9 to 0.11; 0.9.6 and before step by `_step`."""

    def limited_step(self, action):
        assert self._episode_started_at is not None, "Cannot call env.step() before reset()"
        obs, reward, done, info = self.env.step(action)
        self._elapsed_steps += 1
        if self._past_limit():
            if self.metadata.get("semantics.autoreset"):
                self.reset()
            done = True
        return obs, reward, done, info

    class TimeLimit(Wrapper):
        __module__ = "gym.wrappers.time_limit"
        metadata = {}
        _episode_started_at = None

        def _past_limit(self):
            return self._elapsed_steps >= 3

        def reset(self):
            self._episode_started_at, self._elapsed_steps = 1.0, 0
            return self.env.reset()

    if method == "_step":
        TimeLimit.step = lambda self, action: self._step(action)
    setattr(TimeLimit, method, limited_step)
    return TimeLimit


def check_an_old_time_limit_says_so():
    class Ending(Bare):
        length = 99

        def reset(self):
            self.time = 0
            return Bare.reset(self)

        def step(self, action):
            self.time += 1
            return self.obs(), 1.0, self.time >= self.length, {"time": self.time}

    for method in ("step", "_step"):
        for outer in (lambda env: env, Wrapper):
            for length, flags in ((99, (False, True)), (3, (True, False)), (2, (True, False))):
                env = Ending()
                env.length = length
                limit = old_time_limit(method)(env)
                adapted = adapt(outer(limit))
                error = raises(AssertionError, adapted.step, 0)
                assert "Cannot call" in str(error), error
                for _ in range(2):  # episodes
                    adapted.reset()
                    for step in range(min(length, 3)):
                        result = to_five(adapted.step(0))
                        last = step + 1 == min(length, 3)
                        assert result[2:4] == (flags if last else (False, False)), result
                        assert result[4]["time"] == step + 1


def check_a_newer_time_limit_stays_as_it_is():
    class TimeLimit(Wrapper):
        __module__ = "gym.wrappers.time_limit"

        def _past_limit(self):
            raise AssertionError("not asked for")

        def step(self, action):
            obs, reward, done, info = self.env.step(action)
            info["TimeLimit.truncated"] = not done
            return obs, reward, True, info

    limit = TimeLimit(Bare())
    assert to_five(adapt(limit).step(0))[2:4] == (False, True)
    assert "step" not in vars(limit)


# -- render, metadata, close ---------------------------------------------------------------------


class Rendering(Bare):
    metadata = {"render.modes": ["human", "rgb_array"], "video.frames_per_second": 30}

    def render(self, mode="human", close=False):
        return mode


def check_render_of_every_generation():
    class Text(object):
        def getvalue(self):
            return "text"

    class New(Modern):
        metadata = {"render_modes": ["rgb_array"]}
        render_mode = "rgb_array"

        def render(self):
            return "frame"

    class Writing(Rendering):
        def render(self, mode="human"):
            return Text() if mode == "ansi" else sys.stdout

    class Collecting(New):
        frames = (["first", "last"], [])

        def render(self):
            return self.frames[0] if self.heard else self.frames[1]

    class WindowOnly(Rendering):
        metadata = {"render.modes": ["human"]}

    class Decorated(Rendering):
        def render(self, *args, **kwargs):
            return Rendering.render(self, *args, **kwargs)

    for env, told, expected in (
        (Rendering(), None, "rgb_array"),
        (Rendering(), "rgb_array", "rgb_array"),
        (Rendering(), "human", "human"),
        (Wrapper(Wrapper(Rendering())), "human", "human"),
        (Wrapper(Rendering()), None, "rgb_array"),
        (Decorated(), None, "rgb_array"),
        (WindowOnly(), None, "human"),
        (Writing(), "ansi", "text"),
        (Writing(), "human", None),
        (New(), None, "frame"),
        (New(), "rgb_array", "frame"),
    ):
        adapted = adapt(env, told)
        assert adapted.render() == expected, (env, told, adapted.render())
        assert adapted.get_wrapper_attr("render")() == expected
    env = Collecting()
    assert adapt(env).render() is None
    env.heard.append(1)
    assert adapt(env).render() == "last"
    env.render_mode = "rgb_array_list"
    assert adapt(env).render() == ["first", "last"]
    assert adapt(Rendering(), "human").render_mode == "human"
    assert adapt(Rendering()).render_mode is None
    assert adapt(Wrapper(New())).render_mode == "rgb_array"
    raises(AttributeError, adapt(Modern()).render)


def check_metadata_has_the_modern_names():
    metadata = adapt(Wrapper(Rendering())).metadata
    assert metadata["render_modes"] == metadata["render.modes"] == ["human", "rgb_array"]
    assert metadata["render_fps"] == 30
    assert "render_fps" not in Rendering.metadata
    assert adapt(Bare()).metadata == {}
    env = Bare()
    env.metadata = None
    assert adapt(env).metadata == {}
    env.metadata = {"render.modes": ["human"], "render_modes": []}
    assert adapt(env).metadata["render_modes"] == []


def check_close_where_there_is_one():
    adapt(Bare()).close()
    env = Bare()
    env.close = lambda: env.heard.append("closed")
    adapt(env).close()
    assert env.heard == ["closed"]


# -- attributes ----------------------------------------------------------------------------------


def check_attributes_through_wrappers():
    class Silent(object):
        """As gym's up to 0.9: it forwards nothing."""

        def __init__(self, env):
            self.env = env
            self.reset, self.step = env.reset, env.step
            self.action_space = env.action_space
            self.observation_space = env.observation_space

    env = Bare()
    env.gravity, env._hidden = 9.8, 1
    for wrapped in (Wrapper(Wrapper(env)), Silent(Silent(env)), Silent(Wrapper(env)), env):
        adapted = adapt(wrapped)
        assert adapted.get_wrapper_attr("gravity") == 9.8
        assert adapted.get_wrapper_attr("_hidden") == 1
        assert adapted.has_wrapper_attr("gravity") and not adapted.has_wrapper_attr("nothing")
        error = raises(AttributeError, adapted.get_wrapper_attr, "nothing")
        assert "nothing" in str(error)
        assert adapted.set_wrapper_attr("gravity", 3.7) is True
        assert env.gravity == 3.7 and (wrapped is env or "gravity" not in vars(wrapped))
        assert adapted.set_wrapper_attr("new", 1, force=False) is False
        assert not adapted.has_wrapper_attr("new")
        assert adapted.set_wrapper_attr("new", 1) is True
        assert vars(wrapped).pop("new") == 1
        env.gravity = 9.8
        for name in ("render", "has_wrapper_attr", "np_random_seed", "metadata"):
            assert adapted.has_wrapper_attr(name)
        for name, expected in (("seed", True), ("gravity", False), ("nothing", False)):
            assert adapted.get_wrapper_attr("is_method")(name) is expected


def check_classes_of_python_2():
    class Classic:  # without a base it is of another kind there
        observation_space = Box(-1, 1, (2,))
        action_space = Discrete(2)
        metadata = {"render.modes": ["rgb_array"]}

        def __init__(self):
            self.heard = []

        def reset(self):
            return np.ones(2, np.float32)

        def seed(self, seed):
            self.heard.append(seed)

        def step(self, action):
            return self.reset(), 1.0, True, None

        def render(self, mode="human"):
            return mode

    env = Classic()
    adapted = adapt(env)
    same_reset(adapted.reset(seed=3), {})
    assert env.heard == [3] and adapted.render() == "rgb_array"
    assert adapted.is_method("step") and not adapted.is_method("observation_space")
    assert to_five(adapted.step(0))[1:] == (1.0, True, False, None)

    class Space:
        n = 3

    class Discrete_(Space):
        pass

    Discrete_.__name__ = "Discrete"
    assert kind_of(Discrete_()) == "discrete" and kind_of(Space()) is None


def check_attributes_by_the_envs_own_methods():
    class Own(Modern):
        attributes = {"a": 1}

        def get_wrapper_attr(self, name):
            return self.attributes[name]

        def has_wrapper_attr(self, name):
            return name in self.attributes

        def set_wrapper_attr(self, name, value):
            self.attributes[name] = value

    class Forcing(Own):
        def set_wrapper_attr(self, name, value, force=True):
            self.attributes[name] = (value, force)
            return force

    adapted = adapt(Own())
    assert adapted.get_wrapper_attr("a") == 1 and not adapted.has_wrapper_attr("b")
    assert adapted.set_wrapper_attr("b", 2) is True and adapted.get_wrapper_attr("b") == 2
    adapted = adapt(Forcing())
    assert adapted.set_wrapper_attr("c", 2, force=False) is False
    assert adapted.get_wrapper_attr("c") == (2, False)


def check_an_env_that_forwards_by_itself():
    class Forwarding(Modern):
        """Neither a wrapper nor without one; its `env` is no env."""

        env = object()

        def __getattr__(self, name):
            if name == "lives":
                return 3
            raise AttributeError(name)

    adapted = adapt(Forwarding())
    assert adapted.get_wrapper_attr("lives") == 3 and adapted.has_wrapper_attr("lives")
    same_reset(adapted.reset(seed=1), {"level": 3})


def check_a_librarys_wrapper_is_not_asked_what_it_does_not_have():
    """Those of gymnasium warn when they are."""

    class Warning(Wrapper):
        def __getattr__(self, name):
            raise AssertionError("asked for %s" % name)

    library = type("Wrapper", (Warning,), {"__module__": "gymnasium.core"})
    library.__getattr__ = Warning.__dict__["__getattr__"]
    env = type("Mine", (library,), {"__module__": "mine"})(Modern())
    env.observation_space, env.action_space = Env.observation_space, Env.action_space
    adapted = adapt(env)
    same_reset(adapted.reset(seed=1), {"level": 3})
    assert adapted.np_random_seed == 1 and not adapted.has_wrapper_attr("nothing")
    assert adapted.render_mode is None and adapted.metadata == {} and adapted.spec is None
    error = raises(AttributeError, adapted.get_wrapper_attr, "nothing")
    assert str(error) == "'Mine' object has no attribute 'nothing'", error


def check_wrappers_in_a_circle_end():
    env = Wrapper(None)
    env.env = env
    env.observation_space, env.action_space = Bare.observation_space, Bare.action_space
    assert isinstance(adapt(env), AdaptedEnv)


if __name__ == "__main__":
    main(globals())
