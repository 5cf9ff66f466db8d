# SPDX-License-Identifier: MIT
"""Checks of what else old envs have behind the modern interface."""

import sys

import numpy as np
from envring_worker.envs.adapt import AdaptedEnv, adapt, to_five
from envring_worker.envs.spaces import kind_of
from plain_checks import main, raises
from plain_generations import Bare, Env, Modern, Wrapper, same_reset
from plain_spaces import Box, Discrete

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
