# SPDX-License-Identifier: MIT
"""The compiled step loop in the interpreter that runs this: LIBRARY NAME...

Each function without arguments is a test, NAMEs are some of them. The compiled loop and the
reference step the same envs.
"""

from __future__ import absolute_import, division, print_function

import gc
import os
import random
import sys

import numpy as np
from envring_worker.data.actions import PYTHON_INTS, format_code
from envring_worker.loop import EnvSlice
from plain_checks import main
from plain_odd import LEAF, PLANS, Informed, RandomEnv, Steady, Trouble
from plain_rig import ACTIONS, Learner, OldSlice, attached, compiled, open_library, stored

# Between the oldest and the newest interpreters a third of the random envs does: they are to meet
# what differs there, every plan and mode once, and the loop's own logic is the same in each.
ALL = "ENVRING_SOME_STEPS" not in os.environ


def same_steps(library, seed, plan, mode, oddness, five, kind, steps=40):
    """Steps two slices of the same envs, one by each loop; returns how many rows were slow."""
    num_envs = 3

    def slice_of():
        envs = [RandomEnv(seed * 10 + i, plan, oddness, five) for i in range(num_envs)]
        return attached(library, envs, plan, mode=mode, kind=kind)

    ours, reference = slice_of(), slice_of()
    loop = compiled(library, ours)
    learner = Learner(ours.segment.num_envs)
    templates = []
    r = random.Random(seed)
    for each in (ours, reference):
        each.reset(0, [1] * num_envs, None, None)
    loop.rebind()
    for number in range(steps):
        before = (stored(each, number % 2, templates) for each in (ours, reference))
        first, second = before
        assert first == second, (seed, plan, mode, number, first, second)
        slot = (number + 1) % 2
        actions = np.array([r.randrange(300) for _ in range(ours.segment.num_envs)])
        for each in (ours, reference):
            each.actions.scalars()[:] = actions
        loop.step(slot, 0)
        reference.step(slot, reference.actions.read(0))
        for mine, theirs in zip(ours.envs, reference.envs):
            assert mine.taken == theirs.taken, (mine.taken, theirs.taken)
        for template in learner.learn({"odd": dict(reference.infos.odd)}):
            templates.append(template)
            for each in (ours, reference):
                each.infos.add_template(template)
            loop.add_template(template)
    return loop.loop["slow_rows"]


def random_steps():
    library = open_library()
    for number, plan in enumerate(PLANS):
        for mode in range(3) if ALL else [number % 3]:
            same_steps(library, number, plan, mode, 0.05, True, EnvSlice)
    for seed in range(12 if ALL else 4):
        same_steps(library, 100 + seed, PLANS[seed % len(PLANS)], seed % 3, 0.3, True, EnvSlice)


def steps_of_old_envs():
    library = open_library()
    for seed in range(33 if ALL else 11):
        plan = PLANS[seed % len(PLANS)]
        same_steps(library, seed, plan, seed % 3, (seed % 4) / 10.0, False, OldSlice)


def old_envs_where_they_are_not_allowed():
    """As at home: a tuple of four is no result."""
    library = open_library()
    envs = attached(library, [RandomEnv(1, LEAF, 0, five=False)], LEAF)
    loop = compiled(library, envs)
    loop.step(0, 0)
    ((env_id, label, _, text, _),) = envs.take_reply()["failures"]
    assert (env_id, label) == (1, "exception") and "unpack" in text, (env_id, label, text)


def ordinary_steps_are_fast_ones():
    """The fast paths are taken: nothing else would notice if they were not."""
    library = open_library()
    plan = LEAF
    for kind, slice_kind in ((Steady, EnvSlice), (lambda: Steady(False), OldSlice)):
        envs = attached(library, [kind() for _ in range(4)], plan, kind=slice_kind)
        loop = compiled(library, envs)
        for number in range(10):
            loop.step(number % 2, 0)
        assert loop.loop["slow_rows"] == 0
        assert not envs.has_reply
        for array in envs.segment.slot_arrays(0)[0]:
            assert array[1:5].tolist() == [[0, 1, 2]] * 4
            assert array[0].tolist() == array[5].tolist() == [0, 0, 0]
        assert envs.segment.slot_arrays(1)[1].tolist() == [0, 1, 1, 1, 1, 0]

    envs = attached(library, [Informed() for _ in range(3)], plan)
    loop = compiled(library, envs)
    loop.step(0, 0)
    templates = Learner(envs.segment.num_envs).learn(envs.take_reply())
    assert len(templates) == 1
    envs.infos.add_template(templates[0])
    loop.add_template(templates[0])
    loop.step(0, 0)  # finds which template
    slow = loop.loop["slow_rows"]
    for number in range(4):
        loop.step(number % 2, 0)
    assert loop.loop["slow_rows"] == slow
    assert envs.segment.template_ids.tolist() == [0, 1, 1, 1, 0]


def every_dtype_goes_fast():
    """Arrays of each dtype, and its scalars where there is no dimension."""
    library = open_library()
    for code in "?bBhHiIqQefdFD":
        dtype = np.dtype(np.dtype(code).str)
        for shape in ((2,), ()):
            env = Steady()
            observations = [np.ones(shape, dtype)]
            if not shape:
                observations.append(dtype.type(1))
            if not shape and dtype.kind in "iu":
                observations += [1, type(1 << 80)(1)]  # Python 2 has `long`
            for obs in observations:
                env.result = (obs, 1.0, False, False, {})
                envs = attached(library, [env], ("leaf", 0, dtype.str, shape))
                loop = compiled(library, envs)
                loop.step(0, 0)
                stored_row = envs.segment.slot_arrays(0)[0][0][1]
                assert stored_row.tobytes() == np.ones(shape, dtype).tobytes()
                assert loop.loop["slow_rows"] == 0 and not envs.has_reply, (code, shape, type(obs))


def arrays_of_any_strides_go_fast():
    """Mirrored, turned and cut images, by C."""
    library = open_library()
    image = np.arange(7 * 11 * 3, dtype=np.uint8).reshape(7, 11, 3)
    for obs in (image[:, ::-1], image[..., ::-1], image.transpose(2, 0, 1), image[::2, 1:, :2]):
        env = Steady()
        env.result = (obs, 1.0, False, False, {})
        envs = attached(library, [env], ("leaf", 0, "|u1", obs.shape))
        loop = compiled(library, envs)
        loop.step(0, 0)
        stored_row = envs.segment.slot_arrays(0)[0][0][1]
        assert stored_row.tobytes() == obs.tobytes()
        assert loop.loop["slow_rows"] == 0 and not envs.has_reply


def actions_arrive_as_they_should():
    library = open_library()

    class Taker(Steady):
        def step(self, action):
            self.action = action
            return Steady.step(self, action)

    def steps(plan, fill, code):
        envs = attached(library, [Taker(), Taker()], LEAF, action_plan=plan)
        loop = compiled(library, envs)
        fill(envs)
        for _ in range(2):
            expected = envs.actions.read(code) if code != 1 else list(envs.actions.message)
            loop.step(0, code)
            assert not envs.has_reply, envs.failures
            for env, wanted in zip(envs.envs, expected):
                assert type(env.action) is type(wanted), (env.action, wanted)
                assert repr(env.action) == repr(wanted)
            if code == 1:
                envs.actions.message = [7, 8]

    def fill_slab(envs, numbers):
        envs.segment.action_slab[:32].view(np.int64)[:] = numbers

    def scalars(values):
        return lambda envs: envs.actions.scalars().__setitem__(slice(None), values)

    assert format_code(np.dtype(np.int64), python_numbers=True) == PYTHON_INTS
    steps(ACTIONS, scalars([0, 255, 256, 0]), 0)
    steps(ACTIONS, scalars([0, -1, (1 << 62), 0]), 0)
    steps(("leaf", 0, "<f4", ()), scalars([0, 0.5, -1, 0]), 0)
    steps(("leaf", 0, "<i4", ()), scalars([0, 3, 4, 0]), 0)
    steps(("leaf", 0, "<f4", (2,)), lambda envs: None, 0)
    steps(("tuple", [ACTIONS, ("leaf", 1, "<f4", (2,))]), lambda envs: None, 0)
    for plan in (ACTIONS, ("leaf", 0, "|i1", ())):
        for numbers in ([0, 7, 300, 0], [0, -1, 1 << 62, 0]):
            steps(plan, lambda envs, numbers=numbers: fill_slab(envs, numbers), PYTHON_INTS)
    steps(ACTIONS, lambda envs: setattr(envs.actions, "message", ["x", None]), 1)


def steps_change_when_they_are_rebound():
    library = open_library()
    env = Steady()
    envs = attached(library, [env], LEAF)
    loop = compiled(library, envs)
    loop.step(0, 0)
    env.step = lambda action: (env.obs, 2.0, False, False, {})
    envs.rebind()
    loop.rebind()
    gc.collect()
    loop.step(0, 0)
    assert envs.segment.slot_arrays(0)[1][1] == 2.0


def what_ends_the_process_passes():
    library = open_library()

    class Leaver(Steady):
        def step(self, action):
            sys.exit(7)

    envs = attached(library, [Steady(), Leaver()], LEAF)
    loop = compiled(library, envs)
    try:
        loop.step(0, 0)
    except SystemExit as error:
        code = error.code
    assert code == 7


def errors_show_the_env():
    """What the user reads of a traceback: the env's frames, none of ours."""
    library = open_library()

    class Thrower(Steady):
        def step(self, action):
            raise Trouble("here")

    envs = attached(library, [Steady(), Thrower(), Steady()], LEAF)
    loop = compiled(library, envs)
    loop.step(0, 0)
    reply = envs.take_reply()
    ((env_id, label, _, text, trace),) = reply["failures"]
    assert (env_id, label, text) == (2, "exception", "here")
    assert "in step" in trace and "nativeloop" not in trace, trace
    assert envs.segment.slot_arrays(0)[1].tolist() == [0, 1, 0, 1, 0]


MARKS = {
    "None": None,
    "True": True,
    "float64": np.float64,
    "dtype": np.dtype("f4"),
    "EnvSlice": EnvSlice,
    "Trouble": Trouble,
    "long": 1 << 90,
    "an env's number": 2,
    "key": "deep",
    "limit": "TimeLimit.truncated",
}


def counts(observation):
    """References to things that steps touch, objects and memory."""
    gc.collect()
    found = dict((name, sys.getrefcount(mark)) for name, mark in MARKS.items())
    found["observation"] = sys.getrefcount(observation)
    found["objects"] = len(gc.get_objects())
    if hasattr(sys, "getallocatedblocks"):
        found["blocks"] = sys.getallocatedblocks()
    with open("/proc/self/statm") as statm:
        found["pages"] = int(statm.read().split()[1])
    return found


def assert_no_growth(work, observation=None):
    """What is kept once is a cache; what is kept by each repetition is a leak."""
    for _ in range(3):
        work()
    added = []
    before = counts(observation)
    for _ in range(6):
        work()
        after = counts(observation)
        added.append(dict((name, after[name] - before[name]) for name in before))
        before = after
    least = dict((name, min((each[name] for each in added), key=abs)) for name in before)
    # ctypes and caches let go of some None without any loop; a loop that did would by the hundred
    slack = {"blocks": 60, "pages": 20, "None": 40, "observation": 40 if observation is None else 6}
    assert all(abs(count) <= slack.get(name, 6) for name, count in least.items()), least


def steady_steps_leave_nothing():
    library = open_library()
    envs = attached(library, [Steady(), Informed(), Steady(False)], LEAF, kind=OldSlice)
    loop = compiled(library, envs)

    def work():
        for number in range(2000):
            envs.actions.scalars()[:] = [number % 300] * 5
            loop.step(number % 2, 0)
            reply = envs.take_reply()
            if reply and not envs.infos.templates:
                for template in Learner(5).learn(reply):
                    envs.infos.add_template(template)
                    loop.add_template(template)

    assert_no_growth(work, envs.envs[0].obs)
    assert len(envs.infos.templates) == 1
    assert loop.loop["slow_rows"] < 10


def odd_steps_leave_nothing():
    library = open_library()
    for mode, five, kind in ((1, True, EnvSlice), (0, False, OldSlice)):

        def work(mode=mode, five=five, kind=kind):
            for plan in (PLANS[9], PLANS[5]):
                same_steps(library, 5, plan, mode, 0.3, five, kind)

        assert_no_growth(work)


if __name__ == "__main__":
    main(globals(), sys.argv[2:])
