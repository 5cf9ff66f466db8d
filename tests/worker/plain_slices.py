# SPDX-License-Identifier: MIT
"""Checks of batches of old envs, in plain memory."""

import warnings
from collections import OrderedDict

import numpy as np
from envring_worker.data import codec
from envring_worker.data.infos import ODD, InfoWriter
from envring_worker.data.obs import ObsWriter
from envring_worker.envs.adapt import AdaptedSlice, adapt
from envring_worker.loop import FINAL_NONE, FINAL_REPLY, FINAL_SLAB, NEXT_STEP, SAME_STEP
from plain_checks import main
from plain_spaces import Box, Dict, Discrete, Graph, Tuple

KEY = "TimeLimit.truncated"


class LazyFrames(object):
    """As gym's FrameStack gives: an array only when it is asked for."""

    def __init__(self, frames):
        self.frames = frames

    def __array__(self, dtype=None, copy=None):
        array = np.stack(self.frames)
        return array if dtype is None else array.astype(dtype)


class GraphInstance(tuple):
    """As gym's: a tuple of a type of its own."""


class Env(object):
    """Counts; its episodes take three steps and are cut off where it says so."""

    observation_space = Box(0, 99, (2,))
    action_space = Discrete(5)
    cut = False

    def __init__(self, **attributes):
        vars(self).update(attributes)
        self.count = 0
        self.seeds = []

    def show(self, count):
        return np.full(2, count, np.float32)

    def reset(self):
        self.count = 0
        return self.show(0)

    def seed(self, seed=None):
        self.seeds.append(seed)

    def step(self, action):
        self.count += 1
        done = self.count == 3
        info = {"count": self.count}
        if done and self.cut:
            info[KEY] = True
        return self.show(self.count), 0.5 * action, done, info


PLAN = ("leaf", 0, "<f4", (2,))


class Segment(object):
    def __init__(self, plan, num_envs):
        self.writer = ObsWriter(plan)
        self.num_envs = num_envs
        self.leaves, self.final_arrays = self.arrays(), self.arrays()
        self.rewards = np.zeros(num_envs)
        self.flags = np.zeros((2, num_envs), np.uint8)
        self.final_marks = np.zeros(num_envs, np.uint8)
        self.template_ids = np.zeros(num_envs, np.uint16)

    def arrays(self):
        return [
            np.zeros((self.num_envs,) + leaf[3], leaf[2]) if leaf[0] == "leaf" else None
            for leaf in self.writer.leaves
        ]

    def slot_arrays(self, slot):
        return self.leaves, self.rewards, self.flags[0], self.flags[1]


def attached(envs, plan=PLAN, mode=NEXT_STEP):
    """A slice, its segment."""
    segment = Segment(plan, len(envs))
    envs = AdaptedSlice(
        [adapt(env) for env in envs], 0, mode, lambda value, check=False: codec.pack(value)
    )
    infos = InfoWriter(0, len(envs.envs), segment.template_ids, np.zeros(4096, np.uint8))
    envs.attach(segment, segment.writer, infos)
    return envs, segment


def reset(envs, seeds=None):
    envs.reset(0, seeds or [None] * envs.num_envs, None, None)


def stepped(envs, segment, *actions):
    """(rewards, terminations, truncations, infos by env, failures) of a step."""
    envs.step(0, actions)
    reply = envs.take_reply() or {"odd": {}, "failures": []}
    flags = [list(map(bool, row)) for row in segment.flags]
    return list(segment.rewards), flags[0], flags[1], reply["odd"], reply["failures"]


def check_steps_of_four():
    envs, segment = attached([Env(), Env(cut=True), Env()])
    reset(envs, [4, None, 6])
    assert [env.env.seeds for env in envs.envs] == [[4], [], [6]]
    assert not segment.leaves[0].any() and not segment.template_ids.any()
    for count in (1, 2):
        result = stepped(envs, segment, 1, 2, 3)
        assert result[:3] == ([0.5, 1.0, 1.5], [False] * 3, [False] * 3), result
        assert result[3] == dict((i, {"count": count}) for i in range(3)), result[3]
        assert (segment.leaves[0] == count).all() and (segment.template_ids == ODD).all()
    result = stepped(envs, segment, 1, 1, 1)
    assert result[1:3] == ([True, False, True], [False, True, False]), result
    assert result[3] == {0: {"count": 3}, 1: {"count": 3, KEY: True}, 2: {"count": 3}}
    result = stepped(envs, segment, 1, 1, 1)  # resets
    assert result == ([0.0] * 3, [False] * 3, [False] * 3, {}, []), result
    assert not segment.leaves[0].any()


def check_ends_in_the_same_step():
    envs, segment = attached([Env(cut=True), Env()], mode=SAME_STEP)
    reset(envs)
    for _ in range(2):
        stepped(envs, segment, 1, 1)
        assert not segment.final_marks.any()
    result = stepped(envs, segment, 1, 1)
    assert result[1:3] == ([False, True], [True, False])
    assert list(segment.final_marks) == [FINAL_SLAB] * 2 and (segment.final_arrays[0] == 3).all()
    assert not segment.leaves[0].any()
    assert result[3][0] == {"final_obs": None, "final_info": {"count": 3, KEY: True}}, result[3]
    stepped(envs, segment, 1, 1)
    assert list(segment.final_marks) == [FINAL_NONE] * 2 and (segment.leaves[0] == 1).all()


def check_lazy_frames():
    class Stacked(Env):
        def show(self, count):
            return LazyFrames([np.float32(count), np.float32(count)])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs, segment = attached([Stacked()], mode=SAME_STEP)
        reset(envs)
        for count in (1, 2):
            assert not stepped(envs, segment, 1)[4]
            assert (segment.leaves[0] == count).all()
        assert not stepped(envs, segment, 1)[4]
    assert list(segment.final_marks) == [FINAL_SLAB] and (segment.final_arrays[0] == 3).all()


def check_ordered_dicts_and_graphs():
    class Network(Env):
        observation_space = Dict(
            [("z", Discrete(9)), ("net", Tuple([Graph(Discrete(3), None), Box(0, 9, (2,))]))]
        )

        def show(self, count):
            graph = GraphInstance((np.arange(count), None, None))
            frames = LazyFrames([np.float32(count)] * 2)
            return OrderedDict([("net", (graph, frames)), ("z", count)])

    inner = [("dynamic", 1), ("leaf", 2, "<f4", (2,))]
    plan = ("dict", [("z", ("leaf", 0, "<i8", ())), ("net", ("tuple", inner))])
    envs, segment = attached([Network()], plan, SAME_STEP)
    reset(envs)
    envs.take_reply()
    for count in (1, 2):
        envs.step(0, [1])
        reply = envs.take_reply()
        assert codec.pack(reply)
        graph = reply["dynamic"][1][0]
        assert type(graph) is tuple and len(graph[0]) == count
        assert segment.leaves[0][0] == count and (segment.leaves[2][0] == count).all()
    envs.step(0, [1])
    reply = envs.take_reply()
    assert not reply["failures"], reply["failures"]
    assert list(segment.final_marks) == [FINAL_REPLY]
    final = codec.unpack(reply["finals"][0])
    assert type(final) is OrderedDict and [str(key) for key in final] == ["net", "z"]
    graph, frames = final["net"]
    assert type(graph) is tuple and len(graph[0]) == 3 and frames.tolist() == [3, 3]
    assert len(reply["dynamic"][1][0][0]) == 0


def check_rewards_of_old():
    class Odd(Env):
        rewards = (np.array([1.5], np.float32), np.array([[2.5]]), np.zeros(2))

        def step(self, action):
            self.count += 1
            return self.show(1), self.rewards[self.count - 1], np.array([False]), {}

    envs, segment = attached([Odd()])
    reset(envs)
    for expected in (1.5, 2.5):
        rewards, terminations, truncations, _, failures = stepped(envs, segment, 1)
        assert rewards == [expected] and terminations == truncations == [False] and not failures
    failures = stepped(envs, segment, 1)[4]
    assert len(failures) == 1 and "a reward is a single number" in failures[0][3], failures


def check_no_info_at_all():
    class Silent(Env):
        def step(self, action):
            return Env.step(self, action)[:3] + (None,)

    for mode in (NEXT_STEP, SAME_STEP):
        envs, segment = attached([Silent()], mode=mode)
        reset(envs)
        results = [stepped(envs, segment, 1) for _ in range(3)]
        assert [result[1] for result in results] == [[False], [False], [True]]
        assert not any(result[4] for result in results)
        assert results[0][3] == {} and segment.template_ids[0] == (0 if mode == NEXT_STEP else ODD)


def check_steps_that_are_none():
    class Short(Env):
        def step(self, action):
            return self.show(1), 1.0, False

    envs, segment = attached([Env(), Short()])
    reset(envs)
    rewards, _, _, odd, failures = stepped(envs, segment, 1, 1)
    assert rewards[0] == 0.5 and odd == {0: {"count": 1}}
    assert [failure[0] for failure in failures] == [1] and "3 items" in failures[0][3], failures


def check_calls():
    class Rendering(Env):
        metadata = {"render.modes": ["rgb_array"]}

        def render(self, mode="human"):
            return mode

    envs, _ = attached([Rendering(), Rendering()])
    envs.call("render", (), {})
    assert envs.take_reply()["results"] == ["rgb_array"] * 2
    envs.set_attr("count", [5, 6])
    envs.call("count", (), {})
    assert envs.take_reply()["results"] == [5, 6]
    envs.call("nothing", (), {})
    reply = envs.take_reply()
    assert [failure[0] for failure in reply["failures"]] == [0, 1]
    envs.set_attr("step", [lambda action: (np.zeros(2), 9.0, False, {})] * 2)
    assert envs.steps[0](1)[1] == 9.0


if __name__ == "__main__":
    main(globals())
